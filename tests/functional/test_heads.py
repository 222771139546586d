"""Heads: lightly's and torch's networks with the same weights, and the names of their parameters."""

import pytest
import torch
from torch import nn

from functional import encoders, heads, random, tree


def inputs(*shape):
    return random.normal(random.key(1), shape)


def assert_equals(head, module, x):
    """Copy our weights to theirs; compare outputs in train mode, and in evaluation if ours has running statistics."""
    params, batch_stats = head.init(random.key(0))
    with torch.no_grad():
        for theirs, ours in zip(module.parameters(), tree.leaves(params), strict=True):
            theirs.copy_(ours)
        outputs, batch_stats = head.apply(params, batch_stats, x, train=True)
        torch.testing.assert_close(outputs, module.train()(x), rtol=1e-5, atol=1e-5)
        if not batch_stats:
            torch.testing.assert_close(head.apply(params, {}, x)[0], outputs, rtol=0, atol=0)
            return
        running = [s for n, s in module.named_buffers() if not n.endswith("num_batches_tracked")]
        torch.testing.assert_close(tree.leaves(batch_stats), running, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(head.apply(params, batch_stats, x)[0], module.eval()(x), rtol=1e-5, atol=1e-5)


# --- naive twin -----------------------------------------------------------------------------------------------


def test_simsiam_heads_equal_lightlys():
    from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead

    projector = heads.projection_mlp(6, (8, 8, 5), batch_norm=True, last_batch_norm=True)
    assert_equals(projector, SimSiamProjectionHead(6, 8, 5), inputs(7, 6))
    assert_equals(heads.prediction_mlp(5, 3, 5), SimSiamPredictionHead(5, 3, 5), inputs(7, 5))


def test_simclr_head_is_linear_relu_linear():
    twin = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5))
    assert_equals(heads.projection_mlp(6, (8, 5)), twin, inputs(7, 6))


@pytest.mark.parametrize("options,w", [({}, 1), ({"width": 3}, 3)])
def test_s5_decoder_equals_its_twin(options, w):
    twin = nn.Sequential(
        *(nn.Linear(4, 128 * w), nn.ReLU(), nn.Linear(128 * w, 288 * w), nn.ReLU(), nn.Unflatten(1, (32 * w, 3, 3))),
        *(nn.ConvTranspose2d(32 * w, 16 * w, 3, stride=2), nn.BatchNorm2d(16 * w), nn.ReLU()),
        *(nn.ConvTranspose2d(16 * w, 8 * w, 3, stride=2, padding=1, output_padding=1), nn.BatchNorm2d(8 * w)),
        *(nn.ReLU(), nn.ConvTranspose2d(8 * w, 1, 3, stride=2, padding=1, output_padding=1)),
    )
    assert_equals(heads.s5_decoder(**options), twin, inputs(7, 4))


class Waves(nn.Module):
    """The inputs and their waves, of frequencies that are set by the test."""

    def forward(self, x):
        return torch.cat([x, (x @ self.frequencies).sin(), (x @ self.frequencies).cos()], 1)


def test_fourier_decoder_equals_its_twin():
    head, waves, x = heads.fourier_decoder(3, out_channels=2, size=6, frequencies=8, hidden=5), Waves(), inputs(7, 3)
    twin = nn.Sequential(
        *(nn.BatchNorm1d(3, affine=False), waves, nn.Linear(19, 5), nn.ReLU()),
        *(nn.Linear(5, 5, bias=False), nn.BatchNorm1d(5), nn.ReLU()),
        *(nn.Linear(5, 10, bias=False), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 72), nn.Unflatten(1, (2, 6, 6))),
    )
    params, batch_stats = head.init(random.key(0))
    waves.frequencies = batch_stats["waves"]["frequencies"]
    with torch.no_grad():
        for theirs, ours in zip(twin.parameters(), tree.leaves(params), strict=True):
            theirs.copy_(ours)
        outputs, after = head.apply(params, batch_stats, x, train=True)
        torch.testing.assert_close(outputs, twin.train()(x), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(head.apply(params, after, x)[0], twin.eval()(x), rtol=1e-5, atol=1e-5)
    assert torch.equal(after["waves"]["frequencies"], waves.frequencies), "they are not trained"


# --- property -------------------------------------------------------------------------------------------------


def test_the_scale_is_that_of_the_frequencies():
    _, narrow = heads.fourier_decoder(2, frequencies=4000).init(random.key(0))
    _, wide = heads.fourier_decoder(2, frequencies=4000, scale=3.0).init(random.key(0))
    narrow, wide = (stats["waves"]["frequencies"] for stats in (narrow, wide))
    torch.testing.assert_close(wide, 3 * narrow)
    assert abs(narrow.std() - 1) < 0.03


@pytest.mark.parametrize("latent_dim,channels", [(2, 1), (4, 3)])
def test_s5_decoder_has_the_shape_of_the_encoders_images(latent_dim, channels):
    encoder = encoders.s5(channels, latent_dim=latent_dim)
    decoder = heads.s5_decoder(encoder.feature_dim, out_channels=channels)
    images = random.uniform(random.key(2), (3, channels, 28, 28))
    latents, _ = encoder.apply(*encoder.init(random.key(0)), images)
    decoded, _ = decoder.apply(*decoder.init(random.key(1)), latents)
    assert decoded.shape == images.shape and decoded.min() < 0  # logits, not the sigmoid of them


@pytest.mark.parametrize(
    "normalise,names",
    [
        ({}, ["linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"]),
        (
            {"batch_norm": True},
            ["linear1.weight", "bn1.weight", "bn1.bias", "linear2.weight", "linear2.bias"],
        ),
        ({"batch_norm": True, "last_batch_norm": True}, ["linear1.weight", "bn1.weight", "bn1.bias", "linear2.weight"]),
    ],
)
def test_projection_names(normalise, names):
    params, _ = heads.projection_mlp(6, (8, 5), **normalise).init(random.key(0))
    assert list(tree.flatten(params)) == names


def test_projection_of_no_widths_is_the_identity():
    x = inputs(2, 6)
    assert heads.projection_mlp(6, ()).apply({}, {}, x)[0] is x


def test_unknown_sizes_are_named():
    with pytest.raises(ValueError, match="width: expected a number above 0, got 0"):
        heads.s5_decoder(width=0)
    with pytest.raises(ValueError, match="in_features: expected a number above 0, got 0"):
        heads.projection_mlp(0, (8, 5))  # the feature_dim of a module if it is unknown
    for name in ("latent_dim", "out_channels", "size", "frequencies", "scale", "hidden"):
        with pytest.raises(ValueError, match=f"{name}: expected a number above 0, got 0"):
            heads.fourier_decoder(**{name: 0})
