"""Tone curves: solarize, posterize, autocontrast, equalize.

`solarize` and `posterize` draw only `random.bernoulli(keys, p)`; the others draw nothing. The last three divide by a
range or round to levels, so a difference in the last bit of a pixel can move it by a level.
"""

import torch
from torch import Tensor

from functional import random
from functional.augmentations._shared import per_image
from functional.base import Images, Key
from functional.checks import check_between, check_images, check_keys


def solarize(keys: Key, images: Images, *, threshold: float = 0.5, p: float = 0.2) -> Images:
    """Invert values from the threshold up, where `random.bernoulli(keys, p)` is true.

    Args:
        keys: `[B, 2]`.
        images: `[B, C, H, W]`.
        threshold: 0..1.
        p: probability, 0..1; BYOL uses 0 for the first view and .2 for the second.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> solarize(random.split(random.key(0), 1), torch.tensor([[[[0.25, 0.75, 1.0]]]]), p=1.0)
        tensor([[[[0.2500, 0.2500, 0.0000]]]])

    References:
        Grill et al. Bootstrap your own latent. arXiv:2006.07733, appendix B and table 6.
    """
    return _where_chosen(keys, images, apply_solarize(images, threshold=threshold), p)


def apply_solarize(images: Images, *, threshold: float = 0.5) -> Images:
    """Map x to 1 - x from the threshold up; keep x below.

    Example:
        >>> apply_solarize(torch.tensor([[[[0.25, 0.75, 1.0]]]]))
        tensor([[[[0.2500, 0.2500, 0.0000]]]])
    """
    check_images(images)
    check_between("threshold", threshold, 0, 1)
    return torch.where(images >= threshold, 1 - images, images)


def posterize(keys: Key, images: Images, *, bits: int, p: float = 0.5) -> Images:
    """Round down to 2**bits levels, where `random.bernoulli(keys, p)` is true.

    Args:
        keys: `[B, 2]`.
        images: `[B, C, H, W]`.
        bits: 1..8.
        p: probability, 0..1.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> posterize(random.split(random.key(0), 1), torch.tensor([[[[0.3, 0.6, 1.0]]]]), bits=1, p=1.0)
        tensor([[[[0.0000, 0.5000, 0.5000]]]])
    """
    return _where_chosen(keys, images, apply_posterize(images, bits=bits), p)


def apply_posterize(images: Images, *, bits: int) -> Images:
    """Round down to the levels 0, 1 / n, ..., (n - 1) / n with n = 2**bits.

    Note:
        As in torchvision for floats. For uint8 torchvision clears the low bits, which gives 256 / 255 of these levels.

    Example:
        >>> apply_posterize(torch.tensor([[[[0.3, 0.6, 1.0]]]]), bits=2)
        tensor([[[[0.2500, 0.5000, 0.7500]]]])
    """
    check_images(images)
    check_between("bits", bits, 1, 8)
    levels = 2**bits
    return (images * levels).floor().clamp(0, levels - 1) / levels


def autocontrast(images: Images) -> Images:
    """Stretch every channel to fill 0..1; a constant channel is unchanged.

    Args:
        images: `[B, C, H, W]`.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> autocontrast(torch.tensor([[[[0.25, 0.5, 0.75]]]]))
        tensor([[[[0.0000, 0.5000, 1.0000]]]])
    """
    check_images(images)
    low, high = images.amin((-2, -1), keepdim=True), images.amax((-2, -1), keepdim=True)
    constant = low == high
    return ((images - torch.where(constant, 0, low)) / torch.where(constant, 1, high - low)).clamp(0, 1)


def equalize(images: Images) -> Images:
    """Spread every channel so that all 256 levels are about equally frequent. Piecewise constant: no gradient.

    Args:
        images: `[B, C, H, W]`.

    Returns:
        `[B, C, H, W]`, in steps of 1 / 255; a channel with too few pixels or values for PIL's rule is unchanged.

    Note:
        PIL's rule, on the 256 levels that torchvision gives floats: with n pixels below the brightest level, a level
        with m pixels darker than itself becomes level (m + s // 2) // s, where s = n // 255.

    Example:
        >>> equalize(torch.linspace(0, 0.5, 1024).reshape(1, 1, 32, 32)).max()
        tensor(1.)
    """
    check_images(images)
    levels = (images * 255.999).long().clamp(0, 255).flatten(-2)
    ones = torch.ones_like(levels)
    counts = ones.new_zeros(*levels.shape[:-1], 256).scatter_add(-1, levels, ones)
    brightest = counts.gather(-1, levels.amax(-1, keepdim=True))
    step = (levels.shape[-1] - brightest) // 255
    darker = counts.cumsum(-1) - counts
    curve = ((darker + step // 2) // step.clamp_min(1)).clamp_max(255).to(images.dtype) / 255
    equal = curve.gather(-1, levels).unflatten(-1, images.shape[-2:])
    return torch.where(step[..., None] > 0, equal, images)


def _where_chosen(keys: Key, images: Images, changed: Tensor, p: float) -> Images:
    check_keys(keys, images)
    check_between("p", p, 0, 1)
    return torch.where(per_image(random.bernoulli(keys, p), images), changed, images)
