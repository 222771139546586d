"""Figures of a run, of its features and of a probe on them.

They are the loss curves of one or more runs, a map of the features coloured by class, the confusion matrix, and a grid
of predictions.

Figures use matplotlib's object interface, never pyplot, so that they affect no window or global state.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from zoo.errors import ZooError
from zoo.files import write_atomically

_POINTS = 2000  # scikit-learn's t-SNE takes seconds for these, minutes for ten thousand
_LEGIBLE = 25  # classes up to which the counts of a confusion matrix can be read
_SIDE = 4  # of the grid of predictions


def loss_curve(lines: Sequence[Mapping[str, float]], title: str, path: str | Path) -> Path:
    """Plot the loss and the effective rank of the features over the epochs of a run, as PNG.

    Raises:
        ZooError: if there are no metrics yet.
    """
    if not lines:
        raise ZooError("no metrics to plot: the run has not finished an epoch")
    epochs = [line["epoch"] for line in lines]
    figure = Figure(figsize=(7, 4), layout="constrained")
    loss = figure.subplots()
    loss.plot(epochs, [line["loss"] for line in lines], color="tab:blue", marker="." if len(lines) < 30 else "")
    loss.set(xlabel="epoch", title=title)
    loss.xaxis.set_major_locator(MaxNLocator(integer=True))
    loss.set_ylabel("loss", color="tab:blue")
    rank = loss.twinx()
    rank.plot(epochs, [line["effective_rank"] for line in lines], color="tab:orange", linestyle="--")
    rank.set_ylabel("effective rank of the features", color="tab:orange")
    rank.set_ylim(bottom=0)
    return _write(figure, path)


def loss_curves(runs: Mapping[str, Sequence[Mapping[str, float]]], path: str | Path) -> Path:
    """Plot the losses of several runs over the epochs in one figure with a legend, as PNG.

    Args:
        runs: their metrics, by the names in the legend.
        path: the path of the PNG.

    Raises:
        ZooError: if there are no runs, or one has no metrics yet.
    """
    if not runs:
        raise ZooError("no runs to plot; expected one or more")
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    lines = []
    for colour, (name, metrics) in zip(_palette(len(runs)), runs.items(), strict=True):
        if not metrics:
            raise ZooError(f"{name}: no metrics to plot: the run has not finished an epoch")
        epochs, losses = [line["epoch"] for line in metrics], [line["loss"] for line in metrics]
        lines += axes.plot(epochs, losses, color=colour, marker="." if len(metrics) < 30 else "")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend = figure.legend(
        lines, [_shorten(name, 70) for name in runs], loc="outside upper center", ncols=1, frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return _write(figure, path)


def feature_map(features: Tensor, labels: Tensor, classes: Sequence[str], title: str, path: str | Path) -> Path:
    """Plot a two-dimensional t-SNE of at most 2,000 features, coloured by class with a legend, as PNG.

    Args:
        features: `[N, D]`; the first 2,000 are shown.
        labels: int64 `[N]`.
        classes: the class names.
        title: the title of the figure.
        path: the path of the PNG.

    Note:
        The t-SNE is computed on the principal components (at most 50). It starts from the first two and makes no random
        draws, so that the figure is always the same.
    """
    x, y = features[:_POINTS].numpy(), labels[:_POINTS].numpy()
    points = _embed(x)
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    colours = _palette(len(classes))
    for number, name in enumerate(classes):
        members = y == number
        axes.scatter(*points[members].T, s=8, color=colours[number], label=name, linewidths=0)
    axes.set(xticks=[], yticks=[], title=f"{title}\nt-SNE of {len(x):,} images")
    figure.legend(loc="outside right center", markerscale=2.5, frameon=False)
    return _write(figure, path)


def confusion_matrix(confusion: Sequence[Sequence[int]], classes: Sequence[str], title: str, path: str | Path) -> Path:
    """Plot a confusion matrix as PNG: rows are actual classes, columns predicted ones; the shade is the row share.

    Args:
        confusion: counts `[K, K]`, K >= 1; for up to 25 classes they are written into the cells.
        classes: the K class names.
        title: the title of the figure.
        path: the path of the PNG.

    Raises:
        ZooError: if there are not K x K counts for K names.
    """
    counts = np.asarray(confusion)
    if counts.shape != (len(classes), len(classes)) or not len(classes):
        raise ZooError(f"confusion: expected {len(classes)} x {len(classes)} counts, got {list(counts.shape)}")
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(max(4.5, 0.45 * len(classes) + 2), 20)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [_shorten(name) for name in classes]
    ticks, small = range(len(names)), {"parse_math": False, "fontsize": 9 if len(names) <= _LEGIBLE else 4}
    axes.set_xticks(ticks, names, rotation=90, **small)
    axes.set_yticks(ticks, names, **small)
    axes.set(xlabel="predicted", ylabel="actual")
    axes.set_title(title, parse_math=False)
    if len(names) <= _LEGIBLE:
        for row, column in np.ndindex(counts.shape):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=8)
    return _write(figure, path)


def predictions_grid(images: Tensor, predicted: Sequence[str], actual: Sequence[str], path: str | Path) -> Path:
    """Plot 16 evenly spaced images in 4 rows, each under its label and predicted class, as PNG.

    Wrong predictions are red.

    Args:
        images: uint8 `[N, C, H, W]`; fewer than 16 are all drawn.
        predicted: the predicted class of each image.
        actual: the class of each image.
        path: the path of the PNG.

    Raises:
        ZooError: if there is not one label and one prediction per image.
    """
    n = len(images)
    if not n == len(predicted) == len(actual) or not n:
        raise ZooError(f"expected a label and a prediction per image, got {len(actual)} and {len(predicted)} for {n}")
    shown = [i * n // min(n, _SIDE**2) for i in range(min(n, _SIDE**2))]
    figure = Figure(figsize=(8, 8.8), layout="constrained")
    for axes, i in zip(figure.subplots(_SIDE, _SIDE).flat, shown, strict=False):
        pixels = images[i].permute(1, 2, 0).numpy()
        axes.imshow(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels, cmap="gray", vmin=0, vmax=255)
        colour = "black" if predicted[i] == actual[i] else "tab:red"
        words = f"label: {_shorten(actual[i])}\npredicted: {_shorten(predicted[i])}"
        axes.set_title(words, fontsize=9, color=colour, parse_math=False)
    for axes in figure.axes:
        axes.set_axis_off()
    return _write(figure, path)


def _shorten(name: str, length: int = 20) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def _embed(x: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if len(x) < 3:
        raise ZooError(f"t-SNE: expected 3 images or more, got {len(x)}")
    components = PCA(min(50, *x.shape), svd_solver="full").fit_transform(x)
    perplexity = min(30.0, (len(x) - 1) / 3)
    return TSNE(init="pca", perplexity=perplexity, random_state=0, method="barnes_hut").fit_transform(components)


def _palette(n: int) -> list:
    from matplotlib import colormaps

    return [colormaps["tab10"](i) if n <= 10 else colormaps["turbo"]((i + 0.5) / n) for i in range(n)]


def _write(figure: Figure, path: str | Path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_atomically(path, buffer.getvalue())
    return path
