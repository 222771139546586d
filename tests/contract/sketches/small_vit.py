"""A small vision transformer with `tokens`, which two of the sketches train.

    tokens      patches W + b + positions, of which `keep` are seen, after a class token
    blocks      x <- x + attention(norm(x)),  x <- x + mlp(norm(x)); a last norm
    features    the class token, or the mean of the patches

Positions are fixed sines and cosines of row and column. They count patches from the corner, so a smaller image has the
positions of the corner of a larger one.

References:
    Dosovitskiy et al. An image is worth 16x16 words. arXiv:2010.11929, equations 1 to 4.
    He et al. Masked autoencoders are scalable vision learners. arXiv:2111.06377, appendix A.1 (the positions).
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import gelu

from functional import layers, random
from functional.base import BatchStats, Encoder, Key, Params
from functional.layers import Layer


def small_vit(
    in_channels: int = 1, *, patch: int = 4, dim: int = 16, depth: int = 2, heads: int = 2, pool: str = "class"
) -> Encoder:
    """Images whose sides are multiples of `patch` to `dim` features; `pool` is "class" or "mean"."""
    embedding = layers.conv(in_channels, dim, patch, stride=patch)
    blocks = transformer(dim, depth, heads)

    def init(key: Key, /) -> tuple[Params, BatchStats]:
        key_patches, key_class, key_blocks = random.split(key, 3)
        class_token = 0.02 * random.normal(key_class, (dim,))
        parts = {"patches": embedding.init(key_patches)[0], "blocks": blocks.init(key_blocks)[0]}
        return {"class_token": class_token, **parts}, {}

    def tokens(
        params: Params,
        batch_stats: BatchStats,
        images: Tensor,
        /,
        *,
        keep: Tensor | None = None,
        train: bool = False,
        key: Key | None = None,
    ) -> tuple[Tensor, BatchStats]:
        maps, _ = embedding.apply(params["patches"], {}, images)
        x = maps.flatten(2).mT + positions(*maps.shape[2:], dim).to(maps)
        if keep is not None:
            x = take(x, keep)
        x = torch.cat([params["class_token"].expand(len(x), 1, dim), x], dim=1)
        return blocks.apply(params["blocks"], {}, x)[0], batch_stats

    def apply(
        params: Params, batch_stats: BatchStats, images: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        x, batch_stats = tokens(params, batch_stats, images, train=train, key=key)
        return x[:, 0] if pool == "class" else x[:, 1:].mean(1), batch_stats

    return Encoder(init, apply, dim, tokens)


def transformer(dim: int, depth: int, heads: int) -> Layer:
    """`depth` blocks with the norm before attention and MLP, and a last norm: `[B, L, dim] -> [B, L, dim]`."""
    parts = {}
    for i in range(depth):
        expand, shrink = layers.linear(dim, 4 * dim), layers.linear(4 * dim, dim)
        mlp = layers.serial(norm=layers.layer_norm(dim), fc1=expand, gelu=layers.activation(gelu), fc2=shrink)
        parts[f"attention{i}"] = residual(layers.serial(norm=layers.layer_norm(dim), mix=attention(dim, heads)))
        parts[f"mlp{i}"] = residual(mlp)
    return layers.serial(**parts, norm=layers.layer_norm(dim))


def attention(dim: int, heads: int) -> Layer:
    """Multi-head self-attention, softmax(Q K^T / sqrt(dim / heads)) V, then a linear layer."""
    joint, output = layers.linear(dim, 3 * dim), layers.linear(dim, dim)

    def init(key: Key) -> Params:
        key_joint, key_output = random.split(key)
        return {"qkv": joint.init(key_joint)[0], "output": output.init(key_output)[0]}

    def function(params: Params, x: Tensor) -> Tensor:
        q, k, v = joint.apply(params["qkv"], {}, x)[0].unflatten(-1, (3, heads, dim // heads)).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.mT / math.sqrt(dim // heads), dim=-1)  # [B, heads, L, L]
        return output.apply(params["output"], {}, (weights @ v).transpose(1, 2).flatten(2))[0]

    return layers.stateless(init, function)


def residual(layer: Layer) -> Layer:
    """`x + layer(x)`, for a layer without statistics or draws."""
    return layers.stateless(lambda key: layer.init(key)[0], lambda params, x: x + layer.apply(params, {}, x)[0])


def positions(rows: int, columns: int, dim: int) -> Tensor:
    """Sines and cosines of the row, then of the column: `[rows * columns, dim]`, dim a multiple of 4."""
    rates = 10000.0 ** -(torch.arange(dim // 4) / (dim // 4))
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    angles = [index.flatten()[:, None] * rates for index in (row, column)]
    return torch.cat([wave(angle) for angle in angles for wave in (torch.sin, torch.cos)], dim=1)


def take(x: Tensor, places: Tensor) -> Tensor:
    """Tokens `[B, L, D]` at places `[B, K]`: `[B, K, D]`."""
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[-1]))
