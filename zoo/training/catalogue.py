"""The names that recipes use, and the functions that they stand for."""

from collections.abc import Callable
from typing import Any

import torch

from functional import augmentations, methods, optimizers
from functional.base import Method, Optimizer
from zoo.errors import unknown
from zoo.models.architectures import ENCODERS, check_options
from zoo.training.recipe import Recipe

METHODS: dict[str, Callable[..., Method]] = {"simclr": methods.simclr}
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": optimizers.sgd,
    "adam": optimizers.adam,
    "adamw": optimizers.adamw,
    "lars": optimizers.lars,
}
AUGMENTATIONS: dict[str, Callable[..., Any]] = {
    "random_resized_crop": augmentations.random_resized_crop,
    "horizontal_flip": augmentations.horizontal_flip,
    "vertical_flip": augmentations.vertical_flip,
    "rotate": augmentations.rotate,
    "affine": augmentations.affine,
    "color_jitter": augmentations.color_jitter,
    "grayscale": augmentations.grayscale,
    "gaussian_blur": augmentations.gaussian_blur,
    "gaussian_noise": augmentations.gaussian_noise,
    "solarize": augmentations.solarize,
    "posterize": augmentations.posterize,
    "cutout": augmentations.cutout,
    "rand_augment": augmentations.rand_augment,
}
PRECISIONS: dict[str, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16}
TORCHVISION = ("torchvision:resnet18", "torchvision:resnet34", "torchvision:resnet50")  # networks for Recipe.start


def check_names(recipe: Recipe) -> None:
    """Look up every name and option of a recipe, before any data is read.

    Raises:
        ZooError: if one is unknown; similar names are listed.
    """
    if recipe.precision not in (*PRECISIONS, "auto"):
        raise unknown("precision", recipe.precision, [*PRECISIONS, "auto"])
    if recipe.start.startswith("torchvision:") and recipe.start not in TORCHVISION:
        raise unknown("start", recipe.start, TORCHVISION)
    for name, options in recipe.views:
        check_options("view", AUGMENTATIONS, name, options)
    check_options("method", METHODS, recipe.method, recipe.method_options)
    check_options("encoder", ENCODERS, recipe.encoder, recipe.encoder_options)
    check_options("optimizer", OPTIMIZERS, recipe.optimizer, recipe.optimizer_options)
