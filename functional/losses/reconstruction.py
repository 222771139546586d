r"""Losses of a decoder: the error of a reconstruction, averaged over the pixels of the image.

They return one value per image, for images of any shape: `[B, C, H, W]`, or `[B, D]`. A denoising autoencoder is
compared with the *clean* image (Vincent, Larochelle, Bengio, Manzagol, ICML 2008), not with its noisy input.
"""

import math

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from functional.checks import check_floating, check_same_shape
from functional.numerics import promote_half


def mean_squared_error(
    prediction: Float[Tensor, "batch *image"], target: Float[Tensor, "batch *image"]
) -> Float[Tensor, " batch"]:
    r"""Mean squared error per image.

    $$\ell_i = \frac{1}{P} \sum_{j=1}^{P} (x_{ij} - t_{ij})^2$$

    Args:
        prediction: `[B, ...]`.
        target: the same shape.

    Returns:
        `[B]`, in at least float32.

    Raises:
        TypeError: if either is not floating point, for example uint8 images against a decoder's outputs in 0..1.
        ValueError: if the shapes differ.

    Example:
        >>> import torch
        >>> mean_squared_error(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 0.5]]))
        tensor([0.1250])
    """
    _check(prediction=prediction, target=target)
    return _mean((promote_half(prediction) - promote_half(target)).square())


def binary_cross_entropy(
    logits: Float[Tensor, "batch *image"], target: Float[Tensor, "batch *image"]
) -> Float[Tensor, " batch"]:
    r"""Cross-entropy per image of pixels in 0..1, from logits.

    $$\ell_i = -\frac{1}{P} \sum_{j=1}^{P} \big[
    t_{ij} \log \sigma(x_{ij}) + (1 - t_{ij}) \log(1 - \sigma(x_{ij})) \big]$$

    Args:
        logits: `[B, ...]`, the outputs of the decoder *before* its sigmoid. From probabilities the loss could not be
            computed where they round to 0 or 1.
        target: the same shape, in 0..1.

    Returns:
        `[B]`, at least the entropy of the target, which is above 0 for grey pixels; in at least float32.

    Raises:
        TypeError: if either is not floating point.
        ValueError: if the shapes differ.

    Example:
        >>> import torch
        >>> binary_cross_entropy(torch.tensor([[0.0, 100.0]]), torch.tensor([[1.0, 1.0]]))  # (log 2 + 0) / 2
        tensor([0.3466])

    Note:
        Variational autoencoders sum over the pixels instead: P times this value.
    """
    _check(logits=logits, target=target)
    x, t = promote_half(logits), promote_half(target)
    # log(1 + exp(x)) - t x, the same formula without overflow.
    return _mean(F.softplus(x) - t * x)


def _mean(pixels: Float[Tensor, "batch *image"]) -> Float[Tensor, " batch"]:
    return pixels.reshape(len(pixels), math.prod(pixels.shape[1:])).mean(1)


def _check(**tensors: Tensor) -> None:
    for name, x in tensors.items():
        check_floating(name, x)
    check_same_shape(**tensors)
