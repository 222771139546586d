r"""Supervised learning: encoder and classifier, trained together on labels; the baseline for all others.

    view      x_1 = t(x)                           t drawn per image from the key
    logits    y = g(f(x_1))                        g: linear by default, or with hidden layers
    loss      mean of the cross-entropy of y and the label

References:
    He, Zhang, Ren, Sun. Deep residual learning for image recognition. arXiv:1512.03385, section 3.4. Label smoothing:
    Szegedy, Vanhoucke, Ioffe, Shlens, Wojna. arXiv:1512.00567, section 7.

Note:
    With few labels this is training from scratch, which a pretrained encoder with a linear probe has to beat. Only the
    encoder is kept; a probe of its features reaches about the accuracy of the classifier that it was trained with.
"""

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import cross_entropy

from functional import augmentations, heads, layers, random, tree
from functional.base import Batch, BatchStats, Encoder, Info, Key, Method, Params, Views
from functional.checks import check_fraction, check_positive
from functional.streams import Stream, image_keys


class State(NamedTuple):
    """The state of training besides the parameters.

    Attributes:
        batch_stats: the encoder's running statistics.
    """

    batch_stats: BatchStats


def supervised(
    encoder: Encoder, *, views: Views, classes: int, head: tuple[int, ...] = (), label_smoothing: float = 0.0
) -> Method:
    r"""The method for an encoder, a distribution of views and a number of classes.

    Args:
        encoder: any `Encoder`.
        views: the augmentation of the training images.
        classes: the number of classes; labels are 0 to `classes - 1`.
        head: widths of hidden layers, each followed by ReLU, between the features and the logits; the default is a
            linear classifier.
        label_smoothing: $0 \le \epsilon < 1$, the share of each label that is spread over all classes.

    Returns:
        A `Method`. `params` has `"encoder"` and `"classifier"`; `info` has `accuracy`, the fraction of the batch whose
        highest logit is that of the label: near 1 / classes when the features have collapsed.

    Raises:
        ValueError: if a value is out of range or there is more than one view; in the loss, if labels are missing.

    Example:
        >>> import torch
        >>> from functional import encoders
        >>> method = supervised(encoders.resnet8(1, width=4), views=augmentations.horizontal_flip, classes=3)
        >>> batch = Batch(torch.rand(6, 1, 8, 8), torch.arange(6) % 3, torch.arange(6))
        >>> loss, (state, info) = method.loss(*method.init(random.key(0)), random.key(2), batch)
        >>> list(info)
        ['accuracy']
    """
    check_positive("classes", classes)
    check_fraction("label_smoothing", label_smoothing)
    views = augmentations.per_view(views, 1)
    classifier = (
        heads.projection_mlp(encoder.feature_dim, (*head, classes))
        if head
        else layers.linear(encoder.feature_dim, classes)
    )

    def init(key: Key, /) -> tuple[Params, State]:
        key_encoder, key_classifier = random.split(key)
        encoder_params, batch_stats = encoder.init(key_encoder)
        return {"encoder": encoder_params, "classifier": classifier.init(key_classifier)[0]}, State(batch_stats)

    def loss(params: Params, state: State, key: Key, batch: Batch, /) -> tuple[Tensor, tuple[State, Info]]:
        if batch.labels is None:
            raise ValueError("supervised: expected labels, got none; train on labelled data")
        (x,) = augmentations.draw_views(views, key, batch)
        (keys,) = image_keys(key, Stream.ENCODER, batch.index)
        h, batch_stats = encoder.apply(params["encoder"], state.batch_stats, x, train=True, key=keys)
        y, _ = classifier.apply(params["classifier"], {}, h, train=True)
        value = cross_entropy(y, batch.labels, label_smoothing=label_smoothing)
        info = {"accuracy": (y.argmax(1) == batch.labels).to(y.dtype).mean()}
        return value, tree.detach((State(batch_stats), info))

    return Method(init, loss, labelled=True)
