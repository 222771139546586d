"""Small functions shared by losses, metrics and probes, with their edge cases handled in one place."""

import torch
from torch import Tensor

from functional.checks import check_floating, check_rank


def promote_half(x: Tensor) -> Tensor:
    """Promote half precision to float32; float32 and float64 are unchanged. Differentiable.

    Example:
        >>> promote_half(torch.ones(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def l2_normalize(x: Tensor) -> Tensor:
    r"""Scale rows to unit length, $x / \|x\|_2$, in at least float32; a row of zeros stays zero, with gradient 1.

    Args:
        x: `[..., D]`.

    Returns:
        `[..., D]`, each row of norm 1 or 0. The squares of the numbers must be floats: those of 3e20 are infinite.

    Note:
        `torch.nn.functional.normalize` divides by max(norm, 1e-12), which multiplies the gradient of a zero row by
        1e12: one dead row is enough for NaN parameters. Here a zero row is divided by 1.

    Example:
        >>> l2_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    x = promote_half(x)
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(norm > 0, norm, 1)


def check_features(name: str, x: Tensor) -> None:
    """Require features `[N, D]` that are floating point and finite.

    Raises:
        TypeError: if they are not floating point.
        ValueError: if they are no matrix, or not finite.

    Example:
        >>> check_features("x", torch.tensor([[1.0], [torch.nan]]))
        Traceback (most recent call last):
            ...
        ValueError: x: features contain NaN or infinity, first in row 1
    """
    check_rank(name, x, "rows dim")
    check_floating(name, x)
    finite = x.isfinite().all(1)
    if not finite.all():
        raise ValueError(f"{name}: features contain NaN or infinity, first in row {int(finite.int().argmin())}")
