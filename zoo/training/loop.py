"""The one training loop: recipe -> data -> steps -> metrics.jsonl -> checkpoint -> encoder directory.

A run directory holds

    recipe.json              what is trained
    metrics.jsonl            a line per epoch
    checkpoint.safetensors   parameters, state, optimizer state and step: all that a run is
    encoder/                 the encoder directory, once the last epoch is done

All that is drawn comes from keys of (seed, purpose, epoch, image), so nothing else has to be saved: a run that was
killed at any moment goes on from its checkpoint to the same bits as one that never was, on the same type of machine
with the same number of threads and versions.
"""

import contextlib
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from functional import augmentations, metrics, random, training, tree
from functional.base import Batch, Encoder, Key, Method, Views
from functional.training import TrainState
from zoo.data.datasets import Dataset, Split, channel_statistics, load_dataset
from zoo.environment import environment, has_bfloat16
from zoo.errors import ZooError
from zoo.files import load_tensors, require_utf8, write_atomically
from zoo.models import loading
from zoo.models.loading import PretrainedEncoder
from zoo.training.batching import batches, steps_per_epoch
from zoo.training.memory import keep_freed_memory, peak_memory_bytes
from zoo.training.recipe import (
    Recipe,
    build_encoder,
    build_method,
    build_optimizer,
    build_schedule,
    build_views,
    in_precision,
    read_recipe,
)
from zoo.training.run_directory import load_checkpoint, save_checkpoint
from zoo.training.starting import read_start, start_from

_START_AGAIN = "put back a copy, or delete it to train from the start: nothing else is lost"
_WATCHED = 256  # training images whose features are measured after every epoch


class _Run(NamedTuple):
    """What a recipe and its data make."""

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


def pretrain(
    recipe: Recipe | str | Path,
    *,
    data: str | Path | None = None,
    out: str | Path,
    skip_bad: bool = False,
    progress: bool = False,
    on_epoch: Callable[[int, PretrainedEncoder], None] | None = None,
) -> PretrainedEncoder:
    """Pretrain an encoder, or go on where an earlier call with the same recipe was stopped.

    Args:
        recipe: a `Recipe`, the name of a model (the recipe that made it), or the path of a `.json` or `.py`.
        data: a dataset's name, file or folder in place of the recipe's.
        out: the run directory; made if it is not there.
        skip_bad: leave out the files of a folder that are no whole images, with a warning that names them.
        progress: show a bar with images/s and the time left on stderr.
        on_epoch: called with the number of epochs done and the encoder as it is then, after the checkpoint is
            written: to probe it, say. What it raises stops the run, which can be gone on with.

    Returns:
        The encoder, as loaded from `out/encoder`.

    Raises:
        ZooError: for a recipe or data that cannot be, a run directory of another recipe, and a loss that is no longer
            finite: the message names the step, and the last good checkpoint stays.
        OSError: if the directory cannot be written, a full disk for one: the message says how to go on, and the last
            checkpoint stays whole.
    """
    recipe = resolve_recipe(recipe)
    if data is not None:
        recipe = recipe.replace(dataset=str(data))
    if recipe.precision == "auto":  # decided once: what the run's directory and its encoder say is what was done
        recipe = recipe.replace(precision="bfloat16" if has_bfloat16(_device(recipe.device)) else "float32")
    out = Path(out).expanduser()
    _require_own(out, recipe)
    keep_freed_memory()
    run = _prepare(recipe, skip_bad, out)
    finished = (out / "encoder" / "config.json").is_file()
    if not finished:
        # At every start: a directory that cannot be written to is found before an epoch is spent, not after.
        with _writing(out):
            out.mkdir(parents=True, exist_ok=True)
            write_atomically(out / "recipe.json", recipe.to_json().encode())
    state = _last_state(run, out)
    if not finished:
        state = _train(run, state, out, progress, on_epoch)
        with _writing(out):
            loading.save(_encoder(run, state, out), out / "encoder")
    with _or(f"delete {out / 'encoder'}, and `zoo resume {out}` writes it again from the checkpoint"):
        return loading.load(out / "encoder")


def resume(out: str | Path, *, skip_bad: bool = False, progress: bool = False) -> PretrainedEncoder:
    """Go on with the run in a directory; a finished one is loaded.

    Raises:
        ZooError: if it holds no run, and as `pretrain`.
    """
    path = Path(out).expanduser() / "recipe.json"
    if not path.is_file():
        raise ZooError(f"{out}: not a run directory: it has no recipe.json; start one with `zoo pretrain`")
    return pretrain(read_recipe(path), out=out, skip_bad=skip_bad, progress=progress)


