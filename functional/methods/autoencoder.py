r"""Autoencoder: reconstruct the image from its features, which are too few to copy it.

    view      x = t(x)                       in 0..1; t drawn per image from the key
    latents   h = f(x)
    image     y = sigmoid(g(h))              g: the decoder
    loss      mean over images and pixels of the cross-entropy of y and x, or of |y - x|^2

References:
    Hinton, Salakhutdinov. Reducing the dimensionality of data with neural networks. Science 313, 2006.

Note:
    The paper minimises the cross-entropy, the default here; published autoencoders on MNIST, among them that of
    `encoders.s5`, often take the squared error. The decoder keeps the running statistics of its batch norms, so that
    it can decode single images after training: `decoder.apply(*method.decoder(params, state), h)[0].sigmoid()`.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from functional import augmentations, heads, random, tree
from functional.base import Batch, BatchStats, Encoder, Info, Key, Method, Params, Views
from functional.layers import Layer
from functional.methods import _reconstruction
from functional.streams import Stream, image_keys


class State(NamedTuple):
    """The state of training besides the parameters.

    Attributes:
        batch_stats: the encoder's running statistics.
        decoder_stats: the decoder's running statistics.
    """

    batch_stats: BatchStats
    decoder_stats: BatchStats


def autoencoder(
    encoder: Encoder,
    *,
    views: Views,
    decoder: Callable[..., Layer] = heads.s5_decoder,
    channels: int = 1,
    squared_error: bool = False,
) -> Method:
    r"""The method for an encoder and a distribution of views.

    Args:
        encoder: any `Encoder`; its features are the latents.
        views: the augmentation of the images. Its outputs are the targets and must be in 0..1, without normalisation
            and without noise; the method checks this once, on black and white images.
        decoder: `(latent_dim, *, out_channels) -> Layer`, from latents to the logits of images; the default decodes
            to 28 x 28 pixels.
        channels: the number of channels of the images.
        squared_error: minimise the mean squared error in place of the cross-entropy.

    Returns:
        A `Method`. `params` has `"encoder"` and `"decoder"`; `info` has `mean_squared_error`, the error of the
        reconstructions, and `explained_variance`, the fraction by which it is below the error of the batch's mean
        image: 1 for perfect reconstructions, 0 or less when the latents have collapsed.

    Raises:
        ValueError: if there is more than one view or the views leave 0..1; in the loss, if the shapes of the decoder's
            images and the views differ.

    Example:
        >>> import torch
        >>> from functional import encoders
        >>> method = autoencoder(encoders.s5(), views=augmentations.horizontal_flip)
        >>> batch = Batch(torch.rand(6, 1, 28, 28), None, torch.arange(6))
        >>> loss, (state, info) = method.loss(*method.init(random.key(0)), random.key(2), batch)
        >>> list(state.decoder_stats), list(info)
        (['bn1', 'bn2'], ['mean_squared_error', 'explained_variance'])
    """
    views = augmentations.per_view(views, 1)
    decode = _reconstruction.build_decoder(decoder, encoder.feature_dim, channels, views)

    def init(key: Key, /) -> tuple[Params, State]:
        key_encoder, key_decoder = random.split(key)
        encoder_params, batch_stats = encoder.init(key_encoder)
        decoder_params, decoder_stats = decode.init(key_decoder)
        return {"encoder": encoder_params, "decoder": decoder_params}, State(batch_stats, decoder_stats)

    def loss(params: Params, state: State, key: Key, batch: Batch, /) -> tuple[Tensor, tuple[State, Info]]:
        (x,) = augmentations.draw_views(views, key, batch)
        (keys,), (own,) = (image_keys(key, stream, batch.index) for stream in (Stream.ENCODER, Stream.HEAD))
        h, batch_stats = encoder.apply(params["encoder"], state.batch_stats, x, train=True, key=keys)
        y, decoder_stats = decode.apply(params["decoder"], state.decoder_stats, h, train=True, key=own)
        value = _reconstruction.error(y, x, squared_error=squared_error).mean()
        info = _reconstruction.measures(y, x)
        return value, tree.detach((State(batch_stats, decoder_stats), info))

    return Method(init, loss, decoder=_reconstruction.published_decoder)
