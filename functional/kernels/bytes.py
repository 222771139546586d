"""Bytes as floats, by torch's own conversion even under a compiler.

A compiler loads as many bytes at a time as a register holds floats, through the stack, which takes three times as long
as torch's loop. Here it sees one node.
"""

from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from functional.kernels.tracing import compiled


def bytes_to_floats(x: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The values 0 to 255 in float32.

    Args:
        x: uint8.

    Example:
        >>> bytes_to_floats(torch.tensor([0, 255], dtype=torch.uint8))
        tensor([  0., 255.])
    """
    return _node(x) if compiled() and x.device.type == "cpu" else x.float()


@torch.library.custom_op("funczoo::bytes_to_floats", mutates_args=())
def _node(x: Tensor) -> Tensor:
    return x.float()


@_node.register_fake
def _(x: Tensor) -> Tensor:
    return x.float()


@_node.register_vmap
def _(info: Any, in_dims: tuple[int], x: Tensor) -> tuple[Tensor, int]:
    return _node(x), in_dims[0]
