"""Shared by the autoencoders: a decoder that fits the views, its weights, the error of its images, what is logged."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from functional import augmentations, losses, random
from functional.base import Batch, BatchStats, Info, Params, Views
from functional.layers import Layer


def build_decoder(decoder: Callable[..., Layer], latent_dim: int, channels: int, views: Views) -> Layer:
    """The decoder, after a check on black and white images of its size that the views stay in 0..1.

    Raises:
        ValueError: if they do not.
    """
    layer = decoder(latent_dim, out_channels=channels)
    key = random.key(0)
    logits, _ = layer.apply(*layer.init(key), torch.zeros(16, latent_dim, dtype=torch.float32))
    black_and_white = torch.arange(16).remainder(2).to(logits).reshape(-1, 1, 1, 1).expand_as(logits)
    (x,) = augmentations.draw_views(views, key, Batch(black_and_white, None, torch.arange(16)), 1)
    low, high = x.min().item(), x.max().item()
    if low < -1e-4 or high > 1 + 1e-4:
        raise ValueError(
            f"views: expected images in 0..1, the range of a decoder, got values in {low:.3g}..{high:.3g}; leave out "
            f"noise and normalisation (in a recipe: mean={channels * [0]}, std={channels * [1]})"
        )
    return layer


def published_decoder(params: Params, state: Any, /) -> tuple[Params, BatchStats]:
    """The decoder that the optimizer updates, `params["decoder"]`, with its statistics, `state.decoder_stats`."""
    return params["decoder"], state.decoder_stats


def error(logits: Tensor, target: Tensor, *, squared_error: bool) -> Tensor:
    """The loss of each image, from the outputs of a decoder.

    Raises:
        ValueError: if the decoder is for images of another shape.
    """
    if logits.shape != target.shape:
        raise ValueError(
            f"decoder: expected outputs {list(target.shape[1:])} as the images, got {list(logits.shape[1:])}; "
            "pass a decoder for images of this size"
        )
    if squared_error:
        return losses.mean_squared_error(logits.sigmoid(), target)
    return losses.binary_cross_entropy(logits, target)


def measures(logits: Tensor, target: Tensor) -> Info:
    """The mean squared error, and by how much it is below that of the mean image of the batch."""
    squares = losses.mean_squared_error(logits.sigmoid(), target).mean()
    variance = target.var(0, correction=0).mean().clamp_min(1e-6)  # above 0 for a batch of equal images, too
    return {"mean_squared_error": squares, "explained_variance": 1 - squares / variance}
