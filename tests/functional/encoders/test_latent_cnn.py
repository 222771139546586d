"""The encoder of small autoencoders against the same network of torch modules."""

import pytest
import torch
from torch.nn import BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Sequential

from functional import encoders, random, tree


def twin(in_channels: int, width: int, hidden: int, latent_dim: int, side: int) -> Sequential:
    """The network as torch modules, in the order of the encoder's parameters."""
    maps = [in_channels, width, 2 * width, 4 * width]
    stages = [
        module
        for a, b in zip(maps[:-1], maps[1:], strict=True)
        for module in (Conv2d(a, b, 3, 2, 1, bias=False), BatchNorm2d(b), ReLU())
    ]
    return Sequential(
        *stages, Flatten(), Linear(maps[-1] * side**2, hidden), ReLU(), Linear(hidden, latent_dim)
    ).double()


@pytest.mark.parametrize(("channels", "size", "side"), [(1, 28, 4), (3, 32, 4), (1, 9, 2)])
def test_equals_the_torch_network(channels, size, side):
    """Outputs agree in train and evaluation mode, for sizes that halve to whole numbers or round up."""
    encoder = encoders.latent_cnn(channels, latent_dim=3, width=4, hidden=8, size=size)
    params, stats = tree.map(lambda x: x.double(), encoder.init(random.key(0)))
    module = twin(channels, 4, 8, 3, side)
    weights = list(tree.flatten(params).values())
    for parameter, weight in zip(module.parameters(), weights, strict=True):
        assert parameter.shape == weight.shape
        parameter.data.copy_(weight)
    x = random.uniform(random.key(1), (5, channels, size, size)).double()
    for train in (True, False):
        ours, stats = encoder.apply(params, stats, x, train=train)
        assert torch.allclose(ours, module.train(train)(x), atol=1e-6)
    assert encoder.feature_dim == 3 and (ours < 0).any()


@pytest.mark.parametrize("option", ["latent_dim", "width", "hidden", "size"])
def test_sizes_are_above_0(option):
    """A size of 0 is named."""
    with pytest.raises(ValueError, match=option):
        encoders.latent_cnn(**{option: 0})


def test_images_of_another_size_are_refused():
    """The first linear layer fits one size only, and the error says which."""
    with pytest.raises(ValueError, match="28"):
        encoders.latent_cnn().apply({}, {}, torch.zeros(1, 1, 32, 32))
