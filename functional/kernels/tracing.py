"""Whether operations may be written for torch's compiler, and what the operators that it sees as one node share."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


def compiled() -> bool:
    """Whether `torch.compile` is tracing.

    So is `torch.export`, but what it traces is run elsewhere, without this package and by other compilers: it gets the
    plain operations, with the results of the uncompiled program.

    Example:
        >>> compiled()
        False
    """
    return torch.compiler.is_compiling() and not torch.compiler.is_exporting()


@functools.cache
def compile_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The loops of a node, compiled for each shape. At first use, because `torch.compile` takes a second to import.

    Example:
        >>> compile_once(torch.sin) is compile_once(torch.sin)
        True
    """
    return torch.compile(function, dynamic=False)


def mapped_first(size: int, in_dims: Sequence[int | None], tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    """The tensors of a `vmap`, with the mapped dimension first, and repeated along it if they are not mapped.

    Args:
        size: of the mapped dimension.
        in_dims: the mapped dimension of each tensor, or None.
        tensors: as many.

    Example:
        >>> [x.shape for x in mapped_first(4, (1, None), (torch.ones(2, 4), torch.ones(3)))]
        [torch.Size([4, 2]), torch.Size([4, 3])]
    """
    for dim, x in zip(in_dims, tensors, strict=True):
        yield x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)
