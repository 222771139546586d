"""Few labels: what spreads, what is chosen, how sure it is, and classifiers that are kept, moved and damaged."""

import dataclasses
import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

import zoo
from functional import random
from zoo.errors import ZooError
from zoo.evaluation import few_labels
from zoo.evaluation.calibration import calibrate, calibration_error
from zoo.evaluation.intervals import sign_test, wilson
from zoo.evaluation.ranking import Ranked, rank, verdict
from zoo.evaluation.selection import suggest_among


@pytest.fixture(scope="module")
def shipped():
    return zoo.load("simclr-resnet8-digits")


@pytest.fixture(scope="module")
def classifier(shipped, digits):
    images, labels = digits.train.images[:600], digits.train.labels[:600]
    chosen = zoo.suggest(shipped, images, 40, method="k_means")
    return zoo.fit(shipped, images[chosen], [f"digit {i}" for i in labels[chosen].tolist()], unlabelled=images)


def moons(n, seed=0):
    """Two interlocked half circles, and their squares; and the half circle of each row."""
    keys = random.split(random.key(seed), 3)
    y = torch.arange(n) % 2
    angle = torch.pi * random.uniform(keys[0], (n,))
    x = torch.stack([angle.cos() + y, angle.sin() * (1 - 2 * y) + 0.3 * y], 1)
    return torch.cat([x, x.square()], 1) + 0.05 * random.normal(keys[1], (n, 4)), y


# --- what labels give -----------------------------------------------------------------------------------------


def test_unlabelled_images_make_it_better(shipped, digits):
    images, labels = digits.train.images, digits.train.labels
    test = digits.test
    random_20 = random.permutation(random.key(0), len(images))[:20]
    suggested = zoo.suggest(shipped, images, 20)

    def accuracy(chosen, **others):
        found = zoo.fit(shipped, images[chosen], labels[chosen].numpy(), **others).predict(test.images)
        assert found.labels.dtype.kind == "i"
        return (found.labels == test.labels.numpy()).mean()

    at_random = accuracy(random_20)
    assert accuracy(random_20, unlabelled=images) > at_random + 0.03
    assert accuracy(suggested, unlabelled=images) > max(0.85, at_random + 0.1)


def test_without_unlabelled_images_it_is_the_logistic_probe(shipped, digits):
    images, labels = digits.train.images[:100], digits.train.labels[:100]
    ours = zoo.fit(shipped, images, labels)
    report = zoo.linear_probe(shipped, (images, labels), (digits.test.images, digits.test.labels))
    said = ours.predict(digits.test.images)
    assert ours.report.method == "logistic" and ours.report.unlabelled == 0
    assert (said.labels == np.array(report.predictions, dtype=int)).mean() > 0.97  # other held-out labels, if any
    assert "there are no unlabelled images" in str(ours.report)


def test_the_labels_of_a_fold_have_no_say_in_it():
    x, y = moons(800)
    labelled, y = torch.arange(60), y[:60] ^ (torch.arange(60) % 4 == 0)  # a quarter wrong: each label matters
    prepared, part = few_labels.prepare(x), few_labels.folds(y, random.key(0))
    heads = few_labels.spread_heads(prepared, labelled, y, part)
    assert set(heads) == {-1, *part.tolist()} and heads[-1].weights.shape == (4, 2)
    for fold in (0, 3):
        kept = part != fold
        (alone,) = few_labels.spread_heads(prepared, labelled[kept], y[kept], torch.full_like(y[kept], -1)).values()
        torch.testing.assert_close(heads[fold], alone, rtol=1e-2, atol=1e-3)
        assert not torch.allclose(heads[-1].weights, alone.weights, rtol=1e-2, atol=1e-3)


