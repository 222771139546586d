"""Whether a PNG has all its rows: where its data end early, the decoder is content and leaves the rest black."""

import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # per pixel, by the type of colour
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7
_PIECE = 1_000_000  # bytes that are decompressed at once


def has_all_rows(path: str | Path, image: Image.Image) -> bool:
    """Whether the file of an image that was read has data for every row.

    Where the last row has other values than 0, all rows were read. Only where it has none are the data of the file
    decompressed again and counted.
    """
    width, height = image.size
    if "interlace" not in image.info and np.asarray(image.crop((0, height - 1, width, height))).any():
        return True
    with open(path, "rb") as file:
        chunks = _chunks(file.read())
    name, head = next(chunks, (b"", b""))
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
    for name, data in chunks:
        while name == b"IDAT" and data and found < expected and not stream.eof:
            found += len(stream.decompress(data, _PIECE))
            data = stream.unconsumed_tail
    return found >= expected


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The names and contents of the chunks of a PNG."""
    start = 8
    while start + 8 <= len(data):
        stop = start + 8 + int.from_bytes(data[start : start + 4], "big")
        yield data[start + 4 : start + 8], data[start + 8 : stop]
        start = stop + 4
