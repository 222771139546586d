"""Batches of indices from (key, epoch): the same on every machine, independent of earlier epochs."""

from collections.abc import Iterator

import torch
from jaxtyping import Int64
from torch import Tensor

from functional import random
from functional.base import Key
from zoo.errors import ZooError


def steps_per_epoch(n: int, batch_size: int) -> int:
    """The number of full batches in `n` images.

    Raises:
        ZooError: if the images do not fill one batch.
    """
    if n < 2:
        raise ZooError(f"expected 2 or more training images to tell apart, got {n}; add more")
    if batch_size > n:
        raise ZooError(f"batch_size: expected at most {n}, the number of training images, got {batch_size}; lower it")
    return n // batch_size


def batches(key: Key, epoch: int, n: int, batch_size: int) -> Iterator[Int64[Tensor, " batch_size"]]:
    """The index batches of an epoch: a permutation of `n` images split into full batches.

    The images that do not fill a batch are skipped, different ones in each epoch.

    Example:
        >>> [batch.tolist() for batch in batches(random.key(0), 0, 5, 2)]
        [[0, 2], [4, 1]]
    """
    steps = steps_per_epoch(n, batch_size)
    order = random.permutation(random.fold_in(key, epoch), n)
    yield from torch.split(order[: steps * batch_size], batch_size)
