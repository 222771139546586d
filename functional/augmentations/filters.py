"""Filters and noise: Gaussian blur, sharpness, Gaussian noise."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from functional import random
from functional.augmentations._shared import blend, per_image
from functional.base import Images, Key
from functional.checks import check_between, check_images, check_interval, check_keys, check_per_image
from functional.kernels import separable_blur


def gaussian_blur(
    keys: Key,
    images: Images,
    *,
    kernel_size: int | None = None,
    sigma: tuple[float, float] = (0.1, 2.0),
    p: float = 0.5,
) -> Images:
    """Blur by a Gaussian of random width, with probability p.

    Args:
        keys: `[B, 2]`.
        images: `[B, C, H, W]`.
        kernel_size: pixels, odd and at most 2 * side - 1; None for a tenth of the height, as in the paper, but odd
            and at least 3: 23 for 224 pixels, 3 for 32.
        sigma: the range of the standard deviation in pixels, above 0.
        p: probability, 0..1.

    Returns:
        `[B, C, H, W]`.

    Note:
        The paper blurs only for ImageNet. A kernel of 3 pixels limits the effect of a sigma above 1.

    Example:
        >>> gaussian_blur(random.split(random.key(0), 8), torch.rand(8, 3, 32, 32)).shape
        torch.Size([8, 3, 32, 32])

    References:
        arXiv:2002.05709, appendix A.
    """
    check_images(images)
    check_keys(keys, images)
    size = 2 * max(1, images.shape[-2] // 20) + 1 if kernel_size is None else kernel_size
    return apply_blur(images, sample_blur(keys, sigma=sigma, p=p), kernel_size=size)


def sample_blur(keys: Key, *, sigma: tuple[float, float] = (0.1, 2.0), p: float = 0.5) -> Float[Tensor, " batch"]:
    """Draw a standard deviation in pixels per key: uniform in `sigma` with probability p, otherwise 0, `[B]`.

    Example:
        >>> sample_blur(random.split(random.key(0), 4))
        tensor([0.0000, 0.1397, 0.0000, 1.4945])
    """
    check_interval("sigma", sigma)
    check_between("p", p, 0, 1)
    choice, unit = random.uniform(keys, (2,)).unbind(-1)
    return torch.where(choice < p, sigma[0] + (sigma[1] - sigma[0]) * unit, 0)


def apply_blur(images: Images, sigma: Float[Tensor, " batch"], *, kernel_size: int) -> Images:
    """Blur image i by a Gaussian of `sigma[i]` pixels, truncated to `kernel_size`, with reflected edges.

    Args:
        images: `[B, C, H, W]`.
        sigma: `[B]`; 0 for no blur.
        kernel_size: odd, at most 2 * side - 1.

    Returns:
        `[B, C, H, W]`.

    Raises:
        ValueError: if the kernel size is even or too large for the images.

    Example:
        >>> point = F.pad(torch.ones(1, 1, 1, 1), (2, 2, 2, 2))
        >>> apply_blur(point, torch.tensor([0.5]), kernel_size=3)[0, 0, 2]
        tensor([0.0000, 0.0838, 0.6193, 0.0838, 0.0000])
    """
    check_images(images)
    check_per_image("sigma", sigma, images)
    height, width = images.shape[-2:]
    if kernel_size % 2 == 0 or not 0 < kernel_size < 2 * min(height, width):
        raise ValueError(
            f"kernel_size: expected an odd number below twice the side of {height} x {width} images, got {kernel_size}"
        )
    return separable_blur(images, sigma, kernel_size // 2)


def adjust_sharpness(images: Images, factor: Float[Tensor, " batch"]) -> Images:
    """Scale image i's distance from a slight blur by `factor[i]`: 0 blurs, 1 keeps, 2 sharpens. Borders do not change.

    Args:
        images: `[B, C, H, W]`, at least 3 x 3 pixels.
        factor: at least 0, `[B]`.

    Returns:
        `[B, C, H, W]`, in 0..1.

    Raises:
        ValueError: for smaller images.

    Example:
        >>> adjust_sharpness(torch.eye(3)[None, None], torch.tensor([0.0]))[0, 0, 1]
        tensor([0.0000, 0.5385, 0.0000])
    """
    check_images(images)
    check_per_image("factor", factor, images)
    if min(images.shape[-2:]) < 3:
        raise ValueError(f"images: expected at least 3 x 3 pixels, got {images.shape[-2]} x {images.shape[-1]}")
    inner = images[..., 1:-1, 1:-1]
    smooth = (9 * F.avg_pool2d(images, 3, stride=1) + 4 * inner) / 13  # weights 1, 5 in the middle
    change = F.pad(smooth - inner, (1, 1, 1, 1))
    return blend(images, images + change, factor)


def gaussian_noise(keys: Key, images: Images, *, std: float, p: float = 1.0) -> Images:
    """Add independent normal noise to every value, with probability p per image.

    Args:
        keys: `[B, 2]`.
        images: `[B, C, H, W]`.
        std: standard deviation, at least 0.
        p: probability, 0..1.

    Returns:
        `[B, C, H, W]`, not clamped: the noise has mean 0 everywhere, and values can leave 0..1.

    Note:
        A key draws C * H * W numbers here, while other augmentations draw a few.

    Example:
        >>> gaussian_noise(random.split(random.key(0), 8), torch.rand(8, 1, 28, 28), std=0.3).shape
        torch.Size([8, 1, 28, 28])
    """
    check_images(images)
    check_keys(keys, images)
    check_between("std", std, 0, torch.inf)
    check_between("p", p, 0, 1)
    key_choice, key_noise = random.split(keys).unbind(-2)
    noise = std * random.normal(key_noise, tuple(images.shape[1:])).to(images.dtype)
    return images + torch.where(per_image(random.bernoulli(key_choice, p), images), noise, 0)
