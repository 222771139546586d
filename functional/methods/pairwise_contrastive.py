r"""Pairwise contrastive loss: images of one class move together, images of different classes a margin apart.

    view         x = t(x)                           t drawn per image from the key
    embeddings   z = g(f(x))                        the same network for both images of a pair
    pairs        (i, j): all pairs of the batch, or for each i one other image, drawn from the key, all equally likely
    loss         mean of pairwise_contrastive(z_i, z_j, same),    same: whether i and j have one label

References:
    Hadsell, Chopra, LeCun. Dimensionality reduction by learning an invariant mapping. CVPR 2006, equation 4.

Note:
    With ten classes about one pair in ten is of one class, as in published Siamese networks on CIFAR-10, which draw one
    partner per image. All pairs have the same expected loss and far less noise, at little cost. The paper's
    label Y is 0 for similar pairs. Published code with a "same class" label in its place pulls different classes
    together and pushes images of one class apart. The paper has 1/2 before the loss: `losses.pairwise_contrastive`.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from functional import augmentations, heads, losses, metrics, random, tree
from functional.base import Batch, BatchStats, Encoder, Info, Key, Method, Params, Views
from functional.checks import check_positive
from functional.streams import Stream, image_keys


class State(NamedTuple):
    """The state of training besides the parameters.

    Attributes:
        batch_stats: the encoder's running statistics.
    """

    batch_stats: BatchStats


def pairwise_contrastive(
    encoder: Encoder, *, views: Views, margin: float = 1.0, projector: tuple[int, ...] = (), all_pairs: bool = True
) -> Method:
    r"""The method for an encoder and a distribution of views.

    Args:
        encoder: any `Encoder`.
        views: the augmentation of the training images.
        margin: $m$ > 0 of `losses.pairwise_contrastive`, in the units of the embeddings.
        projector: widths of a projection head's layers, the last one the dimension of the loss; without any, the
            features themselves are the embeddings.
        all_pairs: train on all pairs of the batch; otherwise on one pair per image, drawn from its key.

    Returns:
        A `Method` that learns from labels. `params` has `"encoder"`, and `"projector"` if there is one; `info` has
        `same_share`, the fraction of pairs of one class, and `embedding_std`, the spread of the embeddings per
        dimension: 1 when they point in all directions, 0 when they have collapsed.

    Raises:
        ValueError: if the margin or a width is not above 0 or there is more than one view; in the loss, if labels are
            missing or the batch has only one image.

    Example:
        >>> from functional import encoders
        >>> method = pairwise_contrastive(encoders.resnet8(1, width=4), views=augmentations.horizontal_flip)
        >>> batch = Batch(torch.rand(6, 1, 8, 8), torch.zeros(6).long(), torch.arange(6))
        >>> loss, (state, info) = method.loss(*method.init(random.key(0)), random.key(2), batch)
        >>> info["same_share"]
        tensor(1.)
    """
    check_positive("margin", margin)
    views = augmentations.per_view(views, 1)
    projection = heads.projection_mlp(encoder.feature_dim, projector)

    def init(key: Key, /) -> tuple[Params, State]:
        key_encoder, key_projector = random.split(key)
        encoder_params, batch_stats = encoder.init(key_encoder)
        head_params = {"projector": projection.init(key_projector)[0]} if projector else {}
        return {"encoder": encoder_params, **head_params}, State(batch_stats)

    def loss(params: Params, state: State, key: Key, batch: Batch, /) -> tuple[Tensor, tuple[State, Info]]:
        if batch.labels is None:
            raise ValueError("pairwise_contrastive: expected labels, got none; train on labelled data")
        if len(batch.labels) < 2:
            raise ValueError(f"pairwise_contrastive: expected 2 images or more, got {len(batch.labels)}")
        (x,) = augmentations.draw_views(views, key, batch)
        keys, own_keys = (image_keys(key, stream, batch.index)[0] for stream in (Stream.SAMPLES, Stream.ENCODER))
        h, batch_stats = encoder.apply(params["encoder"], state.batch_stats, x, train=True, key=own_keys)
        z, _ = projection.apply(params.get("projector", {}), {}, h, train=True)
        if all_pairs:
            first, second = torch.triu_indices(len(z), len(z), offset=1, device=z.device)
        else:
            first, second = torch.arange(len(z), device=z.device), _drawn_partners(keys, batch.index)
        same = batch.labels[first] == batch.labels[second]
        values = losses.pairwise_contrastive(z[first], z[second], same, margin=margin)
        info = {"same_share": same.to(values.dtype).mean(), "embedding_std": metrics.feature_std(z)}
        return values.mean(), tree.detach((State(batch_stats), info))

    advice = "Raise the margin, or lower the learning rate or the weight decay."
    return Method(init, loss, advice=advice, labelled=True)


def _drawn_partners(keys: Key, index: Tensor) -> Tensor:
    """For each image another one of the batch."""
    # One number per pair, from the key of one image and the index of the other: the batch's order has no effect.
    u = random.uniform(random.fold_in(keys[:, None], index))
    return u.fill_diagonal_(-1).argmax(1)
