"""What a classifier makes of images: its confusion matrix, and a grid of images with predictions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from torch import Tensor

from zoo.errors import ZooError
from zoo.reports.figures._shared import new_figure, pixels, shorten, write

_LEGIBLE = 25  # classes up to which the counts of a confusion matrix can be read
_DARK = 0.25  # share of a row from which errors have the darkest red
_COLUMNS = 4  # of the grid of predictions
_SHOWN = 16  # images in it
_WRONG = 12  # errors in it, if there are correct predictions for the other places


def confusion_matrix(confusion: Sequence[Sequence[int]], classes: Sequence[str], title: str, path: str | Path) -> Path:
    """Plot a confusion matrix as PNG: rows are actual classes, columns predicted ones.

    Correct predictions are blue, by their share of the row. Errors are red, by the square root of that share: a single
    one in thousands is seen, and a quarter of the row is as dark as they get.

    Args:
        confusion: counts `[K, K]`, K >= 1; for up to 25 classes they are written into the cells.
        classes: the K class names.
        title: the title of the figure.
        path: the path of the PNG.

    Raises:
        ZooError: if there are not K x K counts for K names.
    """
    counts = np.asarray(confusion)
    k = len(classes)
    if counts.shape != (k, k) or not k:
        raise ZooError(f"confusion: expected {k} x {k} counts, got {list(counts.shape)}")
    side = min(max(6.4, 0.45 * k + 1.5), 20)
    figure = new_figure(side, title)
    figure.set_figwidth(side)
    axes = figure.subplots()
    colours = _cell_colours(counts)
    axes.imshow(colours)
    names = [shorten(name) for name in classes]
    small = {"parse_math": False, "fontsize": min(10, 900 / k)}
    axes.set_xticks(range(k), names, rotation=90 if max(map(len, names)) > 2 else 0, **small)
    axes.set_yticks(range(k), names, **small)
    axes.set_xlabel("predicted", fontsize=11)
    axes.set_ylabel("actual", fontsize=11)
    figure.supxlabel("blue: correct, red: errors; the darker, the more of the row", fontsize=10)
    if k <= _LEGIBLE:
        for (row, column), count in np.ndenumerate(counts):
            shade = colours[row, column].mean()
            colour = "lightgrey" if not count else "white" if shade < 0.6 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=10 if k <= 12 else 8)
    return write(figure, path)


def predictions_grid(
    images: Tensor,
    predicted: Sequence[str],
    actual: Sequence[str],
    confidences: Sequence[float],
    title: str,
    path: str | Path,
) -> Path:
    """Plot up to 16 images, each under its label and its predicted class with the confidence, as PNG.

    Errors come first, framed in red, the most confident first: up to 12 of them. Evenly spaced correct predictions
    follow. The title says what share of all images is wrong.

    Args:
        images: `[N, C, H, W]`, uint8 or float in 0..1.
        predicted: the predicted class of each image.
        actual: the class of each image.
        confidences: the probability of each prediction, 0 to 1.
        title: the title of the figure, to which the share of errors is added.
        path: the path of the PNG.

    Raises:
        ZooError: if there is not one label, prediction and confidence per image.
    """
    n = len(images)
    if not n == len(predicted) == len(actual) == len(confidences) or not n:
        raise ZooError(
            f"expected a label, a prediction and a confidence per image, got {len(actual)}, {len(predicted)} and "
            f"{len(confidences)} for {n}"
        )
    wrong = [i for i in range(n) if predicted[i] != actual[i]]
    share = f"{len(wrong):,} of {n:,} images ({100 * len(wrong) / n:.1f} %) are wrong"
    order = "; surest errors first" if wrong else ""
    figure = new_figure(1.2 + 1.95 * -(-min(n, _SHOWN) // _COLUMNS), f"{title}\n{share}{order}")
    shown = _errors_first(wrong, confidences)
    grid = figure.subplots(-(-len(shown) // _COLUMNS), _COLUMNS, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, i in zip(grid.flat, shown, strict=False):
        axes.imshow(pixels(images[i : i + 1])[0])
        colour = "black" if predicted[i] == actual[i] else "tab:red"
        words = f"label: {shorten(actual[i], 11)}\n→ {shorten(predicted[i], 11)}, {100 * confidences[i]:.0f} %"
        axes.set_title(words, fontsize=10, color=colour, parse_math=False)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=colour, linewidth=4 if colour == "tab:red" else 0)
    figure.supxlabel("→ prediction and its confidence", fontsize=10)
    return write(figure, path)


def _cell_colours(counts: np.ndarray) -> np.ndarray:
    """Colours `[K, K, 3]`: blues on the diagonal, reds elsewhere, white where there is nothing."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    correct = np.eye(len(counts), dtype=bool)
    blue = colormaps["Blues"](0.2 + 0.7 * shares)
    red = colormaps["Reds"](0.25 + 0.55 * np.sqrt(np.minimum(shares / _DARK, 1)))
    colours = np.where(correct[..., None], blue, red)[..., :3]
    return np.where(counts[..., None] > 0, colours, 1.0)


def _errors_first(wrong: Sequence[int], confidences: Sequence[float]) -> list[int]:
    """The positions of the images to show."""
    right = sorted(set(range(len(confidences))) - set(wrong))
    errors = sorted(wrong, key=lambda i: -confidences[i])[: max(_WRONG, _SHOWN - len(right))]
    places = min(_SHOWN - len(errors), len(right))
    return errors + [right[i * len(right) // places] for i in range(places)]
