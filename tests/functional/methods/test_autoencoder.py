"""The autoencoder: one whole step beside modules of torch.nn, and what its decoder and its views must be."""

from functools import partial

import pytest
import torch
from torch import nn
from twins import KEY, assert_same, double, gradients, load, statistics

from functional import augmentations, encoders, heads, layers, methods, optimizers, random, training, tree
from functional.base import Batch, Encoder

ENCODER = encoders.s5(latent_dim=2)
FLIP = augmentations.horizontal_flip


def draw_batch(n=6):
    images = random.uniform(random.key(5), (n, 1, 28, 28)).double()
    return Batch(images, torch.arange(n) % 3, torch.arange(n))


def s5_twin():
    """The published encoder and decoder, the latter with its sigmoid."""
    encoder = {
        "conv1": nn.Conv2d(1, 8, 3, stride=2, padding=1),
        "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(8, 16, 3, stride=2, padding=1),
        "bn2": nn.BatchNorm2d(16),
        "relu2": nn.ReLU(),
        "conv3": nn.Conv2d(16, 32, 3, stride=2),
        "relu3": nn.ReLU(),
        "flatten": nn.Flatten(),
        "linear1": nn.Linear(288, 128),
        "relu4": nn.ReLU(),
        "linear2": nn.Linear(128, 2),
    }
    decoder = {
        "linear1": nn.Linear(2, 128),
        "relu1": nn.ReLU(),
        "linear2": nn.Linear(128, 288),
        "relu2": nn.ReLU(),
        "maps": nn.Unflatten(1, (32, 3, 3)),
        "conv1": nn.ConvTranspose2d(32, 16, 3, stride=2),
        "bn1": nn.BatchNorm2d(16),
        "relu3": nn.ReLU(),
        "conv2": nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1),
        "bn2": nn.BatchNorm2d(8),
        "relu4": nn.ReLU(),
        "conv3": nn.ConvTranspose2d(8, 1, 3, stride=2, padding=1, output_padding=1),
        "sigmoid": nn.Sigmoid(),
    }
    nets = []
    for parts in (encoder, decoder):
        nets.append(nn.Sequential())
        for name, part in parts.items():
            nets[-1].add_module(name, part.double())
    return nets


@pytest.mark.parametrize("options,criterion", [({}, nn.BCELoss()), ({"squared_error": True}, nn.MSELoss())])
def test_a_whole_step_equals_torch_nn(options, criterion):
    method = methods.autoencoder(ENCODER, views=FLIP, **options)
    params, state = double(method.init(random.key(0)))
    batch = draw_batch()
    grads, (value, (new_state, info)) = torch.func.grad_and_value(method.loss, has_aux=True)(params, state, KEY, batch)

    encoder, decoder = s5_twin()
    load(encoder, params["encoder"], state.batch_stats)
    load(decoder, params["decoder"], state.decoder_stats)
    (view,) = augmentations.draw_views(FLIP, KEY, batch, 1)
    assert not torch.equal(view, batch.images)
    image = decoder(encoder(view))
    expected = criterion(image, view)
    expected.backward()

    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=0)
    assert_same(grads["encoder"], gradients(encoder))
    assert_same(grads["decoder"], gradients(decoder))
    assert_same(new_state.batch_stats, statistics(encoder))
    assert_same(new_state.decoder_stats, statistics(decoder))
    torch.testing.assert_close(info["mean_squared_error"], nn.MSELoss()(image, view).detach())
    residual, total = ((view - other).square().sum() for other in (image.detach(), view.mean(0)))
    torch.testing.assert_close(info["explained_variance"], 1 - residual / total)


def test_the_published_network_decodes_single_images_with_the_statistics_of_the_state():
    method = methods.autoencoder(ENCODER, views=FLIP)
    params, state = double(method.init(random.key(0)))
    for _ in range(3):
        _, (state, _) = method.loss(params, state, KEY, draw_batch())
    _, decoder = s5_twin()
    load(decoder, params["decoder"], state.decoder_stats).eval()
    h = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
    image = heads.s5_decoder(2).apply(*method.decoder(params, state), h)[0].sigmoid()
    torch.testing.assert_close(image, decoder(h).detach())


def test_training_reconstructs_the_images():
    """Two images, which a code of two numbers can tell apart."""
    method = methods.autoencoder(ENCODER, views=lambda keys, images: images)
    images = torch.zeros(8, 1, 28, 28)
    images[::2, :, :14] = 1
    images[1::2, :, :, :14] = 1
    optimizer = optimizers.adam(1e-2)
    state, step = training.init(method, optimizer, random.key(0)), training.make_train_step(method.loss, optimizer)
    infos = []
    for _ in range(40):
        state, info = step(state, KEY, Batch(images, None, torch.arange(8)))
        infos.append(info)
    assert infos[0]["mean_squared_error"] > 0.2 and infos[-1]["mean_squared_error"] < 0.02
    assert infos[0]["explained_variance"] < 0.1 and infos[-1]["explained_variance"] > 0.8


# --- what the decoder and the views must be -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "views,found",
    [
        (augmentations.compose(FLIP, partial(augmentations.normalize, mean=0.13, std=0.31)), r"-0.419..2.81"),
        (partial(augmentations.normalize, mean=0.0, std=0.5), r"0..2"),
        (partial(augmentations.normalize, mean=0.5, std=1.0), r"-0.5..0.5"),
        (partial(augmentations.gaussian_noise, std=0.1), r"-0.\d+..1.\d+"),
    ],
)
def test_views_that_leave_0_to_1_are_refused(views, found):
    with pytest.raises(ValueError, match=rf"views: expected images in 0..1, .* got values in {found}; .*mean=\[0\]"):
        methods.autoencoder(ENCODER, views=views)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="one for each of 1 views, got 2"):
        methods.autoencoder(ENCODER, views=(FLIP, FLIP))
    small = Encoder(*layers.serial(flatten=layers.flatten, linear=layers.linear(64, 2)), feature_dim=2)
    method, images = methods.autoencoder(small, views=FLIP), torch.rand(4, 1, 8, 8)
    with pytest.raises(ValueError, match=r"expected outputs \[1, 8, 8\] as the images, got \[1, 28, 28\]; pass a deco"):
        method.loss(*method.init(random.key(0)), KEY, Batch(images, None, torch.arange(4)))


def test_a_decoder_of_ones_own_gets_the_sizes():
    asked = []

    def decoder(latent_dim, *, out_channels):
        asked.append((latent_dim, out_channels))
        return heads.s5_decoder(latent_dim, out_channels=out_channels)

    method = methods.autoencoder(encoders.s5(3, latent_dim=5), views=FLIP, decoder=decoder, channels=3)
    batch = Batch(torch.rand(4, 3, 28, 28), None, torch.arange(4))
    _, (state, _) = method.loss(*method.init(random.key(0)), KEY, batch)
    assert asked == [(5, 3)] and set(tree.flatten(state.decoder_stats)) == {
        f"bn{i}.running_{moment}" for i in (1, 2) for moment in ("mean", "var")
    }
