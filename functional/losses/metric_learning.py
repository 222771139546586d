r"""Losses on Euclidean distances, for Siamese networks: rows of one class move together, others a margin apart.

The rows are not normalised, so a margin is measured in the units of the features. Where two rows coincide, their
distance has no derivative; the gradient is 0 there.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from functional.base import Features
from functional.checks import check_positive, check_rank, check_same_length, check_same_shape
from functional.numerics import promote_half


def pairwise_contrastive(
    a: Features, b: Features, same: Bool[Tensor, " batch"] | Int[Tensor, " batch"], *, margin: float
) -> Float[Tensor, " batch"]:
    r"""Contrastive loss of pairs: pull pairs of one class together, push the others a margin apart.

    $$\ell_i = y_i \, d_i^2 + (1 - y_i) \max(m - d_i, 0)^2, \qquad d_i = \|a_i - b_i\|_2$$

    Args:
        a: `[B, D]`.
        b: the partner of each, row by row, `[B, D]`.
        same: $y$, `[B]`: 1 or True if the pair is of one class, otherwise 0 or False.
        margin: m > 0, in the units of the features.

    Returns:
        `[B]`, at least 0, in at least float32.

    Raises:
        ValueError: if the shapes differ, the rank is not 2, or the margin is not above 0.

    Example:
        >>> a, b = torch.zeros(3, 2), torch.tensor([[3.0, 4.0], [0.3, 0.4], [3.0, 4.0]])
        >>> pairwise_contrastive(a, b, torch.tensor([1, 0, 0]), margin=1.0)
        tensor([25.0000,  0.2500,  0.0000])

    References:
        Hadsell, Chopra, LeCun. Dimensionality reduction by learning an invariant mapping. CVPR 2006, equation 4.

    Note:
        The paper has a factor 1/2 on both terms, which halves the loss and its gradient, and its label Y is reversed: 0
        for a similar pair. Published code that puts a "same class" label into the paper's formula pulls different
        classes together and pushes equal ones apart.
    """
    check_rank("a", a, "batch dim")
    check_same_shape(a=a, b=b)
    check_rank("same", same, "batch")
    check_same_length(a=a, same=same)
    check_positive("margin", margin)
    d = _distance(a, b)
    y = same.to(d.dtype)
    return y * d.square() + (1 - y) * (margin - d).clamp_min(0).square()


def triplet(anchor: Features, positive: Features, negative: Features, *, margin: float) -> Float[Tensor, " batch"]:
    r"""Triplet loss: the positive is nearer to the anchor than the negative, by a margin.

    $$\ell_i = \max(\|a_i - p_i\|_2 - \|a_i - n_i\|_2 + m, \, 0)$$

    Args:
        anchor: `[B, D]`.
        positive: of the anchor's class, row by row, `[B, D]`.
        negative: of another class, row by row, `[B, D]`.
        margin: m > 0, in the units of the features.

    Returns:
        `[B]`, at least 0, in at least float32; the margin where all three coincide.

    Raises:
        ValueError: if the shapes differ, the rank is not 2, or the margin is not above 0.

    Example:
        >>> anchor, positive, negative = torch.tensor([[[0.0, 0.0]], [[3.0, 4.0]], [[6.0, 8.0]]])
        >>> triplet(anchor, positive, negative, margin=10.0)  # 5 - 10 + 10
        tensor([5.])

    References:
        Schroff, Kalenichenko, Philbin. FaceNet. arXiv:1503.03832, section 3.1.

    Note:
        FaceNet compares *squared* distances of unit vectors; later Siamese networks and `torch.nn.TripletMarginLoss`
        compare plain distances, as here. torch adds 1e-6 to every difference to avoid distance 0, which changes the
        values; here nothing is added.
    """
    check_rank("anchor", anchor, "batch dim")
    check_same_shape(anchor=anchor, positive=positive, negative=negative)
    check_positive("margin", margin)
    return (_distance(anchor, positive) - _distance(anchor, negative) + margin).clamp_min(0)


def _distance(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distance by row; `vector_norm` has gradient 0 at 0, where the root of a sum of squares gives NaN."""
    return torch.linalg.vector_norm(promote_half(x) - promote_half(y), dim=1)
