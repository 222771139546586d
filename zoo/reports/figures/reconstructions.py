"""Rows of images: originals with their reconstructions, and noisy images with what a denoising autoencoder makes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from zoo.errors import ZooError
from zoo.reports.figures._shared import GREYS, mosaic, new_figure, pixels, shorten, write

_ROWS = 10  # of reconstructions
_COLUMNS = 10


def reconstructions(originals: Tensor, decoded: Mapping[str, Tensor], title: str, path: str | Path) -> Path:
    """Plot a row of images above a row of their reconstructions, or a row for each of several epochs, as PNG.

    Args:
        originals: `[N, C, H, W]`, uint8 or float in 0..1; the first 10 are shown.
        decoded: reconstructions of the same images, float in 0..1, by the names of the rows. Of more than 10 rows,
            those are shown that are spaced evenly in the logarithm of their number, among them the first and the last:
            most happens in the first epochs.
        title: the title of the figure.
        path: the path of the PNG.

    Raises:
        ZooError: if there are no reconstructions, or one is not of the originals' shape.
    """
    if not decoded:
        raise ZooError("no reconstructions to plot; expected one row or more")
    names, n = list(decoded), len(decoded)
    chosen = range(n) if n <= _ROWS else dict.fromkeys(np.geomspace(1, n, _ROWS).round().astype(int) - 1)
    return _write_rows({"original": originals, **{names[i]: decoded[names[i]] for i in chosen}}, title, path)


def denoising_pairs(
    noisy: Float[Tensor, "rows channels height width"],
    denoised: Float[Tensor, "rows channels height width"],
    clean: Tensor,
    title: str,
    path: str | Path,
) -> Path:
    """Plot a row of noisy images, a row of what the autoencoder makes of them, and a row of the clean ones, as PNG.

    Args:
        noisy: `[N, C, H, W]` in 0..1; the first 10 are shown.
        denoised: the same images as reconstructed from the noisy ones, in 0..1.
        clean: the same images without noise, uint8 or float in 0..1.
        title: the title of the figure.
        path: the path of the PNG.

    Raises:
        ZooError: if the shapes differ.
    """
    return _write_rows({"noisy": noisy, "denoised": denoised, "clean": clean}, title, path)


def _write_rows(rows: Mapping[str, Tensor], title: str, path: str | Path) -> Path:
    shapes = {name: list(images.shape) for name, images in rows.items()}
    if len({str(shape) for shape in shapes.values()}) > 1:
        raise ZooError(f"expected as many images of the same size in each row, got {shapes}")
    tiles = np.stack([pixels(images[:_COLUMNS]) for images in rows.values()])
    picture, (xs, ys) = mosaic(tiles)
    height, width = picture.shape[:2]
    figure = new_figure(0.7 + 5.2 * height / width, title)
    axes = figure.subplots()
    axes.imshow(picture, interpolation="nearest")
    axes.set_yticks(ys, [shorten(name) for name in rows], fontsize=11, parse_math=False)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return write(figure, path, colours=GREYS if next(iter(rows.values())).shape[1] == 1 else 256)
