"""The files of a run directory.

recipe.json              the recipe
metrics.jsonl            one line per epoch
reconstructions.safetensors
                         for a method with a decoder: `originals`, 10 images, one per class, of the test split if there
                         is one, and what it makes of them after each epoch: `epoch_001`, ...; float32 in 0..1
checkpoint.safetensors   parameters, state, optimizer state and step: the complete state of the run
encoder/                 the encoder directory, written after the last epoch
run.lock                 while a process trains: its process id
"""

import contextlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor

from functional import tree
from zoo.errors import ZooError
from zoo.files import expanded, load_tensors, require_utf8, save_tensors
from zoo.training.recipe import Recipe, read_recipe

_LOCK = "run.lock"
START_AGAIN = "restore a copy, or delete it to restart the training: nothing else is lost"


def own_recipe(out: Path, recipe: Recipe) -> Recipe:
    """The recipe of the run in a directory, which must equal this one; or this one, if there is no run yet.

    A run keeps its initial precision: "auto" is resolved to it.

    Raises:
        ZooError: if the directory holds a run of another recipe (the message names the differences), or anything else.
    """
    require_utf8(out)
    path = out / "recipe.json"
    if path.is_file():
        theirs = read_recipe(path)
        if recipe.precision == "auto":
            recipe = recipe.replace(precision=theirs.precision)
        if theirs != recipe:
            differing = [
                f"{name} {value!r} there, {recipe.to_dict()[name]!r} here"
                for name, value in theirs.to_dict().items()
                if value != recipe.to_dict()[name]
            ]
            raise ZooError(f"{out}: holds a run of another recipe ({'; '.join(differing)}); choose another directory")
    # A run that was killed while writing its first file leaves a partial file and its lock.
    elif out.exists() and (not out.is_dir() or {file.name for file in out.iterdir()} - {"recipe.json.part", _LOCK}):
        raise ZooError(f"{out}: exists and is not a run directory; choose a new one, so that nothing is overwritten")
    return recipe


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Create the directory, and keep other processes from training in it; the lock of a process that died is no lock.

    Raises:
        ZooError: if another process is training there; the message has its process id.
        OSError: if the directory cannot be written.
    """
    path = out / _LOCK
    lock = FileLock(path, timeout=0)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise ZooError(
                f"{out}: process {path.read_text()} is training here; wait for it, stop it, or choose another directory"
            ) from error
    try:
        path.write_text(str(os.getpid()))
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def read_metrics(out: str | Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl.

    Raises:
        ZooError: if there is no such file.
    """
    path = expanded(out) / "metrics.jsonl"
    if not path.is_file():
        raise ZooError(f"{out}: not a run directory: it has no metrics.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def kept_lines(out: Path, epochs: int) -> list[str]:
    """The metrics lines of the epochs that the checkpoint contains.

    Raises:
        ZooError: if there are fewer.
    """
    path = out / "metrics.jsonl"
    lines = path.read_text().splitlines()[:epochs] if path.is_file() else []
    if len(lines) < epochs:
        raise ZooError(f"{path}: expected {epochs} lines, one per completed epoch, got {len(lines)}; restore the file")
    return lines


def epoch_name(epoch: int) -> str:
    """The name of an epoch's reconstructions, counted from 1.

    Example:
        >>> epoch_name(1)
        'epoch_001'
    """
    return f"epoch_{epoch:03}"


def kept_reconstructions(out: Path, epochs: int) -> dict[str, Tensor]:
    """The reconstructions of the epochs that the checkpoint contains.

    Raises:
        ZooError: if some are missing.
    """
    path, names = out / "reconstructions.safetensors", [epoch_name(i + 1) for i in range(epochs)]
    with or_else("restore a copy"):
        kept = load_tensors(path)[0] if names and path.is_file() else {}
    if missing := [name for name in names if name not in kept]:
        raise ZooError(f"{path}: missing {', '.join(missing)}; restore the file")
    return {name: kept[name] for name in names}


def save_reconstructions(out: Path, originals: Tensor, reconstructions: Mapping[str, Tensor]) -> None:
    """Write the originals and their reconstructions by the name of the epoch, float32 `[N, C, H, W]` in 0..1."""
    save_tensors(out / "reconstructions.safetensors", {"originals": originals, **reconstructions}, {})


def read_reconstructions(out: Path) -> tuple[Tensor, dict[str, Tensor]] | None:
    """What `save_reconstructions` wrote: the originals, and the reconstructions by "epoch 1", ...; None without any."""
    path = out / "reconstructions.safetensors"
    if not path.is_file():
        return None
    kept, _ = load_tensors(path)
    originals = kept.pop("originals")
    return originals, {f"epoch {i}": kept[epoch_name(i)] for i in range(1, len(kept) + 1)}


def warn_of_changes(metadata: Mapping[str, Any], *, device: str, code: str) -> None:
    """Warn if a run is resumed on another device, or with other code, than its checkpoint was made with."""
    before = metadata.get("device", device)
    if before != device:
        warnings.warn(
            f"this run was on {before} and is resumed on {device}: it trains equally well, but not bit-identically",
            stacklevel=4,
        )
    if metadata.get("code", code) != code:
        warnings.warn(
            "the Python file that defines this run's method, encoder or augmentations has changed since its checkpoint "
            "was written; the run is resumed with the new code",
            stacklevel=4,
        )


def kept_start(recipe: Recipe, out: Path) -> dict[str, Any] | None:
    """The record of the start in a run's checkpoint; the starting weights are no longer needed."""
    checkpoint = out / "checkpoint.safetensors"
    if recipe.start == "random" or not checkpoint.is_file():
        return None
    with or_else(START_AGAIN):
        return load_tensors(checkpoint)[1].get("start")


def save_checkpoint(path: str | Path, state: Any, metadata: Mapping[str, Any]) -> None:
    """Write a tree of tensors (a `TrainState`) to a file, named by its leaves."""
    save_tensors(path, tree.flatten(state), metadata)


def load_checkpoint(path: str | Path, template: Any) -> tuple[Any, dict[str, Any]]:
    """The tree that `save_checkpoint` wrote, with the structure of `template`, and its metadata.

    Raises:
        ZooError: if the file is truncated or corrupt, or its leaves differ from the template's; the message names the
            leaf.
    """
    flat, metadata = load_tensors(path)
    try:
        return tree.unflatten_like(template, flat), metadata
    except ValueError as error:
        raise ZooError(f"{path}: {error}") from error


@contextlib.contextmanager
def writing(out: Path) -> Iterator[None]:
    """Extend the error for a file that cannot be written with the state of the checkpoint and how to resume."""
    try:
        yield
    except OSError as error:
        if os.path.exists(out / "recipe.json"):
            kept = (
                "the last checkpoint is intact"
                if os.path.exists(out / "checkpoint.safetensors")
                else "there is no checkpoint yet"
            )
            way = f"{kept}. Free disk space or make the file writable, then resume with `zoo resume {out}`"
        else:
            way = "choose another directory, or free disk space"
        raise OSError(error.errno, f"{error.strerror}; {way}", error.filename) from error


@contextlib.contextmanager
def or_else(alternative: str) -> Iterator[None]:
    """Extend the error for a broken file with what else can be done."""
    try:
        yield
    except ZooError as error:
        raise ZooError(f"{error}; or {alternative}") from error
