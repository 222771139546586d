"""The maximum over squares of pixels: torch's kernel or, under a compiler, one node with a loop of comparisons.

On the CPU a compiler decomposes torch's pooling into indices and gathers, which is ten times slower than torch's own
kernel. With plain comparisons it would keep the mask of each one for the backward pass. As one separately compiled
node, the comparisons take a third of the time of torch's kernel.
"""

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from functional.kernels.tracing import compile_once, compiled


def max_pool2d(x: Tensor, kernel: int, stride: int | None = None, padding: int = 0) -> Tensor:
    """The maximum over squares of `kernel` x `kernel` pixels: `[B, C, H, W] -> [B, C, H', W']`.

    Args:
        x: `[B, C, H, W]`.
        kernel: side of the squares.
        stride: between the squares; None for `kernel`.
        padding: pixels on each side that are never the maximum.

    Example:
        >>> max_pool2d(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 2)
        tensor([[[[4.]]]])
    """
    tiled = stride in (None, kernel) and padding == 0
    if tiled and compiled() and x.device.type == "cpu":
        height, width = (size // kernel * kernel for size in x.shape[-2:])
        return _node(x[..., :height, :width], kernel)
    return F.max_pool2d(x, kernel, stride, padding)


@torch.library.custom_op("funczoo::max_of_tiles", mutates_args=())
def _node(x: Tensor, side: int) -> Tensor:
    return compile_once(_max_of_tiles)(x.detach(), side)


@torch.library.custom_op("funczoo::max_of_tiles_backward", mutates_args=())
def _backward_node(gradient: Tensor, x: Tensor, side: int) -> Tensor:
    return compile_once(_gradient_to_the_first)(gradient.detach(), x.detach(), side)


def _max_of_tiles(x: Tensor, side: int) -> Tensor:
    """`[B, C, H', W']`, channels last in memory whatever the format of `x`, as the fake kernel declares."""
    return _largest(_tiles(x, side), side).contiguous().movedim(-1, 1)


def _gradient_to_the_first(gradient: Tensor, x: Tensor, side: int) -> Tensor:
    """As in torch, the first pixel of a tile, in reading order, that equals its maximum receives the gradient."""
    tiles, gradient = _tiles(x, side), gradient.movedim(1, -1)
    largest = _largest(tiles, side)
    to_come, parts = torch.ones_like(largest, dtype=torch.bool), []
    for i, j in _pixels(side):
        here = to_come & (tiles[:, :, i, :, j] == largest)
        to_come = to_come & ~here
        parts.append(torch.where(here, gradient, 0))
    stacked = torch.stack(parts, dim=-2).unflatten(-2, (side, side))  # [B, H', W', side, side, C]
    return stacked.transpose(2, 3).flatten(3, 4).flatten(1, 2).movedim(-1, 1)


def _tiles(x: Tensor, side: int) -> Tensor:
    """`[B, H', side, W', side, C]`: channels last, so that neighbours in memory are compared at once."""
    return x.movedim(1, -1).unflatten(2, (-1, side)).unflatten(1, (-1, side))


def _largest(tiles: Tensor, side: int) -> Tensor:
    """`[B, H', W', C]`."""
    return functools.reduce(torch.maximum, [tiles[:, :, i, :, j] for i, j in _pixels(side)])


def _pixels(side: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(side) for j in range(side)]


@_node.register_fake
def _(x: Tensor, side: int) -> Tensor:
    batch, channels, height, width = x.shape
    return x.new_empty(batch, height // side, width // side, channels).movedim(-1, 1)


@_backward_node.register_fake
def _(gradient: Tensor, x: Tensor, side: int) -> Tensor:
    return x.movedim(1, -1).clone(memory_format=torch.contiguous_format).movedim(-1, 1)


def _keep(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
    ctx.side = inputs[1]
    ctx.save_for_backward(inputs[0])


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    return _backward_node(gradient, *ctx.saved_tensors, ctx.side), None


_node.register_autograd(_backward, setup_context=_keep)


@_node.register_vmap
def _(info: Any, in_dims: tuple[int, None], x: Tensor, side: int) -> tuple[Tensor, int]:
    x = x.movedim(in_dims[0], 0)
    return _node(x.flatten(0, 1), side).unflatten(0, x.shape[:2]), 0
