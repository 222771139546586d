"""Two small functions shared by losses, metrics and probes, with their edge cases handled in one place."""

import torch
from torch import Tensor


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
        `[..., D]`, each row of norm 1 or 0.

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
