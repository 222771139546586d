"""Gaussian blur of a width of its own for every image: two passes, down the columns and along the rows.

A pass is a convolution with one group per plane. A compiler converts its images to another memory format and back,
which takes longer than the blur. On the CPU it sees shifted sums instead, and makes one vectorised loop of a pass. A
Gaussian is symmetric, so two pixels share a weight. On a GPU a convolution rounds its inputs to 10 bits, and shifted
sums do not.

With one or two threads, large images are one node for a compiler, and are blurred one by one. Their passes then stay in
the cache, images with a sigma of 0 are only copied, and narrow Gaussians take few taps.
"""

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from functional.base import Images
from functional.kernels.tracing import compile_once, compiled, mapped_first
from functional.numerics import promote_half

# The radii of a blur by shifts. A larger one would make a long program; one of 1 is fast as a convolution, whose bits
# the published weights were trained with.
_LEAST, _MOST = 2, 16
_LARGE = 160 * 160  # pixels from which an image by itself is worth the call
# An image is shared by one or two threads; more would wait for each other (an estimate). A constant rather than a
# function, so that a compiler sees one of the two branches.
FEW_THREADS: bool = torch.get_num_threads() <= 2


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
    if not len(images):
        return images
    on_cpu, sigma = images.device.type == "cpu", promote_half(sigma)
    if not (images.is_cuda or (compiled() and on_cpu and _LEAST <= radius <= _MOST)):
        return _by_convolution(images, sigma, radius)
    one_by_one = on_cpu and images.shape[-2] * images.shape[-1] >= _LARGE and FEW_THREADS
    return (_node if one_by_one else _by_shifts)(images, sigma, radius)


def _by_convolution(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    bell = torch.softmax(_exponents(sigma, radius), dim=-1).to(images.dtype)
    kernels = bell.repeat_interleave(images.shape[1], dim=0)[:, None, None]  # [B C, 1, 1, taps]
    planes = F.pad(images, 4 * (radius,), mode="reflect").flatten(0, 1)[None]  # [1, B C, H + 2 radius, W + 2 radius]
    for kernel in (kernels.mT, kernels):
        planes = F.conv2d(planes, kernel, groups=len(kernels))
    return planes.reshape(images.shape)


def _by_shifts(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    bell = _exponents(sigma, radius).exp().to(images.dtype)[..., None, None, None]  # [B, taps, 1, 1, 1]
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


def _exponents(sigma: Tensor, radius: int) -> Float[Tensor, "batch taps"]:
    return -0.5 * (torch.arange(-radius, radius + 1, device=sigma.device) / sigma.clamp_min(1e-3)[:, None]).square()


@torch.library.custom_op("funczoo::blur", mutates_args=())
def _node(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    blurred = torch.empty_like(images)
    steps = [math.ceil(radius / part) for part in (4, 2, 1)]  # a program each, so there are few
    for i, needed in enumerate(_needed_radii(sigma, images.dtype)):
        if needed == 0:
            blurred[i] = images[i]
        else:
            step = next((step for step in steps if needed <= step), radius)
            compile_once(_blur_into)(blurred[i : i + 1], images[i : i + 1], sigma[i : i + 1], step)
    return blurred


def _needed_radii(sigma: Tensor, dtype: torch.dtype) -> list[int]:
    """The radii beyond which the weights, relative to the largest, are too small to be seen in a sum."""
    smallest = torch.finfo(torch.promote_types(dtype, torch.float32)).eps / 4
    return (sigma * math.sqrt(-2 * math.log(smallest))).ceil().int().tolist()


def _blur_into(blurred: Tensor, images: Tensor, sigma: Tensor, radius: int) -> None:
    blurred.copy_(_by_shifts(images, sigma, radius))


@_node.register_fake
def _(images: Tensor, sigma: Tensor, radius: int) -> Tensor:
    return torch.empty_like(images)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
    *tensors, ctx.radius = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
    pull_back = torch.func.vjp(functools.partial(_by_convolution, radius=ctx.radius), *ctx.saved_tensors)[1]
    return *pull_back(gradient), None


_node.register_autograd(_backward, setup_context=_keep)


@_node.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], images: Tensor, sigma: Tensor, radius: int) -> tuple[Tensor, int]:
    images, sigma = mapped_first(info.batch_size, in_dims[:2], (images, sigma))
    return _node(images.flatten(0, 1), sigma.flatten(), radius).unflatten(0, images.shape[:2]), 0
