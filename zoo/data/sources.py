"""Images in the form that an encoder takes, each with its path, split and label: for features and for probes.

A source is a dataset name or a file of arrays (`zoo.data.datasets`), image files, a folder or a CSV
(`zoo.data.listing`), or parquet files (`zoo.data.parquet`). Image files are decoded as in `zoo.data.images`. All
images, those of arrays too, are converted to the encoder's channels, and resized and cropped to its size. Not every
image needs a label: features are computed for all images, while a probe uses only the labelled ones.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.data.datasets import Dataset, Split, dataset_of_arrays, images_in, is_listing, load_dataset
from zoo.data.images import ImagePlan, decoded, each, fit_images, read_image, refuse_or_warn
from zoo.data.listing import ListedFile, list_images
from zoo.data.parquet import Table
from zoo.errors import ZooError, first_few
from zoo.files import expanded, printable

_NO_IMAGES = (".npz", ".safetensors", ".csv", ".parquet")


class Source(NamedTuple):
    """Images with their paths, splits and labels.

    Attributes:
        images: uint8 `[N, C, H, W]`.
        paths: the paths of the files; `train/17` for the image at position 17 of the training images of a dataset or
            of parquet files.
        splits: `"train"` or `"test"`.
        labels: the class names; None for an image without a label.
    """

    images: Tensor
    paths: tuple[str, ...]
    splits: tuple[str, ...]
    labels: tuple[str | None, ...]


def read_source(sources: Sequence[str | Path], shape: tuple[int, int, int], *, skip_bad: bool = False) -> Source:
    """Read the images of one dataset, folder, CSV or parquet file, or several image files.

    Args:
        sources: one name or path, or the paths of images.
        shape: the `(C, H, W)` that images are converted to, the `input_shape` of the encoder.
        skip_bad: whether to skip unreadable or truncated images, with a warning.

    Raises:
        ZooError: if an image is unreadable or truncated, or for a source of another kind than those above.
    """
    if len(sources) == 1 and not _is_image(sources[0]):
        if isinstance(found := images_in(sources[0]), Table):
            return _of_table(found, shape, skip_bad)
        if found is None:
            return _of_dataset(_fitted(load_dataset(sources[0]), shape))
        rows = list_images(found)
    else:
        if others := [str(source) for source in sources if not _is_image(source)]:
            raise ZooError(f"{others[0]}: expected image files, or a single dataset, folder or CSV")
        rows = [ListedFile(expanded(source)) for source in sources]
    images = _read(rows, shape, skip_bad)
    kept = [row for row, image in zip(rows, images, strict=True) if image is not None]
    whole = [image for image in images if image is not None]
    if not whole:
        raise ZooError(f"{', '.join(map(str, sources))}: none of the {len(rows)} files is a readable image")
    return Source(
        torch.stack(whole),
        tuple(printable(row.path) for row in kept),
        tuple(row.split for row in kept),
        tuple(row.label for row in kept),
    )


def labelled_dataset(
    source: str | Path, shape: tuple[int, int, int], *, skip_bad: bool = False, or_all: bool = False
) -> tuple[Dataset, int]:
    """A dataset to probe an encoder with, and the number of images skipped because they have no label.

    Args:
        source: a dataset name, a file of arrays, a folder, a CSV, or a parquet file.
        shape: `(C, H, W)`, as for `read_source`.
        skip_bad: whether to skip unreadable or truncated images, with a warning.
        or_all: whether to take all images, without labels, where no training image has one.

    Raises:
        ZooError: as in `read_source`, and if no training image has a label, unless `or_all` is given.
    """
    if (images := images_in(source)) is None:
        return _fitted(load_dataset(source), shape), 0
    path, table = expanded(source), images if isinstance(images, Table) else None
    found = _of_table(table, shape, skip_bad) if table else read_source([path], shape, skip_bad=skip_bad)
    rows = list(zip(found.labels, found.splits, strict=True))
    labelled = any(label is not None for label, split in rows if split == "train")
    if not labelled and not or_all:
        csv = "put them into one folder per class, or name their classes in a CSV with the columns path and label"
        hint = "name their classes in a column label" if table else csv
        raise ZooError(f"{printable(path)}: none of the {len(found.labels)} images has a label to train on; {hint}")
    arrays = {}
    for part in ("train", "test"):
        members = [i for i, (label, split) in enumerate(rows) if split == part and (label is not None or not labelled)]
        if members:
            arrays[f"{part}_images"] = found.images[members].numpy()
            if labelled:
                arrays[f"{part}_labels"] = np.array([found.labels[i] for i in members])
    arrays = table.with_numbers(arrays) if table else arrays
    return dataset_of_arrays(str(path), arrays), found.labels.count(None) if labelled else 0


def are_files(source: str | Path) -> bool:
    """Whether the images of a source are files, and not parts of a dataset or of arrays."""
    return is_listing(source) or _is_image(source)


def _is_image(source: str | Path) -> bool:
    path = expanded(source)
    return path.is_file() and path.suffix.lower() not in _NO_IMAGES


def _fitted(data: Dataset, shape: tuple[int, int, int]) -> Dataset:
    """The dataset with images of this shape; where they have another one, new images in memory."""

    def fitted(split: Split) -> Split:
        if split.images.shape[1:] == shape:
            return split
        pieces = [torch.from_numpy(fit_images(piece.numpy(), shape)) for piece in data.pieces(split.images)]
        return split._replace(images=torch.cat(pieces))

    return data._replace(train=fitted(data.train), test=data.test and fitted(data.test))


def _of_dataset(data: Dataset) -> Source:
    images, paths, splits, labels = [], [], [], []
    for name, split in (("train", data.train), ("test", data.test)):
        if split is None:
            continue
        n = len(split.images)
        images += data.pieces(split.images)
        paths += [f"{name}/{i}" for i in range(n)]
        splits += [name] * n
        labels += [None] * n if split.labels is None else [data.classes[i] for i in split.labels.tolist()]
    return Source(torch.cat(images), tuple(paths), tuple(splits), tuple(labels))


def _of_table(table: Table, shape: tuple[int, int, int], skip_bad: bool) -> Source:
    plan = ImagePlan(table.files, shape, table)
    images = list(decoded(plan, range(len(plan.files))))
    refuse_or_warn(table.path, plan, [image if isinstance(image, str) else "" for image in images], skip_bad)
    kept = [row for row, image in zip(plan.files, images, strict=True) if not isinstance(image, str)]
    if not kept:
        raise ZooError(f"{printable(table.path)}: none of the {len(images)} rows has a readable image")
    return Source(
        torch.stack([torch.from_numpy(image) for image in images if not isinstance(image, str)]),
        tuple(str(row.path) for row in kept),
        tuple(row.split for row in kept),
        tuple(row.label for row in kept),
    )


def _read(rows: Sequence[ListedFile], shape: tuple[int, int, int], skip_bad: bool) -> list[Tensor | None]:
    """The images of the rows, with None for each skipped one."""

    def read(row: ListedFile) -> Tensor | ZooError:
        if row.fault and row.path.is_dir():
            return ZooError(f"{printable(row.path)}: {row.fault}")
        try:
            return torch.from_numpy(read_image(row.path, shape))
        except ZooError as error:
            return error

    found = list(each(read, rows, "read", len(rows)))
    if faults := [image for image in found if isinstance(image, ZooError)]:
        if len(rows) == 1:
            raise faults[0]
        bad = f"{len(faults)} of {len(rows)} files cannot be used: {first_few(map(str, faults))}"
        if not skip_bad:
            raise ZooError(f"{bad}; repair or remove them, or skip them with --skip-bad (skip_bad=True)")
        warnings.warn(f"{bad}; skipped", stacklevel=3)
    return [None if isinstance(image, ZooError) else image for image in found]