def test_folds_hold_out_each_label_once_and_never_the_only_one_of_a_class():
    y = torch.tensor([0] * 7 + [1] * 2 + [2] + [3] * 11)
    part = few_labels.folds(y, random.key(1))
    assert (part[y == 2] == -1).all() and (part[y != 2] >= 0).all()
    assert part[y != 2].bincount().tolist() == [2] * 10
    for fold in range(10):
        assert set(y[part != fold].tolist()) == {0, 1, 2, 3}


def test_spreading_gives_way_only_to_what_is_better_by_more_than_chance():
    def counts(only_first, only_last, both=10):
        first = torch.tensor([True] * (only_first + both) + [False] * only_last)
        last = torch.tensor([False] * only_first + [True] * (both + only_last))
        return few_labels.better({"spread": first, "logistic": last})

    assert counts(3, 5) == counts(0, 4) == counts(9, 0) == "spread"
    assert counts(0, 5) == counts(5, 20) == "logistic"
    assert counts(0, 9, both=0) == "spread"  # nine labels say nothing
    assert few_labels.better({"logistic": torch.zeros(20, dtype=torch.bool)}) == "logistic"


def test_the_report_says_why_a_method_is_kept_that_got_fewer_right():
    none = few_labels.Calibration(1.0, None, None, 0)
    report = few_labels.FitReport("spread", {"a": 8, "b": 8}, 99, 16, {"spread": 9, "logistic": 11}, 0.5, None, none)
    assert (
        str(report)
        .splitlines()[0]
        .endswith("label spreading 9, logistic regression 11, a difference that can be chance")
    )
    equal = dataclasses.replace(report, right={"spread": 9, "logistic": 9})
    assert str(equal).splitlines()[0].endswith("label spreading 9, logistic regression 9")


def test_the_report_says_what_few_labels_cannot(shipped, digits):
    images, labels = digits.train.images[:200], digits.train.labels[:200]
    many = zoo.fit(shipped, images[:150], labels[:150], unlabelled=images[150:]).report
    low, high = many.interval
    assert low < many.accuracy < high and high - low < 0.2 and "too few" not in str(many)
    few = zoo.fit(shipped, images[:6], ["a", "a", "b", "b", "b", "c"], unlabelled=images[6:]).report
    assert few.accuracy is None and few.interval is None and few.held_out == 5
    assert "too few labels to compare" in str(few) and "5 labels can be held out, too few to say; not of c" in str(few)


# --- numbers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("right,n", [(15, 20), (0, 5), (5, 5), (970, 1000)])
def test_intervals_and_tests_equal_scipy(right, n):
    theirs = binomtest(right, n).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(right, n), (theirs.low, theirs.high), atol=1e-12)
    assert sign_test(right, n - right) == pytest.approx(binomtest(right, n).pvalue)
    assert sign_test(right, n - right) == sign_test(n - right, right)


def test_a_temperature_that_is_wrong_is_found_with_enough_labels():
    scores = 3 * random.normal(random.key(0), (3000, 4))
    y = (scores / 2 - (-random.uniform(random.key(1), (3000, 4)).log()).log()).argmax(1)  # drawn from softmax(s / 2)
    found = calibrate(scores, y)
    assert abs(found.temperature - 2) < 0.15 and found.ece < 0.03 and found.labels == 3000
    best = torch.nn.functional.cross_entropy(scores / 2, y)
    assert found.log_loss == pytest.approx(float(best), abs=0.01)
    assert calibration_error((scores * 5).softmax(1), y) > 0.2


def test_a_few_right_labels_do_not_make_it_sure():
    scores, y = torch.eye(3).repeat(3, 1), torch.arange(3).repeat(3)
    assert 0.03 < calibrate(scores, y, usual=0.2).temperature < 0.2
    none = calibrate(scores[:0], y[:0], usual=0.2)
    assert none.temperature == pytest.approx(0.2, rel=0.05) and none.log_loss is None and none.ece is None


