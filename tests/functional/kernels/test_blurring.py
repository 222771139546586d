"""Blur: what a compiler sees has the pixels and gradients of eager mode, in one graph."""

import pytest
import torch

from functional import random
from functional.kernels import blurring, separable_blur
from functional.kernels.blurring import _by_convolution, _by_shifts

SMALL, LARGE = (11, 14), (160, 161)  # images that are blurred together, and one by one


@pytest.fixture(autouse=True)
def few_threads(monkeypatch):
    monkeypatch.setattr(blurring, "FEW_THREADS", True)


def draw(*batch, sides=SMALL, dtype=torch.float32):
    images = random.uniform(random.key(len(batch)), (*batch, 3, *sides)).to(dtype)
    return images, torch.tensor([0.0, 0.1, 0.8, 2.0], dtype=dtype).expand(batch)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("radius", [1, 2, 10])
@pytest.mark.parametrize("sides", [SMALL, LARGE])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_compiled_program_has_the_same_pixels_and_gradients(radius, sides, dtype):
    torch.compiler.reset()
    compiled = torch.compile(separable_blur, backend="aot_eager", fullgraph=True)
    images, sigma = inputs = [x.clone().requires_grad_() for x in draw(4, sides=sides, dtype=dtype)]
    ours, theirs = compiled(images, sigma, radius), separable_blur(images, sigma, radius)
    assert ours.dtype == dtype and torch.equal(ours[0], images[0])
    torch.testing.assert_close(ours, theirs, atol=1e-6 if dtype == torch.float32 else 1e-14, rtol=0)
    of_images, of_sigma = zip(*(torch.autograd.grad(x.square().sum(), inputs) for x in (ours, theirs)), strict=True)
    torch.testing.assert_close(*of_images, atol=1e-5, rtol=0)
    torch.testing.assert_close(*of_sigma, atol=1e-5, rtol=1e-4)  # sums over all pixels
    assert of_images[0].any() and of_sigma[0].any()


@pytest.mark.parametrize(
    ("sides", "few", "one_by_one"), [(SMALL, True, False), (LARGE, True, True), (LARGE, False, False)]
)
def test_a_compiler_gets_a_node_for_large_images_and_few_threads(sides, few, one_by_one, monkeypatch, graph_of):
    monkeypatch.setattr(blurring, "FEW_THREADS", few)
    assert ("funczoo.blur" in graph_of(separable_blur, *draw(4, sides=sides), 2)) == one_by_one


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_large_images_have_the_taps_that_their_widths_need():
    images, sigma = random.uniform(random.key(0), (30, 1, 160, 160)), torch.linspace(0.05, 3, 30)
    torch.compiler.reset()
    compiled = torch.compile(separable_blur, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images, sigma, 12), separable_blur(images, sigma, 12), atol=1e-6, rtol=0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("sides", [SMALL, LARGE])
@pytest.mark.parametrize("in_dims", [(0, 0), (None, 0), (0, None)])
def test_it_maps_in_a_compiled_program(in_dims, sides):
    images, sigma = (x[0] if dim is None else x for x, dim in zip(draw(2, 4, sides=sides), in_dims, strict=True))
    mapped = torch.func.vmap(lambda images, sigma: separable_blur(images, sigma, 3), in_dims=in_dims)
    torch.compiler.reset()
    compiled = torch.compile(mapped, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images, sigma), mapped(images, sigma))


@pytest.mark.parametrize("radius", [0, 1, 2, 20])
def test_shifted_sums_which_a_gpu_gets_for_every_radius_are_the_convolution(radius):
    images = random.uniform(random.key(0), (4, 3, 21, 24))
    sigma = torch.tensor([0.0, 0.1, 0.8, 6.0])
    ours, theirs = _by_shifts(images, sigma, radius), _by_convolution(images, sigma, radius)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