def resolve_recipe(recipe: Recipe | str | Path) -> Recipe:
    """The recipe itself, the one in a `.json` or `.py` file, or the one that made a model.

    Raises:
        ZooError: if there is no such file or model.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if str(recipe).endswith((".json", ".py")):
        return read_recipe(recipe)
    return Recipe.from_dict(loading.load(recipe).config["recipe"])


def read_metrics(out: str | Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl.

    Raises:
        ZooError: if there are none.
    """
    path = Path(out).expanduser() / "metrics.jsonl"
    if not path.is_file():
        raise ZooError(f"{out}: not a run directory: it has no metrics.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def _prepare(recipe: Recipe, skip_bad: bool, out: Path) -> _Run:
    start_record = _kept_start(recipe, out)
    start = None if recipe.start == "random" or start_record else read_start(recipe)
    device = _device(recipe.device)
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
    return _Run(
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


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ZooError(f"recipe: device: {name!r} cannot be used here ({reason}); --set device=cpu can") from error
    return device


def _warn_of_slow_precision(precision: str, device: torch.device) -> None:
    if precision == "bfloat16" and not has_bfloat16(device):
        warnings.warn(
            "precision bfloat16 is about ten times slower than float32 on this processor, which has no instructions "
            "for it (AVX-512, AMX); --precision float32 trains the same, up to rounding",
            stacklevel=4,
        )


def _try(method: Method, images: Tensor, key: Key) -> None:
    """One loss of two images, so that an option that is refused only when it is used is refused before a run starts."""
    params, state = method.init(key)
    try:
        with torch.no_grad():
            method.loss(params, state, key, Batch(images[:2], None, torch.arange(2, device=images.device)))
    except (TypeError, ValueError, RuntimeError) as error:
        raise ZooError(f"recipe: it cannot be trained on images {list(images.shape[1:])}: {error}") from error


def _require_own(out: Path, recipe: Recipe) -> None:
    """A directory that holds anything else than this recipe's run is left as it is."""
    require_utf8(out)
    path = out / "recipe.json"
    if path.is_file():
        theirs = read_recipe(path)
        if theirs != recipe:
            differing = [
                f"{name} {value!r} there, {recipe.to_dict()[name]!r} here"
                for name, value in theirs.to_dict().items()
                if value != recipe.to_dict()[name]
            ]
            raise ZooError(f"{out}: holds a run of another recipe ({'; '.join(differing)}); choose another directory")
    # A run that was killed as it wrote its first file has left a part of that.
    elif out.exists() and (not out.is_dir() or {file.name for file in out.iterdir()} - {"recipe.json.part"}):
        raise ZooError(f"{out}: exists and is not a run directory; choose a new one, so that nothing is overwritten")


def _kept_start(recipe: Recipe, out: Path) -> dict[str, Any] | None:
    """What a run's checkpoint says of its start, whose weights are not needed any more and may be gone."""
    checkpoint = out / "checkpoint.safetensors"
    if recipe.start == "random" or not checkpoint.is_file():
        return None
    with _or(_START_AGAIN):
        return load_tensors(checkpoint)[1].get("start")


def _last_state(run: _Run, out: Path) -> TrainState:
    """The state to go on from."""
    checkpoint = out / "checkpoint.safetensors"
    if not checkpoint.is_file():
        return run.init()
    with _or(_START_AGAIN):
        state, metadata = load_checkpoint(checkpoint, run.init())
    if metadata.get("dataset_digest") != run.digest:
        raise ZooError(f"{out}: its run was on other data than {run.data.name} holds now; choose another directory")
    return tree.map(lambda x: x.to(run.key_order.device), state)


def _train(
    run: _Run,
    state: TrainState,
    out: Path,
    progress: bool,
    on_epoch: Callable[[int, PretrainedEncoder], None] | None,
) -> TrainState:
    recipe, images, labels = run.recipe, run.data.train.images, run.data.train.labels
    first_epoch = int(state.step) // run.steps
    log = _kept_lines(out, first_epoch)
    collapsed = False
    with tqdm(
        total=recipe.epochs * run.steps * recipe.batch_size,
        initial=first_epoch * run.steps * recipe.batch_size,
        desc=recipe.name,
        unit=" images",
        unit_scale=True,
        disable=None if progress else True,  # None: off when stderr is not a terminal
    ) as bar:
        for epoch in range(first_epoch, recipe.epochs):
            key_epoch = random.fold_in(run.key_views, epoch)
            infos: list[dict[str, Tensor]] = []
            started = time.perf_counter()
            for index in batches(run.key_order, epoch, len(images), recipe.batch_size):
                batch = Batch(images[index], None if labels is None else labels[index], index)
                state, info = run.step(state, key_epoch, batch)
                _require_finite(info, state, epoch, out)
                infos.append(info)
                bar.update(recipe.batch_size)
            _require_finite_state(state, out)
            seconds = time.perf_counter() - started
            line = {
                "epoch": epoch + 1,
                "step": int(state.step),
                "learning_rate": float(run.schedule(int(state.step) - 1)),
                **{name: torch.stack([info[name] for info in infos]).mean().item() for name in infos[0]},
                **_watch(run, state, key_epoch),
                "images_per_second": round(run.steps * recipe.batch_size / seconds, 1),
                "seconds": round(seconds, 3),
                "peak_memory_bytes": peak_memory_bytes(),
            }
            bar.set_postfix(loss=f"{line['loss']:.3f}")
            collapsed = _warn_of_collapse(line) if not collapsed else collapsed
            # The metrics go first: lines of an epoch whose checkpoint was never written are dropped on resuming.
            log.append(json.dumps(line))
            with _writing(out):
                write_atomically(out / "metrics.jsonl", ("\n".join(log) + "\n").encode())
                metadata = {"dataset_digest": run.digest, "start": run.start}
                save_checkpoint(out / "checkpoint.safetensors", state, metadata)
            if on_epoch is not None:
                on_epoch(epoch + 1, _encoder(run, state, out))
    return state


def _kept_lines(out: Path, epochs: int) -> list[str]:
    path = out / "metrics.jsonl"
    lines = path.read_text().splitlines()[:epochs] if path.is_file() else []
    if len(lines) < epochs:
        raise ZooError(f"{path}: expected a line for each of the {epochs} epochs done, got {len(lines)}; put it back")
    return lines


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    """The error of a file that cannot be written says what is left, and how to go on."""
    try:
        yield
    except OSError as error:
        if os.path.exists(out / "recipe.json"):
            kept = "is whole" if os.path.exists(out / "checkpoint.safetensors") else "was still to be written"
            way = f"the last checkpoint {kept}. Make room, or let it be written to, and go on with `zoo resume {out}`"
        else:
            way = "choose another directory, or make room for it"
        raise OSError(error.errno, f"{error.strerror}; {way}", error.filename) from error


@contextlib.contextmanager
def _or(alternative: str) -> Iterator[None]:
    """The error of a file that is broken says what else can be done."""
    try:
        yield
    except ZooError as error:
        raise ZooError(f"{error}; or {alternative}") from error


def _require_finite(info: dict[str, Tensor], state: TrainState, epoch: int, out: Path) -> None:
    if not math.isfinite(info["loss"]) or not math.isfinite(info["grad_norm"]):
        found = f"loss {info['loss']:g}, gradient norm {info['grad_norm']:g}"
        raise _diverged(f"step {int(state.step)} (epoch {epoch + 1}): {found}", out)


def _require_finite_state(state: TrainState, out: Path) -> None:
    """A step can leave numbers that only the next one would trip over: they must not replace a good checkpoint."""
    for name, x in tree.flatten(state).items():
        if x.is_floating_point() and not x.isfinite().all():
            raise _diverged(f"step {int(state.step)}: {name} is no longer finite", out)


def _diverged(what: str, out: Path) -> ZooError:
    kept = out / "checkpoint.safetensors"
    where = f"the last good checkpoint is kept in {kept}" if kept.is_file() else "there is no checkpoint yet"
    return ZooError(f"{what}; training stopped, {where}. Lower the learning rate, or raise the temperature")


def _watch(run: _Run, state: TrainState, key_epoch: Key) -> dict[str, float]:
    """What the features of a few training images are like: two views of one image close, images apart."""
    index = torch.arange(min(_WATCHED, len(run.data.train.images)), device=key_epoch.device)
    views = augmentations.draw_views(run.views, key_epoch, Batch(run.data.train.images[index], None, index))
    with torch.no_grad():
        a, b = (run.encoder.apply(state.params["encoder"], state.state.batch_stats, view)[0] for view in views)
    return {
        "alignment": metrics.alignment(a, b).item(),
        "uniformity": metrics.uniformity(a).item(),
        "feature_std": metrics.feature_std(a).item(),
        "effective_rank": metrics.effective_rank(a).item(),
    }


def _warn_of_collapse(line: dict[str, float]) -> bool:
    collapsed = line["feature_std"] < 0.01 or line["effective_rank"] < 1.5
    if collapsed:
        warnings.warn(
            f"epoch {line['epoch']}: the encoder has collapsed: it gives nearly the same features to all images "
            f"(feature_std {line['feature_std']:.3g}, effective_rank {line['effective_rank']:.3g}). Lower the learning "
            "rate or the weight decay, or raise the temperature",
            stacklevel=4,
        )
    return collapsed


def _encoder(run: _Run, state: TrainState, out: Path) -> PretrainedEncoder:
    recipe, images, lines = run.recipe, run.data.train.images, read_metrics(out)
    config = {
        "name": recipe.name,
        "architecture": {
            "encoder": recipe.encoder,
            "in_channels": images.shape[1],
            "options": recipe.encoder_options,
        },
        "input_shape": list(images.shape[1:]),
        "feature_dim": run.encoder.feature_dim,
        "mean": list(run.mean),
        "std": list(run.std),
        "recipe": recipe.to_dict(),
        "start": run.start,
        "dataset": {"name": run.data.name, "images": len(images), "digest": run.digest},
        "training": {
            "steps": int(state.step),
            "seconds": round(sum(line["seconds"] for line in lines), 1),
            "peak_memory_bytes": max(line["peak_memory_bytes"] for line in lines),
            "loss": lines[-1]["loss"],
        },
        "environment": environment(),
    }
    params, batch_stats = tree.map(lambda x: x.detach().cpu(), (state.params["encoder"], state.state.batch_stats))
    return PretrainedEncoder(run.encoder, params, batch_stats, config)
