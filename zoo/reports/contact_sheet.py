"""Contact sheets: ten images of each class, to inspect a dataset before training; numbered images, to label them.

Pixels stay sharp: small images are enlarged by a whole number. Large images are reduced.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoo.data.datasets import Split
from zoo.errors import ZooError
from zoo.files import write_atomically

_COLUMNS = 10
_ROWS = 50  # at most: a sheet of a thousand classes would be useless
_TILE, _GAP, _MARGIN = 72, 4, 20
LARGE_TILE = 144  # pixels of an image on a sheet of numbered images
_LARGE_COLUMNS, _CAPTION = 5, 20
_BLACK, _GREY = (20, 20, 20), (130, 130, 130)
_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"  # more scripts than Pillow's font


class _Row(NamedTuple):
    """A row of the sheet: a class with its images, or ten images without labels."""

    name: str
    note: str
    images: Tensor


def contact_sheet(split: Split, classes: Sequence[str], title: str, path: str | Path) -> Path:
    """Draw ten evenly spaced images of each class, or a hundred images without labels, as PNG.

    Args:
        split: images uint8 `[N, C, H, W]`, with or without labels.
        classes: the class names; the first 50 classes are drawn.
        title: the title of the sheet.
        path: the path of the PNG.

    Raises:
        ZooError: if the path does not end in .png.
        OSError: if the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ZooError(f"{path}: expected a path ending in .png")
    rows = _rows(split, classes)
    names, notes, heading = (ImageFont.truetype(str(_FONT), size) for size in (15, 11, 17))
    tile = _tile(split.images[0])
    step_x, step_y = tile.width + _GAP, max(tile.height, _TILE // 2) + _GAP
    indent = max(max(names.getlength(row.name), notes.getlength(row.note)) for row in rows)
    left, top = _MARGIN + (int(indent) + 16 if indent else 0), _MARGIN + 34
    rest = len(classes) - _ROWS
    sheet = Image.new(
        "RGB",
        (
            max(left + _COLUMNS * step_x - _GAP, _MARGIN + int(heading.getlength(title))) + _MARGIN,
            top + len(rows) * step_y + (22 if rest > 0 else 0) + _MARGIN,
        ),
        "white",
    )
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), title, _BLACK, heading)
    for number, row in enumerate(rows):
        y = top + number * step_y
        middle = y + (step_y - _GAP) // 2
        draw.text((_MARGIN, middle - 8), row.name, _BLACK, names, anchor="lm")
        draw.text((_MARGIN, middle + 10), row.note, _GREY, notes, anchor="lm")
        for column, image in enumerate(row.images):
            sheet.paste(_tile(image), (left + column * step_x, y))
    if rest > 0:
        draw.text((_MARGIN, top + len(rows) * step_y + 8), f"and {rest:,} more classes", _GREY, names)
    return _written(sheet, path)


def numbered_sheet(images: Sequence[Tensor], names: Sequence[str], title: str, path: str | Path) -> Path:
    """Draw images in their order, each with its number from 1 and its name, as PNG.

    Args:
        images: uint8 `[C, H, W]` each.
        names: a name for each; long ones lose their middle.
        title: the title of the sheet.
        path: the path of the PNG.

    Raises:
        OSError: if the file cannot be written.
    """
    captions, heading = (ImageFont.truetype(str(_FONT), size) for size in (11, 17))
    step_x, step_y = LARGE_TILE + 3 * _GAP, LARGE_TILE + _CAPTION + 2 * _GAP
    rows = -(-len(images) // _LARGE_COLUMNS)
    top = _MARGIN + 34
    size = (2 * _MARGIN + _LARGE_COLUMNS * step_x - 3 * _GAP, top + rows * step_y + _MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), title, _BLACK, heading)
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        x, y = _MARGIN + number % _LARGE_COLUMNS * step_x, top + number // _LARGE_COLUMNS * step_y
        sheet.paste(_tile(image, LARGE_TILE), (x, y))
        caption = f"{number + 1}  {name}"
        while captions.getlength(caption) > LARGE_TILE + 2 * _GAP and len(name) > 4:
            name = name[: len(name) // 2 - 1] + name[len(name) // 2 + 1 :]
            caption = f"{number + 1}  {name[: len(name) // 2]}…{name[len(name) // 2 :]}"
        draw.text((x, y + LARGE_TILE + 4), caption, _BLACK, captions)
    return _written(sheet, Path(path))


def _written(sheet: Image.Image, path: Path) -> Path:
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
    return path


def _rows(split: Split, classes: Sequence[str]) -> list[_Row]:
    images, labels = split
    if labels is None:
        return [_Row("", "", chunk) for chunk in _spread(images, _COLUMNS**2).split(_COLUMNS)]
    rows = []
    for number, name in enumerate(classes[:_ROWS]):
        members = (labels == number).nonzero()[:, 0]
        rows.append(_Row(_shorten(name), f"{len(members):,} images", images[_spread(members, _COLUMNS)]))
    return rows


def _spread(items: Tensor, n: int) -> Tensor:
    """At most n items, evenly spaced."""
    count = min(n, len(items))
    return items[[i * len(items) // count for i in range(count)]]


def _tile(image: Tensor, largest: int = _TILE) -> Image.Image:
    channels, height, width = image.shape
    pixels = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).convert("RGB")
    side = max(height, width)
    if side > largest:
        return picture.resize((width * largest // side or 1, height * largest // side or 1), Image.Resampling.LANCZOS)
    return picture.resize((width * (largest // side), height * (largest // side)), Image.Resampling.NEAREST)


def _shorten(name: str, length: int = 28) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"
