"""Parts shared by several augmentations: a parameter per image, and a blend."""

from jaxtyping import Float, Shaped
from torch import Tensor, lerp

from functional.base import Images


def per_image(parameter: Shaped[Tensor, " batch"], images: Tensor) -> Shaped[Tensor, "batch 1 1 1"]:
    """A parameter that broadcasts against `[B, C, H, W]`: floats in the images' dtype, choices (bool) unchanged."""
    parameter = parameter.to(images.dtype) if parameter.is_floating_point() else parameter
    return parameter[:, None, None, None]


def blend(images: Images, other: Tensor, factor: Float[Tensor, " batch"]) -> Images:
    """`factor * images + (1 - factor) * other`, clamped to 0..1: 0 gives `other`, 1 the images, 2 extrapolates."""
    return lerp(other, images, per_image(factor, images)).clamp(0, 1)
