r"""Queues: the last K rows that a method has seen, such as MoCo's negatives, in a ring buffer.

A queue is a NamedTuple of tensors: it lives in a method's state, is saved with it, and works under `vmap`. A method
uses the rows before it enqueues new ones, so it never compares a batch with itself.

    >>> queue = empty(3, 1)
    >>> queue = enqueue(queue, torch.tensor([[1.0], [2.0]]))
    >>> queue = enqueue(queue, torch.tensor([[3.0], [4.0]]))  # replaces the oldest row
    >>> queue.rows.flatten().tolist(), int(queue.filled)
    ([4.0, 2.0, 3.0], 3)
    >>> newest_first(queue).flatten().tolist()
    [4.0, 3.0, 2.0]

References:
    He, Fan, Wu, Xie, Girshick. Momentum contrast for unsupervised visual representation learning. arXiv:1911.05722,
    section 3.2, "Dictionary as a queue".
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from functional import random
from functional.base import Features, Key
from functional.checks import check_positive, check_rank
from functional.numerics import l2_normalize


class Queue(NamedTuple):
    """A ring buffer of rows.

    Attributes:
        rows: `[K, D]`, floating point; rows not yet written keep their initial values.
        position: int64 scalar, where the next row goes.
        filled: int64 scalar, the number of rows written, at most K.
    """

    rows: Float[Tensor, "size dim"]
    position: Int64[Tensor, ""]
    filled: Int64[Tensor, ""]


def empty(size: int, dim: int, *, device: torch.device | str | None = None) -> Queue:
    """A queue of zeros; `filled` says how many rows count.

    Args:
        size: K > 0.
        dim: D > 0.
        device: of the queue.

    Raises:
        ValueError: if a size is not above 0.

    Example:
        >>> empty(4, 2).rows.shape
        torch.Size([4, 2])
    """
    check_positive("size", size)
    check_positive("dim", dim)
    position, filled = (torch.zeros((), dtype=torch.int64, device=device) for _ in range(2))
    return Queue(torch.zeros(size, dim, dtype=torch.float32, device=device), position, filled)


def random_rows(key: Key, size: int, dim: int) -> Queue:
    """A queue of random unit rows, as in MoCo: every row is used from the first step, and `filled` is 0.

    Args:
        key: `[2]`.
        size: K > 0.
        dim: D > 0.

    Raises:
        ValueError: if a size is not above 0.

    Example:
        >>> queue = random_rows(random.key(0), 4, 2)
        >>> queue.rows.norm(dim=1), int(queue.filled)
        (tensor([1.0000, 1.0000, 1.0000, 1.0000]), 0)
    """
    return empty(size, dim, device=key.device)._replace(rows=l2_normalize(random.normal(key, (size, dim))))


def enqueue(queue: Queue, rows: Features) -> Queue:
    """The queue with new rows in place of the oldest, in order; it wraps around at its end.

    Args:
        queue: is not changed.
        rows: `[B, D]`, B <= K; detach them, or the graph of this step is kept alive.

    Raises:
        ValueError: if there are more rows than the queue holds, or their dimension differs.

    Example:
        >>> enqueue(empty(2, 1), torch.tensor([[5.0]])).rows
        tensor([[5.],
                [0.]])

    Note:
        MoCo's code needs a queue size divisible by the batch size; lightly drops the rows that would cross the end.
    """
    check_rank("rows", rows, "batch dim")
    size, dim = queue.rows.shape
    if rows.shape[1] != dim or len(rows) > size:
        raise ValueError(
            f"rows: expected at most {size} rows of {dim}, the size of the queue, got {list(rows.shape)}; "
            "make the queue larger or the batch smaller"
        )
    places = (queue.position + torch.arange(len(rows), device=rows.device)) % size
    return Queue(
        rows=queue.rows.scatter(0, places[:, None].expand(-1, dim), rows.to(queue.rows.dtype)),
        position=(queue.position + len(rows)) % size,
        filled=(queue.filled + len(rows)).clamp_max(size),
    )


def newest_first(queue: Queue) -> Float[Tensor, "size dim"]:
    """All rows, newest first; those not yet written come last.

    Example:
        >>> newest_first(enqueue(empty(3, 1), torch.tensor([[1.0], [2.0]]))).flatten()
        tensor([2., 1., 0.])
    """
    size = len(queue.rows)
    age = torch.arange(size, device=queue.rows.device)
    return queue.rows[(queue.position - 1 - age) % size]
