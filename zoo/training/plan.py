"""Prepare a recipe for training: look up its functions, read its data, and derive its keys."""

import contextlib
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from functional import augmentations, layers, optimizers, random, schedules, training
from functional.base import (
    Augmentation,
    Batch,
    BatchStats,
    Encoder,
    Images,
    Key,
    Method,
    Optimizer,
    Params,
    Schedule,
    Views,
)
from functional.layers import Layer
from functional.training import TrainState
from zoo.data.datasets import Dataset, Split, channel_statistics, load_dataset
from zoo.environment import has_bfloat16
from zoo.errors import ZooError
from zoo.models.architectures import DECODERS, build_decoder, build_encoder, call_named
from zoo.models.code import NO_CODE, Code
from zoo.models.options import Options, is_named
from zoo.training.batching import batches, steps_per_epoch
from zoo.training.catalogue import (
    GROUP_OPTIONS,
    MASKS,
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    Catalogue,
    catalogue,
)
from zoo.training.memory import within_memory
from zoo.training.recipe import Recipe
from zoo.training.starting import read_start, start_from

_LIKE_THE_START = 1.5  # ratio of the sides of images up to which features of the start are worth as much
_EXAMPLES = 10  # images that a method with a decoder reconstructs after every epoch

# Fields of metrics.jsonl that the loop writes itself; no method may use these names.
LINE_FIELDS = {
    *("epoch", "step", "learning_rate", "alignment", "uniformity", "feature_std", "effective_rank"),
    *("images_per_second", "seconds", "peak_memory_bytes"),
}


class Clock(NamedTuple):
    """The length of a run, which converts the times of a recipe to steps.

    Attributes:
        steps_per_epoch: updates per pass over the training images.
        epochs: number of passes.
    """

    steps_per_epoch: int
    epochs: int

    def steps(self, epochs: float) -> int:
        """The number of updates in a number of epochs."""
        return round(epochs * self.steps_per_epoch)


class PlannedDecoder(NamedTuple):
    """The decoder of a method, and the images that show what it has learned.

    Attributes:
        name: a name in `zoo.models.architectures.DECODERS`.
        options: its options.
        layer: the architecture, from features to the logits of images.
        originals: uint8 `[N, C, H, W]`, the images that are reconstructed after every epoch.
    """

    name: str
    options: Options
    layer: Layer
    originals: Tensor


class Plan(NamedTuple):
    """A recipe ready for training: its data, functions and keys."""

    recipe: Recipe
    data: Dataset
    digest: str  # of the data, computed once
    encoder: Encoder
    method: Method
    decoder: PlannedDecoder | None  # None for a method without one, or with one that has no name
    code: Code  # the user's own, needed to load a saved encoder
    start: dict[str, Any] | None  # the record of `zoo.training.starting`, None for random weights
    views: Views
    mean: tuple[float, ...]
    std: tuple[float, ...]
    clock: Clock
    schedule: Schedule  # of the parameters that are in no other group, which is logged
    init: Callable[[], TrainState]
    step: Callable[[TrainState, Key, Batch], tuple[TrainState, dict[str, Tensor]]]
    key_order: Key
    key_views: Key


