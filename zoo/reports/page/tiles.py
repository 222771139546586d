"""Thumbnails in sheets: square tiles of one size, row by row, as WebP in base64.

A sheet holds at most 256 tiles, so that a browser decodes it within milliseconds when it shows the first of them.
"""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from zoo.data.images import each, read_image
from zoo.errors import ZooError

_COLUMNS = 16
_LOSSLESS_UP_TO = 28  # pixels: such tiles do not fit the blocks of lossy compression, and are small without
_QUALITY = 85


class Tiles(NamedTuple):
    """Thumbnails.

    Attributes:
        side: of a tile in pixels.
        columns: tiles in a row of a sheet, and rows of a sheet.
        sheets: WebP in base64.
    """

    side: int
    columns: int
    sheets: tuple[str, ...]

    def place(self) -> dict[str, int]:
        """What the page needs to find a tile."""
        return {"side": self.side, "columns": self.columns}


def make_tiles(images: Tensor, paths: Sequence[str] | None, largest: int) -> Tiles:
    """Thumbnails of images.

    Args:
        images: uint8 `[N, C, H, W]`, as an encoder takes them.
        paths: those of their files, which may have more pixels; None for images of a dataset or of arrays.
        largest: the side of a tile in pixels; less for images of arrays that are smaller.

    Returns:
        A tile of each, cropped to the centre. A file that is gone by now is shown as the encoder saw it.

    Example:
        >>> import torch
        >>> tiles = make_tiles(torch.zeros(300, 1, 8, 8, dtype=torch.uint8), None, 64)
        >>> tiles.side, len(tiles.sheets)
        (8, 2)
    """
    side = largest if paths else min(largest, max(images.shape[2:]))

    def tile(i: int) -> Image.Image:
        if paths:
            try:
                return Image.fromarray(read_image(paths[i], (3, side, side)).transpose(1, 2, 0))
            except ZooError:
                pass
        pixels = images[i].permute(1, 2, 0).numpy()
        picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        return Image.fromarray(read_image(picture, (3, side, side)).transpose(1, 2, 0))

    at_once = _COLUMNS**2
    starts = range(0, len(images), at_once)
    drawn = each(tile, range(len(images)), "thumbnails", len(images))
    sheets = tuple(_sheet([next(drawn) for _ in range(min(at_once, len(images) - start))], side) for start in starts)
    return Tiles(side, _COLUMNS, sheets)


def _sheet(tiles: Sequence[Image.Image], side: int) -> str:
    sheet = Image.new("RGB", (min(len(tiles), _COLUMNS) * side, -(-len(tiles) // _COLUMNS) * side))
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (i % _COLUMNS * side, i // _COLUMNS * side))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=_QUALITY, lossless=side <= _LOSSLESS_UP_TO)
    return base64.b64encode(buffer.getvalue()).decode()
