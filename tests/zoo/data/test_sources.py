"""What an encoder sees of a dataset by name or a file of arrays is what it sees of a folder of the same images."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from zoo.commands import main
from zoo.data.datasets import load_dataset
from zoo.data.sources import labelled_dataset, read_source

RNG = np.random.default_rng(0)


def zoo_command(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture
def photos(tmp_path):
    """A folder of colour photos of two classes, and the file that `zoo data import` makes of it."""
    for i in range(24):
        name, colour = ("blue", (20, 20, 220)) if i % 2 else ("red", (220, 20, 20))
        pixels = np.clip(np.array(colour) + RNG.integers(-20, 20, (30, 30, 3)), 0, 255).astype(np.uint8)
        path = tmp_path / "photos" / name / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    made = zoo_command("data", "import", tmp_path / "photos", "--out", tmp_path / "photos.safetensors")
    assert made.exit_code == 0, made.stderr
    return tmp_path / "photos"


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 30, 30), (3, 30, 30), (3, 40, 50)])
def test_a_file_of_arrays_is_fitted_as_its_folder_is(photos, shape):
    file = photos.with_suffix(".safetensors")
    folder, arrays = read_source([photos], shape), read_source([file], shape)
    assert torch.equal(folder.images, arrays.images) and folder.labels == arrays.labels
    (folder, skipped), (arrays, _) = labelled_dataset(photos, shape), labelled_dataset(file, shape)
    assert folder.digest == arrays.digest and folder.classes == arrays.classes and skipped == 0


def test_probe_and_embed_take_images_of_another_size(photos, tmp_path):
    file = photos.with_suffix(".safetensors")
    reports = []
    for data in (photos, file):
        result = zoo_command("probe", "simclr-resnet8-digits", "--data", data, "--json")
        assert result.exit_code == 0, result.stderr
        reports.append(json.loads(result.stdout))
        out = tmp_path / f"{data.name}.npz"
        assert zoo_command("embed", "simclr-resnet8-digits", data, "--out", out).exit_code == 0
    assert reports[0]["accuracy"] == reports[1]["accuracy"] > 0.9
    features = [np.load(tmp_path / name)["features"] for name in ("photos.npz", "photos.safetensors.npz")]
    assert np.array_equal(*features)


def test_splits_of_a_named_dataset_are_fitted(digits):
    data, _ = labelled_dataset("digits", (3, 16, 16))
    assert data.train.images.shape == (1297, 3, 16, 16) and data.test.images.shape == (500, 3, 16, 16)
    assert torch.equal(data.train.labels, digits.train.labels)
    assert labelled_dataset("digits", (1, 8, 8))[0].digest == load_dataset("digits").digest
