"""What several augmentations are made of: a parameter per image, and a blend."""

from jaxtyping import Float, Shaped
from torch import Tensor, lerp

from functional.base import Images


def per_image(parameter: Shaped[Tensor, " batch"], images: Tensor) -> Shaped[Tensor, "batch 1 1 1"]:
    """A parameter as it broadcasts against `[B, C, H, W]`: numbers in the images' dtype, choices (bool) as they are."""
    parameter = parameter.to(images.dtype) if parameter.is_floating_point() else parameter
    return parameter[:, None, None, None]


def blend(images: Images, other: Tensor, factor: Float[Tensor, " batch"]) -> Images:
    """`factor * images + (1 - factor) * other`, kept in 0..1. Factor 0 gives `other`, 1 the images, 2 the opposite."""
    return lerp(other, images, per_image(factor, images)).clamp(0, 1)
