r"""Triplet loss: each image is closer to one of its own class than to one of another class, by a margin.

    view         x = t(x)                           t drawn per image from the key
    embeddings   z = g(f(x))
    triplets     p(i): another image of the class of i,  n(i): an image of another class
                 drawn per image i from the key, uniformly from the batch
                 or, semi-hard, n(i): of those farther from i than p(i), the nearest to i
    loss         mean of triplet(z_i, z_p(i), z_n(i)) over the i that have both

References:
    Hoffer, Ailon. Deep metric learning using triplet network. arXiv:1412.6622. Schroff, Kalenichenko, Philbin. FaceNet.
    arXiv:1503.03832, section 3.1, and equation 4 for semi-hard negatives.

Note:
    The margin of 10 is that of published Siamese networks on MNIST; FaceNet has .2 between squared distances of unit
    vectors, and takes any semi-hard negative within the margin; here it is the nearest. After a few epochs most
    triplets that are drawn uniformly have no loss: semi-hard ones go on teaching.

    Published code with partners drawn from the whole dataset calls `randint(0, n - 1)`, which excludes its upper end
    and so never draws the last image, and may draw the anchor as its own positive. Here every candidate in the batch
    is equally likely, and no image is its own positive.
"""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from functional import augmentations, heads, losses, metrics, random, tree
from functional.base import Batch, BatchStats, Encoder, Info, Key, Method, Params, Views
from functional.checks import check_positive
from functional.numerics import promote_half
from functional.streams import Stream, image_keys

Negatives = Literal["uniform", "semi_hard"]


class State(NamedTuple):
    """The state of training besides the parameters.

    Attributes:
        batch_stats: the encoder's running statistics.
    """

    batch_stats: BatchStats


def triplet(
    encoder: Encoder,
    *,
    views: Views,
    margin: float = 10.0,
    projector: tuple[int, ...] = (),
    negatives: Negatives = "uniform",
) -> Method:
    r"""The method for an encoder and a distribution of views.

    Args:
        encoder: any `Encoder`.
        views: the augmentation of the training images.
        margin: $m$ > 0 of `losses.triplet`, in the units of the embeddings.
        projector: widths of a projection head's layers, the last one the dimension of the loss; without any, the
            features themselves are the embeddings.
        negatives: `"uniform"`, drawn from the batch, or `"semi_hard"`: in the batch the nearest image of another class
            that is farther from the anchor than the positive, and a drawn one where there is none.

    Returns:
        A `Method` that learns from labels. `params` has `"encoder"`, and `"projector"` if there is one; `info` has
        `active`, the fraction of triplets whose loss is above 0, and `embedding_std`, the spread of the embeddings per
        dimension: 1 when they point in all directions, 0 when they have collapsed.

    Raises:
        ValueError: if the margin or a width is not above 0, `negatives` is unknown or there is more than one view; in
            the loss, if labels are missing.

    Example:
        >>> from functional import encoders
        >>> method = triplet(encoders.resnet8(1, width=4), views=augmentations.horizontal_flip)
        >>> batch = Batch(torch.rand(6, 1, 8, 8), torch.arange(6) % 3, torch.arange(6))
        >>> loss, (state, info) = method.loss(*method.init(random.key(0)), random.key(2), batch)
        >>> info["active"]
        tensor(1.)
    """
    check_positive("margin", margin)
    if negatives not in get_args(Negatives):
        raise ValueError(f"negatives: expected {' or '.join(map(repr, get_args(Negatives)))}, got {negatives!r}")
    views = augmentations.per_view(views, 1)
    projection = heads.projection_mlp(encoder.feature_dim, projector)

    def init(key: Key, /) -> tuple[Params, State]:
        key_encoder, key_projector = random.split(key)
        encoder_params, batch_stats = encoder.init(key_encoder)
        head_params = {"projector": projection.init(key_projector)[0]} if projector else {}
        return {"encoder": encoder_params, **head_params}, State(batch_stats)

    def loss(params: Params, state: State, key: Key, batch: Batch, /) -> tuple[Tensor, tuple[State, Info]]:
        if batch.labels is None:
            raise ValueError("triplet: expected labels, got none; train on labelled data")
        (x,) = augmentations.draw_views(views, key, batch)
        keys, own_keys = (image_keys(key, stream, batch.index)[0] for stream in (Stream.SAMPLES, Stream.ENCODER))
        h, batch_stats = encoder.apply(params["encoder"], state.batch_stats, x, train=True, key=own_keys)
        z, _ = projection.apply(params.get("projector", {}), {}, h, train=True)
        same = batch.labels[:, None] == batch.labels
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        # One number per pair, from the key of one image and the index of the other: the batch's order has no effect.
        u = random.uniform(random.fold_in(keys[:, None], batch.index))
        positive, negative = (torch.where(candidates, u, -1).argmax(1) for candidates in (same & ~itself, ~same))
        if negatives == "semi_hard":
            points = promote_half(z.detach())
            d = torch.cdist(points, points)
            farther = torch.where(~same & (d > d.gather(1, positive[:, None])), d, torch.inf)
            negative = torch.where(farther.isfinite().any(1), farther.argmin(1), negative)
        found = (same & ~itself).any(1) & (~same).any(1)
        values = torch.where(found, losses.triplet(z, z[positive], z[negative], margin=margin), 0)
        count = found.sum().clamp_min(1)
        info = {"active": (values > 0).sum().to(values.dtype) / count, "embedding_std": metrics.feature_std(z)}
        return values.sum() / count, tree.detach((State(batch_stats), info))

    advice = "Lower the learning rate or the weight decay, or take larger batches with several images of each class."
    return Method(init, loss, advice=advice, labelled=True)
