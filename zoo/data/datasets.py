"""Datasets: a name, a folder or a file in, uint8 images with their labels and splits out.

`digits` comes with scikit-learn. Other named datasets are read from the dataset cache, and downloaded to it if missing
(`zoo.data.downloads`). A folder or a CSV of your own images follows the rules of `zoo.data.listing` and
`zoo.data.images`. A file of arrays is a `.npz` or `.safetensors` file that holds

    train_images  uint8 [N, C, H, W] or [N, H, W]       test_images  the same, optional
    train_labels  integers or strings [N], optional     test_labels  the same, optional

or only `images` and `labels`. Strings are supported in `.npz` only. Nothing is unpickled; a `.safetensors` file is
memory-mapped.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zoo.data.downloads import fetch, write_dataset
from zoo.data.images import read_images
from zoo.data.names import NAMES, SUBSETS, cache_path
from zoo.errors import ZooError, unknown
from zoo.files import printable, require_utf8


class Split(NamedTuple):
    """Images, uint8 `[N, C, H, W]`, and their labels, int64 `[N]` or None."""

    images: Tensor
    labels: Tensor | None


class Dataset(NamedTuple):
    """A dataset in memory.

    Attributes:
        name: the name of the dataset, or the path that it was read from, as `zoo.files.printable` writes it.
        train: the training images.
        test: the official test images, or None.
        classes: the class names, in label order; empty without labels.
    """

    name: str
    train: Split
    test: Split | None
    classes: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the content, independent of file format and array order. It reads every byte."""
        return _digest({"train": self.train, **({} if self.test is None else {"test": self.test})})


def load_dataset(name: str | Path, *, size: int | None = None, skip_bad: bool = False) -> Dataset:
    """Load a dataset by name, or from a folder, a `.csv`, a `.npz` or a `.safetensors` file.

    Args:
        name: a name in `zoo.data.names.NAMES` or `SUBSETS`, or a path.
        size: side in pixels to which the images of a folder or CSV are resized; None for the default of
            `zoo.data.images`.
        skip_bad: whether to skip unreadable or truncated images of a folder or CSV, with a warning that names them.

    Raises:
        ZooError: if there is no such name or path, if it is both, if its arrays do not have the form above, or if an
            image is unreadable or truncated.

    Example:
        >>> load_dataset("digits").train.images.shape
        torch.Size([1297, 1, 8, 8])
    """
    path = Path(name).expanduser()
    is_name = isinstance(name, str) and name in (*NAMES, *SUBSETS)
    if is_name and path.exists():
        raise ZooError(
            f"{name!r} is both a dataset's name and a path here; write './{name}' for the path, or rename it"
        )
    if not is_name and (path.is_dir() or path.suffix.lower() == ".csv"):
        return dataset_of_arrays(str(path), read_images(path, size=size, skip_bad=skip_bad))
    arrays = _read_named(str(name)) if is_name else _read_file(path)
    if size is not None:
        raise ZooError(f"size: applies only to a folder or CSV of images; {name} holds arrays of a fixed size")
    return dataset_of_arrays(str(name) if is_name else str(path), arrays)


def as_dataset(data: Any) -> Dataset:
    """Make a dataset of arrays in memory. It is named `arrays`, and all its images are training images.

    Args:
        data: a `Dataset`, which is returned unchanged; images, uint8 `[N, C, H, W]` or `[N, H, W]`, as a tensor or an
            array; or a pair (images, labels), with an integer or a string for each image, or None for no labels.

    Raises:
        ZooError: for anything else; the message names the type.

    Example:
        >>> images = torch.zeros(2, 8, 8, dtype=torch.uint8)
        >>> as_dataset((images, ["cat", "dog"])).classes
        ('cat', 'dog')
    """
    if isinstance(data, Dataset):
        return data
    images, labels = data if isinstance(data, tuple | list) and len(data) == 2 else (data, None)
    if not isinstance(images, Tensor | np.ndarray):
        hint = "; zoo.load_dataset reads a name or a path" if isinstance(data, str | Path) else ""
        raise ZooError(
            "data: expected a Dataset, images as a uint8 tensor or array [N, C, H, W] or [N, H, W], or a pair "
            f"(images, labels), got {_type_in_words(data)}{hint}"
        )
    arrays = {"images": _as_array(images)}
    if labels is not None:
        arrays["labels"] = _label_array(labels)
    return dataset_of_arrays("arrays", arrays)


