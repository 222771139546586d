"""Two small functions that losses, metrics and probes share, each with its edge cases settled in one place."""

import torch
from torch import Tensor


def promote_half(x: Tensor) -> Tensor:
    """Half precision raised to float32; float32 and float64 as they are. Differentiable.

    Example:
        >>> promote_half(torch.ones(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def l2_normalize(x: Tensor) -> Tensor:
    r"""The rows on the unit sphere, $x / \|x\|_2$, in at least float32; a row of zeros stays zero, with gradient 1.

    Args:
        x: `[..., D]`.

    Returns:
        `[..., D]`, each row of norm 1 or 0.

    Note:
        `torch.nn.functional.normalize` divides by max(norm, 1e-12) and so multiplies the gradient of a zero row by
        1e12: one dead row is enough for NaN parameters. Here a zero row is divided by 1.

    Example:
        >>> l2_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    x = promote_half(x)
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(norm > 0, norm, 1)
