"""Sampling between pixels: the node that a compiler sees equals eager mode."""

import pytest
import torch

from functional import random
from functional.kernels import bilinear_sample


def draw(*batch):
    key_images, key_places = random.split(random.key(len(batch)))
    images = random.uniform(key_images, (*batch, 3, 7, 6))
    return images, random.uniform(key_places, (*batch, 2, 5, 4), minval=-1.2, maxval=1.2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiled_program_has_the_same_pixels_and_gradients():
    compiled = torch.compile(
        lambda images, places: bilinear_sample(images, places).sin(), backend="aot_eager", fullgraph=True
    )
    inputs = [x.requires_grad_() for x in draw(4)]
    ours, theirs = compiled(*inputs), bilinear_sample(*inputs).sin()
    torch.testing.assert_close(ours, theirs)
    gradients = [torch.autograd.grad(outputs.square().sum(), inputs) for outputs in (ours, theirs)]
    torch.testing.assert_close(*gradients)
    assert all(gradient.abs().sum() > 0 for gradient in gradients[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("in_dims", [(0, 0), (None, 0), (0, None)])
def test_it_maps_in_a_compiled_program(in_dims):
    images, places = (x[0] if dim is None else x for x, dim in zip(draw(2, 4), in_dims, strict=True))
    mapped = torch.func.vmap(bilinear_sample, in_dims=in_dims)
    compiled = torch.compile(mapped, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images, places), mapped(images, places))


def test_samplings_of_one_batch_for_several_keys_equal_the_loop():
    images, places = draw(4)[0], torch.stack([draw(4)[1], draw(4)[1].flip(0)])

    def twice(places):
        return bilinear_sample(bilinear_sample(images, places), places)

    torch.testing.assert_close(torch.func.vmap(twice)(places), torch.stack([twice(each) for each in places]))
