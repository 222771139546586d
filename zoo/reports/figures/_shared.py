"""What the figures share: size, title, colours, legend, images as pixels, and the file."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from torch import Tensor

from zoo.files import write_atomically

_WIDTH, _DPI = 6.4, 150  # 960 pixels: at half width, in a README, text of 11 points is 11 pixels high
GREYS = 64  # colours of a figure of grey images
_LISTED = 32  # classes in a legend; beyond, colours cannot be told apart
_COLUMN = 16  # classes in a column of it


Place = Literal["outside right center", "outside upper center"]  # of a legend


def new_figure(height: float, title: str) -> Figure:
    """A figure of a README's width with a title that is broken into lines where it must be."""
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    wrapped = [textwrap.fill(line, 62, break_on_hyphens=False) for line in title.splitlines()]
    figure.suptitle("\n".join(wrapped), fontsize=12, parse_math=False)
    return figure


def palette(n: int) -> list[tuple[float, float, float, float]]:
    """A colour for each of n classes."""
    from matplotlib import colormaps

    return [colormaps["tab10"](i) if n <= 10 else colormaps["turbo"]((i + 0.5) / n) for i in range(n)]


def class_legend(figure: Figure, classes: Sequence[str]) -> None:
    """A legend of dots in the colours of the classes, unless they are too many to tell apart."""
    if len(classes) > _LISTED:
        return
    dots = [Line2D([], [], color=colour, marker="o", markersize=7, linewidth=0) for colour in palette(len(classes))]
    columns = -(-len(classes) // _COLUMN)
    figure.set_figwidth(_WIDTH + 2 * (columns - 1))
    add_legend(figure, dots, [shorten(name, 16) for name in classes], "outside right center", columns)


def add_legend(figure: Figure, handles: Sequence[Artist], names: Sequence[str], where: Place, columns: int = 1) -> None:
    """A legend outside the axes."""
    legend = figure.legend(handles, names, loc=where, ncols=columns, frameon=False, fontsize=11, handletextpad=0.3)
    for text in legend.get_texts():
        text.set_parse_math(False)


def shorten(name: str, length: int = 20) -> str:
    """A name that is cut at a length."""
    return name if len(name) <= length else name[: length - 1] + "…"


def pixels(images: Tensor) -> np.ndarray:
    """Images `[N, C, H, W]`, uint8 or float in 0..1, as bytes `[N, H, W, 3]`."""
    values = images if images.dtype.is_floating_point else images.float() / 255
    values = (values.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return np.broadcast_to(values, (*values.shape[:3], 3))


def mosaic(tiles: np.ndarray, gap: int = 2) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """One picture of rows of images `[R, N, H, W, 3]`, and the middles of the columns and of the rows in it."""
    rows, columns, height, width, _ = tiles.shape
    padded = np.pad(tiles, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255)
    picture = padded.swapaxes(1, 2).reshape(rows * (height + gap), columns * (width + gap), 3)
    middles = [np.arange(n) * (side + gap) + (side - 1) / 2 for n, side in ((columns, width), (rows, height))]
    return picture, (middles[0], middles[1])


def write(figure: Figure, path: str | Path, *, colours: int = 256) -> Path:
    """Write the figure as PNG, with the directories above it.

    With 256 colours a file is a third as large as with all of them, and looks the same, photos too.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn, written = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    Image.open(drawn).convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
    write_atomically(path, written.getvalue())
    return path
