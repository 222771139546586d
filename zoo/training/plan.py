"""A recipe made ready, once: its names become functions, its data are read, its keys are drawn."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from functional import augmentations, layers, random, schedules, training
from functional.base import Batch, BatchStats, Encoder, Images, Key, Method, Optimizer, Params, Schedule, Views
from functional.layers import Layer
from functional.training import TrainState
from zoo.data.datasets import Dataset, Split, channel_statistics, load_dataset
from zoo.environment import has_bfloat16
from zoo.errors import ZooError
from zoo.models.architectures import build_encoder, call_named, check_options
from zoo.training.batching import steps_per_epoch
from zoo.training.catalogue import AUGMENTATIONS, METHODS, OPTIMIZERS, PRECISIONS
from zoo.training.recipe import Options, Recipe
from zoo.training.starting import read_start, start_from


class Plan(NamedTuple):
    """A recipe made ready: its data, its functions and its keys."""

    recipe: Recipe
    data: Dataset
    digest: str  # of the data, taken once
    encoder: Encoder
    start: dict[str, Any] | None  # the record of `zoo.training.starting`, None for random weights
    views: Views
    mean: tuple[float, ...]
    std: tuple[float, ...]
    steps: int  # per epoch
    schedule: Callable[[int], Any]
    init: Callable[[], TrainState]
    step: Callable[[TrainState, Key, Batch], tuple[TrainState, dict[str, Tensor]]]
    key_order: Key
    key_views: Key


def make_plan(recipe: Recipe, *, start_record: dict[str, Any] | None = None, skip_bad: bool = False) -> Plan:
    """Read the data of a recipe and build its functions.

    Args:
        recipe: whose names were checked, with a precision other than "auto".
        start_record: of a run that is resumed; its starting weights are not read again.
        skip_bad: leave out unreadable or truncated images, with a warning.

    Raises:
        ZooError: if the data cannot be read, or the recipe cannot be trained on them.
    """
    start = None if recipe.start == "random" or start_record else read_start(recipe)
    device = find_device(recipe.device)
    _warn_of_slow_precision(recipe.precision, device)
    data = load_dataset(recipe.dataset, size=recipe.image_size, skip_bad=skip_bad)
    images = data.train.images
    encoder = build_encoder(recipe.encoder, images.shape[1], recipe.encoder_options)
    if start is not None:
        encoder, start_record = start_from(start, encoder, images.shape[1])
    measured, started = channel_statistics(images), start_record or {}
    mean = recipe.mean or tuple(started.get("mean") or measured[0])
    std = recipe.std or tuple(started.get("std") or measured[1])
    if not len(mean) == len(std) == images.shape[1]:
        raise ZooError(f"recipe: mean, std: expected {images.shape[1]} numbers each, got {len(mean)} and {len(std)}")
    steps = steps_per_epoch(len(images), recipe.batch_size)
    schedule = build_schedule(recipe, steps)
    views = build_views(recipe, mean, std)
    method = build_method(recipe, in_precision(encoder, recipe.precision), views)
    optimizer = build_optimizer(recipe, schedule)
    key_init, key_order, key_views = random.split(random.key(recipe.seed, device=device), 3)
    step = training.make_train_step(method.loss, optimizer, compile=recipe.compile)
    labels = None if data.train.labels is None else data.train.labels.to(device)
    train = Split(images.to(device), labels)
    _try(method, train.images, key_init)
    return Plan(
        recipe=recipe,
        data=data._replace(train=train),
        digest=data.digest,
        encoder=encoder,
        start=start_record,
        views=views,
        mean=mean,
        std=std,
        steps=steps,
        schedule=schedule,
        init=lambda: training.init(method, optimizer, key_init),
        step=step,
        key_order=key_order,
        key_views=key_views,
    )


def build_views(recipe: Recipe, mean: tuple[float, ...], std: tuple[float, ...]) -> Views:
    """The recipe's views, normalised at the end.

    Raises:
        ZooError: as `zoo.models.architectures.build_encoder`.
    """
    steps = [_partial("view", AUGMENTATIONS, name, options) for name, options in recipe.views]
    return augmentations.compose(*steps, lambda keys, images: augmentations.normalize(keys, images, mean=mean, std=std))


def build_method(recipe: Recipe, encoder: Encoder, views: Views) -> Method:
    """The method of a recipe.

    Raises:
        ZooError: as `zoo.models.architectures.build_encoder`; a temperature of 0, for one.
    """
    return call_named("method", METHODS, recipe.method, (encoder,), {"views": views, **recipe.method_options})


def build_schedule(recipe: Recipe, steps_per_epoch: int) -> Schedule:
    """Linear warm-up, then a cosine to 0 at the last step."""
    steps = recipe.epochs * steps_per_epoch
    warmup_steps = recipe.warmup_epochs * steps_per_epoch
    return schedules.warmup_cosine(recipe.learning_rate, warmup_steps=warmup_steps, steps=steps)


def build_optimizer(recipe: Recipe, schedule: Schedule) -> Optimizer:
    """The optimizer of a recipe.

    Raises:
        ZooError: as `zoo.models.architectures.build_encoder`.
    """
    return call_named("optimizer", OPTIMIZERS, recipe.optimizer, (schedule,), recipe.optimizer_options)


def in_precision(encoder: Encoder, precision: str) -> Encoder:
    """The encoder as it is trained: in the precision of a recipe, and on images whose channels lie side by side.

    In that order of memory (channels-last) convolutions are faster, by up to a third on a CPU; the same numbers, up
    to the order of sums.
    """
    layer = layers.cast(Layer(encoder.init, encoder.apply), PRECISIONS[precision])

    def apply(
        params: Params, batch_stats: BatchStats, images: Images, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        # As torch.channels_last, for vmap too. A copy, as for one channel there is nothing to move, but strides to set.
        images = images.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
        return layer.apply(params, batch_stats, images, train=train, key=key)

    return Encoder(layer.init, apply, encoder.feature_dim)


def find_device(name: str) -> torch.device:
    """The device of a name, tried with one tensor.

    Raises:
        ZooError: if it cannot be used here.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ZooError(f"recipe: device: {name!r} cannot be used here ({reason}); --set device=cpu can") from error
    return device


def _partial(kind: str, known: Mapping[str, Callable[..., Any]], name: str, options: Options) -> Any:
    check_options(kind, known, name, options)
    return lambda keys, images: known[name](keys, images, **options)


def _warn_of_slow_precision(precision: str, device: torch.device) -> None:
    if precision == "bfloat16" and not has_bfloat16(device):
        warnings.warn(
            "precision bfloat16 is about ten times slower than float32 on this processor, which has no instructions "
            "for it (AVX-512, AMX); --precision float32 trains the same, up to rounding",
            stacklevel=4,
        )


def _try(method: Method, images: Tensor, key: Key) -> None:
    """Compute one loss of two images, so that options that fail only in use are refused before a run starts."""
    params, state = method.init(key)
    try:
        with torch.no_grad():
            method.loss(params, state, key, Batch(images[:2], None, torch.arange(2, device=images.device)))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ZooError(f"recipe: it cannot be trained on images {list(images.shape[1:])}: {error}") from error
