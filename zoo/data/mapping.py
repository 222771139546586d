"""Map a safetensors file of arrays: its images stay on disk until they are used.

A map has two dangers. Where its file has been shortened, a look at it ends the process (SIGBUS); and where its file has
been overwritten, it shows other images than those whose digest was computed. So whoever reads for long reads copies,
with `MappedFile.rows` and `MappedFile.pieces`, which read the file itself and raise an error where it is too short, and
calls `MappedFile.require_unchanged` before anything is kept. `batches` does both for images that come without their
file. A file that is replaced by renaming another over it does no harm: the map keeps the old one.

The header is checked against the size of the file before anything is allocated.
"""

import math
import mmap
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ZooError
from zoo.files import parse_json, printable

_LARGEST_HEADER = 100_000_000  # bytes, as in the safetensors library
_PIECE = 16_000_000  # bytes that are read at once
_DTYPES = {
    **{"BOOL": "?", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8"},
    **{"I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8"},
}


_OPEN: "weakref.WeakSet[MappedFile]" = weakref.WeakSet()  # by which `batches` finds the file of images


def batches(images: Tensor, size: int) -> Iterator[Tensor]:
    """All images in order, `size` at a time; those in a map come from its file, which must not have changed at the end.

    Args:
        images: the images, in a map or anywhere else.
        size: images per batch, from 1.

    Raises:
        ZooError: if the file of a map was written to since it was opened.
    """
    file = next((file for file in tuple(_OPEN) if file.holds(images)), None)
    if file is None:
        yield from images.split(size)
        return
    yield from file.pieces(images, size)
    file.require_unchanged()


class Stamp(NamedTuple):
    """What changes when a file is written to: its size in bytes and its times in ns. Nobody can set the last one."""

    size: int
    modified: int
    changed: int


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a file from its status."""
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class MappedFile:
    """An open file whose arrays are views of a map of it.

    Args:
        path: the path of the file.

    Attributes:
        path: the path of the file.
        stamp: its stamp when it was opened.
        arrays: the arrays of the file by name. Writing to them changes memory, never the file.
        metadata: the strings in its header.

    Raises:
        ZooError: if the file is truncated, corrupt, or not a safetensors file.
        OSError: if it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open(path, "rb", buffering=0)  # closed with the object
        self._closing = weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()  # a position in the file belongs to one thread at a time
        self.stamp = stamp_of(os.fstat(self._file.fileno()))
        entries, self.metadata, start = self._read_header()
        try:
            content = mmap.mmap(self._file.fileno(), self.stamp.size, access=mmap.ACCESS_COPY)
            self.arrays = {
                name: np.ndarray(shape, dtype, content, start + offset)
                for name, (dtype, shape, offset) in entries.items()
            }
        except ValueError as error:  # shapes that numpy has no room for; or the file shrank just now
            raise self._corrupt(str(error)) from error
        self._address = np.frombuffer(content, np.uint8).ctypes.data
        _OPEN.add(self)

    def holds(self, images: Tensor) -> bool:
        """Whether images lie in the map, one after the other."""
        return self._position(images) is not None

    def rows(self, images: Tensor, index: Tensor) -> Tensor:
        """`images[index]` for images in the map, read from the file.

        Args:
            images: the images, in the map or anywhere else.
            index: int64 `[B]`, positions from 0.

        Raises:
            ZooError: if the file is shorter than it was.
        """
        start = self._position(images)
        if start is None or not len(index):
            return images[index]
        found = torch.empty(len(index), *images.shape[1:], dtype=images.dtype)
        flat = found.numpy().data.cast("B")
        size = images[0].nbytes
        with self._lock:
            for i, position in enumerate(index.tolist()):
                self._read(start + position * size, flat[i * size : (i + 1) * size])
        return found

    def pieces(self, images: Tensor, at_once: int | None = None) -> Iterator[Tensor]:
        """All images in order, read from the file where they are in the map.

        Args:
            images: the images, in the map or anywhere else.
            at_once: images of the map per piece, from 1; None for 16 MB of them.

        Raises:
            ZooError: if the file is shorter than it was.
        """
        start = self._position(images)
        if start is None:
            yield images
            return
        size = images[0].nbytes
        for first, piece in enumerate(images.split(n := at_once or max(1, _PIECE // size))):
            found = torch.empty(piece.shape, dtype=images.dtype)
            with self._lock:
                self._read(start + first * n * size, found.numpy().data.cast("B"))
            yield found

    def require_unchanged(self) -> None:
        """Stop if the file was written to since it was opened.

        Raises:
            ZooError: the message says how the file changed.
        """
        now = stamp_of(os.fstat(self._file.fileno()))
        if (now.size, now.modified) == (self.stamp.size, self.stamp.modified):
            # A renamed, removed or newly linked file has another time of change and the same content.
            return
        size = f"{now.size:,} bytes instead of {self.stamp.size:,}" if now.size != self.stamp.size else "written to"
        raise self._changed(size)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy of a dataset holds its images in memory, and needs no file."""
        return type(None), ()

    def _position(self, images: Tensor) -> int | None:
        """The position in the file of images in the map; None for other images."""
        position = images.data_ptr() - self._address if images.device.type == "cpu" else -1
        inside = 0 <= position and position + images.nbytes <= self.stamp.size
        return position if inside and images.is_contiguous() and len(images) else None

    def _read(self, position: int, out: memoryview) -> None:
        self._file.seek(position)
        while len(out):
            if not (n := self._file.readinto(out)):
                raise self._changed(f"only {os.fstat(self._file.fileno()).st_size:,} bytes of {self.stamp.size:,}")
            out = out[n:]

    def _changed(self, how: str) -> ZooError:
        return ZooError(
            f"{printable(self.path)}: the file was changed while it was in use: {how}; nothing was kept of what was "
            "read since. Leave it alone while it is in use, restore it, and start again"
        )

    def _read_header(self) -> tuple[Mapping[str, tuple[str, list[int], int]], Mapping[str, str], int]:
        """The dtype, shape and offset of each array, the metadata, and where the arrays start."""
        size = self.stamp.size
        head = self._file.read(8)
        length = int.from_bytes(head, "little")
        if len(head) < 8 or length > min(size - 8, _LARGEST_HEADER):
            raise self._corrupt(f"{size:,} bytes, and a header of {length:,}" if len(head) == 8 else f"{size:,} bytes")
        try:
            header = parse_json(self._file.read(length))
            metadata = header.pop("__metadata__", {})
            entries = {name: _entry(name, entry) for name, entry in header.items()}
            if not all(isinstance(value, str) for value in metadata.values()):
                raise ValueError("metadata that are no strings")
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise self._corrupt(f"in its header: {error}") from error
        end = 0
        for name, (dtype, shape, offset) in sorted(entries.items(), key=lambda item: item[1][2]):
            if offset != end:
                raise self._corrupt(f"{name!r} starts at byte {offset:,} instead of {end:,}")
            end += math.prod(shape) * np.dtype(dtype).itemsize
        if 8 + length + end != size:
            raise self._corrupt(f"{size:,} bytes, where its header says {8 + length + end:,}")
        return entries, metadata, 8 + length

    def _corrupt(self, what: str) -> ZooError:
        return ZooError(f"{printable(self.path)}: a truncated or corrupt safetensors file ({printable(what)})")


def _entry(name: str, entry: Mapping[str, Any]) -> tuple[str, list[int], int]:
    """The dtype, shape and offset of an array, after a check of each."""
    dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if dtype not in _DTYPES:
        raise ValueError(f"{name}: expected arrays of uint8 and integers, got {dtype}")
    if not all(type(n) is int and n >= 0 for n in (*shape, start, stop)):
        raise ValueError(f"{name}: sizes that are no whole numbers from 0")
    if stop - start != math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize:
        raise ValueError(f"{name}: {stop - start:,} bytes for {dtype} {shape}")
    return _DTYPES[dtype], shape, start
