"""Read the arrays of a `.npz` archive: nothing is unpickled, and nothing is allocated before its size is checked."""

import math
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from zoo.errors import ZooError, shortened
from zoo.files import printable

# Images are compressed to a half or a tenth; archives that grow a thousandfold hold zeros, or an attack.
LARGEST_RATIO = 100  # bytes of arrays per byte of the archive
ALWAYS_ALLOWED = 256_000_000  # bytes of arrays, whatever the ratio
_PIECE = 1_000_000  # bytes that are read at once


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an archive by name.

    Raises:
        ZooError: if the archive is damaged, holds anything but arrays of plain values, or grows beyond
            `LARGEST_RATIO`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [_name(member) for member in members]
            if len(set(names)) < len(names):
                raise ValueError("two arrays have the same name")
            grown, size = sum(member.file_size for member in members), path.stat().st_size
            if grown > max(ALWAYS_ALLOWED, LARGEST_RATIO * size):
                raise ValueError(
                    f"{size:,} bytes that become {grown:,}; expected at most {LARGEST_RATIO} times as many"
                )
            return {name: _array(archive, member) for name, member in zip(names, members, strict=True)}
    except Exception as error:  # zipfile, zlib, struct, value or OS errors, depending on the damage
        reason = printable(str(error)[:200] or type(error).__name__)
        raise ZooError(f"{printable(path)}: not a readable .npz archive of arrays ({reason})") from error


def _name(member: zipfile.ZipInfo) -> str:
    name = member.filename.removesuffix(".npy")
    if name == member.filename:
        raise ValueError(f"{shortened(name)} is no array: its name does not end in .npy")
    return name


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    name = shortened(member.filename)
    with archive.open(member) as file:
        shape, fortran, dtype, header = _header(file, name)
        if dtype.hasobject:
            raise ValueError(f"{name} holds Python objects, which would have to be unpickled; convert it")
        claimed = math.prod(shape) * dtype.itemsize
        if claimed != member.file_size - header:
            raise ValueError(f"{name} says that it holds {claimed:,} bytes, and holds {member.file_size - header:,}")
        values, filled = np.empty(math.prod(shape), dtype), 0
        flat = values.view(np.uint8)
        while piece := file.read(_PIECE):  # to the end, where zipfile checks the CRC
            flat[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
            filled += len(piece)
    if filled != claimed:
        raise ValueError(f"{name} is truncated")
    return values.reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """The shape, order and dtype that the header of an array gives, and the length of the header."""
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"{name} is of version {version} of the format; expected (1, 0) or (2, 0)")
    shape, fortran, dtype = readers[version](file)
    if any(n < 0 for n in shape):
        raise ValueError(f"{name} has the shape {shape}")
    return shape, fortran, dtype, file.tell()
