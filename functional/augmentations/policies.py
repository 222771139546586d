"""RandAugment: a few operations from a list of fourteen, drawn for each image."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from functional import random
from functional.augmentations._shared import per_image
from functional.augmentations.color import adjust_brightness, adjust_contrast, adjust_saturation
from functional.augmentations.filters import adjust_sharpness
from functional.augmentations.geometry import apply_affine
from functional.augmentations.tones import apply_posterize, apply_solarize, autocontrast, equalize
from functional.base import Images, Key
from functional.checks import check_between, check_images, check_keys, check_per_image, check_positive, check_rank

_OPERATIONS = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "saturation", "contrast",
    "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip
_STEPS = 30  # the magnitude at which an operation is strongest


def rand_augment(keys: Key, images: Images, *, n_ops: int = 2, magnitude: float = 9) -> Images:
    """Apply `n_ops` operations in sequence, drawn for each image from fourteen, all with the same magnitude.

    The operations, each with its strength at magnitude 30: identity; shear along x or y (by .3 of the distance from
    the top left corner); translation along x or y (150 / 331 of the side); rotation (30 degrees); brightness,
    saturation, contrast, sharpness (factor 1 +- .9); posterize (4 bits); solarize (from 0); autocontrast; equalize.
    A strength with a sign is positive or negative with equal probability.

    Args:
        keys: `[B, 2]`.
        images: `[B, C, H, W]`, C = 1 or 3, at least 3 x 3 pixels.
        n_ops: the number of operations, above 0.
        magnitude: 0..30.

    Returns:
        `[B, C, H, W]`, in 0..1.

    Note:
        The list and the strengths are those of torchvision's `RandAugment`, which draws once for a whole batch, and
        whose default interpolation is nearest while ours is bilinear.

    Example:
        >>> rand_augment(random.split(random.key(0), 8), torch.rand(8, 3, 32, 32), n_ops=5).shape
        torch.Size([8, 3, 32, 32])

    References:
        Cubuk, Zoph, Shlens, Le. RandAugment: practical automated data augmentation with a reduced search space.
        arXiv:1909.13719, section 3.
    """
    check_images(images)
    check_keys(keys, images)
    operations, signs = sample_rand_augment(keys, n_ops=n_ops)
    return apply_rand_augment(images, operations, signs, magnitude=magnitude)


def sample_rand_augment(
    keys: Key, *, n_ops: int = 2
) -> tuple[Int64[Tensor, "batch n_ops"], Float[Tensor, "batch n_ops"]]:
    """Draw operations, numbered as listed in `rand_augment`, and the signs of their strengths, 1 or -1.

    Example:
        >>> operations, signs = sample_rand_augment(random.split(random.key(0), 3))
        >>> operations
        tensor([[11,  2],
                [ 0,  0],
                [12, 12]])
    """
    check_positive("n_ops", n_ops)
    unit, side = random.uniform(keys, (2, n_ops)).unbind(-2)
    return (len(_OPERATIONS) * unit).long(), torch.where(side < 0.5, -1.0, 1.0).to(side)


def apply_rand_augment(
    images: Images,
    operations: Int64[Tensor, "batch n_ops"],
    signs: Float[Tensor, "batch n_ops"],
    *,
    magnitude: float = 9,
) -> Images:
    """Apply the given operations to each image, first to last.

    Args:
        images: `[B, C, H, W]`, C = 1 or 3, at least 3 x 3 pixels.
        operations: 0..13, as listed in `rand_augment`, `[B, n_ops]`.
        signs: 1 or -1, `[B, n_ops]`.
        magnitude: 0..30.

    Returns:
        `[B, C, H, W]`, in 0..1.

    Example:
        >>> apply_rand_augment(torch.full((1, 1, 8, 8), 0.5), torch.tensor([[6]]), torch.tensor([[-1.0]])).mean()
        tensor(0.3650)
    """
    check_images(images)
    check_rank("operations", operations, "batch n_ops")
    check_per_image("operations", operations, images, tuple(operations.shape[1:]))
    check_per_image("signs", signs, images, tuple(operations.shape[1:]))
    check_between("magnitude", magnitude, 0, _STEPS)
    for operation, sign in zip(operations.unbind(1), signs.unbind(1), strict=True):
        images = _apply_one(images, operation, sign, magnitude / _STEPS)
    return images


def _apply_one(images: Images, operation: Tensor, sign: Tensor, strength: float) -> Images:
    """Compute all operations and keep one for each image; the five that move pixels are one map."""
    factor = 1 + 0.9 * strength * sign
    moved = apply_affine(images, _matrices(images, operation, strength * sign))
    results = {
        **dict.fromkeys(("shear_x", "shear_y", "translate_x", "translate_y", "rotate"), moved),
        "brightness": adjust_brightness(images, factor),
        "saturation": adjust_saturation(images, factor),
        "contrast": adjust_contrast(images, factor),
        "sharpness": adjust_sharpness(images, factor),
        "posterize": apply_posterize(images, bits=8 - round(4 * strength)),
        "solarize": apply_solarize(images, threshold=1 - strength),
        "autocontrast": autocontrast(images),
        "equalize": equalize(images),
    }
    chosen = images
    for name, result in results.items():
        chosen = torch.where(per_image(operation == _OPERATIONS.index(name), images), result, chosen)
    return chosen


def _matrices(images: Images, operation: Tensor, amount: Tensor) -> Float[Tensor, "batch 2 3"]:
    """Matrices for `apply_affine`. At most one of the five amounts is not 0, so adding them composes their maps."""
    height, width = images.shape[-2:]

    def of(name: str, most: float) -> Tensor:
        return torch.where(operation == _OPERATIONS.index(name), most * amount.double(), 0)

    angle, shear_x, shear_y = of("rotate", math.radians(30)), of("shear_x", 0.3), of("shear_y", 0.3)
    shift_x = of("translate_x", 150 / 331 * width).trunc()
    shift_y = of("translate_y", 150 / 331 * height).trunc()
    along_x = [angle.cos(), shear_x - angle.sin(), shear_x * height / 2 - shift_x]
    along_y = [shear_y + angle.sin(), angle.cos(), shear_y * width / 2 - shift_y]
    return torch.stack([*along_x, *along_y], dim=-1).unflatten(-1, (2, 3))
