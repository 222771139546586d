"""Streams of keys: each has a purpose, and no two of them draw with the same key."""

import inspect
from functools import partial

import pytest
import torch

from functional import augmentations, encoders, layers, methods, random, streams
from functional.base import Batch, Encoder
from functional.streams import Stream

KEY, INDEX = random.key(0), torch.arange(200)
CROP = partial(augmentations.random_resized_crop, size=8, scale=(0.2, 1.0))


def noisy(keys, images):
    """A view that draws for every pixel, in 0..1."""
    return augmentations.gaussian_noise(keys, images, std=0.1).clamp(0, 1)


def pixels(latent_dim, *, out_channels):
    """A decoder to 8 x 8 pixels that draws."""
    fold = layers.activation(lambda x: x.unflatten(1, (out_channels, 8, 8)))
    return layers.serial(drop=layers.dropout(0.5), linear=layers.linear(latent_dim, out_channels * 64), fold=fold)


def rows(keys):
    return {tuple(key) for key in keys.reshape(-1, 2).tolist()}


def every_stream(steps=50, views=8):
    """All keys that methods can use in an epoch, by stream."""
    found = {f"view {v}": streams.view_keys(KEY, INDEX, 1, first=v) for v in range(views)}
    for stream in Stream:
        found |= {f"{stream.name} {v}": streams.image_keys(KEY, stream, INDEX, views)[v] for v in range(views)}
        found[f"{stream.name} batch"] = torch.stack(
            [streams.batch_key(KEY, stream, torch.tensor(step)) for step in range(steps)]
        )
    return found


def test_no_two_streams_share_a_key():
    found = every_stream()
    assert len(found) == 8 + len(Stream) * 9
    sizes = [len(rows(keys)) for keys in found.values()]
    assert sizes == [len(keys.reshape(-1, 2)) for keys in found.values()]
    assert len(set().union(*(rows(keys) for keys in found.values()))) == sum(sizes)


def test_views_are_drawn_as_they_always_were():
    """The shipped weights were trained with these keys."""
    keys = streams.view_keys(KEY, INDEX, 2)
    for v in range(2):
        assert torch.equal(keys[v], random.fold_in(random.fold_in(KEY, INDEX), v))
    assert torch.equal(streams.view_keys(KEY, INDEX, 1, first=1)[0], keys[1])


def test_stream_numbers_are_neither_images_nor_views():
    assert len(set(Stream)) == len(Stream) and all(2**32 - 1000 < stream < 2**32 for stream in Stream)


@pytest.mark.parametrize("name", [name for name, f in vars(methods).items() if inspect.isfunction(f)])
def test_a_method_never_draws_with_a_key_twice(name, monkeypatch):
    """Two views of images, an encoder that draws, and whatever else: every key that reaches a sampler is new."""
    drawn = []
    bits, permutation = random.bits, random.permutation

    def noted(sampler):
        def draw(key, *args):
            drawn.extend(map(tuple, key.reshape(-1, 2).tolist()))
            return sampler(key, *args)

        return draw

    net = layers.serial(flatten=layers.flatten, fc=layers.linear(64, 8), drop=layers.dropout(0.5))
    make = getattr(methods, name)
    wanted = {"classes": 3, "decoder": pixels}
    options = {option: wanted[option] for option in inspect.signature(make).parameters if option in wanted}
    method = make(Encoder(*net, feature_dim=8), views=noisy, **options)
    params, state = method.init(random.key(1))
    monkeypatch.setattr(random, "bits", noted(bits))
    monkeypatch.setattr(random, "permutation", noted(permutation))
    batch = Batch(torch.rand(16, 1, 8, 8), torch.arange(16) % 3, torch.arange(16), torch.tensor(3))
    method.loss(params, state, KEY, batch)
    assert len(drawn) >= 16 and len(set(drawn)) == len(drawn)


def test_views_of_crops_of_two_sizes_are_uncorrelated():
    """The positions of view 0 (large) and view 1 (small) of an image are independent."""
    height, width = 16, 16
    ramp = torch.stack(torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij"))
    images = ramp.repeat(1000, 2, 1, 1)[:, :3]  # a pixel of channel 0 is its row, one of channel 1 its column
    large, small = CROP, partial(augmentations.random_resized_crop, size=4, scale=(0.2, 1.0))
    drawn = augmentations.draw_views((large, large, small), KEY, Batch(images, None, torch.arange(1000)))
    centres = torch.cat([view[:, :2].mean((2, 3)) for view in drawn], dim=1)  # [1000, 6]
    correlation = torch.corrcoef(centres.T)
    between = correlation[[0, 0, 2, 1, 1, 3], [2, 4, 4, 3, 5, 5]]
    assert between.abs().max() < 0.1  # three standard deviations of 1,000 independent pairs


def test_an_encoder_that_draws_gets_its_own_key_for_every_view():
    seen = []
    net = encoders.resnet8(1, width=2)

    def apply(params, batch_stats, images, /, *, train=False, key=None):
        seen.append(key)
        return net.apply(params, batch_stats, images, train=train)

    method = methods.simclr(net._replace(apply=apply), views=augmentations.horizontal_flip, projector=(4,))
    method.loss(*method.init(random.key(1)), KEY, Batch(torch.rand(4, 1, 8, 8), None, INDEX[:4]))
    assert torch.equal(seen[0], streams.image_keys(KEY, Stream.ENCODER, INDEX[:4], 2).flatten(0, 1))
