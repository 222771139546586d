r"""SimSiam: predict the projection of another view of the image, without negatives and without a target network.

    views        x_1 = t_1(x), x_2 = t_2(x)          t drawn per image from the key
    projections  z_v = g(f(x_v))                     batch norm sees each view separately
    predictions  p_v = q(z_v)                        through a bottleneck
    loss         mean of (D(p_1, sg z_2) + D(p_2, sg z_1)) / 2,    D = losses.negative_cosine, sg = stop-gradient

References:
    Chen, He. Exploring simple Siamese representation learning. arXiv:2011.10566, equations 1 to 4, algorithm 1.

Note:
    Without the predictor or the stop-gradient the projections collapse to a constant. The batch norm at the end of the
    projector slows the collapse: on small images `projection_std` first falls from .95 to about .3, while
    `target_cosine` approaches 1. The learning rate of the predictor stays constant in the paper, which is a setting of
    the recipe: `parameter_groups=(("predictor.*", {"schedule": "constant"}),)`. For CIFAR-10 the authors use a
    projector of two layers; lightly's benchmark also gives its last batch norm a scale and a shift.
"""

from typing import NamedTuple

from torch import Tensor

from functional import augmentations, heads, losses, metrics, random, tree
from functional.base import Batch, BatchStats, Encoder, Info, Key, Method, Params, Views
from functional.streams import Stream, image_keys


class State(NamedTuple):
    """The state of training besides the parameters.

    Attributes:
        batch_stats: the encoder's running statistics.
    """

    batch_stats: BatchStats


def simsiam(
    encoder: Encoder, *, views: Views, projector: tuple[int, ...] = (2048, 2048, 2048), predictor: int = 512
) -> Method:
    r"""The method for an encoder and a distribution of views.

    Args:
        encoder: any `Encoder`; its features, not the projections, are used after pretraining.
        views: one augmentation for both views, or one for each.
        projector: widths of the projection head's layers. Each is followed by batch norm, the last one without scale
            and shift.
        predictor: width of the prediction head's hidden layer, a quarter of the projection's in the paper.

    Returns:
        A `Method`. `params` has `"encoder"`, `"projector"` and `"predictor"`; `info` has `target_cosine`, the mean
        cosine of prediction and target, and `projection_std`, the spread of the projections per dimension: 1 when they
        point in all directions, 0 when they have collapsed.

    Raises:
        ValueError: for a projector without layers, a width not above 0, or a number of augmentations other than 1 or 2.

    Example:
        >>> import torch
        >>> from functional import encoders
        >>> flip = augmentations.horizontal_flip
        >>> method = simsiam(encoders.resnet8(1, width=4), views=flip, projector=(8, 8), predictor=4)
        >>> images = random.uniform(random.key(1), (6, 1, 8, 8))
        >>> loss, _ = method.loss(*method.init(random.key(0)), random.key(2), Batch(images, None, torch.arange(6)))
        >>> bool(-1 <= loss <= 1)
        True
    """
    if not projector:
        raise ValueError("projector: expected one width or more, got none")
    views = augmentations.per_view(views, 2)
    projection = heads.projection_mlp(encoder.feature_dim, projector, batch_norm=True, last_batch_norm=True)
    prediction = heads.prediction_mlp(projector[-1], predictor, projector[-1])

    def init(key: Key, /) -> tuple[Params, State]:
        key_encoder, key_projector, key_predictor = random.split(key, 3)
        encoder_params, batch_stats = encoder.init(key_encoder)
        head_params = {"projector": projection.init(key_projector)[0], "predictor": prediction.init(key_predictor)[0]}
        return {"encoder": encoder_params, **head_params}, State(batch_stats)

    def loss(params: Params, state: State, key: Key, batch: Batch, /) -> tuple[Tensor, tuple[State, Info]]:
        keys = image_keys(key, Stream.ENCODER, batch.index, 2)
        z, p, batch_stats = [], [], state.batch_stats
        for v, x in enumerate(augmentations.draw_views(views, key, batch)):
            h, batch_stats = encoder.apply(params["encoder"], batch_stats, x, train=True, key=keys[v])
            projected, _ = projection.apply(params["projector"], {}, h, train=True)
            p.append(prediction.apply(params["predictor"], {}, projected, train=True)[0])
            z.append(projected.detach())
        value = (losses.negative_cosine(p[0], z[1]) + losses.negative_cosine(p[1], z[0])).mean() / 2
        info = {"target_cosine": -value, "projection_std": metrics.feature_std(z[0])}
        return value, tree.detach((State(batch_stats), info))

    advice = "Keep the predictor's learning rate constant, and lower the learning rate or the weight decay."
    return Method(init, loss, advice=advice)