def save_dataset(dataset: Dataset, path: str | Path, *, source: str) -> None:
    """Write a dataset atomically to one `.safetensors` file that loads at once.

    Args:
        dataset: the dataset to write.
        path: the path of the file; its stem is stored in the file as the dataset's name.
        source: where the dataset came from, in one line.

    Raises:
        OSError: if the file cannot be written.
    """
    splits = {"train": dataset.train, "test": dataset.test}
    arrays = {
        f"{split}_{part}": tensor.numpy()
        for split, images_and_labels in splits.items()
        if images_and_labels is not None
        for part, tensor in images_and_labels._asdict().items()
        if tensor is not None
    }
    write_dataset(path, arrays, name=Path(path).stem, classes=dataset.classes, source=source)


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 images `[N, C, H, W]` scaled to 0..1.

    They are computed from the counts of the 256 values, so they are exact and the same on every machine. A constant
    channel gets standard deviation 1, so that dividing by it is harmless.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in images.unbind(1):
        counts = torch.bincount(channel.flatten(), minlength=256).double()
        share = counts / counts.sum()
        mean = (share * values).sum()
        std = (share * (values - mean).square()).sum().sqrt()
        means.append(round(mean.item(), 6))
        stds.append(round(std.item(), 6) or 1.0)
    return tuple(means), tuple(stds)


def _read_named(name: str) -> dict[str, np.ndarray]:
    if name == "digits":
        return _digits()
    whole, start, stop = SUBSETS.get(name, (name, 0, 0))
    arrays = _read_safetensors(fetch(whole))
    if name not in SUBSETS:
        return arrays
    images = len(arrays.get("train_images", ()))
    if images < stop:
        raise ZooError(f"{name}: expected {stop:,} training images or more, got {images:,} in {cache_path(whole)}")
    return {part: array[start:stop] if part.startswith("train_") else array for part, array in arrays.items()}


