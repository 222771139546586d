"""2-D convolution with square kernels, by whichever of oneDNN's kernels is correct and fast.

- oneDNN's own kernel for a 1 x 1 convolution of stride 2 on fewer than 16 channels writes past its workspace in the
  backward pass (uxlfoundation/oneDNN#6035). The pixels in use are selected first, which leaves a stride of 1.
- With a single channel, a compiler cannot tell the memory format and converts the whole gradient of the outputs to
  another one. A second channel of zeros costs nothing.
- oneDNN takes longer for the gradient of a bias than for that of the weights. A compiler adds the bias for free after
  the convolution.
"""

import torch.nn.functional as F
from torch import Tensor

from functional.kernels.half import widened
from functional.kernels.tracing import compiled

_conv2d = widened(F.conv2d)


def conv2d(inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1, padding: int = 0) -> Tensor:
    """`torch.nn.functional.conv2d`: `[B, in_channels, H, W] -> [B, out_channels, H', W']`.

    Args:
        inputs: `[B, in_channels, H, W]`.
        weight: `[out_channels, in_channels, kernel, kernel]`.
        bias: `[out_channels]`, or None.
        stride: between the outputs, in pixels.
        padding: pixels of zeros on each side.

    Returns:
        `[B, out_channels, H', W']` with `H' = (H + 2 padding - kernel) // stride + 1`.

    Raises:
        RuntimeError: if the shapes or dtypes do not match, as in torch.

    Example:
        >>> import torch
        >>> conv2d(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2), torch.ones(1))
        tensor([[[[5.]]]])
    """
    in_channels, kernel = weight.shape[1], weight.shape[-1]
    if kernel == 1 < stride and padding == 0 and in_channels < 16:
        return _conv2d(inputs[..., ::stride, ::stride], weight, bias)
    if not compiled():
        return _conv2d(inputs, weight, bias, stride, padding)
    if in_channels == 1:
        inputs, weight = (F.pad(x, (0, 0, 0, 0, 0, 1)) for x in (inputs, weight))
    outputs = _conv2d(inputs, weight, None, stride, padding)
    return outputs if bias is None else outputs + bias[:, None, None]
