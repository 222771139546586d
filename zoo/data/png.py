"""What a decoder of PNGs lets pass: data whose checksum is wrong, and data that end before the last row."""

import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # per pixel, by the type of colour
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7
_Chunk = tuple[bytes, bytes, int | None]  # name, content, checksum: None where the file ends before it
_PIECE = 1_000_000  # bytes that are decompressed at once


def fault_of(file: str | Path | bytes, image: Image.Image) -> str:
    """What is wrong with the file of an image that was read, given by its path or bytes; "" if nothing is.

    The decoder does not check the checksums of the pixels: a flipped bit gives another image. Where the data end early,
    it leaves the other rows black.
    """
    chunks = list(_chunks(file if isinstance(file, bytes) else Path(file).read_bytes()))
    if any(zlib.crc32(data, zlib.crc32(name)) != checksum for name, data, checksum in chunks if checksum is not None):
        return "modified: a checksum is wrong"
    if any(name == b"IDAT" and checksum is None for name, _, checksum in chunks):
        return "truncated: it ends within its data"
    return "" if _has_all_rows(chunks, image) else "truncated: rows are missing"


def _has_all_rows(chunks: list[_Chunk], image: Image.Image) -> bool:
    """Whether there are data for every row.

    Where the last row has other values than 0, all rows were read. Only where it has none are the data decompressed
    again and counted.
    """
    width, height = image.size
    if "interlace" not in image.info and np.asarray(image.crop((0, height - 1, width, height))).any():
        return True
    name, head, _ = chunks[0] if chunks else (b"", b"", None)
    if name != b"IHDR" or len(head) < 13:
        return False
    bits = head[8] * _SAMPLES.get(head[9], 0)
    passes = _PASSES if head[12] else ((0, 0, 1, 1),)
    expected = sum(
        rows * (1 + math.ceil(columns * bits / 8))  # each row begins with the byte of its filter
        for x, y, dx, dy in passes
        if (columns := math.ceil((width - x) / dx)) > 0 and (rows := math.ceil((height - y) / dy)) > 0
    )
    stream, found = zlib.decompressobj(), 0
    for name, data, _ in chunks[1:]:
        while name == b"IDAT" and data and found < expected and not stream.eof:
            found += len(stream.decompress(data, _PIECE))
            data = stream.unconsumed_tail
    return found >= expected


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The chunks of a PNG, up to its end."""
    start = 8
    while start + 8 <= len(data):
        stop = start + 8 + int.from_bytes(data[start : start + 4], "big")
        checksum = int.from_bytes(data[stop : stop + 4], "big") if stop + 4 <= len(data) else None
        yield (name := data[start + 4 : start + 8]), data[start + 8 : stop], checksum
        start = stop + 4 if name != b"IEND" else len(data)
