"""The files of a run directory.

recipe.json              the recipe
metrics.jsonl            one line per epoch
reconstructions.safetensors
                         for a method with a decoder: `originals`, 10 images, one per class, of the test split if there
                         is one, and what it makes of them after each epoch: `epoch_001`, ...; float32 in 0..1
checkpoint.safetensors   parameters, state, optimizer state and step: the complete state of the run
encoder/                 the encoder directory, written after the last epoch
run.lock                 while a process trains: its process id

A checkpoint is sealed (`zoo.files.save_sealed`), and its metadata say what it belongs to: the recipe, the digests of
the data, of the metrics and of the reconstructions so far, the record of the start, the digest of the user's code, and
the environments that the run was trained in. Earlier checkpoints have no seal, and only `dataset_digest`, `start`,
`device` and `code`; they are read, with a warning that they cannot be checked.
"""

import contextlib
import hashlib
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from functional import tree
from zoo.environment import environment, what_differs
from zoo.errors import ZooError, shortened
from zoo.files import (
    SEAL,
    content_digest,
    load_sealed,
    load_tensors,
    locked,
    parse_json,
    parts_of,
    require_utf8,
    save_sealed,
    save_tensors,
)
from zoo.training.recipe import Recipe, read_recipe

CHECKPOINT = "checkpoint.safetensors"
START_AGAIN = "restore a copy, or delete it to restart the training: nothing else is lost"
_LOCK = "run.lock"
_WITHOUT_A_SEAL = {"dataset_digest", "start", "device", "code"}  # the metadata of checkpoints before there were seals
_MEASURED = (
    "images_per_second",
    "seconds",
    "peak_memory_bytes",
)  # fields of metrics.jsonl that differ between equal runs
_FINITE = ("step", "loss", *_MEASURED)
_LONGEST = 2**16  # bytes of a line of metrics.jsonl
_LARGEST = 2**26  # bytes of a metrics.jsonl that is read as a whole


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
            raise ZooError(
                f"{out}: holds a run of another recipe ({_differences(theirs, recipe)}); choose another directory"
            )
    # A run that was killed while writing its first file leaves a partial file and its lock.
    elif out.exists() and (not out.is_dir() or set(out.iterdir()) - {*parts_of(path), out / _LOCK}):
        raise ZooError(f"{out}: exists and is not a run directory; choose a new one, so that nothing is overwritten")
    return recipe


@contextlib.contextmanager
def training_alone(out: Path) -> Iterator[None]:
    """Create the directory, and keep other processes from training in it.

    Raises:
        ZooError: if another process is training there; the message has its process id.
        OSError: if the directory cannot be written.
    """
    with contextlib.ExitStack() as stack:
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(out / _LOCK, "training"))
        yield


