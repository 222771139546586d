"""Neighbours and noise."""

from functional import random
from functional.base import Images, Key
from functional.checks import check_images, check_keys


def gaussian_noise(keys: Key, images: Images, *, std: float, p: float = 1.0) -> Images:
    check_keys(keys, images)
    check_images(images)
    return images + std * random.normal(keys, tuple(images.shape[1:])).to(images.dtype)
