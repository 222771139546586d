"""Rotation prediction: by how many quarter turns was each image turned? (arXiv:1803.07728)."""

from typing import NamedTuple

import torch
from torch.nn.functional import cross_entropy

from functional import augmentations, layers, random, tree
from functional.base import BatchStats, Method
from functional.streams import Stream, image_keys


class State(NamedTuple):
    batch_stats: BatchStats


def rotation(encoder, *, views):
    """One view of each image, turned by r quarter turns; r is drawn from its key, and the head finds it."""
    head = layers.linear(encoder.feature_dim, 4)

    def init(key, /):
        key_encoder, key_head = random.split(key)
        params, batch_stats = encoder.init(key_encoder)
        return {"encoder": params, "head": head.init(key_head)[0]}, State(batch_stats)

    def loss(params, state, key, batch, /):
        (x,) = augmentations.draw_views(views, key, batch, 1)
        (keys,), (own,) = (image_keys(key, stream, batch.index) for stream in (Stream.SAMPLES, Stream.ENCODER))
        r = random.randint(keys, (), 0, 4)
        turned = torch.stack([x.rot90(k, (2, 3)) for k in range(4)], dim=1)
        x = turned[torch.arange(len(x), device=x.device), r]
        h, batch_stats = encoder.apply(params["encoder"], state.batch_stats, x, train=True, key=own)
        logits, _ = head.apply(params["head"], {}, h, train=True)
        info = {"accuracy": (logits.argmax(1) == r).float().mean()}
        return cross_entropy(logits, r), tree.detach((State(batch_stats), info))

    return Method(init, loss)
