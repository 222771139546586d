"""Tables of results: columns of accuracies, macro-F1 where labels are few and named, and numbers of values in words."""

import pytest
from ledgers import ledger, row

from zoo.reports.tables import n_in_words, results_table


def cells(table):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]


def test_few_named_labels_have_a_column_of_macro_f1():
    rows = [
        row("encoder", "fashion_mnist_labels_1k", "all", [0.8, 0.82], labels=1_000),
        row("encoder", "fashion_mnist", "all", [0.9]),
        row("from_scratch", "fashion_mnist_labels_1k", "all", [0.7], labels=1_000),
    ]
    header, _, *lines = cells(results_table(ledger("simsiam-s4-fashion_mnist", rows)))
    assert header == ["features", "1,000 labels", "macro F1, 1,000 labels", "60,000 labels"]
    assert lines == [
        ["this encoder", "81.0 +- 1.4", "71.0 +- 1.4", "90.0"],
        ["the same encoder, trained from scratch", "70.0", "60.0", ""],
    ]


@pytest.mark.parametrize(
    "data,count,labels",
    [("mnist_labels_6k", "all", 6_000), ("fashion_mnist_labels_1k", 10, 100), ("digits", "all", 900)],
)
def test_other_labels_and_earlier_ledgers_have_none(data, count, labels):
    header, *_ = cells(results_table({"results": [row("encoder", data, count, [0.8], labels=labels)]}))
    assert len(header) == 2
    few = row("encoder", "fashion_mnist_labels_1k", "all", [0.8], labels=1_000)
    del few["macro_f1"]
    header, *_ = cells(results_table({"results": [few]}))
    assert header == ["features", "1,000 labels"]


@pytest.mark.parametrize(
    "values,said",
    [
        ([(10, 15), ("all", 3)], "n = 15, with all labels 3"),
        ([(10, 15), (100, 15)], "n = 15"),
        ([("all", 3)], "n = 3"),
        ([(10, 15), (100, 5), ("all", 1)], "n = 15 or 5, with all labels 1"),
    ],
)
def test_numbers_of_values_in_words(values, said):
    rows = [row("encoder", "mnist", count, [i / n for i in range(n)]) for count, n in values]
    assert n_in_words(rows) == said
