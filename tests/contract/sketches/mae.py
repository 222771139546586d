"""MAE: the encoder sees a quarter of the patches, a decoder predicts the pixels of the others (arXiv:2111.06377)."""

from typing import NamedTuple

import torch
from contract.sketches.small_vit import positions, take, transformer

from functional import augmentations, layers, random, tree
from functional.base import BatchStats, Method
from functional.streams import Stream, image_keys


class State(NamedTuple):
    batch_stats: BatchStats


def patchify(images, patch):
    """The pixels of each patch, row by row, channels last: `[B, C, H, W] -> [B, L, patch * patch * C]`."""
    grid = images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))
    return grid.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def patch_error(prediction, pixels):
    """The mean squared error to patches `[B, K, P]`, each normalised by its own mean and unbiased variance."""
    target = (pixels - pixels.mean(2, keepdim=True)) / (pixels.var(2, keepdim=True) + 1e-6).sqrt()
    return (prediction - target).square().mean()


def mae(encoder, *, views, patch, channels=1, width=16, depth=1):
    decode = layers.serial(blocks=transformer(width, depth, 2), pixels=layers.linear(width, patch**2 * channels))
    networks = {"encoder": encoder, "embed": layers.linear(encoder.feature_dim, width), "decoder": decode}

    def init(key, /):
        *keys, key_mask = random.split(key, 4)
        started = {name: network.init(k) for (name, network), k in zip(networks.items(), keys, strict=True)}
        params = {name: own for name, (own, _) in started.items()}
        return {**params, "mask_token": 0.02 * random.normal(key_mask, (width,))}, State(started["encoder"][1])

    def loss(params, state, key, batch, /):
        (x,) = augmentations.draw_views(views, key, batch, 1)
        (own,), (masks,) = (image_keys(key, stream, batch.index) for stream in (Stream.ENCODER, Stream.MASKS))
        pixels, (rows, columns) = patchify(x, patch), (side // patch for side in x.shape[2:])
        order = random.permutation(masks, pixels.shape[1])
        keep, hidden = order.tensor_split([pixels.shape[1] // 4], dim=1)
        h, batch_stats = encoder.tokens(params["encoder"], state.batch_stats, x, keep=keep, train=True, key=own)
        first = h.shape[1] - keep.shape[1]  # the number of tokens before the patches
        h, _ = networks["embed"].apply(params["embed"], {}, h)
        y = torch.cat([h[:, first:], params["mask_token"].expand(*hidden.shape, width)], dim=1)
        y = take(y, order.argsort(1)) + positions(rows, columns, width).to(y)
        y = decode.apply(params["decoder"], {}, torch.cat([h[:, :first], y], dim=1))[0][:, first:]
        return patch_error(take(y, hidden), take(pixels, hidden)), tree.detach((State(batch_stats), {}))

    return Method(init, loss)
