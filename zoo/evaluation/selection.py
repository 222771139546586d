"""Which images to label first: those that stand for the most others, in the features of an encoder."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor

from functional import neighbours, random, selection
from functional.base import Features
from zoo.errors import ZooError, unknown
from zoo.models.pretrained import PretrainedEncoder

METHODS = {"typical": selection.typical, "k_means": selection.k_means, "k_center": selection.k_center}
DIRECTIONS = 64  # principal directions, on which distances mean something


def suggest(
    model: PretrainedEncoder,
    images: Any,
    n: int,
    *,
    seed: int = 0,
    method: str = "typical",
    labelled: Sequence[int] | Tensor = (),
) -> Int64[Tensor, " n"]:
    """Choose the images whose labels will say most about all of them.

    Args:
        model: the encoder, in whose features images are compared.
        images: all images, as `model.features` takes them, without labels.
        n: how many to choose.
        seed: of the starts of k-means; the same seed chooses the same images.
        method: `"typical"` (in each of n clusters, the image with the most similar ones around it; the best with few
            labels), `"k_means"` (the one nearest to the middle of each cluster), or `"k_center"` (the one that is
            farthest from all chosen ones, for many labels).
        labelled: positions of the images that have a label: what they stand for is not chosen again.

    Returns:
        Positions of the chosen images, int64 `[n]`, the most useful first.

    Raises:
        ZooError: for an unknown method, more images than there are without a label, or as in `model.features`.

    Example:
        >>> import zoo
        >>> images = zoo.load_dataset("digits").train.images[:200]
        >>> chosen = zoo.suggest(zoo.load("simclr-resnet8-digits"), images, 5)
        >>> chosen.shape
        torch.Size([5])
    """
    check_method(method)
    return suggest_among(model.features(images), n, seed=seed, method=method, labelled=labelled)


def suggest_among(
    features: Features, n: int, *, seed: int = 0, method: str = "typical", labelled: Sequence[int] | Tensor = ()
) -> Int64[Tensor, " n"]:
    """`suggest`, among features `[N, D]`.

    Raises:
        ZooError: as in `suggest`.
    """
    check_method(method)
    known = torch.as_tensor(labelled, dtype=torch.int64).unique()
    if len(known) and not 0 <= int(known[0]) <= int(known[-1]) < len(features):
        raise ZooError(f"labelled: expected positions of images in 0..{len(features) - 1}, got {known.tolist()[:5]}")
    left = len(features) - len(known)
    if not 1 <= n <= left:
        raise ZooError(f"n: expected 1 to {left:,}, the number of images without a label, got {n:,}")
    rows = neighbours.directions(features, DIRECTIONS)
    return METHODS[method](rows, n, labelled=known, key=random.key(seed))


def check_method(method: str) -> None:
    """Reject an unknown method, before anything is computed.

    Raises:
        ZooError: if it is not one of `METHODS`.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
