"""Bilinear sampling at a location for every pixel of the result, by torch's own kernel even under a compiler.

On the CPU a compiler decomposes that kernel into gathers, which are three times slower. Here it sees one node.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from functional.base import Images
from functional.kernels.tracing import mapped_first
from functional.numerics import promote_half


def bilinear_sample(
    images: Images, places: Float[Tensor, "batch 2 new_height new_width"]
) -> Float[Tensor, "batch channels new_height new_width"]:
    """Sample image i at `places[i]`, bilinear between pixels, black outside.

    Args:
        images: `[B, C, H, W]`.
        places: (x, y) for every pixel of the result, `[B, 2, H', W']`, from -1 at the outer edge of the first pixel to
            1 at that of the last. float32, or the dtype of float64 images.

    Returns:
        `[B, C, H', W']` in the dtype of the images.

    Example:
        >>> image, places = torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[-0.5, 0.0]], [[0.0, 0.0]]]])
        >>> bilinear_sample(image, places)  # the first pixel, and halfway between the two
        tensor([[[[1., 2.]]]])
    """
    one_node = torch.compiler.is_compiling() and images.device.type == "cpu"
    sampled = (_sample_node if one_node else _grid_sample)(promote_half(images), places)
    return sampled.to(images.dtype)


def _grid_sample(images: Tensor, places: Tensor) -> Tensor:
    # Under vmap the result of one sampling is mapped over its second dimension, which the next would take for the
    # first. A reshape moves it there.
    images, grid = images.reshape(images.shape), places.movedim(1, -1)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@torch.library.custom_op("funczoo::sample", mutates_args=())
def _sample_node(images: Tensor, places: Tensor) -> Tensor:
    return _grid_sample(images, places)


@_sample_node.register_fake
def _(images: Tensor, places: Tensor) -> Tensor:
    return images.new_empty((*images.shape[:2], *places.shape[2:]))


@torch.library.custom_op("funczoo::sample_backward", mutates_args=())
def _sample_backward_node(gradient: Tensor, images: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    grid, bilinear, zeros = places.movedim(1, -1), 0, 0
    of_images, of_grid = torch.ops.aten.grid_sampler_2d_backward(
        gradient, images, grid, bilinear, zeros, align_corners=False, output_mask=[True, True]
    )
    return of_images, of_grid.movedim(-1, 1).contiguous()


@_sample_backward_node.register_fake
def _(gradient: Tensor, images: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(images), places.new_empty(places.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
    return _sample_backward_node(gradient, *ctx.saved_tensors)


_sample_node.register_autograd(_backward, setup_context=_keep)


@_sample_node.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], images: Tensor, places: Tensor) -> tuple[Tensor, int]:
    images, places = mapped_first(info.batch_size, in_dims, (images, places))
    sampled = _sample_node(images.flatten(0, 1), places.flatten(0, 1))
    return sampled.unflatten(0, images.shape[:2]), 0
