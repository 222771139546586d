r"""What features and predictions are worth, in numbers: no parameters, no state, no randomness.

Of predictions: `accuracy`. Of features: `alignment` and `uniformity` on the sphere, and two signs of collapse,
`feature_std` (near 0 when every image gets the same features, near 1 when they spread in all directions) and
`effective_rank` (near 1 when they lie on one line, at most the number of dimensions).
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from functional.base import Features
from functional.checks import check_integer, check_positive, check_rank, check_same_shape
from functional.numerics import l2_normalize, promote_half


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


def alignment(a: Features, b: Features) -> Float[Tensor, ""]:
    r"""The mean squared distance of two views on the unit sphere, $E \|a - b\|^2$: 0 where they agree, at most 4.

    Args:
        a: features of one view of each image, `[N, D]`; normalised here.
        b: features of the other, row by row, `[N, D]`.

    Returns:
        A scalar in at least float32; differentiable.

    Raises:
        ValueError: if the shapes differ or the rank is not 2.

    Example:
        >>> alignment(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
        tensor(2.)

    References:
        Wang, Isola. Understanding contrastive representation learning through alignment and uniformity on the
        hypersphere. arXiv:2005.10242, section 4.1.1 with alpha = 2.
    """
    check_rank("a", a, "rows dim")
    check_same_shape(a=a, b=b)
    return (l2_normalize(a) - l2_normalize(b)).square().sum(1).mean()


def uniformity(features: Features, *, t: float = 2.0) -> Float[Tensor, ""]:
    r"""The logarithm of the mean Gaussian potential of all pairs on the unit sphere: 0 where all rows are alike.

    $$\log \frac{1}{N (N - 1)} \sum_{i \ne j} \exp(-t \|z_i - z_j\|^2)$$

    Args:
        features: `[N, D]`, N >= 2; normalised here.
        t: > 0.

    Returns:
        A scalar in at least float32, between $-4t$ and 0, lower where the features spread; differentiable.

    Raises:
        ValueError: for one row, another rank, or a t that is not above 0.

    Example:
        >>> uniformity(torch.eye(3))  # all pairs at squared distance 2
        tensor(-4.)

    References:
        Wang, Isola. arXiv:2005.10242, section 4.1.2.
    """
    check_rank("features", features, "rows dim")
    check_positive("t", t)
    n = len(features)
    if n < 2:
        raise ValueError(f"features: expected 2 rows or more, got shape {list(features.shape)}; pairs are compared")
    z = l2_normalize(features)
    potential = -t * (z.square().sum(1)[:, None] + z.square().sum(1) - 2 * z @ z.T)
    itself = torch.eye(n, dtype=torch.bool, device=z.device)
    return torch.logsumexp(potential.masked_fill(itself, -torch.inf).flatten(), dim=0) - math.log(n * (n - 1))


def feature_std(features: Features) -> Float[Tensor, ""]:
    r"""How far features spread on the unit sphere: $\sqrt D$ times the mean over dimensions of their deviation.

    Args:
        features: `[N, D]`; normalised here.

    Returns:
        A scalar in at least float32: 0 where all rows are alike, 1 where they are uniform on the sphere.

    Raises:
        ValueError: if the rank is not 2.

    Example:
        >>> feature_std(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
        tensor(1.0000)

    References:
        Chen, He. Exploring simple Siamese representation learning. arXiv:2011.10566, section 4.1, times the root of D.
    """
    check_rank("features", features, "rows dim")
    return l2_normalize(features).std(0, correction=0).mean() * math.sqrt(features.shape[1])


def effective_rank(features: Features) -> Float[Tensor, ""]:
    r"""How many directions features use: the exponential of the entropy of their normalised singular values.

    $$\exp\Big(-\sum_k p_k \log p_k\Big), \qquad p_k = \sigma_k / \sum_j \sigma_j$$

    with $\sigma$ the singular values of the features less their mean.

    Args:
        features: `[N, D]`.

    Returns:
        A scalar in at least float32: 1 for features on a line, at most the smaller of N - 1 and D; 1 too where all
        rows are alike.

    Raises:
        ValueError: if the rank is not 2.

    Example:
        >>> effective_rank(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
        tensor(2.)

    References:
        Roy, Vetterli. The effective rank: a measure of effective dimensionality. EUSIPCO 2007, definition 1.

    Note:
        The paper takes the matrix as it is. The mean is taken off here, or a common offset, which says nothing about
        images, would count as a direction and hide the others.
    """
    check_rank("features", features, "rows dim")
    x = promote_half(features)
    sigma = torch.linalg.svdvals(x - x.mean(0))
    p = sigma / sigma.sum().clamp_min(torch.finfo(x.dtype).tiny)
    return torch.special.entr(p).sum().exp()
