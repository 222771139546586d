"""The probe protocol: draws, the choice of the strength, the report, and what it refuses."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import classification_report, confusion_matrix
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import zoo
from functional import random
from zoo.data.datasets import Dataset, Split
from zoo.evaluation.protocol import ProbeReport, cross_validate, draw_labels, knn_dataset, pooled, probe_dataset


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


def test_confidences_are_the_probabilities_of_the_predictions(model, digits):
    train = digits.train.images[:300], digits.train.labels[:300]
    report = probe_dataset(model, digits._replace(train=Split(*train)))
    fit = LogisticRegression(C=1 / (300 * report.strength), tol=1e-8, max_iter=5000)
    theirs = make_pipeline(StandardScaler(), fit).fit(model.features(train[0]), train[1])
    probabilities = theirs.predict_proba(model.features(digits.test.images))
    predicted = [digits.classes.index(name) for name in report.predictions]
    np.testing.assert_allclose(report.confidences, probabilities[range(500), predicted], atol=0.01)
    folds = cross_validate(model, train)
    right = np.array(folds.predictions, int) == train[1].numpy()
    confidences = np.array(folds.confidences)
    assert len(confidences) == 300 and confidences[right].mean() > confidences[~right].mean() + 0.1
    assert not {"predictions", "confidences"} & set(report.to_dict())
    assert knn_dataset(model, digits).confidences == []


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
        assert 0.2 < row["macro_f1"]["mean"] < row["linear"]["mean"]
    assert record == zoo.evaluate(model, digits, labels_per_class=(1, 2), draws=2)


def test_rows_of_several_seeds_are_pooled(model, digits):
    few = {"labels_per_class": (1,), "draws": 2}
    rows = zoo.evaluate(model, digits, **few, baselines=("pixels",))["results"]
    rows += zoo.evaluate(model, digits, **few, seed=1, baselines=())["results"]
    encoder, pixels = pooled(rows)
    assert (encoder["features"], pixels["features"]) == ("encoder", "pixels")
    for score in ("linear", "macro_f1", "knn"):
        both = [value for row in (rows[0], rows[2]) for value in row[score]["values"]]
        assert encoder[score]["values"] == both and len(set(both)) > 1
        assert encoder[score]["mean"] == pytest.approx(np.mean(both))
        assert encoder[score]["std"] == pytest.approx(np.std(both, ddof=1))
        assert pixels[score] == rows[1][score]


def test_evaluate_reports_the_encoder_with_the_most_labels(model, digits):
    record = zoo.evaluate(model, digits, labels_per_class=(1, 30, 2), draws=1)
    row = next(row for row in record["results"] if (row["features"], row["labels_per_class"]) == ("encoder", 30))
    assert (row["data"], row["labels"], row["test_images"]) == ("digits", 300, 500)
    report = record["report"]
    assert (report["data"], report["labels"]) == ("digits", 300)
    assert report["accuracy"] == row["linear"]["values"][0] and "confidences" not in report
    assert report["macro_f1"] == row["macro_f1"]["values"][0] != report["accuracy"]


def test_the_report_is_scikit_learns(model, digits):
    report = probe_dataset(model, digits._replace(train=Split(*(part[:300] for part in digits.train))))
    actual = [digits.classes[i] for i in digits.test.labels.tolist()]
    assert report.confusion == confusion_matrix(actual, report.predictions).tolist()
    theirs = classification_report(actual, report.predictions, output_dict=True)
    assert report.macro_f1 == pytest.approx(theirs["macro avg"]["f1-score"], abs=1e-6)
    for name, row in report.per_class.items():
        assert row["f1"] == pytest.approx(theirs[name]["f1-score"], abs=1e-6)
        assert (row["recall"], row["images"]) == (pytest.approx(theirs[name]["recall"]), theirs[name]["support"])


def test_a_printed_report_has_every_class_and_count():
    report = ProbeReport(
        accuracy=0.75,
        macro_f1=0.7,
        per_class={
            "ant|bee": {"precision": 0.5, "recall": 1.0, "f1": 2 / 3, "images": 1},
            "cat": dict.fromkeys(("precision", "recall", "f1", "images"), 1),
        },
        strength=0.1,
        baselines={"pixels": 0.5},
        confusion=[[1, 0], [1, 2]],
    )
    lines = str(report).splitlines()
    assert lines[:2] == ["75.0 % accuracy on 4 test images, macro F1 70.0 %", "50.0 % with pixels"]
    assert "| ant\\|bee |      50.0 |  100.0 |  66.7 |      1 |" in lines
    assert "| cat      |        1 |   2 |" in lines


def test_neighbours_are_scikit_learns(model, digits):
    n = 200
    data = digits._replace(train=Split(*(part[:n] for part in digits.train)))
    report = knn_dataset(model, data, k=1)
    scaler = StandardScaler().fit(model.features(data.train.images).numpy())
    x, test_x = (scaler.transform(model.features(split.images).numpy()) for split in (data.train, data.test))
    theirs = KNeighborsClassifier(1, metric="cosine").fit(x, data.train.labels).predict(test_x)
    assert np.mean(theirs == np.array([int(name) for name in report.predictions])) > 0.99
    assert report.strength is None and report.confusion != knn_dataset(model, data, k=30).confusion
    with pytest.raises(zoo.ZooError, match="k: expected 1 to 200, the number of training images, got 201"):
        knn_dataset(model, data, k=201)


def test_without_test_images_each_label_is_predicted_without_it(model, digits):
    # Random labels: a row that is its own nearest neighbour would always be right.
    labels = random.bernoulli(random.key(0), 0.5, (100,)).long()
    data = digits._replace(train=Split(digits.train.images[:100], labels), test=None)
    report = knn_dataset(model, data, k=1)
    assert report.folds == 5 and 0.3 < report.accuracy < 0.7
    assert report.judged_on == "cross-validated accuracy on 100 labels (no test images), 5 folds"
    seen = digits._replace(train=data.train, test=data.train)
    assert knn_dataset(model, seen, k=1).accuracy == 1


def test_cross_validation_is_near_the_accuracy_on_new_images(digits):
    images, labels = digits.train
    few, others = (images[::8], labels[::8]), (images[1::2], labels[1::2])
    model = zoo.load("simclr-resnet8-digits")
    assert abs(cross_validate(model, few).accuracy - zoo.linear_probe(model, few, others).accuracy) < 0.04


def test_a_seed_draws_the_folds(model, digits):
    few = (digits.train.images[:50], digits.train.labels[:50])
    report = cross_validate(model, few, baselines=("untrained",))
    assert sum(map(sum, report.confusion)) == len(report.predictions) == 50
    assert set(report.baselines) == {"untrained"} and report.strength is None
    assert report == cross_validate(model, few, baselines=("untrained",))
    assert report.predictions != cross_validate(model, few, seed=1).predictions
    named = probe_dataset(model, digits._replace(train=Split(*few), test=None, classes=tuple("abcdefghij")))
    assert named.confusion == report.confusion and list(named.per_class) == list("abcdefghij")


@pytest.mark.parametrize("each,folds", [(2, 2), (3, 3), (4, 4), (5, 5), (6, 5)])
def test_there_are_as_many_folds_as_the_smallest_class_has_labels_and_at_most_five(model, digits, each, folds):
    labels = ["a"] * each + ["b"] * 9
    assert cross_validate(model, (digits.train.images[: len(labels)], labels)).folds == folds


def test_a_class_of_one_label_cannot_be_cross_validated(model, digits):
    with pytest.raises(zoo.ZooError, match="class 'b' has 1 label.*give every class 2 or more labels"):
        cross_validate(model, (digits.train.images[:4], ["a", "a", "a", "b"]))


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
        (lambda d: {}, {"labels_per_class": ()}, "expected one number or more, or 'all', got none"),
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
