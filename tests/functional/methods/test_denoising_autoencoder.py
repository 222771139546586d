"""The denoising autoencoder: the encoder sees the noisy image, and the clean one is the target."""

from functools import partial

import pytest
import torch
from torch import nn
from twins import ENCODER, KEY, assert_same, double, draw_batch, encoder_twin, gradients, load, statistics

from functional import augmentations, layers, methods, random, streams, tree


def decoder(latent_dim, *, out_channels):
    fold = layers.activation(lambda x: x.unflatten(1, (out_channels, 6, 6)))
    return layers.serial(linear=layers.linear(latent_dim, 36 * out_channels), fold=fold)


FLIP = augmentations.horizontal_flip


@pytest.mark.parametrize("options,criterion", [({}, nn.BCELoss()), ({"squared_error": True}, nn.MSELoss())])
def test_a_whole_step_equals_torch_nn(options, criterion):
    method = methods.denoising_autoencoder(ENCODER, views=FLIP, decoder=decoder, noise=0.4, **options)
    params, state = double(method.init(random.key(0)))
    batch = draw_batch()
    grads, (value, (new_state, info)) = torch.func.grad_and_value(method.loss, has_aux=True)(params, state, KEY, batch)

    encoder = load(encoder_twin(), params["encoder"], state.batch_stats)
    linear = load(nn.Linear(6, 36).double(), params["decoder"]["linear"])
    (view,) = augmentations.draw_views(FLIP, KEY, batch, 1)
    noisy = view.clone()
    for i in range(len(view)):
        own = streams.image_keys(KEY, streams.Stream.NOISE, batch.index[i : i + 1])[0, 0]
        noisy[i] += 0.4 * random.normal(own, (1, 6, 6)).double()
    assert noisy.min() < 0 and noisy.max() > 1
    image = linear(encoder(noisy.clamp(0, 1))).sigmoid().reshape(view.shape)
    expected = criterion(image, view)
    expected.backward()

    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=0)
    assert_same(grads["encoder"], gradients(encoder))
    assert_same(grads["decoder"]["linear"], gradients(linear))
    assert_same(new_state.batch_stats, statistics(encoder))
    torch.testing.assert_close(info["mean_squared_error"], nn.MSELoss()(image, view).detach())


def test_the_noise_of_an_image_does_not_depend_on_its_batch():
    seen = []

    def apply(params, batch_stats, images, /, *, train=False, key=None):
        seen.append(images)
        return ENCODER.apply(params, batch_stats, images, train=train)

    method = methods.denoising_autoencoder(ENCODER._replace(apply=apply), views=FLIP, decoder=decoder)
    params, state = double(method.init(random.key(0)))
    batch, order = draw_batch(), torch.tensor([5, 2, 7])
    method.loss(params, state, KEY, batch)
    method.loss(params, state, KEY, batch._replace(images=batch.images[order], index=order))
    assert torch.equal(seen[1], seen[0][order])
    noise = (seen[0] - augmentations.draw_views(FLIP, KEY, batch, 1)[0])[(0 < seen[0]) & (seen[0] < 1)]
    assert 0.15 < noise.std() < 0.3  # of .3, less what is clipped


def test_without_noise_it_is_the_autoencoder():
    batch, found = draw_batch(), []
    for make, options in ((methods.autoencoder, {}), (methods.denoising_autoencoder, {"noise": 0.0})):
        method = make(ENCODER, views=FLIP, decoder=decoder, **options)
        found.append(method.loss(*double(method.init(random.key(0))), KEY, batch))
    torch.testing.assert_close(tree.leaves(found[0]), tree.leaves(found[1]), rtol=0, atol=0)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match=r"views: expected images in 0..1, .* got values in -0.5..0.5"):
        views = partial(augmentations.normalize, mean=0.5, std=1.0)
        methods.denoising_autoencoder(ENCODER, views=views, decoder=decoder)
    with pytest.raises(ValueError, match="one for each of 1 views, got 2"):
        methods.denoising_autoencoder(ENCODER, views=(FLIP, FLIP))
    with pytest.raises(ValueError, match=r"noise: expected a number in 0..inf, got -0.1"):
        methods.denoising_autoencoder(ENCODER, views=FLIP, noise=-0.1)