def test_figures_of_a_calibration_are_those_of_labels_it_did_not_see():
    scores, y = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 0, 1])
    losses = [
        float(torch.nn.functional.cross_entropy(scores[[i]] / calibrate(scores[o], y[o]).temperature, y[[i]]))
        for i, o in enumerate(([1, 2], [0, 2], [0, 1]))
    ]
    assert calibrate(scores, y).log_loss == pytest.approx(np.mean(losses), abs=1e-4)


def test_probabilities_are_calibrated_on_new_images(classifier, digits):
    found = classifier.predict(digits.test.images)
    y = torch.tensor([classifier.classes.index(f"digit {i}") for i in digits.test.labels.tolist()])
    assert calibration_error(found.probabilities, y) < 0.15
    torch.testing.assert_close(found.probabilities.sum(1), torch.ones(len(y)))
    first, second = found.probabilities.sort(1, descending=True).values[:, :2].unbind(1)
    torch.testing.assert_close(found.margins, first - second)
    torch.testing.assert_close(found.confidences, first)


# --- which model ----------------------------------------------------------------------------------------------


def test_models_are_ranked_on_held_out_training_labels(shipped, digits):
    few = digits._replace(
        train=digits.train._replace(images=digits.train.images[:120], labels=digits.train.labels[:120])
    )
    worse = zoo.models.pretrained.untrained(shipped)
    first, second = rank({"worse": (worse, few), "better": (shipped, few)})
    assert first.model == "better" and first.labels == 120 and second.right < first.right and second.chance < 0.05
    assert verdict([first, second]) == "better is better than the others, by more than chance"
    features = shipped.features(few.train.images).numpy()
    theirs = (
        LogisticRegression().fit(features[:100], few.train.labels[:100]).score(features[100:], few.train.labels[100:])
    )
    assert abs(theirs - first.accuracy) < 0.15


def test_the_verdict_names_those_that_cannot_be_told_apart():
    rows = [Ranked(name, 9, 10, 0.9, (0.6, 1.0), chance) for name, chance in (("a", 1.0), ("b", 0.3), ("c", 0.01))]
    assert verdict(rows) == "10 labels are too few to tell a from 1 of the 2 others: b"


# --- suggest --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"n": 0}, "n: expected 1 to 49, the number of images without a label, got 0"),
        ({"n": 50}, "n: expected 1 to 49, the number of images without a label, got 50"),
        ({"labelled": [50]}, r"labelled: expected positions of images in 0\.\.49, got \[50\]"),
        ({"method": "kmeans"}, "unknown method 'kmeans'; did you mean 'k_means'"),
    ],
)
def test_suggest_rejects(changes, words):
    given = {"n": 5, "labelled": [3], **changes}
    with pytest.raises(ZooError, match=words):
        suggest_among(torch.eye(50), **given)


def test_suggest_takes_paths_and_arrays(shipped, digits):
    images = digits.train.images[:60]
    chosen = zoo.suggest(shipped, images.numpy(), 7, seed=3, labelled=[0, 1])
    assert torch.equal(chosen, zoo.suggest(shipped, images, 7, seed=3, labelled=torch.tensor([1, 0])))
    assert not set(chosen.tolist()) & {0, 1}


# --- fit rejects ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels,words",
    [
        ([0, 1, 1], r"labels: expected one for each of 4 images, got \[3\]"),
        ([0, 0, 0, 0], "labels: all are '0'; a classifier needs two or more classes"),
        ([0.5, 1.0, 1.0, 2.0], r"labels: expected strings or integers, got .*0.5.* \(float64\)"),
        (["a", None, "b", "b"], "labels: expected strings or integers"),
        ([[0], [1], [1], [0]], r"labels: expected one for each of 4 images, got \[4, 1\]"),
    ],
)
def test_fit_rejects(shipped, digits, labels, words):
    with pytest.raises(ZooError, match=words):
        zoo.fit(shipped, digits.train.images[:4], labels)


# --- kept -----------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(classifier, tmp_path):
    classifier.save(tmp_path / "classifier")
    return tmp_path / "classifier"


