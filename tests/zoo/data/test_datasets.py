"""Datasets: what is read is what was written, and invalid datasets give plain errors."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

import zoo
from zoo.data.datasets import as_dataset, channel_statistics, load_dataset
from zoo.data.downloads import official_source
from zoo.data.names import SUBSETS

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


def test_grey_images_may_omit_the_channel_axis(tmp_path):
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
        ({"images": IMAGES, "test_images": IMAGES[:, :, :2]}, "expected the same size"),
        ({"images": IMAGES, "labels": np.arange(6), "classes": np.array(["a", "b"])}, "2 classes are named"),
        ({"images": IMAGES, "labels": np.arange(6), "classes": np.array("a")}, "classes: expected strings [classes]"),
        ({"images": IMAGES, "labels": np.arange(6), "classes": np.arange(6)}, "classes: expected strings [classes]"),
        ({"images": np.array(3, np.uint8)}, "expected [N, H, W] or [N, C, H, W] with 1 or 3 channels, got []"),
        ({"images": IMAGES, "labels": np.array(3)}, "expected integers or strings [N], got int64 []"),
    ],
)
def test_arrays_that_are_not_a_dataset_are_named(tmp_path, arrays, words):
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(zoo.ZooError) as error:
        load_dataset(tmp_path / "d.npz")
    assert words in str(error.value) and "d.npz" in str(error.value)


def test_arrays_in_memory_are_a_dataset(digits):
    assert as_dataset(digits) is digits
    grey, tensor = IMAGES[:, 0], torch.from_numpy(IMAGES)
    for images in (IMAGES, tensor, grey, tensor[:, 0]):
        data = as_dataset(images)
        assert data.name == "arrays" and data.test is None and data.train.labels is None and data.classes == ()
        assert torch.equal(data.train.images, tensor if images.ndim == 4 else tensor[:, :1])
    strings = (LABELS, LABELS.astype(object), LABELS.tolist(), tuple(LABELS.tolist()))
    numbers = ([5, 7, 5, 2, 7, 2], np.array([5, 7, 5, 2, 7, 2], np.uint8), torch.tensor([5, 7, 5, 2, 7, 2]))
    for classes, forms in ((("ant", "cat", "dog"), strings), (("2", "5", "7"), numbers)):
        for labels in forms:
            data = as_dataset((tensor, labels))
            assert data.train.labels.tolist() == [1, 2, 1, 0, 2, 0] and data.classes == classes
    assert as_dataset(digits.train).digest == as_dataset((digits.train.images, digits.train.labels)).digest
    assert as_dataset((tensor, None)).train.labels is None
    frozen = IMAGES.copy()
    frozen.flags.writeable = False
    assert torch.equal(as_dataset(frozen).train.images, tensor)


@pytest.mark.parametrize(
    "data,words",
    [
        (None, "got NoneType"),
        ("digits", "got str; zoo.load_dataset reads a name or a path"),
        ([IMAGES[0]] * 3, "got list of 3 (ndarray)"),
        ((LABELS.tolist(), LABELS), "got tuple of 2 (list, ndarray)"),
        ({"images": IMAGES}, "got dict"),
        (IMAGES.astype(np.float32), "train_images: expected uint8 in 0..255, got float32"),
        (torch.zeros(2, 3, 4), "train_images: expected uint8 in 0..255, got float32"),
        (IMAGES.transpose(0, 2, 3, 1), ".transpose(0, 3, 1, 2)"),
        (IMAGES[:0], "got an empty array"),
        ((IMAGES, LABELS[:3]), "6 images but 3 labels"),
        ((IMAGES, np.zeros(6)), "train_labels: expected integers or strings [N], got float64 [6]"),
        ((IMAGES, [[1], [1, 2]]), "train_labels: expected integers or strings [N], got list of 2 (list)"),
        ((IMAGES, torch.zeros(6).bfloat16()), "train_labels: expected integers or strings [N], got Tensor"),
        ((IMAGES, [None] * 6), "train_labels: expected integers or strings [N], got object [6]"),
        ((IMAGES, 3), "train_labels: expected integers or strings [N], got int64 []"),
    ],
)
def test_other_data_in_memory_is_named_by_its_type(data, words):
    with pytest.raises(zoo.ZooError) as error:
        as_dataset(data)
    assert words in str(error.value) and len(str(error.value)) < 250 and "\n" not in str(error.value)


def test_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "d.npz", images=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(zoo.ZooError, match="not a readable .npz"):
        load_dataset(tmp_path / "d.npz")


@pytest.mark.parametrize("name", ["d.npz", "d.safetensors"])
def test_a_truncated_file_is_refused(tmp_path, name):
    np.savez(tmp_path / "d.npz", images=IMAGES)
    save_file({"images": IMAGES}, tmp_path / "d.safetensors")
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(zoo.ZooError, match="not a readable|truncated or corrupt"):
        load_dataset(path)


def test_an_unknown_name_lists_similar_ones(tmp_path):
    with pytest.raises(zoo.ZooError, match="unknown dataset 'digit'; did you mean 'digits'"):
        load_dataset("digit")
    with pytest.raises(zoo.ZooError, match="no such file"):
        load_dataset(tmp_path / "none.npz")


def test_metadata_and_types_that_no_dataset_has_are_named(tmp_path):
    save_file({"images": IMAGES}, tmp_path / "d.safetensors", {"classes": "cat, dog"})
    with pytest.raises(zoo.ZooError, match="classes: expected a JSON list of names, got 'cat, dog'"):
        load_dataset(tmp_path / "d.safetensors")
    save_torch_file({"images": torch.zeros(2, 3, 4, 4, dtype=torch.bfloat16)}, tmp_path / "e.safetensors")
    with pytest.raises(zoo.ZooError, match="expected arrays of uint8 and integers"):
        load_dataset(tmp_path / "e.safetensors")


@pytest.mark.parametrize(("name", "start", "stop"), [("mnist_24k", 0, 24_000), ("mnist_labels_6k", 24_000, 30_000)])
def test_a_subset_is_some_of_the_training_images_and_the_whole_test_split(real_mnist, monkeypatch, name, start, stop):
    monkeypatch.setenv("FUNCZOO_DATA", str(real_mnist.parent))
    whole, subset = load_dataset("mnist"), load_dataset(name)
    assert torch.equal(subset.train.images, whole.train.images[start:stop])
    assert torch.equal(subset.train.labels, whole.train.labels[start:stop])
    assert torch.equal(subset.test.images, whole.test.images) and len(subset.test.labels) == 10_000
    assert (subset.name, subset.classes) == (name, whole.classes) and subset.digest != whole.digest


def test_subsets_say_their_size_and_leave_the_last_tenth_alone():
    for name, (whole, start, stop) in SUBSETS.items():
        assert name.endswith(f"_{(stop - start) // 1000}k") and name.startswith(whole)
        assert stop <= {"mnist": 54_000, "fashion_mnist": 54_000, "cifar10": 45_000}[whole]
    pretrained, labelled = SUBSETS["mnist_24k"], SUBSETS["mnist_labels_12k"]
    assert pretrained[2] <= labelled[1], "S3a is probed with labels of images that it was not pretrained on"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_file_is_mapped_into_memory_and_never_changed(tmp_path):
    save_file({"images": IMAGES}, tmp_path / "mapped.safetensors")
    data = load_dataset(tmp_path / "mapped.safetensors")
    assert str(tmp_path / "mapped.safetensors") in Path("/proc/self/maps").read_text()
    data.train.images.zero_()
    assert load_dataset(tmp_path / "mapped.safetensors").train.images.any()


def test_mnist_is_what_it_is_known_to_be(real_mnist, monkeypatch):
    monkeypatch.setenv("FUNCZOO_DATA", str(real_mnist.parent))
    data = load_dataset("mnist")
    assert data.train.images.shape == (60_000, 1, 28, 28) and data.test.images.shape == (10_000, 1, 28, 28)
    assert data.classes == tuple("0123456789")
    # Counted in the published files.
    assert data.train.labels.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.test.labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    mean, std = channel_statistics(data.train.images)
    assert (round(mean[0], 4), round(std[0], 4)) == (0.1307, 0.3081)  # the constants that everyone normalises by


def test_mnist_converted_from_its_published_files_is_mnist(real_mnist, unpack):
    files = [unpack.parent / "mnist" / file.urls[0].rpartition("/")[2] for file in official_source("mnist").files]
    cached = load_dataset(real_mnist)
    arrays = official_source("mnist").read(files)
    assert np.array_equal(arrays["train_images"], cached.train.images.numpy())
    assert np.array_equal(arrays["test_labels"], cached.test.labels.numpy())


def test_other_arrays_are_named_and_doubled_ones_refused(tmp_path):
    np.savez(tmp_path / "d.npz", images=IMAGES, ids=np.arange(6), val_images=IMAGES)
    with pytest.warns(UserWarning, match="d.npz: ids, val_images are not used; known names of arrays: train_images, "):
        assert len(load_dataset(tmp_path / "d.npz").train.images) == 6
    for arrays, words in (
        ({"images": IMAGES, "train_images": IMAGES}, "holds images and train_images, which mean the same"),
        ({"images": IMAGES, "labels": LABELS, "train_labels": LABELS}, "holds labels and train_labels, which mean"),
        ({"images": IMAGES, "test_labels": LABELS}, "holds test_labels without test_images"),
    ):
        np.savez(tmp_path / "d.npz", **arrays)
        with pytest.raises(zoo.ZooError, match=words):
            load_dataset(tmp_path / "d.npz")


def test_unsigned_labels_are_compared_exactly(tmp_path):
    near = np.array([2**53, 2**53 + 1, 2**53, 0, 0, 0])  # one number in float64, to which numpy joins the two types
    np.savez(
        tmp_path / "d.npz", images=IMAGES, labels=near.astype(np.uint64), test_images=IMAGES, test_labels=near[::-1]
    )
    data = load_dataset(tmp_path / "d.npz")
    assert data.classes == ("0", str(2**53), str(2**53 + 1)) and data.train.labels.tolist() == [1, 2, 1, 0, 0, 0]
    assert data.test.labels.tolist() == [0, 0, 0, 1, 2, 1]
    with pytest.raises(zoo.ZooError, match="expected integers up to 9223372036854775807, got 9223372036854775808"):
        as_dataset((IMAGES, np.array([2**63] * 6, np.uint64)))
    np.savez(tmp_path / "d.npz", images=IMAGES, labels=near, test_images=IMAGES, test_labels=LABELS)
    with pytest.raises(zoo.ZooError, match="the labels are integers and strings; expected the same"):
        load_dataset(tmp_path / "d.npz")
