"""The probe protocol: draws, the choice of the strength, the report, and what it refuses."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import zoo
from functional import random
from zoo.datasets import Dataset, Split
from zoo.evaluation import draw_labels


def test_a_draw_has_as_many_of_each_class_and_depends_on_its_key(digits):
    labels = digits.train.labels
    drawn = draw_labels(random.key(0), labels, 7)
    assert torch.bincount(labels[drawn]).tolist() == [7] * 10
    assert torch.equal(drawn, draw_labels(random.key(0), labels, 7))
    assert not torch.equal(drawn, draw_labels(random.key(1), labels, 7))
    with pytest.raises(zoo.ZooError, match="class 'three' has 2 labels; asked for 3 per class"):
        draw_labels(random.key(0), torch.tensor([0, 0, 0, 1, 1]), 3, ("none", "three"))


def test_the_probe_equals_scikit_learns_at_the_strength_that_it_chose(model, digits):
    train, test = digits.train, digits.test
    n = 300
    report = zoo.linear_probe(model, (train.images[:n], train.labels[:n]), (test.images, test.labels))
    scaler = StandardScaler().fit(model.features(train.images[:n]).numpy())
    x, test_x = (scaler.transform(model.features(images).numpy()) for images in (train.images[:n], test.images))
    theirs = LogisticRegression(C=1 / (n * report.strength), tol=1e-8, max_iter=5000).fit(x, train.labels[:n])
    assert abs(theirs.score(test_x, test.labels) - report.accuracy) <= 0.004


def test_the_report_takes_strings_and_has_baselines(model, digits):
    train, test = digits.train, digits.test
    names = [("even", "odd")[y % 2] for y in train.labels.tolist()]
    test_names = [("even", "odd")[y % 2] for y in test.labels.tolist()]
    report = zoo.linear_probe(
        model, (train.images[:100], names[:100]), (test.images, test_names), baselines=("pixels", "untrained")
    )
    assert set(report.per_class) == {"even", "odd"} and set(report.baselines) == {"pixels", "untrained"}
    assert report.per_class["odd"]["images"] == test_names.count("odd")
    assert 0.6 < report.accuracy <= 1 and 0 < report.macro_f1 <= 1


def test_evaluate_gives_every_features_the_same_draws(model, digits):
    record = zoo.evaluate(model, digits, labels_per_class=(1, 2), draws=2)
    assert [(row["features"], row["labels_per_class"]) for row in record["results"]] == [
        (source, count) for source in ("encoder", "pixels", "untrained") for count in (1, 2)
    ]
    for row in record["results"]:
        assert len(row["linear"]["values"]) == 2
        assert row["linear"]["mean"] > 0.25 and row["knn"]["mean"] > 0.25  # .1 is chance
    assert record == zoo.evaluate(model, digits, labels_per_class=(1, 2), draws=2)


def subset(digits, **changes):
    return digits._replace(**changes)


@pytest.mark.parametrize(
    "changes,options,words",
    [
        (lambda d: {"train": Split(d.train.images, None)}, {}, "has no train_labels"),
        (lambda d: {"test": None}, {}, "has no test_images"),
        (
            lambda d: {"train": Split(d.train.images, torch.zeros(1297, dtype=torch.int64))},
            {},
            "all training labels are '0'",
        ),
        (lambda d: {}, {"labels_per_class": (500,)}, "asked for 500 per class"),
        (lambda d: {}, {"labels_per_class": (0,)}, "expected a number of 1 or more, or 'all', got 0"),
        (lambda d: {}, {"labels_per_class": ("some",)}, "got 'some'"),
        (lambda d: {}, {"draws": 0}, "draws: expected 1 or more"),
        (lambda d: {}, {"baselines": ("pixel",)}, "did you mean 'pixels'"),
    ],
)
def test_what_cannot_be_evaluated_is_named(model, digits, changes, options, words):
    data: Dataset = digits._replace(**changes(digits))
    with pytest.raises(zoo.ZooError) as error:
        zoo.evaluate(model, data, **options)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "train_y,test_y,words",
    [
        ([0, 1], [0, 1, 0], "train: 3 images but labels [2]"),
        ([0, 1, 0], [0, 1], "test: 3 images but labels [2]"),
        ([1, 1, 1], [1, 1, 1], "all labels are '1'"),
        ([0, 1, 0], [0, 1, 2], "labels without a training image: 2"),
    ],
)
def test_labels_that_do_not_match_are_named(model, digits, train_y, test_y, words):
    images = digits.train.images[:3]
    with pytest.raises(zoo.ZooError) as error:
        zoo.linear_probe(model, (images, train_y), (images, test_y))
    assert words in str(error.value)
