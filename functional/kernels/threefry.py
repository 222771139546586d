"""The block cipher Threefry-2x32 with 20 rounds: the source of every random number.

It is a hundred operations on 32-bit lanes, and slow in three places, each with its own workaround:

- A compiler takes half a minute to optimise those operations, once for each draw of a program. It sees one node
  instead, which is compiled once.
- On the CPU each operation passes over all counters. Blocks of counters that fit in the cache are up to four times as
  fast.
- torch takes as long to make a tensor from a number as to shift a thousand lanes by it, so the shifts and masks are
  tensors that are made once per call.

torch has no unsigned addition or shift on the CPU, so the lanes are int32, whose sums wrap around in the same way; a
logical shift is an arithmetic shift and a mask.

References:
    Salmon, Moraes, Dror, Shaw. Parallel random numbers: as easy as 1, 2, 3. SC 2011, section 3.2.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int32
from torch import Tensor

from functional.base import Key

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_BLOCK = 2**15  # counters at a time


def threefry2x32(key: Key, low: Int32[Tensor, "*counters"]) -> Int32[Tensor, "*broadcast 2"]:
    """Encrypt the counters (0, low) with the keys: two lanes of random bits for each.

    Args:
        key: `[..., 2]`. Its other dimensions broadcast against those of `low`.
        low: the low lanes of the counters, int32 `[...]`; their high lanes are 0.

    Returns:
        int32 `[..., 2]` with the broadcast dimensions; without values for a key on the device `meta`.

    Raises:
        RuntimeError: if the dimensions do not broadcast.

    Example:
        >>> key, counters = torch.tensor([0, 42], dtype=torch.int32), torch.arange(3, dtype=torch.int32)
        >>> threefry2x32(key, counters)[0]  # the lanes of counter 0
        tensor([1832780943,  270669613], dtype=torch.int32)
    """
    if key.is_meta:
        return _empty_lanes(key, low)
    return _node(key, low) if torch.compiler.is_compiling() else _eagerly(key, low)


def _rounds(key: Tensor, high: Tensor | int, low: Tensor) -> tuple[Tensor, Tensor]:
    """The block cipher: two lanes of key `[..., 2]` and two of counter to two lanes of random bits."""
    k0, k1 = key[..., 0], key[..., 1]
    schedule = (k0, k1, k0 ^ k1 ^ _PARITY)
    shifts = _shifts_and_masks(key.device)
    x0, x1 = high + k0, low + k1
    for i in range(5):
        for r in _ROTATIONS[i % 2]:
            shift, mask = shifts[r]
            x0 = x0 + x1
            x1 = torch.add((x1 >> shift) & mask, x1, alpha=1 << r) ^ x0  # x1 rotated to the left by r bits
        x0 = x0 + schedule[(i + 1) % 3]
        x1 = x1 + schedule[(i + 2) % 3] + (i + 1)
    return x0, x1


def _shifts_and_masks(device: torch.device) -> dict[int, tuple[Any, Any]]:
    """For each rotation by r bits: 32 - r and the mask of the low r bits, as tensors on a CPU outside a compiler."""
    rotations = [r for group in _ROTATIONS for r in group]
    shifts, masks = [32 - r for r in rotations], [(1 << r) - 1 for r in rotations]
    if device.type == "cpu" and not torch.compiler.is_compiling():
        shifts, masks = (torch.tensor(numbers, dtype=torch.int32).unbind() for numbers in (shifts, masks))
    return dict(zip(rotations, zip(shifts, masks, strict=True), strict=True))


def _eagerly(key: Tensor, low: Tensor) -> Tensor:
    one_key_for_many = key.ndim == 1 or key.shape[-2] == 1
    if low.device.type == "cpu" and low.ndim and low.shape[-1] > _BLOCK and one_key_for_many:
        return torch.cat([_eagerly(key, block) for block in low.split(_BLOCK, dim=-1)], dim=-2)
    return torch.stack(_rounds(key, 0, low), dim=-1)


@torch.library.custom_op("funczoo::threefry2x32", mutates_args=())
def _node(key: Tensor, low: Tensor) -> Tensor:
    lanes = torch.broadcast_tensors(key[..., 0], key[..., 1], low)
    if lanes[0].numel() == 1:
        return _eagerly(key, low)
    return _compiled_rows()(torch.stack([lane.flatten() for lane in lanes])).reshape(*lanes[0].shape, 2)


@functools.cache
def _compiled_rows() -> Callable[[Tensor], Tensor]:
    """The cipher of keys and counters in three rows, `[3, N]`: for any N above 1, so it is compiled once.

    Compiled at first use, because `torch.compile` takes a second to import.
    """
    return torch.compile(lambda rows: torch.stack(_rounds(rows[:2].T, 0, rows[2]), dim=-1), dynamic=True)


@_node.register_fake
def _empty_lanes(key: Tensor, low: Tensor) -> Tensor:
    """The shape of the result, for tensors without values."""
    return key.new_empty((*torch.broadcast_shapes(key.shape[:-1], low.shape), 2))


@_node.register_vmap
def _(info: Any, in_dims: tuple[int | None, ...], key: Tensor, low: Tensor) -> tuple[Tensor, int]:
    key, low = (x[None] if dim is None else x.movedim(dim, 0) for x, dim in zip((key, low), in_dims, strict=True))
    rank = max(key.ndim - 1, low.ndim)  # the mapped dimension stays first, so shorter shapes are padded after it
    key = key.reshape(len(key), *(1,) * (rank + 1 - key.ndim), *key.shape[1:])
    low = low.reshape(len(low), *(1,) * (rank - low.ndim), *low.shape[1:])
    return _node(key, low), 0
