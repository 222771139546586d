r"""MoCo v2: find the other view of an image among thousands of earlier images, kept in a queue.

    views      x_q = t_1(x), x_k = t_2(x)            t drawn per image from the key
    target     xi <- m xi + (1 - m) theta            encoder and projector
    query      q = n(g(f(x_q)))                      n(x) = x / |x|
    key        k = n(g_xi(f_xi(x_k)))                no gradient; batch norm sees a shuffled batch
    loss       mean of info_nce(q, k, queue)         the queue from before this batch
    queue      k replaces the oldest keys

References:
    He, Fan, Wu, Xie, Girshick. Momentum contrast for unsupervised visual representation learning. arXiv:1911.05722,
    algorithm 1. Chen, Fan, Girshick, He. Improved baselines with momentum contrastive learning. arXiv:2003.04297.

Note:
    Batch norm would reveal to a query which key is its own: both share a batch, the queue does not. The authors spread
    a batch over 8 GPUs and shuffle the keys; here `groups` of the batch are normalised separately, the keys in random
    order. Without this they lose 4 points on CIFAR-10. solo-learn's "v2+" adds the other direction, with its own queue.
    lightly's symmetric benchmark enqueues in between, so keys of the same images become negatives; stable-pretraining
    enqueues first, so the positive does. Keep `queue_size` below the number of training images.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from functional import augmentations, averaging, heads, layers, losses, metrics, queues, random, schedules, tree
from functional.base import Batch, BatchStats, Encoder, Info, Key, Method, Params, Schedule, Views
from functional.checks import check_between, check_positive
from functional.numerics import l2_normalize
from functional.queues import Queue
from functional.streams import Stream, batch_key, image_keys


class State(NamedTuple):
    """The state of training besides the parameters.

    Attributes:
        batch_stats: the encoder's running statistics.
        target: parameters of the target network, `"encoder"` and `"projector"`.
        target_stats: running statistics of the target's encoder.
        queue: keys of earlier batches, on the unit sphere; random at first.
    """

    batch_stats: BatchStats
    target: Params
    target_stats: BatchStats
    queue: Queue


def moco(
    encoder: Encoder,
    *,
    views: Views,
    projector: tuple[int, ...] = (2048, 128),
    temperature: float | Schedule = 0.2,
    momentum: float | Schedule = 0.999,
    queue_size: int = 65536,
    groups: int = 8,
) -> Method:
    r"""The method for an encoder and a distribution of views.

    Args:
        encoder: any `Encoder`; its features, not the projections, are used after pretraining.
        views: one augmentation for both views, or one for each, of one size.
        projector: widths of the projection head's layers, the last one the dimension of the loss.
        temperature: $\tau$ > 0 of `losses.info_nce`, a number or a schedule.
        momentum: $m$ of the target network in 0..1, a number or a schedule.
        queue_size: the number of keys kept, at least the batch size.
        groups: the number of equal groups of the batch that batch norm normalises separately.

    Returns:
        A `Method`. `params` has `"encoder"` and `"projector"`; `info` has `positive_cosine`, the mean cosine of query
        and key, and `key_std`, the spread of the keys per dimension: 0 when they have collapsed.

    Raises:
        ValueError: for a value out of range, other views, or a batch size that `groups` does not divide.

    Example:
        >>> from functional.encoders import resnet8
        >>> options = {"projector": (8, 4), "queue_size": 16, "groups": 2}
        >>> method = moco(resnet8(1, width=4), views=augmentations.horizontal_flip, **options)
        >>> batch = Batch(torch.rand(6, 1, 8, 8), None, torch.arange(6))
        >>> _, (state, _) = method.loss(*method.init(random.key(0)), random.key(2), batch)
        >>> int(state.queue.filled)
        6
    """
    check_positive("temperature", temperature)
    check_between("momentum", momentum, 0, 1)
    views = augmentations.per_view(views, 2)
    features = layers.split_batch(layers.Layer(*encoder[:2]), groups)
    projection = heads.projection_mlp(encoder.feature_dim, projector)

    def project(params: Params, stats: BatchStats, x: Tensor, key: Key) -> tuple[Tensor, BatchStats]:
        h, stats = features.apply(params["encoder"], stats, x, train=True, key=key)
        return projection.apply(params["projector"], {}, h, train=True)[0], stats

    def init(key: Key, /) -> tuple[Params, State]:
        key_encoder, key_projector, key_queue = random.split(key, 3)
        encoder_params, batch_stats = encoder.init(key_encoder)
        params = {"encoder": encoder_params, "projector": projection.init(key_projector)[0]}
        target, target_stats = tree.map(torch.clone, (params, batch_stats))
        queue = queues.random_rows(key_queue, queue_size, projector[-1])
        return params, State(batch_stats, target, target_stats, queue)

    def loss(params: Params, state: State, key: Key, batch: Batch, /) -> tuple[Tensor, tuple[State, Info]]:
        x_q, x_k = augmentations.draw_views(views, key, batch)
        own, own_k = (image_keys(key, stream, batch.index)[0] for stream in (Stream.ENCODER, Stream.TARGET))
        target = averaging.ema(state.target, tree.detach(params), momentum=schedules.at(momentum, batch.step))
        order = random.permutation(batch_key(key, Stream.SHUFFLE, batch.step), len(x_k))
        q, batch_stats = project(params, state.batch_stats, x_q, own)
        shuffled, target_stats = project(target, state.target_stats, x_k[order], own_k[order])
        k = l2_normalize(shuffled[order.argsort()]).detach()
        value = losses.info_nce(q, k, state.queue.rows, temperature=schedules.at(temperature, batch.step)).mean()
        new_state = State(batch_stats, target, target_stats, queues.enqueue(state.queue, k))
        info = {"positive_cosine": torch.cosine_similarity(q, k).mean(), "key_std": metrics.feature_std(k)}
        return value, tree.detach((new_state, info))

    return Method(init, loss, advice="Raise the temperature or the momentum, or lower the learning rate.")
