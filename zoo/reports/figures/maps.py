"""Maps of features: t-SNE and UMAP in two or three dimensions, coloured by class where there are labels."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from zoo.errors import ZooError
from zoo.reports.figures._shared import class_legend, new_figure, palette, write

_COMPONENTS = 50  # principal components that maps are computed on
_NEIGHBOURS = 10
_AZIMUTHS = (-60, 30)  # degrees; what is hidden in one view of a map in three dimensions is seen in the other


def tsne(features: Float[Tensor, "rows dim"], dimensions: int = 2) -> Float[np.ndarray, "rows dimensions"]:
    """The t-SNE of features in two or three dimensions; seconds for 2,000 images.

    It is computed on the principal components (at most 50), starts from the first of them and makes no random draws,
    so that it is always the same. The perplexity is 30, or a third of the other images if that is less.

    Args:
        features: `[N, D]`, N >= 3.
        dimensions: 2 or 3.

    Raises:
        ZooError: if there are fewer than 3 images.

    Example:
        >>> import torch
        >>> tsne(torch.eye(4), dimensions=3).shape
        (4, 3)

    References:
        van der Maaten, Hinton. Visualizing data using t-SNE. JMLR 9, 2008.

    Note:
        The learning rate is 300 for 10,000 images, as published for system S1 (`encoders.s1a`), and in proportion for
        other numbers, but at least 50. A fixed 300 scatters few images: in three dimensions, 500 of MNIST ended at a
        divergence of 2.0 in place of 0.5, and one of 2,000 lay ten times as far out as all others.
    """
    from sklearn.manifold import TSNE

    n = len(features)
    if n < 3:
        raise ZooError(f"t-SNE: expected 3 images or more, got {n}")
    if (features == features[0]).all():
        return np.zeros((n, dimensions))  # collapsed: on one point there is no direction to start in
    return TSNE(
        dimensions,
        init="pca",
        perplexity=min(30.0, (n - 1) / 3),
        learning_rate=max(50.0, 0.03 * n),  # pyright: ignore[reportArgumentType]: its stub takes "auto" only
        random_state=0,
        method="barnes_hut",
    ).fit_transform(_principal_components(features, dimensions))


def umap(features: Float[Tensor, "rows dim"], dimensions: int = 2) -> Float[np.ndarray, "rows dimensions"]:
    """The UMAP of features in two or three dimensions, with 10 neighbours by cosine; the same each time on one machine.

    Args:
        features: `[N, D]`, N >= 5.
        dimensions: 2 or 3.

    Raises:
        ZooError: if there are fewer than 5 images, or umap-learn is not installed; it is an extra of this package.

    References:
        McInnes, Healy, Melville. UMAP: uniform manifold approximation and projection. arXiv:1802.03426.
    """
    require_umap()
    from umap import UMAP

    n = len(features)
    if n < 5:
        raise ZooError(f"UMAP: expected 5 images or more, got {n}")
    reducer = UMAP(min(_NEIGHBOURS, n - 1), n_components=dimensions, metric="cosine", random_state=0, n_jobs=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value 1 overridden to 1")
        return reducer.fit_transform(features.numpy())


def require_umap() -> None:
    """Check that umap-learn can be imported.

    Raises:
        ZooError: if it cannot.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImportWarning)  # of a part that needs TensorFlow
            import umap  # noqa: F401
    except ImportError as error:
        raise ZooError(
            f"UMAP: umap-learn is missing ({error}); run `pip install umap-learn` (the extra `plot`)"
        ) from error


def feature_map(
    points: Float[np.ndarray, "rows dimensions"],
    labels: Tensor | None,
    classes: Sequence[str],
    title: str,
    path: str | Path,
    *,
    axis_labels: tuple[str, str] | None = None,
) -> Path:
    """Plot points of two or three dimensions, coloured by class with a legend, as PNG; dots are larger when few.

    Args:
        points: `[N, 2]` or `[N, 3]`, such as a t-SNE.
        labels: int64 `[N]`; None for points of one colour and no legend.
        classes: the class names; for more than 32 there is no legend.
        title: the title of the figure.
        path: the path of the PNG.
        axis_labels: what two axes show; None for axes without a meaning, which have no numbers.
    """
    colours = np.array(palette(1) if labels is None else palette(len(classes)))
    colours = colours[np.zeros(len(points), int) if labels is None else labels.numpy()]
    size = min(max(8 * (2000 / len(points)) ** 0.75, 8), 150)
    # All classes at once: later ones do not cover earlier ones, and dots in front cover those behind.
    dots = {"s": size, "c": colours, "linewidths": 0}
    if points.shape[1] == 3:
        figure = new_figure(7.6, title)
        for row, azimuth in enumerate(_AZIMUTHS):
            axes = figure.add_subplot(2, 1, row + 1, projection="3d", azim=azimuth)
            axes.scatter(*points.T, clip_on=False, depthshade=False, **dots)
            axes.set(xticklabels=[], yticklabels=[], zticklabels=[])
            axes.set_box_aspect((1.3, 1.3, 1), zoom=1.25)  # pyright: ignore[reportArgumentType]: 1 by default
    else:
        figure = new_figure(5, title)
        axes = figure.subplots()
        axes.scatter(*points.T, **dots)
        if axis_labels:
            axes.set_xlabel(axis_labels[0], fontsize=11)
            axes.set_ylabel(axis_labels[1], fontsize=11)
        else:
            axes.set(xticks=[], yticks=[])
    if labels is not None:
        class_legend(figure, classes)
    return write(figure, path)


def _principal_components(features: Tensor, at_least: int) -> np.ndarray:
    """The coordinates along the first principal components, with zeros up to a number of columns."""
    from sklearn.decomposition import PCA

    components = PCA(min(_COMPONENTS, *features.shape), svd_solver="full").fit_transform(features.numpy())
    return np.pad(components, ((0, 0), (0, max(0, at_least - components.shape[1]))))