def make_plan(
    recipe: Recipe,
    *,
    data: Dataset | None = None,
    code: Code = NO_CODE,
    device: str = "cpu",
    start_record: dict[str, Any] | None = None,
    skip_bad: bool = False,
    trial: bool = True,
) -> Plan:
    """Read the data of a recipe and build its functions.

    Args:
        recipe: a recipe whose names have been checked, with a precision other than "auto".
        data: data in memory, instead of the recipe's.
        code: the user's own functions.
        device: the device for the images, keys and training state.
        start_record: the record of a resumed run's start; its starting weights are not read again.
        skip_bad: whether to skip unreadable or truncated images, with a warning.
        trial: whether to make a step, which finds what cannot be trained; of no use for a run that is finished.

    Raises:
        ZooError: if the data cannot be read, or the recipe cannot be trained on them.
    """
    names = catalogue(code)
    start = None if recipe.start == "random" or start_record else read_start(recipe)
    where = find_device(device)
    data = data or load_dataset(recipe.dataset, size=recipe.image_size, skip_bad=skip_bad)
    images = data.train.images
    encoder = build_encoder(recipe.encoder, images.shape[1], recipe.encoder_options, code)
    if start is not None:
        _warn_of_another_size(start.source, start.input_shape, images)
        encoder, start_record = start_from(start, encoder, images.shape[1])
    measured, started = channel_statistics(data), start_record or {}
    mean = recipe.mean or tuple(started.get("mean") or measured[0])
    std = recipe.std or tuple(started.get("std") or measured[1])
    if not len(mean) == len(std) == images.shape[1]:
        raise ZooError(f"recipe: mean, std: expected {images.shape[1]} numbers each, got {len(mean)} and {len(std)}")
    clock = Clock(steps_per_epoch(len(images), recipe.batch_size), recipe.epochs)
    views = build_views(recipe, mean, std, names)
    trained = in_precision(encoder, recipe.precision)
    method = build_method(recipe, trained, views, clock=clock, classes=len(data.classes), names=names)
    optimizer = build_optimizer(recipe, clock)
    if method.project is not None:
        optimizer = optimizers.project(optimizer, method.project)
    key_init, key_order, key_views = random.split(random.key(recipe.seed, device=where), 3)
    if method.labelled and data.train.labels is None:
        raise ZooError(f"recipe: method {recipe.method!r} learns from labels, and {data.name} has none")
    labels = data.train.labels.to(where) if method.labelled and data.train.labels is not None else None
    decoder = _plan_decoder(recipe, method, names, encoder.feature_dim, data)
    digest, data = data.digest, data._replace(train=Split(images.to(where), labels))

    def init() -> TrainState:
        return training.init(method, optimizer, key_init)

    step = training.make_train_step(method.loss, optimizer)
    if trial:
        _try_a_step(recipe, data, init, step, key_views, own_code=code != NO_CODE)
    return Plan(
        recipe=recipe,
        data=data,
        digest=digest,
        encoder=encoder,
        method=method,
        decoder=decoder,
        code=code,
        start=start_record,
        views=views,
        mean=mean,
        std=std,
        clock=clock,
        schedule=build_schedule(recipe, clock, dict(recipe.parameter_groups).get("*", {})),
        init=init,
        step=training.make_train_step(method.loss, optimizer, compile=recipe.compile),
        key_order=key_order,
        key_views=key_views,
    )


def decide_precision(recipe: Recipe, device: str = "cpu") -> Recipe:
    """The recipe with its precision decided: "auto" is bfloat16 where a device has instructions for it.

    Raises:
        ZooError: if the device cannot be used on this machine.
    """
    if recipe.precision != "auto":
        return recipe
    return recipe.replace(precision="bfloat16" if has_bfloat16(find_device(device)) else "float32")


