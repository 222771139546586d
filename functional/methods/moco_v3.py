r"""MoCo v3: the prediction from one view finds the target's projection of the other among those of the batch.

    views        x_1 = t_1(x), x_2 = t_2(x)         t drawn per image from the key
    target       xi <- m xi + (1 - m) theta         encoder and projector
    keys         k_v = g_xi(f_xi(x_v))              no gradient
    queries      q_v = p(g(f(x_v)))                 batch norm sees each view separately
    loss         mean of mocov3(q_1, k_2) + mocov3(q_2, k_1)

References:
    Chen, Xie, He. An empirical study of training self-supervised vision transformers. arXiv:2104.02057, algorithm 1.

Note:
    The authors' momentum goes from .99 to 1 by `schedules.cosine(0.99, steps, final=1.0)`. Temperature 1 and the heads
    are those of their ResNet-50: no layer has a bias, and the projector ends in a batch norm. Vision transformers have
    a third layer in the projector, a batch norm at the end of the predictor, and temperature .2, which solo-learn uses
    for ResNet-18. The target is updated before each loss, by the current step's momentum, as in the authors' code.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from functional import augmentations, averaging, heads, losses, metrics, random, schedules, tree
from functional.base import Batch, BatchStats, Encoder, Info, Key, Method, Params, Schedule, Views
from functional.checks import check_between, check_positive
from functional.streams import Stream, image_keys


class State(NamedTuple):
    """The state of training besides the parameters.

    Attributes:
        batch_stats: the encoder's running statistics.
        target: parameters of the target network, `"encoder"` and `"projector"`.
        target_stats: running statistics of the target's encoder.
    """

    batch_stats: BatchStats
    target: Params
    target_stats: BatchStats


def moco_v3(
    encoder: Encoder,
    *,
    views: Views,
    projector: tuple[int, ...] = (4096, 256),
    predictor: int = 4096,
    temperature: float | Schedule = 1.0,
    momentum: float | Schedule = 0.99,
) -> Method:
    r"""The method for an encoder and a distribution of views.

    Args:
        encoder: any `Encoder`; its features, not the projections, are used after pretraining.
        views: one augmentation for both views, or one for each.
        projector: widths of the projection head's layers, each with batch norm; the last one enters the loss.
        predictor: width of the prediction head's hidden layer.
        temperature: $\tau$ > 0 of `losses.mocov3`, a number or a schedule.
        momentum: $m$ of the target network in 0..1, a number or a schedule.

    Returns:
        A `Method`. `params` has `"encoder"`, `"projector"` and `"predictor"`; `info` has `positive_cosine`, the mean
        cosine of query and key, and `key_std`, the spread of the keys per dimension: 0 when they have collapsed.

    Raises:
        ValueError: if a value is out of range, or `views` is neither one augmentation nor two.

    Example:
        >>> from functional import encoders
        >>> flip = augmentations.horizontal_flip
        >>> method = moco_v3(encoders.resnet8(1, width=4), views=flip, projector=(8, 4), predictor=8)
        >>> images = random.uniform(random.key(1), (6, 1, 8, 8))
        >>> loss, _ = method.loss(*method.init(random.key(0)), random.key(2), Batch(images, None, torch.arange(6)))
        >>> loss.shape
        torch.Size([])
    """
    check_positive("temperature", temperature)
    check_between("momentum", momentum, 0, 1)
    views = augmentations.per_view(views, 2)
    projection = heads.projection_mlp(encoder.feature_dim, projector, batch_norm=True, last_batch_norm=True)
    prediction = heads.prediction_mlp(projector[-1], predictor, projector[-1], last_bias=False)

    def project(params: Params, batch_stats: BatchStats, x: Tensor, key: Key) -> tuple[Tensor, BatchStats]:
        h, batch_stats = encoder.apply(params["encoder"], batch_stats, x, train=True, key=key)
        return projection.apply(params["projector"], {}, h, train=True)[0], batch_stats

    def init(key: Key, /) -> tuple[Params, State]:
        key_encoder, key_projector, key_predictor = random.split(key, 3)
        encoder_params, batch_stats = encoder.init(key_encoder)
        params = {"encoder": encoder_params, "projector": projection.init(key_projector)[0]}
        target, target_stats = tree.map(torch.clone, (params, batch_stats))
        return {**params, "predictor": prediction.init(key_predictor)[0]}, State(batch_stats, target, target_stats)

    def loss(params: Params, state: State, key: Key, batch: Batch, /) -> tuple[Tensor, tuple[State, Info]]:
        online = {name: params[name] for name in state.target}
        target = averaging.ema(state.target, tree.detach(online), momentum=schedules.at(momentum, batch.step))
        keys, target_keys = (image_keys(key, stream, batch.index, 2) for stream in (Stream.ENCODER, Stream.TARGET))
        q, k, batch_stats, target_stats = [], [], state.batch_stats, state.target_stats
        for v, x in enumerate(augmentations.draw_views(views, key, batch)):
            projected, batch_stats = project(online, batch_stats, x, keys[v])
            target_projection, target_stats = project(target, target_stats, x, target_keys[v])
            q.append(prediction.apply(params["predictor"], {}, projected, train=True)[0])
            k.append(target_projection.detach())
        tau = schedules.at(temperature, batch.step)
        value = (losses.mocov3(q[0], k[1], temperature=tau) + losses.mocov3(q[1], k[0], temperature=tau)).mean()
        info = {"positive_cosine": torch.cosine_similarity(q[0], k[1]).mean(), "key_std": metrics.feature_std(k[0])}
        return value, tree.detach((State(batch_stats, target, target_stats), info))

    return Method(init, loss, advice="Raise the temperature or the momentum, or lower the learning rate.")
