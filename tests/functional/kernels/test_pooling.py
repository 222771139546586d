"""Maximum pooling: the node that a compiler sees equals torch, including gradients at ties."""

import pytest
import torch
import torch.nn.functional as F

from functional import random
from functional.kernels import max_pool2d


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    """Because a compiler gives up after eight shapes of one function."""
    torch.compiler.reset()


def levels(*shape):
    """Few different values, so most squares have several largest pixels, and some are NaN."""
    x = random.randint(random.key(sum(shape)), shape, 0, 4).float()
    x[0, 0, 0, 1] = torch.nan
    return x


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("side,height,width", [(2, 8, 6), (2, 7, 9), (3, 9, 7)])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_the_node_of_a_compiler_equals_torch(side, height, width, order):
    def torchs(x):
        return F.max_pool2d(x, side).sin()

    compiled = torch.compile(lambda x: max_pool2d(x, side).sin(), backend="aot_eager", fullgraph=True)
    x = levels(4, 3, height, width).contiguous(memory_format=order)
    assert torchs(x).isnan().any()
    torch.testing.assert_close(compiled(x), torchs(x), equal_nan=True)
    finite = x.nan_to_num(1).requires_grad_()
    ours, theirs = (torch.autograd.grad(pool(finite).square().sum(), finite) for pool in (compiled, torchs))
    torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_node_maps():
    x = levels(2, 3, 2, 4, 4)
    mapped = torch.compile(torch.func.vmap(lambda x: max_pool2d(x, 2)), backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(mapped, torch.stack([F.max_pool2d(one, 2) for one in x]), equal_nan=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_the_nodes_have_the_memory_format_that_they_declare(order):
    """A compiler checks it and stops at a mismatch."""
    x = levels(4, 3, 8, 6).nan_to_num(1).contiguous(memory_format=order).requires_grad_()
    pooled = torch.compile(lambda x: max_pool2d(x, 2).sin(), fullgraph=True)(x)
    gradients = [torch.autograd.grad(y.sum(), x)[0] for y in (pooled, F.max_pool2d(x, 2).sin())]
    torch.testing.assert_close(*gradients)


def test_other_squares_equal_torch():
    x = levels(2, 3, 7, 7)
    torch.testing.assert_close(max_pool2d(x, 3, 2, 1), F.max_pool2d(x, 3, 2, 1), equal_nan=True)
