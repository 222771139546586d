"""Operations that torch or its compiler, used in the usual way, runs slowly or incorrectly.

Each file holds one operation and says at its top why it exists: a custom operator that a compiler sees as one node, or
a workaround for a processor's kernel. The result is always that of the plain operation, up to rounding. The rest of
`functional` calls the operation in one line, as if there were no workaround.

    >>> import torch
    >>> max_pool2d(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 2)
    tensor([[[[4.]]]])
"""

from functional.kernels.blurring import separable_blur as separable_blur
from functional.kernels.bytes import bytes_to_floats as bytes_to_floats
from functional.kernels.convolution import conv2d as conv2d
from functional.kernels.half import widened as widened
from functional.kernels.pooling import max_pool2d as max_pool2d
from functional.kernels.products import inner_products as inner_products
from functional.kernels.sampling import bilinear_sample as bilinear_sample
from functional.kernels.threefry import threefry2x32 as threefry2x32
