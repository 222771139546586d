"""The published small networks against twins written with torch.nn.Sequential, and clear errors."""

import pytest
import torch
from torch.nn import BatchNorm2d, Conv2d, Dropout, Flatten, LeakyReLU, Linear, MaxPool2d, ReLU, Sequential

from functional import encoders, random, tree


def conv(*channels, stride=1, padding=1):
    return Conv2d(*channels, 3, stride, padding)


def fast_uniform(key, shape, *, minval=0.0, maxval=1.0):
    """Torch's own draw: the values of the weights do not matter here, and s1a has 13 million."""
    return torch.empty(shape).uniform_(minval, maxval, generator=torch.Generator().manual_seed(int(key[1])))


# fmt: off
TWINS = {  # the rows of the table, and their parameters counted by hand
    "s1a": (lambda: Sequential(
        conv(1, 4), ReLU(), BatchNorm2d(4), conv(4, 8), ReLU(), BatchNorm2d(8), conv(8, 16), ReLU(), BatchNorm2d(16),
        conv(16, 4), BatchNorm2d(4), ReLU(), Flatten(), Dropout(0.2), Linear(3136, 4096)),
        (40 + 296 + 1168 + 580) + 2 * (4 + 8 + 16 + 4) + 3137 * 4096),
    "s1b": (lambda: Sequential(
        conv(1, 3, stride=2), BatchNorm2d(3), LeakyReLU(), conv(3, 9, stride=2), BatchNorm2d(9), LeakyReLU(),
        conv(9, 18, stride=2), BatchNorm2d(18), LeakyReLU(), Flatten(), Linear(288, 512), Linear(512, 1024)),
        (30 + 252 + 1476) + 2 * (3 + 9 + 18) + 289 * 512 + 513 * 1024),
    "s2": (lambda: Sequential(
        conv(3, 32), ReLU(), MaxPool2d(2), conv(32, 64), ReLU(), MaxPool2d(2), Flatten(), Linear(4096, 128), ReLU()),
        896 + 18496 + 4097 * 128),
    "s3a": (lambda: Sequential(
        conv(1, 32), ReLU(), MaxPool2d(2), conv(32, 64), ReLU(), MaxPool2d(2), Flatten(), Linear(3136, 128)),
        320 + 18496 + 3137 * 128),
    "s4": (lambda: Sequential(
        conv(1, 32, stride=2), ReLU(), BatchNorm2d(32), conv(32, 64, stride=2), ReLU(), BatchNorm2d(64),
        conv(64, 128, stride=2), ReLU(), BatchNorm2d(128), Flatten()),
        (320 + 18496 + 73856) + 2 * (32 + 64 + 128)),
    "s5": (lambda: Sequential(
        conv(1, 8, stride=2), ReLU(), conv(8, 16, stride=2), BatchNorm2d(16), ReLU(),
        conv(16, 32, stride=2, padding=0), ReLU(), Flatten(), Linear(288, 128), ReLU(), Linear(128, 4)),
        (80 + 1168 + 4640) + 2 * 16 + 289 * 128 + 129 * 4),
}
# fmt: on


@pytest.mark.parametrize("name", TWINS)
def test_network_equals_its_twin(name, monkeypatch):
    monkeypatch.setattr(random, "uniform", fast_uniform)
    encoder, (make_twin, count) = getattr(encoders, name)(), TWINS[name]
    twin = make_twin()
    params, batch_stats = encoder.init(random.key(0))
    assert sum(x.numel() for x in tree.leaves(params)) == count
    with torch.no_grad():
        # Moments unlike 0 and 1, so that it matters on which side of a ReLU the batch norm stands.
        batch_stats = tree.map(lambda x: fast_uniform(random.key(1), x.shape, minval=0.5), batch_stats)
        running = [x for n, x in twin.named_buffers() if not n.endswith("num_batches_tracked")]
        for theirs, ours in zip([*twin.parameters(), *running], tree.leaves((params, batch_stats)), strict=True):
            theirs.copy_(ours)
        x = random.normal(random.key(1), (4, 3, 32, 32) if name == "s2" else (4, 1, 28, 28))
        if name != "s1a":  # whose dropout draws other masks
            features, batch_stats = encoder.apply(params, batch_stats, x, train=True)
            torch.testing.assert_close(features, twin.train()(x), rtol=1e-5, atol=1e-5)
        features, _ = encoder.apply(params, batch_stats, x)
        torch.testing.assert_close(features, twin.eval()(x), rtol=1e-5, atol=1e-5)
    assert features.shape == (4, encoder.feature_dim)


@pytest.mark.parametrize("name", ["s1b", "s2", "s3a", "s4"])
def test_sizes_and_channels_follow_the_images(name, monkeypatch):
    monkeypatch.setattr(random, "uniform", fast_uniform)
    for channels, size in ((3, 28), (1, 32)):
        encoder = getattr(encoders, name)(channels, size=size)
        features, _ = encoder.apply(*encoder.init(random.key(0)), torch.zeros(1, channels, size, size))
        assert features.shape == (1, encoder.feature_dim)


def test_s1a_draws_from_its_key_alone():
    encoder, x = encoders.s1a(size=8), random.uniform(random.key(1), (4, 1, 8, 8))
    params, batch_stats = encoder.init(random.key(0))
    first, _ = encoder.apply(params, batch_stats, x, train=True, key=random.key(2))
    again, _ = encoder.apply(params, batch_stats, x, train=True, key=random.key(2))
    other, _ = encoder.apply(params, batch_stats, x, train=True, key=random.key(3))
    assert torch.equal(first, again) and not torch.equal(first, other)
    with pytest.raises(ValueError, match="pass key="):
        encoder.apply(params, batch_stats, x, train=True)


def test_wrong_images_are_named():
    with pytest.raises(ValueError, match="expected 28 x 28 pixels, got 32 x 30"):
        encoders.s5().apply({}, {}, torch.zeros(1, 1, 32, 30))
    with pytest.raises(ValueError, match="expected 3 channels, got 1"):
        encoders.s2().apply({}, {}, torch.zeros(1, 1, 32, 32))
