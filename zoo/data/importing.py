"""Import images: decode a folder or CSV once, into one file that is mapped from then on.

Each image is decoded as in `zoo.data.images`, by all cores, and the file holds what `load_dataset` of the folder gives.
Beside `photos.safetensors`,

    photos.safetensors.index        lists its images: a second import decodes only what is new or changed
    photos.safetensors.unfinished   holds the images of an import that was stopped: it goes on from there
    photos.safetensors.unfinished.index

The last two are removed at the end. An index is a line of JSON with the folder and the shape of the images, and one for
each image with its path, the size and time of its file, and a checksum of its pixels. Memory does not grow with the
number of images, except for their paths.
"""

import contextlib
import hashlib
import itertools
import json
import math
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from zoo.data.datasets import Dataset, Split, dataset_of_arrays, load_dataset
from zoo.data.images import ImagePlan, decoded, kept_by_split, labels_of, plan_images, refuse_or_warn
from zoo.data.listing import ListedFile
from zoo.errors import ZooError
from zoo.files import expanded, locked, parse_json, printable, require_utf8, write_atomically, writing_atomically

FORMAT_VERSION = 1
_AT_ONCE = 256  # images that are made safe from a power cut together


class Imported(NamedTuple):
    """What an import gave.

    Attributes:
        dataset: the dataset, a map of the file.
        decoded: how many images were decoded.
        unchanged: how many were not, because an earlier import had decoded them.
    """

    dataset: Dataset
    decoded: int
    unchanged: int


class _Entry(NamedTuple):
    """A file with an image: its path from the folder, and its size in bytes and time in ns, which change with it."""

    path: str
    size: int
    modified: int


class _Source(Protocol):
    """What has the pixels of images that were decoded before, and their checksums."""

    @property
    def positions(self) -> Mapping[_Entry, int]: ...

    @property
    def checksums(self) -> Sequence[int]: ...

    def row(self, entry: _Entry) -> bytes: ...


