"""Images as an encoder takes them, each with where it came from: for features and for probes of one's own images.

A source is a dataset's name or a file of arrays (`zoo.data.datasets`), image files, a folder,
or a CSV with the columns

    path      of the image, relative to the CSV
    label     its class; empty, or no such column, where it is not known
    split     train or test; empty, or no such column, for train

Image files are decoded as `zoo.data.images` and `model.features` do it: converted to the encoder's channels,
resized and cropped to its size. Not every image needs a label: features are of all of them, and a probe takes those
that have one.
"""

import csv
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from zoo.data.datasets import Dataset, dataset_of_arrays, load_dataset
from zoo.data.images import first_few, list_folder, read_image, refuse_duplicates
from zoo.data.names import NAMES, SUBSETS
from zoo.errors import ZooError, unknown
from zoo.files import printable
from zoo.models.pretrained import PretrainedEncoder

_ARRAYS = (".npz", ".safetensors")
_COLUMNS = ("path", "label", "split")


class Source(NamedTuple):
    """Images with what is known of each.

    Attributes:
        images: uint8 `[N, C, H, W]`.
        paths: of the files; `train/17` for the image at position 17 of the training images of a dataset.
        splits: `"train"` or `"test"`.
        labels: the classes' names; None where there is none.
    """

    images: Tensor
    paths: tuple[str, ...]
    splits: tuple[str, ...]
    labels: tuple[str | None, ...]


class _Row(NamedTuple):
    path: Path
    split: str = "train"
    label: str | None = None


def read_source(model: PretrainedEncoder, sources: Sequence[str | Path], *, skip_bad: bool = False) -> Source:
    """The images of one dataset, folder or CSV, or of several image files.

    Args:
        model: the encoder that they are for.
        sources: one name or path, or the paths of images.
        skip_bad: leave out files that are no images, with a warning.

    Raises:
        ZooError: if a file is no image, or for a source that is not as the module says.
    """
    if len(sources) == 1 and not _is_image(sources[0]):
        if not _is_listing(sources[0]):
            return _of_dataset(load_dataset(sources[0]))
        rows = _rows(Path(sources[0]).expanduser())
    else:
        if others := [str(source) for source in sources if not _is_image(source)]:
            raise ZooError(f"{others[0]}: expected image files, or one dataset, folder or CSV and nothing else")
        rows = [_Row(Path(source).expanduser()) for source in sources]
    images = _read(model, rows, skip_bad)
    kept = [row for row, image in zip(rows, images, strict=True) if image is not None]
    whole = [image for image in images if image is not None]
    if not whole:
        raise ZooError(f"{', '.join(map(str, sources))}: none of the {len(rows)} files is an image")
    return Source(
        torch.stack(whole),
        tuple(printable(row.path) for row in kept),
        tuple(row.split for row in kept),
        tuple(row.label for row in kept),
    )


def labelled_dataset(model: PretrainedEncoder, source: str | Path, *, skip_bad: bool = False) -> tuple[Dataset, int]:
    """A dataset to probe the encoder with, and how many images were left out of it because they have no label.

    Args:
        model: the encoder.
        source: a dataset's name, a file of arrays, a folder, or a CSV.
        skip_bad: leave out files that are no images, with a warning.

    Raises:
        ZooError: as `read_source`, and if there are no labels at all.
    """
    if not _is_listing(source):
        return load_dataset(source), 0
    path = Path(source).expanduser()
    found = read_source(model, [path], skip_bad=skip_bad)
    arrays = {}
    for split in ("train", "test"):
        members = [i for i, label in enumerate(found.labels) if label is not None and found.splits[i] == split]
        if members:
            arrays[f"{split}_images"] = found.images[members].numpy()
            arrays[f"{split}_labels"] = np.array([found.labels[i] for i in members])
    if "train_images" not in arrays:
        raise ZooError(
            f"{printable(path)}: none of the {len(found.labels)} images has a label to train on; put them into folders "
            "of one class each, or name their classes in a CSV with the columns path and label"
        )
    return dataset_of_arrays(str(path), arrays), found.labels.count(None)


def _is_listing(source: str | Path) -> bool:
    if isinstance(source, str) and source in (*NAMES, *SUBSETS):
        return False  # a dataset, even where a folder has the same name: load_dataset says so
    path = Path(source).expanduser()
    return path.is_dir() or path.suffix.lower() == ".csv"


def _is_image(source: str | Path) -> bool:
    path = Path(source).expanduser()
    return path.is_file() and path.suffix.lower() not in (*_ARRAYS, ".csv")


def _of_dataset(data: Dataset) -> Source:
    images, paths, splits, labels = [], [], [], []
    for name, split in (("train", data.train), ("test", data.test)):
        if split is None:
            continue
        n = len(split.images)
        images.append(split.images)
        paths += [f"{name}/{i}" for i in range(n)]
        splits += [name] * n
        labels += [None] * n if split.labels is None else [data.classes[i] for i in split.labels.tolist()]
    return Source(torch.cat(images), tuple(paths), tuple(splits), tuple(labels))


def _rows(path: Path) -> list[_Row]:
    if path.is_dir():
        files = list_folder(path)
        return [_Row(file.path, split, file.label) for split, members in files.items() for file in members]
    return _read_csv(path)


def _read_csv(path: Path) -> list[_Row]:
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader if line]
    except csv.Error as error:
        raise ZooError(f"{printable(path)}: not a CSV ({error})") from error
    if "path" not in header:
        raise ZooError(
            f"{printable(path)}: expected the columns path, and where they are known label and split, in the first "
            f"line; got {printable(', '.join(header)) or 'nothing'}"
        )
    if strange := [name for name in header if name not in _COLUMNS]:
        raise unknown(f"column in {printable(path)}:", strange[0], _COLUMNS)
    rows = []
    for number, cells in lines:
        if len(cells) != len(header):
            raise ZooError(f"{printable(path)}: line {number}: expected {len(header)} fields, got {len(cells)}")
        line = dict(zip(header, cells, strict=True))
        split = line.get("split") or "train"
        if split not in ("train", "test"):
            raise ZooError(f"{printable(path)}: line {number}: split: expected train or test, got {split!r}")
        rows.append(_Row(path.parent / line["path"], split, printable(line.get("label", "")) or None))
    refuse_duplicates(path, [row.path for row in rows], [number for number, _ in lines])
    if not rows:
        raise ZooError(f"{printable(path)}: has no lines below its header; expected a line per image")
    return rows


def _read(model: PretrainedEncoder, rows: Sequence[_Row], skip_bad: bool) -> list[Tensor | None]:
    """The images of the rows, None for one that is left out."""

    def read(row: _Row) -> Tensor | ZooError:
        try:
            return torch.from_numpy(read_image(row.path, model.input_shape))
        except ZooError as error:
            if not skip_bad:
                raise
            return error

    with ThreadPoolExecutor() as pool:
        bar = tqdm(pool.map(read, rows), total=len(rows), desc="read", unit=" images", delay=2, disable=None)
        found = list(bar)
    if faults := [str(image) for image in found if isinstance(image, ZooError)]:
        warnings.warn(f"{len(faults)} of {len(rows)} files are no images: {first_few(faults)}; left out", stacklevel=3)
    return [None if isinstance(image, ZooError) else image for image in found]
