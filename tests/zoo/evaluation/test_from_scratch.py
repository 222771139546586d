"""Training from scratch on few labels: the draws of `evaluate`, nothing but those images, and the recipe for them."""

import pytest
import torch

import zoo
from zoo.data.datasets import Split
from zoo.evaluation.from_scratch import for_labels, from_scratch, train_and_judge
from zoo.evaluation.protocol import draws_of_labels
from zoo.training.in_memory import train_in_memory


@pytest.fixture(scope="module")
def supervised(recipe):
    changes = {"epochs": 2, "warmup_epochs": 0, "batch_size": 10, "method_options": {}, "encoder_options": {"width": 2}}
    return recipe.replace(method="supervised", **changes)


def test_the_rows_are_those_of_evaluate_for_encoders_trained_on_the_same_draws(supervised, digits):
    """The naive twin: train on what `evaluate` draws, and evaluate each encoder with its own draw."""
    rows = from_scratch(supervised, digits, labels_per_class=(2,), draws=2, seed=3)
    (row,) = rows
    for i, draw in enumerate(draws_of_labels(digits, (2,), 2, seed=3)[2]):
        few = Split(*(part[draw.positions] for part in digits.train))
        model = train_in_memory(supervised.replace(seed=2 * 3 + i), digits._replace(train=few, test=None))
        expected = zoo.evaluate(model, digits, labels_per_class=(2,), draws=2, seed=3, baselines=())["results"][0]
        for score in ("linear", "macro_f1", "knn"):
            assert row[score]["values"][i] == expected[score]["values"][i]
    assert row["linear"]["values"][0] != row["linear"]["values"][1]
    assert {**row, "features": "encoder"}.keys() == expected.keys()
    assert (row["features"], row["labels_per_class"], row["labels"]) == ("from_scratch", 2, 20)


def test_training_sees_the_drawn_images_and_nothing_else(supervised, digits):
    seen = []

    def fit(recipe, few, key):
        seen.append((recipe, few, key))
        return {"linear": 0.1, "macro_f1": 0.2, "knn": 0.3}

    small = digits._replace(train=Split(*(part[:400] for part in digits.train)))
    few_labels = {20: {"epochs": 7}, 100: {"epochs": 5}}
    counts = (1, 2, 3, "all")
    rows = from_scratch(supervised, small, few_labels=few_labels, labels_per_class=counts, draws=2, seed=1, fit=fit)
    chosen = draws_of_labels(small, counts, 2, seed=1)
    draws = [draw for count in counts for draw in chosen[count]]
    assert len(draws) == len(seen) == 7
    for draw, (_, few, key) in zip(draws, seen, strict=True):
        assert torch.equal(few.train.images, small.train.images[draw.positions]) and torch.equal(key, draw.key)
        assert torch.equal(few.train.labels, small.train.labels[draw.positions])
        assert few.test is small.test and few.classes == small.classes
    assert [recipe.epochs for recipe, *_ in seen] == [7, 7, 7, 7, 5, 5, 2]
    assert [recipe.seed for recipe, *_ in seen] == [2, 3, 2, 3, 2, 3, 1]
    assert [row["labels"] for row in rows] == [10, 20, 30, 400]
    assert rows[0]["linear"] == {"mean": 0.1, "std": 0, "values": [0.1, 0.1]} and rows[-1]["linear"]["std"] is None


def test_the_test_labels_do_not_train(supervised, digits):
    (draw,) = draws_of_labels(digits, (2,), 1, seed=0)[2]
    few = digits._replace(train=Split(*(part[draw.positions] for part in digits.train)))
    scores = train_and_judge(supervised, few, draw.key)
    part = few._replace(test=Split(*(x[:250] for x in digits.test)))
    other = few._replace(test=Split(*(x[250:] for x in digits.test)))
    halves = [train_and_judge(supervised, half, draw.key)["linear"] for half in (part, other)]
    assert scores["linear"] == pytest.approx(sum(halves) / 2)


@pytest.mark.parametrize("labels,epochs", [(1, 7), (10, 7), (11, 5), (100, 5), (101, 2)])
def test_the_smallest_number_of_labels_that_is_not_below_applies(supervised, labels, epochs):
    few_labels = {100: {"epochs": 5}, 10: {"epochs": 7}}
    assert for_labels(supervised, few_labels, labels) == supervised.replace(epochs=epochs)


@pytest.mark.parametrize(
    "changes,options,said",
    [
        ({"method": "simclr"}, {}, "method: expected 'supervised', which learns from labels alone, got 'simclr'"),
        ({"start": "simclr-resnet8-digits"}, {}, "start: expected 'random' to train from scratch"),
        ({}, {"draws": 0}, "draws: expected 1 or more, got 0"),
        ({}, {"labels_per_class": (500,)}, "asked for 500 per class"),
        ({"batch_size": 11}, {"labels_per_class": (1,)}, "batch_size: expected at most 10"),
    ],
)
def test_what_cannot_be_measured_is_named(supervised, digits, changes, options, said):
    with pytest.raises(zoo.ZooError, match=said):
        from_scratch(supervised.replace(**changes), digits, **options)
