"""Pictures of a run and of its features: the loss curve, and a map of the features coloured by class.

Figures are drawn through matplotlib's objects, never through pyplot, so that no window or global state is touched.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from zoo.checkpoints import write_atomically
from zoo.errors import ZooError

_POINTS = 2000  # scikit-learn's t-SNE takes seconds for these, minutes for ten thousand


def loss_curve(lines: Sequence[Mapping[str, float]], title: str, path: str | Path) -> Path:
    """Loss and spread of the features against the epoch, from a run's metrics, as PNG.

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
    loss.set_ylabel("loss", color="tab:blue")
    rank = loss.twinx()
    rank.plot(epochs, [line["effective_rank"] for line in lines], color="tab:orange", linestyle="--")
    rank.set_ylabel("effective rank of the features", color="tab:orange")
    rank.set_ylim(bottom=0)
    return _write(figure, path)


def feature_map(features: Tensor, labels: Tensor, classes: Sequence[str], title: str, path: str | Path) -> Path:
    """A t-SNE of at most 2,000 features in the plane, coloured by class with a legend, as PNG.

    Args:
        features: `[N, D]`; the first 2,000 are shown.
        labels: int64 `[N]`.
        classes: their names.
        title: over the figure.
        path: of the PNG.

    Note:
        Principal components (at most 50) come before the t-SNE, which starts from the first two and draws nothing, so
        that the picture is the same each time.
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
