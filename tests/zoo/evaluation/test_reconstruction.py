"""Errors of reconstructed test images, against loops over their pixels."""

import math

import pytest

import zoo
from zoo.evaluation.reconstruction import reconstruction, reconstruction_error
from zoo.models.pretrained import untrained


@pytest.fixture(scope="module")
def model(decoding_run):
    return zoo.load(decoding_run)


def test_the_errors_are_means_over_all_pixels_of_the_test_images(model, bars):
    decoded = model.decode(model.features(bars.test.images)).flatten().double().tolist()
    originals = [value / 255 for value in bars.test.images.flatten().tolist()]
    pairs = list(zip(decoded, originals, strict=True))
    error = reconstruction_error(model, bars)
    assert error["mean_squared_error"] == pytest.approx(sum((y - x) ** 2 for y, x in pairs) / len(pairs), rel=1e-4)
    entropy = [-x * math.log(y) - (1 - x) * math.log(1 - y) for y, x in pairs]
    assert error["binary_cross_entropy"] == pytest.approx(sum(entropy) / len(pairs), rel=1e-4)


def test_a_record_is_over_several_models(model, bars):
    part = bars._replace(test=bars.test._replace(images=bars.test.images[:5], labels=None))
    record = reconstruction([model, model], part)
    alone = reconstruction_error(model, part)["mean_squared_error"]
    assert (record["data"], record["test_images"]) == ("bars", 5)
    assert record["mean_squared_error"] == {"mean": alone, "std": 0, "values": [alone, alone]}
    assert alone != reconstruction_error(model, bars)["mean_squared_error"]
    assert record["refined"]["steps"] == 5
    refined = reconstruction_error(model, part, steps=5)["mean_squared_error"]
    assert record["refined"]["mean_squared_error"]["values"] == [refined, refined] and refined < alone


def test_what_cannot_be_reconstructed_is_named(model, bars):
    with pytest.raises(zoo.ZooError, match="bars: has no test_images to reconstruct"):
        reconstruction([model], bars._replace(test=None))
    with pytest.raises(zoo.ZooError, match="has no decoder"):
        reconstruction([untrained(model)], bars)
