"""The names that recipes use, and the functions that they denote."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from functional import augmentations, methods, optimizers, schedules
from functional.base import Encoder, Method, Optimizer, Schedule
from zoo.errors import ZooError, shortened, unknown
from zoo.models.architectures import DECODERS, known_encoders, merged
from zoo.models.code import NO_CODE, Code
from zoo.models.options import Options, annotations_of, check_options, check_value, is_named, is_number
from zoo.training.recipe import MOST_EPOCHS, Recipe

# Every function in `functional.methods` is a method that a recipe can name.
METHODS: dict[str, Callable[..., Method]] = dict(inspect.getmembers(methods, inspect.isfunction))
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": optimizers.sgd,
    "adam": optimizers.adam,
    "adamw": optimizers.adamw,
    "lars": optimizers.lars,
}
MASKS: dict[str, optimizers.Mask] = {
    "include_all": optimizers.include_all,
    "exclude_bias_and_norm": optimizers.exclude_bias_and_norm,
}
SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": schedules.constant,
    "linear": schedules.linear,
    "cosine": schedules.cosine,
    "warmup_cosine": schedules.warmup_cosine,
    "step": schedules.step,
}
AUGMENTATIONS: dict[str, Callable[..., Any]] = {
    "random_resized_crop": augmentations.random_resized_crop,
    "horizontal_flip": augmentations.horizontal_flip,
    "vertical_flip": augmentations.vertical_flip,
    "rotate": augmentations.rotate,
    "affine": augmentations.affine,
    "elastic": augmentations.elastic,
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
GROUP_OPTIONS = ("learning_rate", "schedule", "frozen_epochs")  # of parameter groups, besides the optimizer's own
_IN_EPOCHS = {int: float, tuple[int, ...]: tuple[float, ...]}  # a schedule counts steps, a recipe fractions of epochs
RATES = ("cosine", "constant")  # values of a group's `schedule`


class Catalogue(NamedTuple):
    """Functions by name: those of this package and the user's own.

    Attributes:
        methods: `(encoder, *, views, ...) -> Method`.
        encoders: `(in_channels, *, ...) -> Encoder`.
        augmentations: `(keys, images, *, ...) -> images`.
    """

    methods: Mapping[str, Callable[..., Method]]
    encoders: Mapping[str, Callable[..., Encoder]]
    augmentations: Mapping[str, Callable[..., Any]]


def catalogue(code: Code = NO_CODE) -> Catalogue:
    """The names that a recipe can use, including those in the user's own code.

    Raises:
        ZooError: if the user's code reuses a name of this package.
    """
    return Catalogue(
        merged("method", METHODS, code.methods),
        known_encoders(code),
        merged("augmentation", AUGMENTATIONS, code.augmentations),
    )


def check_names(recipe: Recipe, names: Catalogue) -> None:
    """Look up every name and option of a recipe, before any data is read.

    Raises:
        ZooError: if one is unknown; similar names are listed.
    """
    if recipe.precision not in (*PRECISIONS, "auto"):
        raise unknown("precision", recipe.precision, [*PRECISIONS, "auto"])
    if recipe.start.startswith("torchvision:") and recipe.start not in TORCHVISION:
        raise unknown("start", recipe.start, TORCHVISION)
    # Views and the number of classes come from the recipe and the data; precision is a separate field.
    check_options("method", names.methods, recipe.method, recipe.method_options, not_options=("views", "classes"))
    check_options("encoder", names.encoders, recipe.encoder, recipe.encoder_options, not_options=("compute_dtype",))
    for pipeline in recipe.pipelines:
        for name, options in pipeline:
            check_options("view", names.augmentations, name, options)
    if "decoder" in recipe.method_options:
        _check_decoder(recipe.method_options["decoder"])
    _check_schedules({name: value for name, value in recipe.method_options.items() if name != "decoder"})
    for options in (recipe.optimizer_options, *(options for _, options in recipe.parameter_groups)):
        own = {name: value for name, value in options.items() if name not in GROUP_OPTIONS}
        check_options("optimizer", OPTIMIZERS, recipe.optimizer, own)
        _check_schedules(own)
        mask = options.get("mask", "include_all")
        if not isinstance(mask, str) or mask not in MASKS:
            raise unknown("mask", mask, MASKS)
    for name in GROUP_OPTIONS:
        if name in recipe.optimizer_options:
            raise ZooError(f"recipe: optimizer_options: {name!r} is for parameter_groups")
    for pattern, options in recipe.parameter_groups:
        _check_group(pattern, options)


def _check_schedules(options: Options) -> None:
    """Check the schedules among options: their names, options and types; their times are in epochs."""
    for name, given in filter(is_named, options.values()):
        if name not in SCHEDULES:
            raise unknown("schedule", name, SCHEDULES)
        parameters, annotations = inspect.signature(SCHEDULES[name]).parameters, annotations_of(SCHEDULES[name])
        known = {parameter.replace("steps", "epochs"): parameter for parameter in parameters}
        for option, value in given.items():
            if option not in known:
                raise unknown(f"option of schedule {name!r}:", option, known)
            where, annotation = f"schedule {name!r}: {option}", annotations[known[option]]
            check_value(where, value, _IN_EPOCHS.get(annotation, annotation))
            times = value if isinstance(value, tuple) else (value,)
            if annotation in _IN_EPOCHS and any(abs(time) > MOST_EPOCHS for time in times):
                raise ZooError(f"{where}: expected {MOST_EPOCHS} epochs or fewer, got {shortened(value)}")
        for option, parameter in known.items():
            if parameters[parameter].default is inspect.Parameter.empty and option not in {*given, "epochs"}:
                raise ZooError(f"schedule {name!r}: missing {option}")


def _check_decoder(value: Any) -> None:
    if not is_named(value):
        raise ZooError(f"recipe: method_options: decoder: expected a pair (name, options), got {shortened(value)}")
    # The number of channels is that of the images.
    check_options("decoder", DECODERS, *value, not_options=("out_channels",))


def _check_group(pattern: str, options: Mapping[str, Any]) -> None:
    where = f"recipe: parameter_groups: {pattern!r}:"
    if options.get("schedule", "cosine") not in RATES:
        raise ZooError(f"{where} schedule: expected {' or '.join(RATES)}, got {shortened(options['schedule'])}")
    rate = options.get("learning_rate", 1.0)
    if not is_number(rate) or rate <= 0:
        raise ZooError(f"{where} learning_rate: expected a number above 0, got {shortened(rate)}")
    frozen = options.get("frozen_epochs", 0)
    if frozen != "all" and not (is_number(frozen) and 0 <= frozen <= MOST_EPOCHS):
        raise ZooError(f"{where} frozen_epochs: expected a number of 0 or more, or 'all', got {shortened(frozen)}")
