"""Datasets: a name, a folder or a file in, uint8 images with their labels and splits out.

`digits` comes with scikit-learn. Other named datasets are read from the dataset cache, and downloaded to it if missing
(`zoo.data.downloads`). A folder or a CSV of your own images follows the rules of `zoo.data.listing` and
`zoo.data.images`; images in parquet files, and datasets of Hugging Face's library, those of `zoo.data.parquet` and
`zoo.data.images`. A file of arrays is a `.npz` or `.safetensors` file that holds

    train_images  uint8 [N, C, H, W] or [N, H, W]       test_images  the same, optional
    train_labels  integers or strings [N], optional     test_labels  the same, optional

or only `images` and `labels`. Strings are supported in `.npz` only. Nothing is unpickled; a `.safetensors` file is
memory-mapped (`zoo.data.mapping`). Arrays of other names are not used, and a warning names them: a file may hold more,
such as the identities of its images, and nobody should have to write it again for that.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.archives import read_npz
from zoo.data.downloads import fetch, write_dataset
from zoo.data.images import read_images
from zoo.data.mapping import MappedFile
from zoo.data.names import CLASSES, NAMES, SUBSETS
from zoo.data.official import DIFFERENT_TEST_IMAGES, OFFICIAL, is_remembered, remember
from zoo.data.parquet import Table, is_hub_dataset, is_table, read_table, table_of_hub_dataset
from zoo.errors import ZooError, first_few, shortened, unknown
from zoo.files import expanded, printable

_PARTS = ("train_images", "train_labels", "test_images", "test_labels", "classes")
_LARGEST = 2**63 - 1  # of the labels
_SHORT = {"images": "train_images", "labels": "train_labels"}


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
        file: the file that the images are a map of; None for images in memory.
    """

    name: str
    train: Split
    test: Split | None
    classes: tuple[str, ...]
    file: MappedFile | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the content, independent of file format and array order. It reads every byte."""
        sha = hashlib.sha256()
        parts = {
            f"{name}_{field}": tensor
            for name, split in (("test", self.test), ("train", self.train))
            if split is not None
            for field, tensor in split._asdict().items()
            if tensor is not None
        }
        for part, tensor in parts.items():
            sha.update(f"{part} {tensor.dtype} {list(tensor.shape)}\n".encode())
            for piece in self.pieces(tensor):
                sha.update(piece.numpy().data)
        return sha.hexdigest()

    def rows(self, images: Tensor, index: Tensor) -> Tensor:
        """`images[index]`; an error, where a map would end the process, if their file was shortened.

        Raises:
            ZooError: if the file is shorter than it was.
        """
        return images[index] if self.file is None else self.file.rows(images, index)

    def pieces(self, images: Tensor) -> Iterator[Tensor]:
        """All images in order, a few at a time, with the same care.

        Raises:
            ZooError: if the file is shorter than it was.
        """
        return iter((images,)) if self.file is None else self.file.pieces(images)

    def require_unchanged(self) -> None:
        """Stop if the file of the images was written to since it was opened.

        Raises:
            ZooError: if it was.
        """
        if self.file is not None:
            self.file.require_unchanged()


def load_dataset(name: str | Path | Any, *, size: int | None = None, skip_bad: bool = False) -> Dataset:
    """Load a dataset by name, or from a folder, a `.csv`, a `.parquet`, a `.npz` or a `.safetensors` file.

    Args:
        name: a name in `zoo.data.names.NAMES` or `SUBSETS`, a path, or a `datasets.Dataset` of Hugging Face's library
            (or a `datasets.DatasetDict` with the splits train and test), whose name here is "dataset".
        size: side in pixels to which the images are resized, except those of arrays; None for the default of
            `zoo.data.images`.
        skip_bad: whether to skip unreadable or truncated images, with a warning that names them.

    Raises:
        ZooError: if there is no such name or path, if it is both, if its arrays do not have the form above, or if an
            image is unreadable or truncated.

    Example:
        >>> load_dataset("digits").train.images.shape
        torch.Size([1297, 1, 8, 8])
    """
    if is_hub_dataset(name):
        table = table_of_hub_dataset(name)
        return dataset_of_arrays(str(table.path), read_images(table, size=size, skip_bad=skip_bad))
    path = expanded(name)
    is_name = isinstance(name, str) and name in (*NAMES, *SUBSETS)
    if is_name and path.exists():
        raise ZooError(
            f"{name!r} is both a dataset's name and a path here; write './{name}' for the path, or rename it"
        )
    if (source := images_in(name)) is not None:
        return dataset_of_arrays(str(path), read_images(source, size=size, skip_bad=skip_bad))
    data = _read_named(str(name)) if is_name else _read_file(str(name))
    if size is not None:
        raise ZooError(
            f"size: applies only to a folder or CSV of images, or a .parquet; {printable(name)} holds arrays of a "
            "fixed size"
        )
    return data


def is_listing(source: str | Path) -> bool:
    """Whether a source is a folder of image files or a CSV, and not a dataset's name or a file with the images."""
    if isinstance(source, str) and source in (*NAMES, *SUBSETS):
        return False  # load_dataset reports a folder of the same name
    path = expanded(source)
    return (path.is_dir() and not is_table(path)) or path.suffix.lower() == ".csv"


