"""The probe and the encoders are scikit-learn estimators in every respect, and give this package's own results."""

import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import zoo
from zoo.evaluation.probing import DEFAULT_STRENGTH

MODEL = "simclr-resnet8-digits"


@parametrize_with_checks([zoo.LinearProbe()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def images(digits):
    return digits.train.images[:200].numpy()


@pytest.fixture(scope="module")
def labels(digits):
    return np.array(digits.classes)[digits.train.labels[:200].numpy()]


@pytest.fixture(scope="module")
def features(images):
    return zoo.load(MODEL).features(images).numpy()


@pytest.mark.parametrize("seed", [0, 7])
def test_the_probe_is_the_one_of_linear_probe(images, labels, features, seed):
    report = zoo.linear_probe(zoo.load(MODEL), (images[:120], labels[:120]), (images[120:], labels[120:]), seed=seed)
    probe = zoo.LinearProbe(random_state=seed).fit(features[:120], labels[:120])
    assert probe.predict(features[120:]).tolist() == report.predictions
    assert probe.score(features[120:], labels[120:]) == report.accuracy and probe.strength_ == report.strength
    np.testing.assert_allclose(probe.predict_proba(features[120:]).max(1), report.confidences, rtol=1e-6)


def test_the_same_seed_gives_the_same_bits_and_few_labels_the_default_strength(features, labels):
    one, two = (zoo.LinearProbe(random_state=3).fit(features, labels) for _ in range(2))
    assert np.array_equal(one.decision_function(features), two.decision_function(features))
    assert zoo.LinearProbe().fit(features[:20], labels[:20]).strength_ == DEFAULT_STRENGTH
    generator = np.random.RandomState(0)
    assert zoo.LinearProbe(random_state=generator).fit(features, labels).strength_ > 0


def test_probabilities_and_decisions_agree(features, labels):
    probe = zoo.LinearProbe().fit(features, labels)
    assert probe.decision_function(features).shape == (200, 10) and probe.predict_proba(features).dtype == np.float32
    np.testing.assert_allclose(np.exp(probe.decision_function(features)), probe.predict_proba(features), rtol=1e-6)
    odd = np.array([int(label) % 2 for label in labels])
    two = zoo.LinearProbe().fit(features, odd)
    p = two.predict_proba(features.astype(np.float64))
    np.testing.assert_allclose(two.decision_function(features.astype(np.float64)), np.log(p[:, 1] / p[:, 0]), atol=1e-4)


@pytest.mark.parametrize("strength", [0, -1.0, float("nan"), float("inf"), "strong"])
def test_a_strength_that_is_none_is_refused(features, labels, strength):
    with pytest.raises(zoo.ZooError, match="strength: expected a number above 0"):
        zoo.LinearProbe(strength=strength).fit(features, labels)


def test_one_class_is_refused(features):
    with pytest.raises(zoo.ZooError, match="all labels are 'cat'|one class"):
        zoo.LinearProbe().fit(features, ["cat"] * 200)


def test_features_are_the_encoders_for_arrays_paths_and_columns(images, features, tmp_path):
    encoder = zoo.EncoderTransformer(MODEL)
    assert np.array_equal(encoder.fit_transform(images), features)
    assert np.array_equal(encoder.transform(torch.from_numpy(images)), features)
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for path, image in zip(paths, images, strict=False):
        Image.fromarray(image[0]).save(path)
    some = zoo.load(MODEL).features(images[:3]).numpy()

    class Column:  # of a table
        def __array__(self, dtype=None, copy=None):
            return np.array(paths, dtype=object)

    for kind in (paths, tuple(paths), np.array(paths), np.array(paths, dtype=object), Column()):
        assert np.array_equal(encoder.fit(kind).transform(kind), some)
    assert encoder.get_feature_names_out().tolist() == [f"f{i}" for i in range(64)]


def test_parameters_clones_and_what_is_not_fitted(images):
    encoder = zoo.EncoderTransformer(MODEL)
    assert encoder.get_params() == {"name": MODEL, "code": None}
    other = clone(encoder).set_params(name="byol-resnet8-digits")
    assert other.name == "byol-resnet8-digits" and encoder.name == MODEL
    assert not np.array_equal(other.fit_transform(images), encoder.fit_transform(images))
    for call in (clone(encoder).get_feature_names_out, lambda: clone(encoder).transform(images)):
        with pytest.raises(NotFittedError):
            call()
    with pytest.raises(zoo.ZooError, match="did you mean 'simclr-resnet8-digits'"):
        zoo.EncoderTransformer("simclr-resnet8-digit").fit(images)
    with pytest.raises(zoo.ZooError, match="expected uint8"):
        zoo.EncoderTransformer(MODEL).fit(images.astype(float))


def test_a_search_over_models_and_strengths_in_a_pipeline(images, labels):
    images, labels = images[:100], labels[:100]
    pipeline = Pipeline([("encoder", zoo.EncoderTransformer(MODEL)), ("probe", zoo.LinearProbe())])
    names = [MODEL, "byol-resnet8-digits"]
    search = GridSearchCV(pipeline, {"encoder__name": names, "probe__strength": [None, 1.0]}, cv=2)
    search.fit(images, labels)
    assert len(search.cv_results_["params"]) == 4 and search.best_score_ > 0.8
    assert search.best_params_["encoder__name"] in names
    assert cross_val_score(pipeline, images, labels, cv=2).mean() > 0.8


def test_a_pickle_has_the_name_and_no_weights(images, labels, tmp_path):
    pipeline = make_pipeline(zoo.EncoderTransformer(MODEL), zoo.LinearProbe()).fit(images, labels)
    assert len(pickle.dumps(pipeline[0])) < 500 < 300_000 < len(pickle.dumps(zoo.load(MODEL).params))
    (tmp_path / "pipeline.pickle").write_bytes(pickle.dumps(pipeline))
    np.save(tmp_path / "images.npy", images)
    program = (
        "import pickle, numpy as np; pipeline = pickle.load(open('pipeline.pickle', 'rb'))\n"
        "print(*pipeline.predict(np.load('images.npy')))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == pipeline.predict(images).tolist()


def test_an_unpickled_encoder_must_be_the_one_that_was_fitted(run, images, tmp_path):
    directory = shutil.copytree(run / "encoder", tmp_path / "encoder")
    encoder = zoo.EncoderTransformer(directory).fit(images)
    data, features = pickle.dumps(encoder), encoder.transform(images)
    assert np.array_equal(pickle.loads(data).transform(images), features)
    other = zoo.load(directory)
    config = {**other.config, "std": [2 * x for x in other.config["std"]]}  # the same weights
    shutil.rmtree(directory)
    zoo.save(type(other)(other.encoder, other.params, other.batch_stats, config), directory)
    with pytest.raises(zoo.ZooError, match="holds another encoder than the one that was fitted"):
        pickle.loads(data).transform(images)
    (directory / "model.safetensors").write_bytes((directory / "model.safetensors").read_bytes()[:-1] + b"\0")
    with pytest.raises(zoo.ZooError, match="SHA-256"):
        pickle.loads(data).transform(images)
    assert np.array_equal(encoder.transform(images), features)  # it keeps what it loaded


@pytest.mark.slow
def test_the_check_that_scikit_learn_leaves_out_without_a_variable():
    """It has to be set before scipy is imported."""
    program = (
        "import zoo; from sklearn.utils.estimator_checks import check_estimator\n"
        "found = check_estimator(zoo.LinearProbe(), on_skip=None)\n"
        "print({check['status'] for check in found}, any('array_api' in check['check_name'] for check in found))"
    )
    variables = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout == "{'passed'} True\n"
