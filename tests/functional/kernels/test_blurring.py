"""Blur: what a compiler sees has the pixels and gradients of eager mode, in one graph."""

import pytest
import torch

from functional import random
from functional.kernels import separable_blur
from functional.kernels.blurring import _by_convolution, _by_shifts


def draw(*batch, dtype=torch.float32):
    images = random.uniform(random.key(len(batch)), (*batch, 3, 11, 14)).to(dtype)
    return images, torch.tensor([0.0, 0.1, 0.8, 2.0]).expand(batch)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("radius", [1, 2, 10])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_compiled_program_has_the_same_pixels_and_gradients(radius, dtype):
    compiled = torch.compile(separable_blur, backend="aot_eager", fullgraph=True)
    images, sigma = draw(4, dtype=dtype)
    images.requires_grad_()
    ours, theirs = compiled(images, sigma, radius), separable_blur(images, sigma, radius)
    assert ours.dtype == dtype and torch.equal(ours[0], images[0])
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    gradients = [torch.autograd.grad(outputs.square().sum(), images)[0] for outputs in (ours, theirs)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("in_dims", [(0, 0), (None, 0), (0, None)])
def test_it_maps_in_a_compiled_program(in_dims):
    images, sigma = (x[0] if dim is None else x for x, dim in zip(draw(2, 4), in_dims, strict=True))
    mapped = torch.func.vmap(lambda images, sigma: separable_blur(images, sigma, 3), in_dims=in_dims)
    compiled = torch.compile(mapped, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images, sigma), mapped(images, sigma))


@pytest.mark.parametrize("radius", [0, 1, 2, 20])
def test_shifted_sums_which_a_gpu_gets_for_every_radius_are_the_convolution(radius):
    images = random.uniform(random.key(0), (4, 3, 21, 24))
    exponents = -0.5 * (torch.arange(-radius, radius + 1) / torch.tensor([0.001, 0.1, 0.8, 6.0])[:, None]).square()
    torch.testing.assert_close(_by_shifts(images, exponents), _by_convolution(images, exponents), atol=1e-6, rtol=0)