def test_a_classifier_is_kept_whole_and_can_be_moved(classifier, kept, digits, tmp_path):
    again = zoo.load_classifier(shutil.move(kept, tmp_path / "elsewhere"))
    before, after = (c.predict(digits.test.images[:200]) for c in (classifier, again))
    assert torch.equal(before.probabilities, after.probabilities) and (before.labels == after.labels).all()
    assert again.classes == classifier.classes and again.report == classifier.report
    assert repr(again) == "Classifier('simclr-resnet8-digits': 10 classes, by spread)"
    again.save(tmp_path / "elsewhere")  # over itself
    assert zoo.load_classifier(tmp_path / "elsewhere").report == classifier.report


def changed(path, **fields):
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def flip(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def other_encoder(kept):
    zoo.save(zoo.load("byol-resnet8-digits"), kept / "encoder", overwrite=True)


def uncounted_method(kept):
    """The report says nothing of how often its own method was right."""
    report = json.loads((kept / "classifier.json").read_text())["report"]
    changed(kept / "classifier.json", report={**report, "right": {"logistic": 1}, "method": "spread"})


def weights_of_others(kept):
    from zoo.files import save_tensors

    sha256 = save_tensors(kept / "classifier.safetensors", {"weights": torch.zeros(3, 2), "bias": torch.zeros(2)}, {})
    changed(kept / "classifier.json", sha256=sha256)


@pytest.mark.parametrize(
    "damage,words",
    [
        (
            lambda kept: flip(kept / "classifier.safetensors"),
            "classifier.safetensors: SHA-256 .* but classifier.json says",
        ),
        (lambda kept: flip(kept / "encoder" / "model.safetensors"), "model.safetensors: SHA-256"),
        (other_encoder, "config.json: SHA-256 .* but classifier.json says"),
        (
            lambda kept: (kept / "classifier.safetensors").unlink(),
            "classifier.safetensors: no such file; copy the whole",
        ),
        (lambda kept: shutil.rmtree(kept / "encoder"), "config.json: no such file; copy the whole"),
        (lambda kept: (kept / "classifier.json").unlink(), "not a classifier directory: it has no classifier.json"),
        (lambda kept: (kept / "classifier.json").write_text("{"), "classifier.json: not JSON"),
        (lambda kept: changed(kept / "classifier.json", format_version=2), "got 2; install a newer funczoo"),
        (
            lambda kept: changed(kept / "classifier.json", classes=["a"]),
            "classes: expected two or more different names",
        ),
        (lambda kept: changed(kept / "classifier.json", classes=["a", "a"]), "classes: expected two or more different"),
        (lambda kept: changed(kept / "classifier.json", classes=["a", "b"]), "expected float32 tensors"),
        (lambda kept: changed(kept / "classifier.json", report={}), "report: expected the report of a fit"),
        (uncounted_method, "report: expected the report of a fit"),
        (lambda kept: changed(kept / "classifier.json", sha256="0"), "sha256: expected 64 hexadecimal digits, got '0'"),
        (weights_of_others, "expected float32 tensors"),
    ],
)
def test_a_damaged_classifier_is_refused(kept, damage, words):
    damage(kept)
    with pytest.raises(ZooError, match=words):
        zoo.load_classifier(kept)


def test_an_encoder_is_no_classifier(run):
    with pytest.raises(ZooError, match="it is an encoder; `zoo fit` makes a classifier"):
        zoo.load_classifier(run / "encoder")


def test_what_is_kept_is_described(kept):
    about = json.loads((kept / "classifier.json").read_text())
    assert about["encoder"] == "simclr-resnet8-digits"
    assert about["encoder_sha256"] == hashlib.sha256((kept / "encoder" / "config.json").read_bytes()).hexdigest()
    assert about["report"]["summary"][0].startswith("label spreading from 40 labels of 10 classes and 600 unlabelled")
