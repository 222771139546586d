r"""What features and predictions are worth, in numbers: no parameters, no state, no randomness.

Of predictions: `accuracy`, `confusion_matrix`, `class_scores`, `macro_f1`. Of features: `alignment` and `uniformity` on
the sphere, and two signs of collapse, `feature_std` (near 0 when every image gets the same features, near 1 when they
spread in all directions) and `effective_rank` (near 1 when they lie on one line, at most the number of dimensions).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from functional.numerics import l2_normalize, promote_half

from functional.checks import check_integer, check_rank


def accuracy(predictions: Int[Tensor, "*batch n"], labels: Int[Tensor, " n"]) -> Float[Tensor, "*batch"]:
    """The part of the predictions that is right.

    Args:
        predictions: integer labels `[..., N]`, as `scores.argmax(-1)` gives them.
        labels: the true ones, `[N]`.

    Returns:
        `[...]`, float32 in 0..1.

    Raises:
        TypeError: for predictions or labels that are not integers.
        ValueError: if there are not as many predictions as labels.

    Example:
        >>> accuracy(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2]))
        tensor(0.7500)
    """
    check_rank("labels", labels, "rows")
    check_integer("predictions", predictions)
    check_integer("labels", labels)
    if predictions.shape[-1:] != labels.shape:
        raise ValueError(f"predictions: expected [..., {len(labels)}] as labels, got {list(predictions.shape)}")
    return (predictions == labels).float().mean(-1)


def feature_std(features: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
    r"""How far normalised features spread: $\sqrt{D}$ times the mean standard deviation; 1 on the sphere, 0 if alike."""
    z = l2_normalize(features)
    return z.std(0, correction=0).mean() * features.shape[1] ** 0.5


def effective_rank(features: Float[Tensor, "n dim"]) -> Float[Tensor, ""]:
    r"""The exponential of the entropy of the normalised singular values of the centred features."""
    x = promote_half(features)
    s = torch.linalg.svdvals(x - x.mean(0))
    p = s / s.sum().clamp_min(torch.finfo(s.dtype).tiny)
    return torch.special.entr(p).sum().exp()
