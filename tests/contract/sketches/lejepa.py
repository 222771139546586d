"""LeJEPA: views agree with the mean of the global ones, and features are isotropic Gaussian (arXiv:2511.08544)."""

from typing import NamedTuple

import torch

from functional import augmentations, heads, random, tree
from functional.base import BatchStats, Method
from functional.streams import Stream, batch_key, image_keys


class State(NamedTuple):
    batch_stats: BatchStats


def disagreement(z, n_global):
    """The mean squared distance of `[V, B, D]` to the mean of its first `n_global` views."""
    return (z[:n_global].mean(0) - z).square().mean()


def sigreg(z, directions):
    """N * int w(t) |ecf(t) - w(t)|^2 dt over [-3, 3], w = exp(-t^2 / 2), of `[..., N, D]` along `[D, S]`: a mean."""
    t = torch.linspace(0, 3, 17, dtype=z.dtype, device=z.device)
    w, angle = torch.exp(-(t**2) / 2), (z @ directions)[..., None] * t
    error = (angle.cos().mean(-3) - w) ** 2 + angle.sin().mean(-3) ** 2
    return z.shape[-2] * 2 * torch.trapezoid(w * error, t).mean()  # the integrand is even


def lejepa(encoder, *, views, n_global=2, widths=(32, 16), slices=64, weight=0.05):
    projection = heads.projection_mlp(encoder.feature_dim, widths, batch_norm=True)

    def init(key, /):
        key_encoder, key_projector = random.split(key)
        params, batch_stats = encoder.init(key_encoder)
        return {"encoder": params, "projector": projection.init(key_projector)[0]}, State(batch_stats)

    def loss(params, state, key, batch, /):
        x = torch.cat(augmentations.draw_views(views, key, batch))  # the first ones are global
        keys = image_keys(key, Stream.ENCODER, batch.index, len(views)).flatten(0, 1)
        h, batch_stats = encoder.apply(params["encoder"], state.batch_stats, x, train=True, key=keys)
        z = projection.apply(params["projector"], {}, h, train=True)[0].unflatten(0, (len(views), -1))
        a = random.normal(batch_key(key, Stream.DIRECTIONS, batch.step), (widths[-1], slices)).to(z)
        invariance, gaussian = disagreement(z, n_global), sigreg(z, a / a.norm(dim=0))
        info = {"invariance": invariance, "sigreg": gaussian}
        return (1 - weight) * invariance + weight * gaussian, tree.detach((State(batch_stats), info))

    return Method(init, loss)