def _digits() -> dict[str, np.ndarray]:
    """The 1,797 digits of scikit-learn, in their original order; the last 500 are the test images."""
    from sklearn.datasets import load_digits

    sixteenths, labels = load_digits(return_X_y=True)
    images = np.rint(sixteenths.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    labels = labels.astype(np.int64)
    return {
        "train_images": images[:-500],
        "train_labels": labels[:-500],
        "test_images": images[-500:],
        "test_labels": labels[-500:],
    }


def _read_file(path: Path) -> dict[str, np.ndarray]:
    if path.suffix not in (".npz", ".safetensors"):
        if path.exists():
            raise ZooError(f"{path}: expected a folder, or a file ending in .csv, .npz or .safetensors")
        if len(path.parts) > 1:
            raise ZooError(f"{path}: no such file or folder")
        raise unknown("dataset", path, [*NAMES, *SUBSETS, "FOLDER", "FILE.csv", "FILE.npz", "FILE.safetensors"])
    if not path.is_file():
        raise ZooError(f"{path}: no such file")
    return _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # numpy raises zipfile, zlib, struct, value or OS errors, depending on the damage
        raise ZooError(f"{path}: not a readable .npz archive ({error})") from error


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    require_utf8(path)
    try:
        with safe_open(path, framework="pt") as file:  # torch's tensors are views of the map, numpy's are copies
            arrays = {name: file.get_tensor(name).numpy() for name in file.keys()}
            classes = (file.metadata() or {}).get("classes")
    except SafetensorError as error:
        raise ZooError(f"{path}: a truncated or corrupt safetensors file ({error})") from error
    except TypeError as error:  # numpy has no bfloat16
        raise ZooError(f"{path}: expected arrays of uint8 and integers ({error})") from error
    if classes is not None:
        try:
            arrays["classes"] = np.array(json.loads(classes), dtype=str)
        except ValueError as error:
            raise ZooError(f"{path}: classes: expected a JSON list of names, got {classes!r}") from error
    return arrays


def dataset_of_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> Dataset:
    """Make a dataset of arrays with the names given in the module docstring; labels may be strings.

    Raises:
        ZooError: if the arrays do not have the form given there.
    """
    name = printable(name)
    arrays = {
        {"images": "train_images", "labels": "train_labels"}.get(key, key): value for key, value in arrays.items()
    }
    if "train_images" not in arrays:
        raise ZooError(f"{name}: expected train_images (or images), got {', '.join(sorted(arrays)) or 'nothing'}")
    images = {split: _images(name, split, arrays) for split in ("train", "test") if f"{split}_images" in arrays}
    labels = {split: _labels(name, split, arrays, len(images[split])) for split in images}
    classes, numbers = _number_classes(name, labels, arrays.get("classes"))
    if "test" in images and images["test"].shape[1:] != images["train"].shape[1:]:
        raise ZooError(
            f"{name}: train images are {list(images['train'].shape[1:])} and test images "
            f"{list(images['test'].shape[1:])}; expected the same size and number of channels"
        )
    splits = {split: Split(torch.from_numpy(images[split]), numbers.get(split)) for split in images}
    return Dataset(name, splits["train"], splits.get("test"), classes)


def _images(name: str, split: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    images = arrays[f"{split}_images"]
    if images.dtype != np.uint8:
        raise ZooError(f"{name}: {split}_images: expected uint8 in 0..255, got {images.dtype}; scale and round them")
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        hint = "; move the channels to the front with .transpose(0, 3, 1, 2)" if images.shape[-1] in (1, 3) else ""
        raise ZooError(
            f"{name}: {split}_images: expected [N, H, W] or [N, C, H, W] with 1 or 3 channels, "
            f"got {list(images.shape)}{hint}"
        )
    if images.size == 0:
        raise ZooError(f"{name}: {split}_images: expected images, got an empty array {list(images.shape)}")
    return np.require(images, requirements=("C", "W"))  # torch warns about read-only arrays


def _labels(name: str, split: str, arrays: Mapping[str, np.ndarray], n: int) -> np.ndarray | None:
    labels = arrays.get(f"{split}_labels")
    if labels is None:
        return None
    if labels.ndim != 1 or labels.dtype.kind not in "iuU":
        raise ZooError(
            f"{name}: {split}_labels: expected integers or strings [N], got {labels.dtype} {list(labels.shape)}"
        )
    if len(labels) != n:
        raise ZooError(f"{name}: {split}: {n} images but {len(labels)} labels; expected one label per image")
    return labels


def _as_array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _label_array(labels: Any) -> np.ndarray:
    try:
        values = _as_array(labels)
    except (TypeError, ValueError) as error:  # numpy has no bfloat16; lists can be ragged
        raise ZooError(
            f"arrays: train_labels: expected integers or strings [N], got {_type_in_words(labels)}"
        ) from error
    if values.dtype == object and all(isinstance(value, str) for value in values.flat):  # as pandas stores strings
        return values.astype(str)
    return values


def _type_in_words(value: Any) -> str:
    kind = f"{type(value).__name__} of {len(value)}" if isinstance(value, tuple | list) else type(value).__name__
    inside = (
        ", ".join(dict.fromkeys(type(item).__name__ for item in value[:9])) if isinstance(value, tuple | list) else ""
    )
    return f"{kind} ({inside})" if inside else kind


def _number_classes(
    name: str, labels: Mapping[str, np.ndarray | None], given: np.ndarray | None
) -> tuple[tuple[str, ...], Mapping[str, Tensor]]:
    """Labels as int64 from 0, and the class names: the given ones, else the sorted labels themselves."""
    present = {split: y for split, y in labels.items() if y is not None}
    if not present:
        return (), {}
    values = np.unique(np.concatenate(list(present.values())))
    if given is not None:
        if values.dtype.kind == "U" or values[0] < 0 or values[-1] >= len(given):
            raise ZooError(f"{name}: {len(given)} classes are named, so labels must be 0..{len(given) - 1}")
        return tuple(map(str, given)), {split: torch.from_numpy(y.astype(np.int64)) for split, y in present.items()}
    numbers = {split: torch.from_numpy(np.searchsorted(values, y).astype(np.int64)) for split, y in present.items()}
    return tuple(str(value) for value in values), numbers


def _digest(splits: Mapping[str, Split]) -> str:
    sha = hashlib.sha256()
    for split in sorted(splits):
        for part, tensor in zip(splits[split]._fields, splits[split], strict=True):
            if tensor is not None:
                sha.update(f"{split}_{part} {tensor.dtype} {list(tensor.shape)}\n".encode())
                sha.update(tensor.numpy().data)
    return sha.hexdigest()