def images_in(source: str | Path) -> Path | Table | None:
    """The folder or CSV, or the table of parquet files, with images to be decoded; None for any other source.

    Raises:
        ZooError: as in `zoo.data.parquet.read_table`.
    """
    if is_listing(source):
        return expanded(source)
    is_name = isinstance(source, str) and source in (*NAMES, *SUBSETS)
    return read_table(expanded(source)) if not is_name and is_table(expanded(source)) else None


def as_dataset(data: Any) -> Dataset:
    """Make a dataset of arrays in memory. It is named `arrays`, and all its images are training images.

    Args:
        data: a `Dataset`, which is returned unchanged; a `datasets.Dataset` or `DatasetDict`, as `load_dataset` takes
            it; images, uint8 `[N, C, H, W]` or `[N, H, W]`, as a tensor or an
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
    if is_hub_dataset(data):
        return load_dataset(data)
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


def channel_statistics(data: Tensor | Dataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of uint8 images `[N, C, H, W]` scaled to 0..1.

    They are computed from the counts of the 256 values, so they are exact and the same on every machine. A constant
    channel gets standard deviation 1, so that dividing by it is harmless.

    Args:
        data: the images, or a dataset, for its training images.

    Raises:
        ZooError: as in `Dataset.pieces`.
    """
    pieces = data.pieces(data.train.images) if isinstance(data, Dataset) else (data,)
    counts = sum(
        torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in piece.unbind(1)])
        for piece in pieces
    )
    values = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for count in torch.as_tensor(counts).double():
        share = count / count.sum()
        mean = (share * values).sum()
        std = (share * (values - mean).square()).sum().sqrt()
        means.append(round(mean.item(), 6))
        stds.append(round(std.item(), 6) or 1.0)
    return tuple(means), tuple(stds)


def _read_named(name: str) -> Dataset:
    if name == "digits":
        return dataset_of_arrays(name, _digits())
    whole, start, stop = SUBSETS.get(name, (name, 0, 0))
    path = fetch(whole)
    try:
        data = _read_safetensors(path, whole)
        _require_official(data)
    except ZooError as error:
        raise ZooError(f"{error}; delete {printable(path)} and run `zoo data fetch {whole}`") from error
    if name not in SUBSETS:
        return data
    images, labels = data.train
    assert labels is not None  # the official data have labels
    return data._replace(name=name, train=Split(images[start:stop], labels[start:stop]))


def _require_official(data: Dataset) -> None:
    """Refuse a file of the cache that does not hold the dataset of its name. Its bytes are read once."""
    file, digest = data.file, OFFICIAL[data.name]
    assert file is not None  # the cache holds files
    if file.metadata.get("name") != data.name:
        held = shortened(file.metadata.get("name", ""))
        raise ZooError(f"{printable(file.path)}: expected the dataset {data.name!r}, got {held}")
    if data.classes != CLASSES[data.name]:
        raise ZooError(f"{printable(file.path)}: expected the classes of {data.name}, got others; the file was changed")
    if is_remembered(file, digest):
        return
    if (found := data.digest) != digest and not _is_download(data, found):
        raise ZooError(
            f"{printable(file.path)}: expected {data.name} with the digest {digest[:12]}..., got {found[:12]}...; the "
            "file was changed, or holds other data, which can be loaded by their path"
        )
    remember(file, digest)


def _is_download(data: Dataset, digest: str) -> bool:
    """Whether this is the dataset as it is downloaded, where `OFFICIAL` has the digest of another edition."""
    positions, rest = DIFFERENT_TEST_IMAGES.get(data.name, ((), ""))
    claimed = None if data.file is None else data.file.metadata.get("digest")
    if not positions or data.test is None or data.test.labels is None or digest != claimed:
        return False
    kept = torch.ones(len(data.test.images), dtype=torch.bool)
    kept[list(positions)] = False
    return data._replace(test=Split(data.test.images[kept], data.test.labels[kept])).digest == rest


