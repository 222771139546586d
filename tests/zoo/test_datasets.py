"""Datasets: what is read is what was written, and what cannot be a dataset is said plainly."""

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import zoo
from zoo.datasets import channel_statistics, load_dataset

IMAGES = np.arange(6 * 3 * 4 * 4, dtype=np.uint8).reshape(6, 3, 4, 4)
LABELS = np.array(["cat", "dog", "cat", "ant", "dog", "ant"])


def test_digits_have_official_splits(digits):
    assert digits.train.images.shape == (1297, 1, 8, 8) and digits.test.images.shape == (500, 1, 8, 8)
    assert digits.train.images.dtype == torch.uint8 and digits.train.images.max() == 255
    assert digits.classes == tuple("0123456789")


def test_npz_with_strings_as_labels(tmp_path):
    np.savez(
        tmp_path / "d.npz", train_images=IMAGES, train_labels=LABELS, test_images=IMAGES[:2, :], test_labels=LABELS[:2]
    )
    data = load_dataset(tmp_path / "d.npz")
    assert data.classes == ("ant", "cat", "dog")
    assert data.train.labels.tolist() == [1, 2, 1, 0, 2, 0] and data.test.labels.tolist() == [1, 2]
    assert torch.equal(data.train.images, torch.from_numpy(IMAGES))


def test_npz_and_safetensors_of_the_same_content_have_the_same_digest(tmp_path):
    numbers = np.array([0, 1, 0, 2, 1, 2])
    np.savez(tmp_path / "d.npz", images=IMAGES, labels=numbers)
    save_file(
        {"train_labels": numbers, "train_images": IMAGES}, tmp_path / "d.safetensors", {"classes": '["a", "b", "c"]'}
    )
    a, b = load_dataset(tmp_path / "d.npz"), load_dataset(tmp_path / "d.safetensors")
    assert a.digest == b.digest and b.classes == ("a", "b", "c")
    np.savez(tmp_path / "e.npz", images=255 - IMAGES, labels=numbers)
    assert load_dataset(tmp_path / "e.npz").digest != a.digest


def test_grey_images_may_lack_the_channel(tmp_path):
    np.savez(tmp_path / "d.npz", images=IMAGES[:, 0])
    data = load_dataset(tmp_path / "d.npz")
    assert data.train.images.shape == (6, 1, 4, 4) and data.train.labels is None and data.classes == ()


def test_channel_statistics_equal_those_of_the_pixels():
    mean, std = channel_statistics(torch.from_numpy(IMAGES))
    scaled = IMAGES / 255
    np.testing.assert_allclose(mean, scaled.mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(std, scaled.std((0, 2, 3)), atol=1e-6)
    assert channel_statistics(torch.zeros(2, 1, 2, 2, dtype=torch.uint8)) == ((0.0,), (1.0,))


@pytest.mark.parametrize(
    "arrays,words",
    [
        ({"pictures": IMAGES}, "expected train_images (or images), got pictures"),
        ({"images": IMAGES / 255}, "expected uint8 in 0..255, got float64"),
        ({"images": IMAGES.transpose(0, 2, 3, 1)}, ".transpose(0, 3, 1, 2)"),
        ({"images": IMAGES[:, :2]}, "with 1 or 3 channels, got [6, 2, 4, 4]"),
        ({"images": IMAGES[0, 0]}, "got [4, 4]"),
        ({"images": IMAGES[:0]}, "got an empty array"),
        ({"images": IMAGES, "labels": LABELS[:4]}, "6 images but 4 labels"),
        ({"images": IMAGES, "labels": np.eye(6)}, "expected integers or strings [N]"),
        ({"images": IMAGES, "test_images": IMAGES[:, :, :2]}, "expected one size"),
        ({"images": IMAGES, "labels": np.arange(6), "classes": np.array(["a", "b"])}, "2 classes are named"),
    ],
)
def test_arrays_that_are_no_dataset_are_named(tmp_path, arrays, words):
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(zoo.ZooError) as error:
        load_dataset(tmp_path / "d.npz")
    assert words in str(error.value) and "d.npz" in str(error.value)


def test_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "d.npz", images=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(zoo.ZooError, match="not a readable .npz"):
        load_dataset(tmp_path / "d.npz")


@pytest.mark.parametrize("name", ["d.npz", "d.safetensors"])
def test_a_file_that_was_cut_short_is_refused(tmp_path, name):
    np.savez(tmp_path / "d.npz", images=IMAGES)
    save_file({"images": IMAGES}, tmp_path / "d.safetensors")
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(zoo.ZooError, match="not a"):
        load_dataset(path)


def test_a_name_that_is_not_known_lists_the_near_ones(tmp_path):
    with pytest.raises(zoo.ZooError, match="unknown dataset 'digit'; did you mean 'digits'"):
        load_dataset("digit")
    with pytest.raises(zoo.ZooError, match="no such file"):
        load_dataset(tmp_path / "none.npz")
