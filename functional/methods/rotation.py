r"""Rotation prediction: by how many quarter turns was the image rotated?

    view      x = t(x)                             t drawn per image from the key
    turned    x_r = x rotated by r quarter turns   r = 0, 1, 2, 3: all four, or one drawn per image
    logits    y_r = g(f(x_r))                      one batch: batch norm sees all rotations
    loss      mean of the cross-entropy of y_r and r

References:
    Gidaris, Singh, Komodakis. Unsupervised representation learning by predicting image rotations. arXiv:1803.07728,
    equations 1 to 3.

Note:
    The authors train on all four rotations of each image in one batch, which worked better than drawing one of them. A
    step then costs four times as much. Where an image looks the same upside down, as the digits 0 and 8 do, its
    rotation cannot be recognised.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from functional import augmentations, heads, random, tree
from functional.base import Batch, BatchStats, Encoder, Info, Key, Method, Params, Views
from functional.streams import Stream, image_keys


class State(NamedTuple):
    """The state of training besides the parameters.

    Attributes:
        batch_stats: the encoder's running statistics.
    """

    batch_stats: BatchStats


def rotation(encoder: Encoder, *, views: Views, head: tuple[int, ...] = (), all_rotations: bool = True) -> Method:
    r"""The method for an encoder and a distribution of views.

    Args:
        encoder: any `Encoder`; its features are used after pretraining.
        views: the augmentation of the images. Its outputs must be square; they are rotated afterwards.
        head: widths of hidden layers, each followed by ReLU, between the features and the four logits; the default is
            a linear head.
        all_rotations: train on all four rotations of each image at every step; otherwise on one, drawn from its key.

    Returns:
        A `Method`. `params` has `"encoder"` and `"head"`; `info` has `accuracy`, the fraction of rotations that are
        recognised: near 1/4 when the features have collapsed.

    Raises:
        ValueError: if there is more than one view or a width is not above 0; in the loss, if the images are not square.

    Example:
        >>> from functional import encoders
        >>> method = rotation(encoders.resnet8(1, width=4), views=augmentations.horizontal_flip, head=(8,))
        >>> batch = Batch(torch.rand(6, 1, 8, 8), None, torch.arange(6))
        >>> loss, (state, info) = method.loss(*method.init(random.key(0)), random.key(2), batch)
        >>> list(info)
        ['accuracy']
    """
    views = augmentations.per_view(views, 1)
    classifier = heads.projection_mlp(encoder.feature_dim, (*head, 4))

    def init(key: Key, /) -> tuple[Params, State]:
        key_encoder, key_head = random.split(key)
        encoder_params, batch_stats = encoder.init(key_encoder)
        return {"encoder": encoder_params, "head": classifier.init(key_head)[0]}, State(batch_stats)

    def loss(params: Params, state: State, key: Key, batch: Batch, /) -> tuple[Tensor, tuple[State, Info]]:
        (x,) = augmentations.draw_views(views, key, batch)
        height, width = x.shape[2:]
        if height != width:
            raise ValueError(f"rotation: expected square images, got {height} x {width} pixels; crop or resize them")
        turned = torch.stack([x.rot90(quarters, (2, 3)) for quarters in range(4)])  # [4, B, C, H, W]
        if all_rotations:
            r = torch.arange(4, device=x.device).repeat_interleave(len(x))
            x = turned.flatten(0, 1)
        else:
            r = random.randint(image_keys(key, Stream.SAMPLES, batch.index)[0], (), 0, 4)
            x = turned[r, torch.arange(len(x), device=x.device)]
        keys = image_keys(key, Stream.ENCODER, batch.index, 4 if all_rotations else 1).flatten(0, 1)
        h, batch_stats = encoder.apply(params["encoder"], state.batch_stats, x, train=True, key=keys)
        y, _ = classifier.apply(params["head"], {}, h, train=True)
        info = {"accuracy": (y.argmax(1) == r).to(y.dtype).mean()}
        return cross_entropy(y, r), tree.detach((State(batch_stats), info))

    return Method(init, loss)
