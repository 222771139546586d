"""Rows from scratch beside a model's: the same encoder, the same labels, and no choice by what they show."""

import pytest
from ledgers import OPTIONS, from_scratch, ledger, of_method, row

from zoo.reports.from_scratch import from_scratch_in_words, with_from_scratch

MEASURED = from_scratch(
    "supervised-resnet8-mnist",
    [row("from_scratch", "mnist", 10, [0.8, 0.82]), row("from_scratch", "mnist", 100, [0.9, 0.92])],
)


def test_a_row_stands_beside_each_of_the_models_labels_for_which_there_is_one():
    model = of_method("simclr", 0.9)
    whole = with_from_scratch(model, [MEASURED])
    assert whole["results"] == [*model["results"], MEASURED["results"][0]]
    assert whole["from_scratch"] == [{field: MEASURED[field] for field in ("model", "command", "few_labels")}]
    assert with_from_scratch(whole, []) == whole, "a ledger that has its rows keeps them"
    words = from_scratch_in_words(whole)
    assert "the recipe of `supervised-resnet8-mnist` on just those labels" in words and "(n = 2)" in words
    assert "chosen on held-out training images" in words and f"Measured by `{MEASURED['command']}`." in words
    as_it_stands = from_scratch_in_words(with_from_scratch(model, [{**MEASURED, "few_labels": {}}]))
    assert "on just those labels (n = 2). Measured by" in as_it_stands


@pytest.mark.parametrize(
    "other",
    [
        {**MEASURED, "recipe": {**MEASURED["recipe"], "encoder": "s4"}},
        {**MEASURED, "recipe": {**MEASURED["recipe"], "encoder_options": {**OPTIONS, "width": 16}}},
        {**MEASURED, "results": [{**part, "data": "mnist_54k"} for part in MEASURED["results"]]},
        {**MEASURED, "results": MEASURED["results"][1:]},
    ],
)
def test_another_encoder_and_other_labels_are_left_out(other):
    model = of_method("simclr", 0.9)
    whole = with_from_scratch(model, [other])
    assert whole["results"] == model["results"]
    assert from_scratch_in_words(whole) == from_scratch_in_words(model) == ""


def test_of_two_recipes_that_for_these_data_is_taken():
    few = row("from_scratch", "fashion_mnist_labels_1k", "all", [0.7], labels=1_000)
    name = "supervised-s4-fashion_mnist"
    for_all = from_scratch(name, [few], dataset="fashion_mnist")
    for_these = from_scratch(f"{name}_labels_1k", [{**few, "n": 2}], dataset="fashion_mnist_labels_1k")
    model = ledger("simsiam-s4-fashion_mnist", [{**few, "features": "encoder"}])
    for order in ([for_all, for_these], [for_these, for_all]):
        whole = with_from_scratch(model, order)
        assert [one["model"] for one in whole["from_scratch"]] == [for_these["model"]] and whole["results"][1]["n"] == 2
    with pytest.raises(ValueError, match=f"{name}, {name}2 have 1,000 labels of fashion_mnist_labels_1k; keep one"):
        with_from_scratch(model, [for_all, {**for_all, "model": f"{name}2"}])
