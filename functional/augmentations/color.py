"""Colour: brightness, contrast, saturation, hue, all four in random order, and grey.

The `adjust_*` functions take a factor per image and equal torchvision's functions of the same name. Images of one
channel have no colour: saturation, hue and grey leave them unchanged.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from functional import random
from functional.augmentations._shared import blend, per_image
from functional.base import Images, Key
from functional.checks import check_between, check_images, check_keys, check_per_image

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)  # the columns of a draw of color_jitter


def color_jitter(
    keys: Key,
    images: Images,
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    p: float = 0.8,
) -> Images:
    """Change brightness, contrast, saturation and hue by random amounts, in an order drawn for each image.

    Args:
        keys: `[B, 2]`.
        images: `[B, C, H, W]`, C = 1 or 3.
        brightness: the factor is uniform in 1 - brightness to 1 + brightness, and at least 0.
        contrast: as for brightness.
        saturation: as for brightness.
        hue: the shift is uniform in -hue to hue, in turns; 0..0.5.
        p: probability that an image is changed, 0..1.

    Returns:
        `[B, C, H, W]`, in 0..1.

    Note:
        The defaults are strength .5 of the paper, which it uses for CIFAR-10. For ImageNet it uses 1, twice the
        amounts: .8, .8, .8, .2.

    Example:
        >>> keys = random.split(random.key(0), 8)
        >>> color_jitter(keys, torch.rand(8, 3, 32, 32)).shape
        torch.Size([8, 3, 32, 32])

    References:
        arXiv:2002.05709, appendix A.
    """
    check_images(images)
    check_keys(keys, images)
    amounts = sample_color_jitter(keys, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue, p=p)
    return apply_color_jitter(images, *amounts)


def sample_color_jitter(
    keys: Key,
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    p: float = 0.8,
) -> tuple[Float[Tensor, "batch 4"], Int64[Tensor, "batch 4"]]:
    """Draw the amounts and the order of the adjustments.

    Args:
        keys: `[B, 2]`.
        brightness: as in `color_jitter`, at least 0.
        contrast: at least 0.
        saturation: at least 0.
        hue: 0..0.5.
        p: 0..1.

    Returns:
        The factors of brightness, contrast and saturation and the shift of the hue, `[B, 4]`, which are 1, 1, 1, 0 for
        an unchanged image; and the order, `[B, 4]`: the columns of the factors, first to last.

    Raises:
        ValueError: if an amount or p is out of range.

    Example:
        >>> factors, order = sample_color_jitter(random.split(random.key(0), 2), p=1.0)
        >>> factors
        tensor([[ 1.2739,  0.7459,  0.7817, -0.0759],
                [ 0.6058,  0.6167,  1.0651, -0.0276]])
        >>> order
        tensor([[3, 0, 1, 2],
                [1, 2, 0, 3]])
    """
    for name, amount in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation)):
        check_between(name, amount, 0, torch.inf)
    check_between("hue", hue, 0, 0.5)
    check_between("p", p, 0, 1)
    unit, rank, choice = random.uniform(keys, (9,)).split([4, 4, 1], dim=-1)
    like = {"dtype": unit.dtype, "device": unit.device}
    low = torch.tensor([*(max(0.0, 1 - x) for x in (brightness, contrast, saturation)), -hue], **like)
    high = torch.tensor([1 + brightness, 1 + contrast, 1 + saturation, hue], **like)
    unchanged = torch.tensor([1.0, 1.0, 1.0, 0.0], **like)
    return torch.where(choice < p, low + (high - low) * unit, unchanged), rank.argsort(dim=-1, stable=True)


def apply_color_jitter(images: Images, factors: Float[Tensor, "batch 4"], order: Int64[Tensor, "batch 4"]) -> Images:
    """Apply the four adjustments to each image in its own order.

    Args:
        images: `[B, C, H, W]`, C = 1 or 3.
        factors: brightness, contrast, saturation, and the shift of the hue, `[B, 4]`.
        order: a permutation of 0 to 3 per image, `[B, 4]`.

    Returns:
        `[B, C, H, W]`, in 0..1.

    Example:
        >>> factors, order = sample_color_jitter(random.split(random.key(0), 8))
        >>> apply_color_jitter(torch.rand(8, 1, 28, 28), factors, order).shape
        torch.Size([8, 1, 28, 28])
    """
    check_images(images)
    check_per_image("factors", factors, images, (4,))
    check_per_image("order", order, images, (4,))
    # The hue is expensive and the others are cheap, so the hue is turned once, at the same time for all images. Each
    # image goes through the steps that precede the hue in its own order before that, and through the rest after it.
    hue_time = (order == _HUE).int().argmax(-1)
    planes = _planes(images)
    for time in range(3):
        planes = _adjust_one(planes, factors, order[:, time], time < hue_time)
    planes = _turn_hue(planes, factors[:, _HUE])
    for time in range(1, 4):
        planes = _adjust_one(planes, factors, order[:, time], time > hue_time)
    return torch.stack(planes, dim=1)


def adjust_brightness(images: Images, factor: Float[Tensor, " batch"]) -> Images:
    """Multiply image i by `factor[i]`, clamped to 1: 0 is black, 1 the image.

    Args:
        images: `[B, C, H, W]`.
        factor: at least 0, `[B]`.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> adjust_brightness(torch.tensor([[[[0.25, 0.75]]]]), torch.tensor([2.0]))
        tensor([[[[0.5000, 1.0000]]]])
    """
    check_images(images)
    check_per_image("factor", factor, images)
    return blend(images, images.new_zeros(1, 1, 1, 1), factor)


def adjust_contrast(images: Images, factor: Float[Tensor, " batch"]) -> Images:
    """Scale the distance of image i from its mean grey by `factor[i]`: 0 is that grey, 1 the image.

    Args:
        images: `[B, C, H, W]`, C = 1 or 3.
        factor: at least 0, `[B]`.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> adjust_contrast(torch.tensor([[[[0.25, 0.75]]]]), torch.tensor([0.5]))
        tensor([[[[0.3750, 0.6250]]]])
    """
    check_images(images)
    check_per_image("factor", factor, images)
    return blend(images, luma(images).mean((-3, -2, -1), keepdim=True), factor)


def adjust_saturation(images: Images, factor: Float[Tensor, " batch"]) -> Images:
    """Scale the distance of each pixel of image i from its grey by `factor[i]`: 0 is grey, 1 the image.

    Args:
        images: `[B, C, H, W]`, C = 1 or 3.
        factor: at least 0, `[B]`.

    Returns:
        `[B, C, H, W]`; images of one channel are unchanged.

    Example:
        >>> adjust_saturation(torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1), torch.tensor([0.0])).flatten()
        tensor([0.2989, 0.2989, 0.2989])
    """
    check_images(images)
    check_per_image("factor", factor, images)
    return blend(images, luma(images), factor)


def adjust_hue(images: Images, shift: Float[Tensor, " batch"]) -> Images:
    r"""Turn the hue of image i by `shift[i]`; the largest and the smallest value of a pixel do not change.

    With $\Delta$ the largest minus the smallest value of a pixel, and hues in sixths of a turn from cyan, -3 to 3, a
    pixel has the hue $h = \delta + r (3 \, \mathrm{sgn} \, \delta - 2 \delta)$, where $\delta = (B - G) / \Delta$ and
    $r = (R - \min) / \Delta$. Conversely, $R = \min + \Delta \, [|h| - 1]_0^1$,
    $G = \min + \Delta \, [2 - |h + 1|]_0^1$ and $B = \min + \Delta \, [2 - |h - 1|]_0^1$.

    Args:
        images: `[B, C, H, W]`, C = 1 or 3.
        shift: in turns, -0.5..0.5, `[B]`.

    Returns:
        `[B, C, H, W]`; images of one channel are unchanged.

    Note:
        This is the rotation in HSV that torchvision and PIL compute case by case. These formulas hold in all six
        sextants, which is faster than choosing among them for every pixel.

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
        >>> adjust_hue(red, torch.tensor([1 / 3])).round(decimals=5).flatten()  # green
        tensor([0., 1., 0.])
    """
    check_images(images)
    check_per_image("shift", shift, images)
    return torch.stack(_turn_hue(_planes(images), shift), dim=1)


def grayscale(keys: Key, images: Images, *, p: float = 0.2) -> Images:
    """Convert images to grey, in as many channels as before, where `random.bernoulli(keys, p)` is true.

    Args:
        keys: `[B, 2]`.
        images: `[B, C, H, W]`, C = 1 or 3.
        p: probability, 0..1.

    Returns:
        `[B, C, H, W]`; images of one channel are unchanged.

    Example:
        >>> keys = random.split(random.key(0), 1)
        >>> grayscale(keys, torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1), p=1.0).flatten()
        tensor([0.2989, 0.2989, 0.2989])
    """
    check_images(images)
    check_keys(keys, images)
    check_between("p", p, 0, 1)
    chosen = random.bernoulli(keys, p).to(images.dtype)
    return torch.lerp(images, luma(images), per_image(chosen, images))


def luma(images: Images) -> Float[Tensor, "batch 1 height width"]:
    """The grey of each pixel, .2989 R + .587 G + .114 B; images of one channel are their own grey.

    Args:
        images: `[B, C, H, W]`, C = 1 or 3.

    Returns:
        `[B, 1, H, W]`.

    Raises:
        ValueError: for another number of channels.

    Example:
        >>> luma(torch.eye(3).reshape(3, 3, 1, 1)).flatten()  # the weights of ITU-R BT.601, rounded as in torchvision
        tensor([0.2989, 0.5870, 0.1140])
    """
    return _gray(_planes(images))[:, None]


# The functions below work on colour planes, one tensor [B, H, W] per colour. Each operation on an image is then a loop
# over its pixels, and a compiler fuses them into one loop over the images, in which an image stays in the cache.
# Without a compiler every new tensor is a pass over memory, so one that is no longer needed is changed in place.
Planes = tuple[Float[Tensor, "batch height width"], ...]


def _planes(images: Images) -> Planes:
    if images.shape[1] not in (1, 3):
        raise ValueError(f"images: expected 1 or 3 channels, got shape {list(images.shape)}; colour needs RGB or grey")
    return images.unbind(1)


def _gray(planes: Planes) -> Tensor:
    if len(planes) == 1:
        return planes[0]
    red, green, blue = planes
    return (0.2989 * red).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def _adjust_one(planes: Planes, factors: Tensor, which: Tensor, active: Tensor) -> Planes:
    """Brightness, contrast or saturation, as `which` says for each image; no change where not active.

    All three are `factor * x + (1 - factor) * other`, where `other` is black, the mean grey, or the grey.
    """
    gray = _gray(planes)
    factor = torch.where(active, factors.gather(-1, which[:, None])[:, 0], 1).to(gray.dtype)
    of_mean = torch.where(which == _CONTRAST, 1 - factor, 0) * gray.mean((-2, -1))
    of_gray = torch.where(which == _SATURATION, 1 - factor, 0)
    # One number per image is copied to all pixels, because torch's loop over two such operands is not vectorised.
    other = torch.addcmul(of_mean[:, None, None].expand_as(gray).contiguous(), of_gray[:, None, None], gray)
    adjusted = [torch.addcmul(other, factor[:, None, None], plane) for plane in planes]
    return tuple(F.hardtanh(plane, 0.0, 1.0, inplace=True) for plane in adjusted)


def _turn_hue(planes: Planes, shift: Tensor) -> Planes:
    if len(planes) == 1:
        return planes
    red, green, blue = planes
    low, high = torch.minimum(torch.minimum(red, green), blue), torch.maximum(torch.maximum(red, green), blue)
    span = high.sub_(low)
    divisor = span.clamp_min(torch.finfo(span.dtype).tiny)  # a pixel without a hue is divided by it: 0 stays 0
    side = (blue - green).div_(divisor)
    turn = torch.copysign(side.new_full((), 3.0), side).sub(side, alpha=2)
    hue = torch.addcmul(side, (red - low).div_(divisor), turn) + 6 * shift.to(side.dtype)[:, None, None]
    hue = hue.sub_((hue / 6).round_(), alpha=6)
    weights = (hue.abs().sub_(1), (hue + 1).abs_().neg_().add_(2), (hue - 1).abs_().neg_().add_(2))
    return tuple(torch.addcmul(low, span, weight.clamp(0, 1)) for weight in weights)
