"""Convolution: torch's results and gradients for every workaround, and no heap corruption."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from functional import random
from functional.kernels import conv2d

CASES = {
    "3 x 3": dict(channels=3, kernel=3),
    "one channel": dict(channels=1, kernel=3, padding=1),
    "one pixel with stride, few channels": dict(channels=3, kernel=1, stride=2),
    "one pixel with stride, many channels": dict(channels=16, kernel=1, stride=2),
    "one pixel with stride and padding": dict(channels=3, kernel=1, stride=2, padding=1),
}


def arguments(channels, kernel, stride=1, padding=0, *, bias):
    keys = random.split(random.key(channels), 3)
    tensors = [random.normal(keys[0], (4, channels, 7, 8)), random.normal(keys[1], (5, channels, kernel, kernel))]
    tensors += [random.normal(keys[2], (5,))] if bias else []
    return [x.requires_grad_() for x in tensors], {"stride": stride, "padding": padding}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", CASES)
def test_it_equals_torch(name, compiled, bias):
    torch.compiler.reset()
    function = torch.compile(conv2d, backend="aot_eager", fullgraph=True) if compiled else conv2d
    tensors, options = arguments(**CASES[name], bias=bias)
    ours, theirs = function(*tensors, **options), F.conv2d(*tensors, **options)
    close = {"rtol": 1e-5, "atol": 1e-4}
    torch.testing.assert_close(ours, theirs, **close)
    gradients = [torch.autograd.grad(outputs.sin().sum(), tensors) for outputs in (ours, theirs)]
    torch.testing.assert_close(*gradients, **close)


ONE_PIXEL_WITH_STRIDE = """
import torch
from functional import random
from functional.kernels import conv2d

torch.set_num_threads(1)
weight = random.normal(random.key(0), (32, 4, 1, 1))
images = random.normal(random.key(1), (64, 4, 32, 32)).contiguous(memory_format=torch.channels_last)
for _ in range(30):
    torch.func.grad(lambda weight: conv2d(images, weight, stride=2).square().sum())(weight)
"""


def test_a_narrow_strided_convolution_of_one_pixel_does_not_corrupt_the_heap():
    """oneDNN's kernel for AVX2 writes past its workspace there, and the process dies at a later allocation."""
    variables = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", ONE_PIXEL_WITH_STRIDE], capture_output=True, text=True, env=variables)
    assert done.returncode == 0, done.stderr