def read_metrics(out: str | Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl.

    Raises:
        ZooError: if there is no such file, or a line is not that of its epoch.
    """
    path = Path(out).expanduser() / "metrics.jsonl"
    if not path.is_file():
        raise ZooError(f"{out}: not a run directory: it has no metrics.jsonl")
    if (size := path.stat().st_size) > _LARGEST:
        raise ZooError(f"{path}: expected {_LARGEST:,} bytes or fewer, got {size:,}; restore the file")
    with open(path, "rb") as file:
        return [_parse_line(line, epoch, path)[1] for epoch, line in enumerate(_lines(file), 1)]


def kept_lines(out: Path, epochs: int, *, of: int, steps_per_epoch: int, digest: str | None) -> list[str]:
    """The metrics lines of the epochs that the checkpoint contains. Later ones are dropped: they are made again.

    Args:
        out: the run directory.
        epochs: the number of epochs in the checkpoint.
        of: the number of epochs of the recipe.
        steps_per_epoch: updates per epoch.
        digest: `metrics_digest` of the lines, as the checkpoint has it; None if it has none.

    Raises:
        ZooError: if there are fewer lines, more than the recipe has epochs, or other ones than were written.
    """
    path = out / "metrics.jsonl"
    kept: list[str] = []
    if path.is_file():
        with open(path, "rb") as file:
            for epoch, line in enumerate(islice(_lines(file), of + 1), 1):
                if epoch > of:
                    raise ZooError(f"{path}: expected {of} lines at most, one per epoch; restore the file")
                if epoch > epochs:
                    continue
                text, values = _parse_line(line, epoch, path)
                for name in _FINITE:
                    if not math.isfinite(values.get(name, math.nan)):
                        raise ZooError(
                            f"{path}: line {epoch}: {name}: expected a finite number, got {values.get(name)}; "
                            "restore the file"
                        )
                if values["step"] != epoch * steps_per_epoch:
                    raise ZooError(
                        f"{path}: line {epoch}: expected step {epoch * steps_per_epoch}, got {values['step']}; "
                        "restore the file"
                    )
                kept.append(text)
    if len(kept) < epochs:
        raise ZooError(f"{path}: expected {epochs} lines, one per completed epoch, got {len(kept)}; restore the file")
    if digest not in (None, metrics_digest(kept)):
        raise ZooError(f"{path}: its lines are not those that were written with the checkpoint; restore the file")
    return kept


def metrics_digest(lines: Sequence[str]) -> str:
    """SHA-256 of what lines of metrics.jsonl say that is the same in every run of the same bits: no times, no memory.

    A checkpoint has it of its own epochs.
    """
    computed = [{k: v for k, v in json.loads(line).items() if k not in _MEASURED} for line in lines]
    return hashlib.sha256(json.dumps(computed).encode()).hexdigest()


def epoch_name(epoch: int) -> str:
    """The name of an epoch's reconstructions, counted from 1.

    Example:
        >>> epoch_name(1)
        'epoch_001'
    """
    return f"epoch_{epoch:03}"


def kept_reconstructions(out: Path, epochs: int, digest: str | None) -> dict[str, Tensor]:
    """The reconstructions of the epochs that the checkpoint contains.

    Args:
        out: the run directory.
        epochs: the number of epochs in the checkpoint.
        digest: `content_digest` of the reconstructions, as the checkpoint has it; None if it has none.

    Raises:
        ZooError: if some are missing, or are others than were written.
    """
    path, names = out / "reconstructions.safetensors", [epoch_name(i + 1) for i in range(epochs)]
    with or_else("restore a copy"):
        found = load_tensors(path)[0] if names and path.is_file() else {}
    if missing := [name for name in names if name not in found]:
        raise ZooError(f"{path}: missing {', '.join(missing)}; restore the file")
    kept = {name: found[name] for name in names}
    if names and digest not in (None, content_digest(kept)):
        raise ZooError(f"{path}: its images are not those that were written with the checkpoint; restore the file")
    return kept


def save_reconstructions(out: Path, originals: Tensor, reconstructions: Mapping[str, Tensor]) -> None:
    """Write the originals and their reconstructions by the name of the epoch, float32 `[N, C, H, W]` in 0..1."""
    save_tensors(out / "reconstructions.safetensors", {"originals": originals, **reconstructions}, {})


def read_reconstructions(out: Path) -> tuple[Tensor, dict[str, Tensor]] | None:
    """What `save_reconstructions` wrote: the originals, and the reconstructions by "epoch 1", ...; None without any.

    Raises:
        ZooError: if the file is truncated or corrupt, or holds anything else.
    """
    path = out / "reconstructions.safetensors"
    if not path.is_file():
        return None
    kept, _ = load_tensors(path)
    expected = {"originals", *(epoch_name(i) for i in range(1, len(kept)))}
    if kept.keys() != expected or len({(x.dtype, x.shape) for x in kept.values()}) != 1:
        raise ZooError(f"{path}: expected originals and an image of each for every epoch; restore the file")
    originals = kept.pop("originals")
    return originals, {f"epoch {i}": kept[epoch_name(i)] for i in range(1, len(kept) + 1)}


def environments_of(metadata: Mapping[str, Any], *, epoch: int, device: str) -> list[dict[str, Any]]:
    """The environments of a run so far, each with its first epoch, ending with the one that it goes on in.

    Warns if that is another one than before: the bits of the run will then differ from those of a run without the
    change.

    Args:
        metadata: of the checkpoint; empty for a new run.
        epoch: the epoch that is trained next, counted from 1.
        device: the type of the device.
    """
    here = {"first_epoch": epoch, "device": device, **environment()}
    if not metadata:
        return [here]
    known = metadata.get("environments", [{"first_epoch": 1, "device": metadata.get("device", device)}])
    if differs := what_differs(known[-1], here):
        warnings.warn(
            f"this run is resumed with other settings than before ({differs}): it trains equally well, but its bits "
            "will differ from those of a run without the change",
            stacklevel=4,
        )
    if SEAL not in metadata:
        warnings.warn(
            "the checkpoint of this run was written by an earlier version, without a seal and without a record of "
            "threads and versions: whether it is whole, and whether the bits stay the same, cannot be checked",
            stacklevel=4,
        )
    return [*known, here] if differs or SEAL not in metadata else known


def warn_of_other_code(metadata: Mapping[str, Any], code: str) -> None:
    """Warn if a run is resumed with other code than its checkpoint was made with."""
    if metadata.get("code", code) != code:
        warnings.warn(
            "the Python file that defines this run's method, encoder or augmentations has changed since its checkpoint "
            "was written; the run is resumed with the new code",
            stacklevel=4,
        )


def require_same_run(metadata: Mapping[str, Any], recipe: Recipe, digest: str, where: Path) -> None:
    """Refuse a checkpoint or the configuration of an encoder that is of another recipe, or of other data.

    Raises:
        ZooError: the message names the differences.
    """
    if "recipe" in metadata and (theirs := Recipe.from_record(metadata["recipe"])) != recipe:
        raise ZooError(
            f"{where}: is of a run of another recipe ({_differences(theirs, recipe)}) than the recipe.json beside it; "
            "restore the right ones, or choose another directory"
        )
    if metadata.get("dataset_digest") != digest:
        raise ZooError(f"{where}: this run was on other data than {recipe.dataset} holds now; choose another directory")


def kept_start(recipe: Recipe, out: Path) -> dict[str, Any] | None:
    """The record of the start in a run's checkpoint; the starting weights are no longer needed."""
    checkpoint = out / CHECKPOINT
    if recipe.start == "random" or not checkpoint.is_file():
        return None
    with or_else(START_AGAIN):
        return _read_checkpoint(checkpoint)[1].get("start")


def save_checkpoint(path: str | Path, state: Any, metadata: Mapping[str, Any]) -> None:
    """Write a tree of tensors (a `TrainState`) to a sealed file, named by its leaves."""
    save_sealed(path, tree.flatten(state), metadata)


def load_checkpoint(path: str | Path, template: Any) -> tuple[Any, dict[str, Any]]:
    """The tree that `save_checkpoint` wrote, with the structure of `template`, and its metadata.

    Raises:
        ZooError: if a byte of the file is not what was written, or its leaves differ from the template's; the message
            names the leaf.
    """
    flat, metadata = _read_checkpoint(path)
    try:
        return tree.unflatten_like(template, flat), metadata
    except ValueError as error:
        raise ZooError(f"{path}: {error}") from error


def _read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    flat, metadata = load_sealed(path)
    if SEAL not in metadata and not {"dataset_digest"} <= metadata.keys() <= _WITHOUT_A_SEAL:
        raise ZooError(f"{path}: not a checkpoint, or one whose metadata were modified")
    return flat, metadata


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file without their ends, the last one with or without one; of one that is too long, the start."""
    while line := file.readline(_LONGEST + 1):
        yield line.removesuffix(b"\n")


def _parse_line(line: bytes, epoch: int, path: Path) -> tuple[str, dict[str, float]]:
    """A line of metrics.jsonl as text, and its numbers by name."""
    try:
        if len(line) > _LONGEST:
            raise ZooError(f"expected {_LONGEST:,} bytes or fewer")
        text = line.decode()
        values = parse_json(text)
        if not isinstance(values, dict) or not all(map(_is_number, values.values())):
            raise ZooError(f"expected an object of numbers, got {shortened(values)}")
        if values.get("epoch") != epoch:
            raise ZooError(f"expected epoch {epoch}, got {shortened(values.get('epoch'))}")
    except UnicodeDecodeError as error:
        raise ZooError(f"{path}: line {epoch}: not UTF-8 ({error}); restore the file") from error
    except ZooError as error:
        raise ZooError(f"{path}: line {epoch}: {error}; restore the file") from error
    return text, values


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**63)


def _differences(theirs: Recipe, ours: Recipe) -> str:
    here = ours.to_dict()
    return "; ".join(
        f"{name} {value!r} there, {here[name]!r} here"
        for name, value in theirs.to_dict().items()
        if value != here[name]
    )


@contextlib.contextmanager
def writing(out: Path) -> Iterator[None]:
    """Extend the error for a file that cannot be written with the state of the checkpoint and how to resume."""
    try:
        yield
    except OSError as error:
        if os.path.exists(out / "recipe.json"):
            kept = "the last checkpoint is intact" if os.path.exists(out / CHECKPOINT) else "there is no checkpoint yet"
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
