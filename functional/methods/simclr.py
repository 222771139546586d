r"""SimCLR: two random views of an image are each other's positive; all other views in the batch are negatives.

    views        x_1 = t_1(x), x_2 = t_2(x)         t drawn per image from the key
    features     h = f(x_1, x_2)                    one batch of 2B: batch norm sees both views
    projections  z = g(h)                           linear, ReLU, linear: used in training, then discarded
    loss         mean of nt_xent(z_1, z_2)

References:
    Chen, Kornblith, Norouzi, Hinton. A simple framework for contrastive learning of visual representations.
    arXiv:2002.05709, algorithm 1.

Note:
    The paper's temperature is .1 for ImageNet and .5 for CIFAR-10, its projection head 2048-128 for ResNet-50. The
    defaults here are those of the strongest published CIFAR-10 recipes, 2048-256 and .2.
"""

from typing import NamedTuple

import torch

from functional import augmentations, heads, losses, metrics, random, schedules, tree
from functional.base import Batch, BatchStats, Encoder, Info, Key, Method, Params, Schedule, Views
from functional.checks import check_positive
from functional.streams import Stream, image_keys


class State(NamedTuple):
    """The state of training besides the parameters.

    Attributes:
        batch_stats: the encoder's running statistics.
    """

    batch_stats: BatchStats


def simclr(
    encoder: Encoder,
    *,
    views: Views,
    projector: tuple[int, ...] = (2048, 256),
    temperature: float | Schedule = 0.2,
) -> Method:
    r"""The method for an encoder and a distribution of views.

    Args:
        encoder: any `Encoder`; its features, not the projections, are used after pretraining.
        views: one augmentation for both views, or one for each, of one size.
        projector: widths of the projection head's layers, the last one the dimension of the loss.
        temperature: $\tau$ > 0 of `losses.nt_xent`, a number or a schedule.

    Returns:
        A `Method`. `params` has `"encoder"` and `"projector"`; `info` has `positive_cosine`, the mean cosine of the
        two projections of an image, and `projection_std`, the spread of the projections per dimension: 1 when they
        point in all directions, 0 when they have collapsed.

    Raises:
        ValueError: if the temperature is not above 0, or `views` is neither one augmentation nor two.

    Example:
        >>> from functional import encoders
        >>> method = simclr(encoders.resnet8(1, width=4), views=augmentations.horizontal_flip, projector=(8, 4))
        >>> params, state = method.init(random.key(0))
        >>> images = random.uniform(random.key(1), (6, 1, 8, 8))
        >>> loss, _ = method.loss(params, state, random.key(2), Batch(images, None, torch.arange(6)))
        >>> loss.shape
        torch.Size([])
    """
    check_positive("temperature", temperature)
    views = augmentations.per_view(views, 2)
    projection = heads.projection_mlp(encoder.feature_dim, projector)

    def init(key: Key, /) -> tuple[Params, State]:
        key_encoder, key_projector = random.split(key)
        encoder_params, batch_stats = encoder.init(key_encoder)
        projector_params, _ = projection.init(key_projector)
        return {"encoder": encoder_params, "projector": projector_params}, State(batch_stats)

    def loss(params: Params, state: State, key: Key, batch: Batch, /) -> tuple[torch.Tensor, tuple[State, Info]]:
        x = torch.cat(augmentations.draw_views(views, key, batch))
        keys = image_keys(key, Stream.ENCODER, batch.index, 2).flatten(0, 1)
        h, batch_stats = encoder.apply(params["encoder"], state.batch_stats, x, train=True, key=keys)
        z_1, z_2 = projection.apply(params["projector"], {}, h, train=True)[0].chunk(2)
        value = losses.nt_xent(z_1, z_2, temperature=schedules.at(temperature, batch.step)).mean()
        info = {"positive_cosine": torch.cosine_similarity(z_1, z_2).mean(), "projection_std": metrics.feature_std(z_1)}
        return value, tree.detach((State(batch_stats), info))

    return Method(init, loss, advice="Raise the temperature, or lower the learning rate or the weight decay.")
