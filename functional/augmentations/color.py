"""What a pixel becomes: brightness, contrast, saturation, hue, and grey."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from functional import random
from functional.augmentations._shared import per_image
from functional.base import Images, Key
from functional.checks import check_images, check_keys

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)


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
    check_keys(keys, images)
    strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
    return apply_color_jitter(images, *sample_color_jitter(keys, **strengths, p=p))


def sample_color_jitter(
    keys: Key,
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    p: float = 0.8,
) -> tuple[Float[Tensor, "batch 4"], Int64[Tensor, "batch 4"]]:
    amount, rank, chosen = random.uniform(keys, (9,)).split([4, 4, 1], dim=-1)
    low = torch.tensor([max(0.0, 1 - s) for s in (brightness, contrast, saturation)] + [-hue], device=keys.device)
    high = torch.tensor([1 + brightness, 1 + contrast, 1 + saturation, hue], device=keys.device)
    identity = torch.tensor([1.0, 1.0, 1.0, 0.0], device=keys.device)
    factors = torch.where(chosen < p, low + (high - low) * amount, identity)
    return factors, rank.argsort(dim=-1, stable=True)


def apply_color_jitter(images: Images, factors: Float[Tensor, "batch 4"], order: Int64[Tensor, "batch 4"]) -> Images:
    check_images(images)
    hue_time = (order == _HUE).int().argmax(-1)
    for time in range(3):
        images = _blend_one(images, factors, order[:, time], time < hue_time)
    images = adjust_hue(images, factors[:, _HUE])
    for time in range(1, 4):
        images = _blend_one(images, factors, order[:, time], time > hue_time)
    return images


def adjust_hue(images: Images, shift: Float[Tensor, " batch"]) -> Images:
    check_images(images)
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    divisor = torch.where(chroma > 0, chroma, 1)
    sextant = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    offsets = torch.tensor([5, 3, 1], dtype=images.dtype, device=images.device)[:, None, None]
    turned = (sextant[:, None] + 6 * per_image(shift, images) + offsets).remainder(6)
    return value[:, None] - chroma[:, None] * torch.minimum(turned, 4 - turned).clamp(0, 1)


def grayscale(keys: Key, images: Images, *, p: float = 0.2) -> Images:
    check_keys(keys, images)
    check_images(images)
    return torch.where(per_image(random.bernoulli(keys, p), images), luma(images), images)


def luma(images: Images) -> Float[Tensor, "batch 1 height width"]:
    if images.shape[1] == 1:
        return images
    weights = torch.tensor([0.2989, 0.587, 0.114], dtype=images.dtype, device=images.device)
    return (weights @ images.flatten(2)).unflatten(-1, images.shape[2:])[:, None]


def _blend_one(images: Images, factors: Tensor, op: Tensor, active: Tensor) -> Images:
    factor = torch.where(active, factors.gather(-1, op[:, None])[:, 0], 1)
    gray = luma(images)
    mean = gray.mean((-3, -2, -1), keepdim=True)
    target = torch.where(
        per_image(op == _SATURATION, images), gray, torch.where(per_image(op == _CONTRAST, images), mean, 0)
    )
    return torch.lerp(target, images, per_image(factor, images)).clamp(0, 1)