def updates(plan: Plan, state: TrainState) -> Iterator[tuple[TrainState, dict[str, Tensor]]]:
    """The updates from a state at the start of an epoch to the end of the run: the state after each, and its info.

    Raises:
        ZooError: if the step is to be compiled, and cannot be.
    """
    images, labels = plan.data.train
    checked = _compiler_failing if plan.recipe.compile else contextlib.nullcontext  # the first step compiles
    for epoch in range(int(state.step) // plan.clock.steps_per_epoch, plan.recipe.epochs):
        key_epoch = random.fold_in(plan.key_views, epoch)
        for index in batches(plan.key_order, epoch, len(images), plan.recipe.batch_size):
            batch = Batch(plan.data.rows(images, index), None if labels is None else labels[index], index)
            with checked():
                state, info = plan.step(state, key_epoch, batch)
            checked = contextlib.nullcontext
            yield state, info


@contextlib.contextmanager
def _compiler_failing() -> Iterator[None]:
    """Say what to do where torch's compiler fails, for a step that was made before without being compiled."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, AssertionError) as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ZooError(
            f"compile: torch {torch.__version__} cannot compile the training step ({reason}); install a C++ compiler "
            "if there is none, or train without compiling, in a new directory: --no-compile (compile=False)"
        ) from error


def read_behind(
    made: Iterator[tuple[TrainState, dict[str, Tensor]]],
) -> Iterator[tuple[TrainState, dict[str, Tensor]]]:
    """The same updates, whose infos can be read without waiting: on a GPU, each when the next one is under way.

    To read a number waits for the step that computes it. A GPU that has no other step in its queue would then do
    nothing until the next one is prepared.
    """
    behind: tuple[TrainState, dict[str, Tensor], torch.cuda.Event] | None = None
    for state, info in made:
        if not state.step.is_cuda:
            yield state, info
            continue
        info = {name: x.to("cpu", non_blocking=True) for name, x in info.items()}
        copied = torch.cuda.Event()
        copied.record()
        if behind is not None:
            behind[2].synchronize()
            yield behind[:2]
        behind = state, info, copied
    if behind is not None:
        behind[2].synchronize()
        yield behind[:2]


def build_views(
    recipe: Recipe, mean: tuple[float, ...], std: tuple[float, ...], names: Catalogue | None = None
) -> Views:
    """Build the views of a recipe, with normalisation at the end: one augmentation, or one per view.

    Views with the same augmentations share one function, so that they are drawn in one call.
    """
    known = (names or catalogue()).augmentations
    built: list[tuple[Any, Augmentation]] = []
    for pipeline in recipe.pipelines:
        if not any(pipeline == earlier for earlier, _ in built):
            built.append((pipeline, _composed(pipeline, known, mean, std)))
    views = tuple(next(f for earlier, f in built if earlier == pipeline) for pipeline in recipe.pipelines)
    return views[0] if len(views) == 1 else views


def build_method(
    recipe: Recipe,
    encoder: Encoder,
    views: Views,
    *,
    clock: Clock | None = None,
    classes: int = 0,
    names: Catalogue | None = None,
) -> Method:
    """Build the method of a recipe. A method that takes the number of classes gets that of the data.

    Raises:
        ZooError: as in `zoo.models.architectures.build_encoder`, for example for a temperature of 0; and for a method
            that needs classes if the data have none.
    """
    known = (names or catalogue()).methods
    options = {name: _resolved(value, clock) for name, value in recipe.method_options.items() if name != "decoder"}
    if (decoder := find_decoder(recipe, known[recipe.method])) is not None:
        name, own_options = decoder
        options["decoder"] = partial(DECODERS[name], **own_options)
    if "classes" in inspect.signature(known[recipe.method]).parameters:
        if not classes:
            raise ZooError(f"recipe: method {recipe.method!r} learns from labels, and {recipe.dataset} has none")
        options["classes"] = classes
    return call_named("method", known, recipe.method, (encoder,), {"views": views, **options})


def find_decoder(recipe: Recipe, method: Callable[..., Method]) -> tuple[str, Options] | None:
    """The name and options of the decoder that a recipe chooses, else of the method's default.

    None for a method without a decoder, and for a default that is not in `zoo.models.architectures.DECODERS`.
    """
    parameter = inspect.signature(method).parameters.get("decoder")
    names = [name for name, function in DECODERS.items() if parameter is not None and parameter.default is function]
    return recipe.method_options.get("decoder", (names[0], {}) if names else None)


def choose_examples(data: Dataset) -> Tensor:
    """The first image of each of the first 10 classes, or the first 10 images if there are no labels, as uint8.

    They are test images, if there are any.
    """
    images, labels = data.train if data.test is None else data.test
    if labels is None:
        return data.rows(images, torch.arange(min(_EXAMPLES, len(images))))
    first = [torch.nonzero(labels == i).flatten()[0] for i in labels.unique()[:_EXAMPLES]]
    return data.rows(images, torch.stack(first))


def build_schedule(recipe: Recipe, clock: Clock, group: Options) -> Schedule:
    """Build the learning rate of a group: linear warm-up, then cosine decay to 0 at the last step; or a constant."""
    rate = group.get("learning_rate", recipe.learning_rate)
    if group.get("schedule") == "constant":
        return schedules.constant(rate)
    warmup_steps, steps = clock.steps(recipe.warmup_epochs), clock.steps(recipe.epochs)
    return schedules.warmup_cosine(rate, warmup_steps=warmup_steps, steps=steps)


def build_optimizer(recipe: Recipe, clock: Clock) -> Optimizer:
    """Build the optimizer of a recipe, with its parameter groups.

    Raises:
        ZooError: as in `zoo.models.architectures.build_encoder`.
    """
    groups = [(pattern, _group(recipe, options, clock)) for pattern, options in recipe.parameter_groups]
    rest = _optimizer(recipe, {}, build_schedule(recipe, clock, {}), clock)
    return optimizers.grouped(*groups, ("*", rest)) if groups else rest


def in_precision(encoder: Encoder, precision: str) -> Encoder:
    """The encoder as it is trained: in the precision of a recipe, on images in channels-last memory format.

    Channels-last makes convolutions up to a third faster on a CPU. The results are the same up to the order of
    summation.
    """
    layer = layers.cast(Layer(encoder.init, encoder.apply), PRECISIONS[precision])

    def apply(
        params: Params, batch_stats: BatchStats, images: Images, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        # Like torch.channels_last, but works under vmap. With one channel only strides change, so the copy is needed.
        images = images.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
        return layer.apply(params, batch_stats, images, train=train, key=key)

    def tokens(
        params: Params, batch_stats: BatchStats, images: Images, /, *, keep: Tensor | None = None, **options: Any
    ):
        assert encoder.tokens is not None  # else this function is not used
        shown = Layer(encoder.init, partial(encoder.tokens, keep=keep))
        return layers.cast(shown, PRECISIONS[precision]).apply(params, batch_stats, images, **options)

    return Encoder(layer.init, apply, encoder.feature_dim, tokens if encoder.tokens is not None else None)


def find_device(name: str) -> torch.device:
    """The device of a name, tested with one tensor.

    Raises:
        ZooError: if the device cannot be used on this machine.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ZooError(f"device: {name!r} cannot be used here ({reason}); use --device cpu") from error
    return device


def _composed(
    pipeline: tuple[tuple[str, Options], ...],
    known: Mapping[str, Callable[..., Any]],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Augmentation:
    steps = [partial(known[name], **options) for name, options in pipeline]
    return augmentations.compose(*steps, partial(augmentations.normalize, mean=mean, std=std))


def _resolved(value: Any, clock: Clock | None) -> Any:
    """Convert an option of a recipe to its function's argument: a pair of a name and options becomes a schedule."""
    if not is_named(value):
        return value
    assert clock is not None  # a schedule needs the length of a run
    name, options = value
    wanted = inspect.signature(SCHEDULES[name]).parameters
    times = {parameter for parameter in wanted if parameter.endswith("steps")}
    given: dict[str, Any] = {"steps": clock.epochs} if "steps" in times else {}
    given |= {option.replace("epochs", "steps"): number for option, number in options.items()}
    given = {option: clock.steps(number) if option in times else number for option, number in given.items()}
    if "boundaries" in given:
        given["boundaries"] = tuple(clock.steps(epoch) for epoch in given["boundaries"])
    return call_named("schedule", SCHEDULES, name, (), given)


def _plan_decoder(
    recipe: Recipe, method: Method, names: Catalogue, latent_dim: int, data: Dataset
) -> PlannedDecoder | None:
    found = find_decoder(recipe, names.methods[recipe.method])
    if method.decoder is None or found is None:
        return None
    originals = choose_examples(data)
    return PlannedDecoder(*found, build_decoder(found[0], latent_dim, originals.shape[1], found[1]), originals)


def _group(recipe: Recipe, options: Options, clock: Clock) -> Optimizer:
    """Build the optimizer of a group: the recipe's, with the options of the group."""
    frozen = options.get("frozen_epochs", 0)
    steps = math.inf if frozen == "all" else clock.steps(frozen)
    schedule = build_schedule(recipe, clock, options)
    if 0 < steps < math.inf:
        schedule = schedules.shift(schedule, int(steps))  # the rate follows the time of the whole run
    own = {name: value for name, value in options.items() if name not in GROUP_OPTIONS}
    optimizer = _optimizer(recipe, own, schedule, clock)
    return optimizers.freeze(optimizer, steps) if steps else optimizer


def _optimizer(recipe: Recipe, own: Options, schedule: Schedule, clock: Clock) -> Optimizer:
    options = {name: _resolved(value, clock) for name, value in {**recipe.optimizer_options, **own}.items()}
    if "mask" in options:
        options["mask"] = MASKS[options["mask"]]
    return call_named("optimizer", OPTIMIZERS, recipe.optimizer, (schedule,), options)


def _warn_of_another_size(source: str, shape: tuple[int, int, int] | None, images: Tensor) -> None:
    if shape is None:
        return
    ratios = [max(ours, theirs) / min(ours, theirs) for ours, theirs in zip(images.shape[2:], shape[1:], strict=True)]
    if max(ratios) > _LIKE_THE_START:
        theirs, ours = ("x".join(map(str, sizes)) for sizes in (shape[1:], images.shape[2:]))
        warnings.warn(
            f"the images are {ours} pixels, and {source} was trained on {theirs}; they are not resized, and the new "
            f"encoder will take {ours}. --set image_size={shape[1]} resizes the images of a folder or CSV",
            stacklevel=4,
        )


def _try_a_step(
    recipe: Recipe,
    data: Dataset,
    init: Callable[[], TrainState],
    step: Callable[[TrainState, Key, Batch], tuple[TrainState, dict[str, Tensor]]],
    key: Key,
    own_code: bool,
) -> None:
    """Make one step on the first images, to find errors that occur only in use before the run starts.

    An error in the user's own code keeps its traceback: it is a bug, not bad input.
    """
    images, labels = data.train
    index = torch.arange(recipe.batch_size, device=key.device)
    batch = Batch(data.rows(images, index), None if labels is None else labels[index], index)
    try:
        with within_memory():
            _, info = step(init(), key, batch)
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, MemoryError) as error:
        if own_code:
            raise
        raise ZooError(f"recipe: cannot be trained on images {list(images.shape[1:])}: {error}") from error
    if taken := sorted(LINE_FIELDS & info.keys()):
        raise ZooError(f"method {recipe.method!r}: info: {', '.join(taken)} is reserved for metrics.jsonl; rename it")
