"""Products in bfloat16, on processors that have no instructions for them and loop instead, ten times slower.

There the factors are converted to float32, which is exact, and the sums are rounded to bfloat16 once. The instructions
of other processors (AVX-512, AMX) do the same: they multiply in bfloat16 and sum in float32.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# A constant rather than a function, so that a compiler sees one of the two branches.
HAS_BFLOAT16: bool = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def widened(operation: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A bilinear operation that sums in float32 where a CPU is slow in bfloat16; elsewhere the operation itself.

    Args:
        operation: `(inputs, weight, bias, *options) -> outputs`, such as `torch.nn.functional.conv2d`.

    Returns:
        A function of the same arguments, with outputs of the dtype of the inputs.

    Example:
        >>> inputs = torch.ones(1, 2, dtype=torch.bfloat16)
        >>> widened(torch.nn.functional.linear)(inputs, inputs, None)
        tensor([[2.]], dtype=torch.bfloat16)
    """

    def apply(inputs: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> Tensor:
        slow = inputs.dtype == torch.bfloat16 and inputs.device.type == "cpu" and not HAS_BFLOAT16
        if not slow or torch.compiler.is_exporting():  # what is exported may run on another processor
            return operation(inputs, weight, bias, *options)
        wide = operation(inputs.float(), weight.float(), None if bias is None else bias.float(), *options)
        return wide.to(inputs.dtype)

    return apply