def import_images(path: str | Path, out: str | Path, *, size: int | None = None, skip_bad: bool = False) -> Imported:
    """Import the images of a folder or CSV into a file, or bring the file of an earlier import up to date.

    Args:
        path: the path of the folder or CSV.
        out: the path of the file, which ends in `.safetensors`. A file that is there is replaced only if it was
            imported from the same folder or CSV, in the same size.
        size: as in `load_dataset`; None for the size of an earlier import, if there was one.
        skip_bad: as in `load_dataset`.

    Raises:
        ZooError: as in `load_dataset`; if `out` is another file; if the disk has no room for the images; if another
            process is importing into the same file.
        OSError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> from zoo.data.example import write_example
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     photos, _ = write_example(Path(folder, "photos"))
        ...     import_images(photos, f"{folder}/photos.safetensors")[1:]
        ...     import_images(photos, f"{folder}/photos.safetensors")[1:]
        (400, 0)
        (0, 400)
    """
    path, out = expanded(path), expanded(out)
    require_utf8(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with locked(_beside(out, "lock"), "importing"):
        earlier = _earlier_import(out, path, size)
        plan = plan_images(path, size or (earlier.shape[-1] if earlier else None))
        entries = [_entry(file, path) for file in plan.files]
        if earlier and earlier.shape != plan.shape:  # there is a first colour image among grey ones
            earlier = None
        head = _head(path, plan.shape)
        with _Unfinished(_beside(out, "unfinished"), head) as unfinished:
            sources: Sequence[_Source] = [unfinished, earlier] if earlier else [unfinished]
            missing = [i for i, entry in enumerate(entries) if not any(entry in x.positions for x in sources)]
            _require_room(out, plan, len(missing))
            faults = [""] * len(entries)
            for i, pixels in zip(missing, decoded(plan, missing), strict=True):
                if isinstance(pixels, str):
                    faults[i] = pixels
                else:
                    unfinished.add(entries[i], pixels.data)
            unfinished.flush()
            refuse_or_warn(path, plan, faults, skip_bad)
            kept = kept_by_split(path, plan.files, faults)
            form = _form(path, plan, kept)
            images = {split: [entries[i] for i in members] for split, members in kept.items()}
            if earlier is None or not _is_up_to_date(earlier, form, images):
                _write(out, form, images, sources, head)
        unfinished.remove()
    return Imported(load_dataset(out), len(missing) - sum(map(bool, faults)), len(entries) - len(missing))


def _write_dataset(
    out: Path, form: Dataset, shape: Sequence[int], pixels: Callable[[str], Iterable[bytes]], *, source: str
) -> None:
    """Write what `save_dataset` writes, of images that come one by one.

    Args:
        out: the path of the file.
        form: the dataset; of its images, only the number is used.
        shape: `(C, H, W)` of the images.
        pixels: the pixels of the images of a split, in order.
        source: as in `save_dataset`.
    """
    splits = {name: split for name, split in (("train", form.train), ("test", form.test)) if split is not None}
    labels = {f"{name}_labels": split.labels.numpy() for name, split in splits.items() if split.labels is not None}
    shapes = {f"{name}_images": [len(split.images), *shape] for name, split in splits.items()}
    layout, end = {}, 0
    for name in (*sorted(labels), *sorted(shapes)):  # labels first: all is aligned
        dtype, dimensions = ("I64", list(labels[name].shape)) if name in labels else ("U8", shapes[name])
        start, end = end, end + math.prod(dimensions) * (8 if name in labels else 1)
        layout[name] = {"dtype": dtype, "shape": dimensions, "data_offsets": [start, end]}
    metadata = {"name": out.stem, "classes": json.dumps(list(form.classes)), "source": source}
    sha = hashlib.sha256()
    with writing_atomically(out) as file:
        file.write(_header(layout, {**metadata, "digest": "0" * 64}))
        for name in sorted(labels):
            file.write(labels[name].tobytes())
        for name in sorted((*labels, *shapes)):  # the order of `Dataset.digest`
            if name in labels:
                sha.update(f"{name} torch.int64 {list(labels[name].shape)}\n".encode())
                sha.update(labels[name].tobytes())
                continue
            sha.update(f"{name} torch.uint8 {shapes[name]}\n".encode())
            for data in pixels(name.partition("_")[0]):
                sha.update(data)
                file.write(data)
        file.seek(0)
        file.write(_header(layout, {**metadata, "digest": sha.hexdigest()}))


def _header(layout: Mapping[str, Any], metadata: Mapping[str, str]) -> bytes:
    """The header of a safetensors file, padded so that the arrays are aligned."""
    header = json.dumps({"__metadata__": metadata, **layout}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header


class _Rows(NamedTuple):
    """Where an earlier import has the pixels of its images, and their checksums."""

    dataset: Dataset
    positions: Mapping[_Entry, int]
    checksums: Sequence[int]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.dataset.train.images.shape[1:])

    @property
    def _test_images(self) -> Tensor:
        assert self.dataset.test is not None  # what is not among the training images is there
        return self.dataset.test.images

    def row(self, entry: _Entry) -> bytes:
        """The pixels of an image, as they were decoded."""
        position, images = self.positions[entry], self.dataset.train.images
        if position >= len(images):
            position, images = position - len(images), self._test_images
        pixels = self.dataset.rows(images, torch.tensor([position])).numpy().tobytes()
        return _checked(pixels, self.checksums[self.positions[entry]], self.dataset.name)


class _Unfinished:
    """The pixels of an import that is not finished, in the order in which they were decoded."""

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        self._path, self._index, self._size = path, _index_of(path), math.prod(head["shape"])
        entries = _read_index(self._index, head)
        if not path.is_file():
            entries = {}
        whole = path.stat().st_size // self._size if entries else 0
        self.checksums = list(entries.values())[:whole]
        self.positions = {entry: i for i, entry in enumerate(list(entries)[:whole])}
        write_atomically(self._index, _index(head, zip(self.positions, self.checksums, strict=True)))
        self._file = open(path, "r+b" if whole else "w+b")
        self._file.truncate(whole * self._size)  # what is not in the index is decoded again
        self._file.seek(0, os.SEEK_END)
        self._log, self._lines = open(self._index, "ab"), []

    def __enter__(self) -> "_Unfinished":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # as of a full disk, which was raised before
            self.flush()
        for file in (self._file, self._log):
            with contextlib.suppress(OSError):
                file.close()

    def add(self, entry: _Entry, pixels: memoryview) -> None:
        self._file.write(pixels)
        self.positions[entry] = len(self.checksums)
        self.checksums.append(zlib.crc32(pixels))
        self._lines.append(_line(entry, self.checksums[-1]))
        if len(self._lines) == _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Make what was added safe: first the pixels, then the lines that say that they are there."""
        for file, lines in ((self._file, []), (self._log, self._lines)):
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        self._lines = []

    def row(self, entry: _Entry) -> bytes:
        position = self.positions[entry]
        self._file.seek(position * self._size)
        return _checked(self._file.read(self._size), self.checksums[position], printable(self._path))

    def remove(self) -> None:
        for path in (self._index, self._path):
            path.unlink(missing_ok=True)


def _earlier_import(out: Path, path: Path, size: int | None) -> _Rows | None:
    """What an earlier import of this folder wrote; None if there is nothing at `out`.

    Raises:
        ZooError: if there is something else.
    """
    if not out.exists():
        return None
    hint = "choose another name, so that nothing is overwritten"
    other = ZooError(f"{printable(out)}: already exists, and was not imported from {printable(path)}; {hint}")
    if not out.is_file() or not _index_of(out).is_file():
        raise other
    dataset = load_dataset(out)
    shape = tuple(dataset.train.images.shape[1:])
    entries = _read_index(_index_of(out), _head(path, shape))
    images = len(dataset.train.images) + (len(dataset.test.images) if dataset.test else 0)
    if len(entries) != images:
        raise other
    if size not in (None, shape[-1]):
        raise ZooError(
            f"{printable(out)}: already exists, with {shape[-1]}x{shape[-1]} pixels; for {size}x{size}, {hint}"
        )
    return _Rows(dataset, {entry: i for i, entry in enumerate(entries)}, list(entries.values()))


def _entry(file: ListedFile, path: Path) -> _Entry:
    """The entry of a file; one of no size and time if there is no such file, which is an error later on."""
    name = os.path.relpath(file.path, path if path.is_dir() else path.parent)
    try:
        status = os.stat(file.path)
    except OSError:
        return _Entry(name, -1, 0)
    return _Entry(name, status.st_size, status.st_mtime_ns)


def _require_room(out: Path, plan: ImagePlan, missing: int) -> None:
    """Stop before anything is decoded, if the disk has no room for the images that are missing, and for the file."""
    needed = (missing + len(plan.files)) * math.prod(plan.shape)
    free = shutil.disk_usage(out.parent).free
    if missing and needed > free:
        raise ZooError(
            f"{printable(out)}: {len(plan.files):,} images of {plan.shape[-1]}x{plan.shape[-1]} pixels need "
            f"{needed / 1e9:,.2f} GB while they are imported, and the disk has {free / 1e9:,.2f} GB free; make room, "
            "or choose a smaller size with --size (size=)"
        )


def _form(path: Path, plan: ImagePlan, kept: Mapping[str, Sequence[int]]) -> Dataset:
    """The dataset with images of one pixel in place of its own; its labels are numbered as those of a folder are."""
    arrays: dict[str, np.ndarray] = {}
    for split, members in kept.items():
        arrays[f"{split}_images"] = np.zeros((len(members), 1, 1), np.uint8)
        labels = labels_of(path, split, [plan.files[i] for i in members])
        if labels is not None:
            arrays[f"{split}_labels"] = labels
    return dataset_of_arrays(str(path), arrays)


def _is_up_to_date(earlier: _Rows, form: Dataset, images: Mapping[str, Sequence[_Entry]]) -> bool:
    """Whether the earlier import has these images, in this order, with these labels."""
    before = earlier.dataset

    def same(one: Split | None, other: Split | None) -> bool:
        if one is None or other is None:
            return one is other
        if len(one.images) != len(other.images):
            return False
        if one.labels is None or other.labels is None:
            return one.labels is other.labels
        return torch.equal(one.labels, other.labels)

    return (
        list(earlier.positions) == list(itertools.chain(*images.values()))
        and before.classes == form.classes
        and same(before.train, form.train)
        and same(before.test, form.test)
    )


def _write(
    out: Path,
    form: Dataset,
    images: Mapping[str, Sequence[_Entry]],
    sources: Sequence[_Source],
    head: Mapping[str, Any],
) -> None:
    """Write the file and its index: the images of each split in order, each from the source that has it."""
    checksums: dict[_Entry, int] = {}

    def pixels(split: str) -> Iterator[bytes]:
        for entry in images[split]:
            found = next(x for x in sources if entry in x.positions)
            checksums[entry] = found.checksums[found.positions[entry]]
            yield found.row(entry)

    _index_of(out).unlink(missing_ok=True)  # what it describes is about to change
    _write_dataset(out, form, head["shape"], pixels, source=f"zoo data import {Path(head['folder']).name}")
    order = itertools.chain(*images.values())
    write_atomically(_index_of(out), _index(head, ((x, checksums[x]) for x in order)))


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f"{out.name}.{what}")


def _index_of(path: Path) -> Path:
    return _beside(path, "index")


def _head(path: Path, shape: Sequence[int]) -> dict[str, Any]:
    """The first line of an index."""
    return {"format_version": FORMAT_VERSION, "folder": printable(os.path.abspath(path)), "shape": list(shape)}


def _index(head: Mapping[str, Any], entries: Iterable[tuple[_Entry, int]]) -> bytes:
    return json.dumps(head).encode() + b"\n" + b"".join(_line(entry, checksum) for entry, checksum in entries)


def _line(entry: _Entry, checksum: int) -> bytes:
    return json.dumps([*entry, checksum]).encode() + b"\n"


def _read_index(index: Path, head: Mapping[str, Any]) -> dict[_Entry, int]:
    """The entries of an index and their checksums; none, if it has another head or cannot be read.

    A line that was not finished, and what comes after it, is ignored.
    """
    entries: dict[_Entry, int] = {}
    with contextlib.suppress(OSError, ZooError, TypeError, ValueError):
        first, *lines = index.read_bytes().splitlines()
        if parse_json(first) == head:
            for line in lines:
                path, size, modified, checksum = parse_json(line)
                entries[_Entry(path, size, modified)] = checksum
    return entries


def _checked(pixels: bytes, checksum: int, name: str) -> bytes:
    if zlib.crc32(pixels) != checksum:
        raise ZooError(f"{name}: the file was changed since images were imported into it; remove it, and import again")
    return pixels