def _digits() -> dict[str, np.ndarray]:
    """The 1,797 digits of scikit-learn, in their original order; the last 500 are the test images."""
    from sklearn.datasets import load_digits

    sixteenths, labels = load_digits(return_X_y=True)
    images = np.rint(sixteenths.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    labels = np.asarray(labels, np.int64)
    return {
        "train_images": images[:-500],
        "train_labels": labels[:-500],
        "test_images": images[-500:],
        "test_labels": labels[-500:],
    }


def _read_file(name: str) -> Dataset:
    path = expanded(name)
    if path.suffix not in (".npz", ".safetensors"):
        if path.exists():
            raise ZooError(
                f"{printable(path)}: expected a folder, or a file ending in .csv, .parquet, .npz or .safetensors"
            )
        if "/" in name or len(path.parts) > 1:
            raise ZooError(f"{printable(name)}: no such file or folder")
        raise unknown(
            "dataset", path, [*NAMES, *SUBSETS, "FOLDER", "FILE.csv", "FILE.parquet", "FILE.npz", "FILE.safetensors"]
        )
    if not path.is_file():
        raise ZooError(f"{printable(path)}: no such file")
    return dataset_of_arrays(str(path), read_npz(path)) if path.suffix == ".npz" else _read_safetensors(path, str(path))


def _read_safetensors(path: Path, name: str) -> Dataset:
    file = MappedFile(path)
    arrays = dict(file.arrays)
    if (classes := file.metadata.get("classes")) is not None:
        try:
            names = json.loads(classes)
        except (ValueError, RecursionError):
            names = None
        if not isinstance(names, list) or not all(isinstance(value, str) for value in names):
            raise ZooError(f"{printable(path)}: classes: expected a JSON list of names, got {shortened(classes)}")
        arrays["classes"] = np.array(names, dtype=str)
    return dataset_of_arrays(name, arrays)._replace(file=file)


def dataset_of_arrays(name: str, arrays: Mapping[str, np.ndarray]) -> Dataset:
    """Make a dataset of arrays with the names given in the module docstring; labels may be strings.

    Raises:
        ZooError: if the arrays do not have the form given there.
    """
    name = printable(name)
    arrays = _with_full_names(name, arrays)
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


def _with_full_names(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a dataset by their full names."""
    if doubled := [f"{short} and {full}" for short, full in _SHORT.items() if short in arrays and full in arrays]:
        raise ZooError(f"{name}: holds {' and '.join(doubled)}, which mean the same; expected only one of them")
    arrays = {_SHORT.get(key, key): value for key, value in arrays.items()}
    if "train_images" not in arrays:
        found = ", ".join(sorted(map(printable, arrays)))
        raise ZooError(f"{name}: expected train_images (or images), got {found or 'nothing'}")
    if "test_labels" in arrays and "test_images" not in arrays:
        raise ZooError(f"{name}: holds test_labels without test_images; expected both or neither")
    if others := sorted(set(arrays) - set(_PARTS)):
        known = f"{', '.join(_PARTS)} (images and labels for those of the training images)"
        warnings.warn(
            f"{name}: {first_few(map(printable, others))} {'is' if len(others) == 1 else 'are'} not used; "
            f"known names of arrays: {known}",
            stacklevel=4,
        )
    return arrays


def _images(name: str, split: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    images = arrays[f"{split}_images"]
    if images.dtype != np.uint8:
        raise ZooError(f"{name}: {split}_images: expected uint8 in 0..255, got {images.dtype}; scale and round them")
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        last = images.shape[-1] if images.ndim else 0
        hint = "; move the channels to the front with .transpose(0, 3, 1, 2)" if last in (1, 3) else ""
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
    if labels.dtype.kind == "u" and labels.max() > _LARGEST:
        raise ZooError(f"{name}: {split}_labels: expected integers up to {_LARGEST}, got {labels.max()}")
    # Numpy joins uint64 and int64 to float64, in which 2**53 and 2**53 + 1 are one class.
    return labels.astype(np.int64) if labels.dtype.kind in "iu" else labels


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
    if len(kinds := {"strings" if y.dtype.kind == "U" else "integers" for y in present.values()}) > 1:
        raise ZooError(f"{name}: the labels are {' and '.join(sorted(kinds))}; expected the same in train and test")
    values = np.unique(np.concatenate(list(present.values())))
    if given is not None:
        if given.ndim != 1 or given.dtype.kind != "U":
            raise ZooError(f"{name}: classes: expected strings [classes], got {given.dtype} {list(given.shape)}")
        if values.dtype.kind == "U" or values[0] < 0 or values[-1] >= len(given):
            raise ZooError(f"{name}: {len(given)} classes are named, so labels must be 0..{len(given) - 1}")
        return tuple(map(printable, given.tolist())), {
            split: torch.from_numpy(y.astype(np.int64)) for split, y in present.items()
        }
    numbers = {split: torch.from_numpy(np.searchsorted(values, y).astype(np.int64)) for split, y in present.items()}
    return tuple(printable(str(value)) for value in values), numbers
