r"""Losses against a second output: a student predicts the output of a teacher, or that of another view.

They never detach: the caller stops the gradient through the target, because that is part of the method, not the loss.
"""

from jaxtyping import Float
from torch import Tensor

from functional.base import Features
from functional.checks import check_rank, check_same_shape
from functional.numerics import l2_normalize


def negative_cosine(prediction: Features, target: Features) -> Float[Tensor, " batch"]:
    r"""Negative cosine similarity of a prediction and its target (SimSiam).

    $$\ell_i = -\frac{p_i^\top z_i}{\|p_i\| \, \|z_i\|}$$

    Args:
        prediction: `[B, D]`, from the branch that learns.
        target: `[B, D]`, row by row; pass `target.detach()` for a stop-gradient.

    Returns:
        `[B]`, in at least float32, from -1 (the same direction) to 1; 0 where a row is zero.

    Raises:
        ValueError: if the shapes differ or the rank is not 2.

    Example:
        >>> import torch
        >>> negative_cosine(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]]))
        tensor([-0.6000])

    References:
        Chen, He. Exploring simple Siamese representation learning. arXiv:2011.10566, equation 1.

    Note:
        The loss of BYOL (arXiv:2006.07733, equation 2) is the squared distance of the unit vectors,
        `2 + 2 * negative_cosine(...)`. SimSiam halves the sum over its two directions and BYOL does not, so at equal
        learning rates BYOL's steps are four times as long.
    """
    check_rank("prediction", prediction, "batch dim")
    check_same_shape(prediction=prediction, target=target)
    return -(l2_normalize(prediction) * l2_normalize(target)).sum(1)
