"""The streams of keys that a method draws from: one per purpose, no two of them ever equal.

A loss receives the key of the epoch. Everything it draws has its own key, by three rules:

    view v of an image           fold_in(fold_in(key, index), v)              v = 0, 1, 2, ...
    once per image and view      fold_in(fold_in(fold_in(key, index), STREAM), v)
    once per batch               fold_in(fold_in(key, STREAM), step)

The views of an image thus depend only on (seed, epoch, index, view), not on the batch. Draws for a whole batch (a
permutation, random directions) are new at every step. `Stream` lists the purposes. Their numbers are the highest of 32
bits, far from all image indices and view numbers.

    >>> from functional import random
    >>> key, index = random.key(0), torch.arange(4)
    >>> view_keys(key, index, 2).shape, image_keys(key, Stream.ENCODER, index, 2).shape
    (torch.Size([2, 4, 2]), torch.Size([2, 4, 2]))
    >>> batch_key(key, Stream.SHUFFLE, torch.tensor(7)).shape
    torch.Size([2])
"""

import enum

import torch
from jaxtyping import Int32, Int64
from torch import Tensor

from functional import random
from functional.base import Key


class Stream(enum.IntEnum):
    """The purposes of keys, other than views."""

    ENCODER = 2**32 - 1  # draws of an encoder: dropout, drop path
    TARGET = 2**32 - 2  # draws of a target network
    HEAD = 2**32 - 3  # draws of a head
    MASKS = 2**32 - 4  # which patches are masked
    SAMPLES = 2**32 - 5  # which pair, triplet or rotation an image gets
    SHUFFLE = 2**32 - 6  # permutations of a batch
    DIRECTIONS = 2**32 - 7  # random directions in feature space
    NOISE = 2**32 - 8  # noise added to an image


def view_keys(key: Key, index: Int64[Tensor, " batch"], n: int, *, first: int = 0) -> Int32[Tensor, "views batch 2"]:
    """The keys of views `first` to `first + n - 1` of every image.

    Args:
        key: of the epoch, `[2]`.
        index: positions of the images in their dataset.
        n: the number of views.
        first: the index of the first view, from 0.

    Example:
        >>> keys = view_keys(random.key(0), torch.tensor([5, 9]), 2)
        >>> torch.equal(keys[1, 0], random.fold_in(random.fold_in(random.key(0), 5), 1))
        True
    """
    views = torch.arange(first, first + n, device=key.device)
    return random.fold_in(random.fold_in(key, index), views[:, None])


def image_keys(key: Key, stream: Stream, index: Int64[Tensor, " batch"], n: int = 1) -> Int32[Tensor, "views batch 2"]:
    """Keys of a stream for every image: `n` per image, one per view.

    Args:
        key: of the epoch, `[2]`.
        stream: their purpose.
        index: positions of the images in their dataset.
        n: the number of keys per image.

    Example:
        >>> image_keys(random.key(0), Stream.MASKS, torch.arange(3)).shape
        torch.Size([1, 3, 2])
    """
    own = random.fold_in(random.fold_in(key, index), int(stream))
    return random.fold_in(own, torch.arange(n, device=key.device)[:, None])


def batch_key(key: Key, stream: Stream, step: Int64[Tensor, ""]) -> Int32[Tensor, "2"]:
    """The key of a stream for the whole batch of a step.

    Args:
        key: of the epoch, `[2]`.
        stream: its purpose.
        step: `Batch.step`.

    Example:
        >>> batch_key(random.key(0), Stream.DIRECTIONS, torch.tensor(3)).shape
        torch.Size([2])
    """
    return random.fold_in(random.fold_in(key, int(stream)), step)
