r"""BYOL: predict the output of a slowly moving copy of the network for another view of the image; no negatives.

    views        x_1 = t_1(x), x_2 = t_2(x)          t drawn per image from the key
    target       xi <- tau xi + (1 - tau) theta      encoder and projector; tau of the previous step
    projections  z_v = g_xi(f_xi(x_v))               no gradient
    predictions  p_v = q(g(f(x_v)))                  batch norm sees each view separately
    loss         mean of |n(p_1) - n(z_2)|^2 + |n(p_2) - n(z_1)|^2,    n(x) = x / |x|

References:
    Grill et al. Bootstrap your own latent: a new approach to self-supervised learning. arXiv:2006.07733, equations 1
    and 2, algorithm 1.

Note:
    The paper's momentum goes from .996 to 1 by `schedules.cosine(0.996, steps, final=1.0)`; for short runs the authors
    start lower: .97 for 40 epochs, .99 for 100 or 300. Head sizes are theirs; the last layer of each head has no bias.
    Running statistics are not parameters: the target keeps its own. Other libraries weight the two directions
    differently: stable-pretraining's gradient is 1/2 and lightly's 1/4 of this one, so learning rates do not transfer.
"""

from typing import NamedTuple

from torch import Tensor

from functional import augmentations, averaging, heads, losses, metrics, random, tree
from functional.base import Batch, BatchStats, Encoder, Info, Key, Method, Params, Schedule, Views
from functional.checks import check_between
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


def byol(
    encoder: Encoder,
    *,
    views: Views,
    projector: tuple[int, ...] = (4096, 256),
    predictor: int = 4096,
    momentum: float | Schedule = 0.996,
) -> Method:
    r"""The method for an encoder and a distribution of views.

    Args:
        encoder: any `Encoder`; its features, not the projections, are used after pretraining.
        views: one augmentation for both views, or one for each.
        projector: widths of the projection head's layers, with batch norm between; the last one enters the loss.
        predictor: width of the prediction head's hidden layer.
        momentum: $\tau$ of the target network in 0..1, a number or a schedule.

    Returns:
        A `Method`. `params` has `"encoder"`, `"projector"` and `"predictor"`; `info` has `target_cosine`, the mean
        cosine of prediction and target, and `projection_std`, the spread of the projections per dimension: 1 when they
        point in all directions, 0 when they have collapsed.

    Raises:
        ValueError: if the momentum is out of range, or `views` is neither one augmentation nor two.

    Example:
        >>> import torch
        >>> from functional import encoders
        >>> flip = augmentations.horizontal_flip
        >>> method = byol(encoders.resnet8(1, width=4), views=flip, projector=(8, 4), predictor=8)
        >>> images = random.uniform(random.key(1), (6, 1, 8, 8))
        >>> loss, _ = method.loss(*method.init(random.key(0)), random.key(2), Batch(images, None, torch.arange(6)))
        >>> bool(0 <= loss <= 8)
        True
    """
    check_between("momentum", momentum, 0, 1)
    views = augmentations.per_view(views, 2)
    projection = heads.projection_mlp(encoder.feature_dim, projector, batch_norm=True, last_bias=False)
    prediction = heads.prediction_mlp(projector[-1], predictor, projector[-1], last_bias=False)

    def start(key: Key) -> tuple[Params, BatchStats]:
        key_encoder, key_projector = random.split(key)
        encoder_params, batch_stats = encoder.init(key_encoder)
        return {"encoder": encoder_params, "projector": projection.init(key_projector)[0]}, batch_stats

    def project(params: Params, batch_stats: BatchStats, x: Tensor, key: Key) -> tuple[Tensor, BatchStats]:
        h, batch_stats = encoder.apply(params["encoder"], batch_stats, x, train=True, key=key)
        return projection.apply(params["projector"], {}, h, train=True)[0], batch_stats

    def init(key: Key, /) -> tuple[Params, State]:
        key_online, key_target, key_predictor = random.split(key, 3)
        (params, batch_stats), (target, target_stats) = start(key_online), start(key_target)
        return {**params, "predictor": prediction.init(key_predictor)[0]}, State(batch_stats, target, target_stats)

    def loss(params: Params, state: State, key: Key, batch: Batch, /) -> tuple[Tensor, tuple[State, Info]]:
        online = {name: params[name] for name in state.target}
        target = averaging.follow(state.target, tree.detach(online), momentum=momentum, step=batch.step)
        keys, target_keys = (image_keys(key, stream, batch.index, 2) for stream in (Stream.ENCODER, Stream.TARGET))
        y, z, batch_stats, target_stats = [], [], state.batch_stats, state.target_stats
        for v, x in enumerate(augmentations.draw_views(views, key, batch)):
            online_projection, batch_stats = project(online, batch_stats, x, keys[v])
            target_projection, target_stats = project(target, target_stats, x, target_keys[v])
            y.append(online_projection)
            z.append(target_projection.detach())
        p_1, p_2 = (prediction.apply(params["predictor"], {}, projected, train=True)[0] for projected in y)
        cosine = -(losses.negative_cosine(p_1, z[1]) + losses.negative_cosine(p_2, z[0])).mean() / 2
        info = {"target_cosine": cosine, "projection_std": metrics.feature_std(y[0])}
        return 4 - 4 * cosine, tree.detach((State(batch_stats, target, target_stats), info))

    advice = "Keep the predictor and the target's momentum, and lower the learning rate or the weight decay."
    return Method(init, loss, advice=advice)
