"""Gaussian blur of a width of its own for every image: two passes, down the columns and along the rows.

A pass is a convolution with one group per plane. A compiler converts its images to another memory format and back,
which takes longer than the blur. On the CPU it sees shifted sums instead, and makes one vectorised loop of a pass. A
Gaussian is symmetric, so two pixels share a weight. On a GPU a convolution rounds its inputs to 10 bits, and shifted
sums do not.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from functional.base import Images
from functional.kernels.tracing import compiled
from functional.numerics import promote_half

# The radii of a blur by shifts. A larger one would make a long program; one of 1 is fast as a convolution, whose bits
# the published weights were trained with.
_LEAST, _MOST = 2, 16


def separable_blur(images: Images, sigma: Float[Tensor, " batch"], radius: int) -> Images:
    """Blur image i by a Gaussian of `sigma[i]` pixels, truncated to `2 * radius + 1` taps, with reflected edges.

    Args:
        images: `[B, C, H, W]`.
        sigma: `[B]`; 0 for no blur.
        radius: in pixels, below the sides.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> separable_blur(torch.tensor([[[[0.0, 0.0, 1.0, 0.0, 0.0]] * 2]]), torch.tensor([0.5]), 1)[0, 0, 0]
        tensor([0.0000, 0.1065, 0.7870, 0.1065, 0.0000])
    """
    offsets = torch.arange(-radius, radius + 1, device=images.device) / promote_half(sigma).clamp_min(1e-3)[:, None]
    exponents = -0.5 * offsets.square()
    by_shifts = images.is_cuda or (compiled() and images.device.type == "cpu" and _LEAST <= radius <= _MOST)
    return (_by_shifts if by_shifts else _by_convolution)(images, exponents)


def _by_convolution(images: Tensor, exponents: Tensor) -> Tensor:
    radius, bell = exponents.shape[1] // 2, torch.softmax(exponents, dim=-1).to(images.dtype)
    kernels = bell.repeat_interleave(images.shape[1], dim=0)[:, None, None]  # [B C, 1, 1, taps]
    planes = F.pad(images, 4 * (radius,), mode="reflect").flatten(0, 1)[None]  # [1, B C, H + 2 radius, W + 2 radius]
    for kernel in (kernels.mT, kernels):
        planes = F.conv2d(planes, kernel, groups=len(kernels))
    return planes.reshape(images.shape)


def _by_shifts(images: Tensor, exponents: Tensor) -> Tensor:
    bell = exponents.exp().to(images.dtype)[..., None, None, None]  # [B, taps, 1, 1, 1]
    radius = bell.shape[1] // 2
    blurred = images
    for dim in (-2, -1):
        side = images.shape[dim]
        before, after = (blurred.narrow(dim, start, radius).flip(dim) for start in (1, side - 1 - radius))
        padded = torch.cat([before, blurred, after], dim)
        blurred = bell[:, radius] * blurred
        for shift in range(1, radius + 1):
            pair = padded.narrow(dim, radius - shift, side) + padded.narrow(dim, radius + shift, side)
            blurred = blurred + bell[:, radius + shift] * pair
    return blurred / bell.sum(1).square()  # here, and not in the bell, so that no pixel divides each of its weights
