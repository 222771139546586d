"""The training loop: recipe -> data -> steps -> metrics.jsonl -> checkpoint -> encoder directory.

All randomness comes from keys of (seed, purpose, epoch, image), so no random state has to be saved: a run that was
killed at any moment resumes from its checkpoint and ends bit-identical to an uninterrupted one, on the same type of
machine with the same versions and number of threads. `zoo.training.run_directory` describes the files.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from functional import random, tree
from functional.augmentations import to_float
from functional.base import BatchStats, Params
from functional.training import TrainState
from zoo.data.datasets import as_dataset
from zoo.environment import environment
from zoo.errors import ZooError
from zoo.files import content_digest, expanded, write_atomically
from zoo.models.code import NO_CODE, Code, code_of, read_code, run_file
from zoo.models.loading import load
from zoo.models.pretrained import Decoder, PretrainedEncoder
from zoo.models.saving import save
from zoo.training.catalogue import catalogue, check_names
from zoo.training.health import require_finite, require_finite_state, warn_of_collapse, watch
from zoo.training.memory import keep_freed_memory, peak_memory_bytes
from zoo.training.naming import name_of_run
from zoo.training.plan import Plan, decide_precision, make_plan, read_behind, updates
from zoo.training.progress import Progress
from zoo.training.recipe import Recipe, read_recipe, recipe_of
from zoo.training.run_directory import (
    CHECKPOINT,
    START_AGAIN,
    environments_of,
    epoch_name,
    kept_lines,
    kept_reconstructions,
    kept_start,
    load_checkpoint,
    metrics_digest,
    or_else,
    own_recipe,
    read_metrics,
    require_same_run,
    save_checkpoint,
    save_reconstructions,
    training_alone,
    warn_of_other_code,
    writing,
)
from zoo.training.tracking import check_tracker, tracking


def pretrain(
    recipe: Recipe | str | Path,
    *,
    data: Any = None,
    out: str | Path,
    code: Code | str | Path | None = None,
    device: str = "cpu",
    skip_bad: bool = False,
    progress: bool = False,
    log: str | None = None,
    on_epoch: Callable[[int, PretrainedEncoder], None] | None = None,
) -> PretrainedEncoder:
    """Pretrain an encoder, or resume an earlier call with the same recipe that was stopped.

    Args:
        recipe: a `Recipe`, the name of a model (for its recipe), or the path of a `.json` or `.py` file.
        data: the data to train on instead of the recipe's: a dataset name, a file or folder, a `Dataset`, uint8 images
            `[N, C, H, W]`, or a pair of images and labels.
        out: the run directory; created if missing.
        code: your own methods, encoders and augmentations, as a Python file or a `Code` (`zoo.models.code`). A recipe
            in a `.py` file uses those of that file.
        device: the device to train on, "cpu" or a GPU as torch names it ("cuda"). A run can be resumed on another one.
        skip_bad: whether to skip unreadable or truncated images, with a warning that names them.
        progress: whether to show the rate, the time left and the loss on stderr: a bar in a terminal, else a line per
            epoch.
        log: "tensorboard" or "trackio" to show the metrics there as well (`zoo.training.tracking`); each is an extra of
            this package.
        on_epoch: called with the number of completed epochs and the current encoder, after the checkpoint is
            written; for example to probe it. An exception stops the run, which can be resumed.

    Returns:
        The encoder, as loaded from `out/encoder`.

    Raises:
        ZooError: for an invalid recipe, invalid data, an unknown tracker or one whose package is missing, a run
            directory of another recipe or one in which another process is training, or a loss that is no longer finite.
            In the last case, the message names the step, and the last good checkpoint is kept.
        OSError: if the directory cannot be written, for example because the disk is full. The message says how to
            resume, and the last checkpoint is kept.
    """
    recipe, own = resolve_recipe(recipe)
    functions = own if code is None else read_code(code)
    given = None
    if isinstance(data, str | Path):
        recipe = recipe.replace(dataset=str(data))
    elif data is not None:
        given = as_dataset(data)
        recipe = recipe.replace(dataset=given.name)
    check_names(recipe, catalogue(functions))
    check_tracker(log)
    out = expanded(out)
    recipe = own_recipe(out, recipe)
    recipe = decide_precision(recipe, device)  # once: it is recorded in the run directory and the encoder
    keep_freed_memory()
    record = kept_start(recipe, out)
    encoder = out / "encoder" / "config.json"
    finished = encoder.is_file()
    options = {"device": device, "start_record": record, "skip_bad": skip_bad, "trial": not finished}
    plan = make_plan(recipe, data=given, code=functions, **options)
    if not finished:
        with training_alone(out):
            own_recipe(out, recipe)  # again: another process may have started its run here since
            if not encoder.is_file():  # or finished it
                # Written at every start, so that a read-only directory is found before the first epoch.
                with writing(out):
                    write_atomically(out / "recipe.json", recipe.to_json().encode())
                trained = _train(plan, out, progress, log, on_epoch)
                with writing(out):
                    save(trained, out / "encoder", code=functions, overwrite=True)
    else:
        _last_state(plan, out)  # a run on other data is refused
        if log:
            with tracking(log, out, recipe) as show:
                show(read_metrics(out))
    with or_else(f"delete {out / 'encoder'} and run `zoo resume {out}` to write it again from the checkpoint"):
        model = load(out / "encoder", code=functions)
        described = {"recipe": model.config["recipe"], "dataset_digest": model.config["dataset"]["digest"]}
        require_same_run(described, recipe, plan.digest, encoder)
    return model


def resume(
    out: str | Path,
    *,
    data: Any = None,
    code: Code | str | Path | None = None,
    device: str = "cpu",
    skip_bad: bool = False,
    progress: bool = False,
    log: str | None = None,
) -> PretrainedEncoder:
    """Resume the run in a directory; a finished run is loaded.

    Args:
        out: the run directory.
        data: for a run on images in memory, the same images; None for the recipe's dataset.
        code: as for `pretrain`; a run that uses your own code needs it again.
        device: as for `pretrain`.
        skip_bad: as for `pretrain`.
        progress: as for `pretrain`.
        log: as for `pretrain`.

    Raises:
        ZooError: if the directory holds no run, and as in `pretrain`.
    """
    path = expanded(out) / "recipe.json"
    if not path.is_file():
        raise ZooError(f"{out}: not a run directory: it has no recipe.json; start one with `zoo pretrain`")
    recipe = read_recipe(path)
    if code is None:
        with or_else("name the Python file that defines it, if it is your own: --code FILE.py"):
            check_names(recipe, catalogue())
    options = {"device": device, "skip_bad": skip_bad, "progress": progress, "log": log}
    return pretrain(recipe, data=data, out=out, code=code, **options)


def resolve_recipe(recipe: Recipe | str | Path) -> tuple[Recipe, Code]:
    """The recipe itself, the one in a `.json` or `.py` file, or that of a model; and the code in a `.py` file.

    Raises:
        ZooError: if there is no such file or model.
    """
    if isinstance(recipe, Recipe):
        return recipe, NO_CODE
    if str(recipe).endswith(".py"):
        path = expanded(recipe)
        variables = run_file(path)
        return recipe_of(path, variables), code_of(path, variables)
    if str(recipe).endswith(".json"):
        return read_recipe(recipe), NO_CODE
    return Recipe.from_record(load(recipe).config["recipe"]), NO_CODE


def _last_state(plan: Plan, out: Path) -> tuple[TrainState, dict[str, Any]]:
    """The state in the checkpoint and its metadata, or the initial state and none."""
    checkpoint = out / CHECKPOINT
    if not checkpoint.is_file():
        return plan.init(), {}
    with or_else(START_AGAIN):
        state, metadata = load_checkpoint(checkpoint, plan.init())
        require_same_run(metadata, plan.recipe, plan.digest, checkpoint)
        epochs, left = divmod(int(state.step), plan.clock.steps_per_epoch)
        if left or not 0 < epochs <= plan.recipe.epochs:
            raise ZooError(f"{checkpoint}: expected the end of an epoch of the recipe, got step {int(state.step)}")
    return tree.map(lambda x: x.to(plan.key_order.device), state), metadata


def _train(
    plan: Plan,
    out: Path,
    progress: bool,
    tracker: str | None,
    on_epoch: Callable[[int, PretrainedEncoder], None] | None,
) -> PretrainedEncoder:
    """Train from the last checkpoint to the end of the recipe."""
    recipe, steps, device = plan.recipe, plan.clock.steps_per_epoch, plan.key_order.device.type
    state, kept = _last_state(plan, out)
    first_epoch = int(state.step) // steps
    log = kept_lines(out, first_epoch, of=recipe.epochs, steps_per_epoch=steps, digest=kept.get("metrics"))
    reconstructions = (
        {} if plan.decoder is None else kept_reconstructions(out, first_epoch, kept.get("reconstructions"))
    )
    environments = kept.get("environments", [])
    if first_epoch < recipe.epochs:
        warn_of_other_code(kept, plan.code.sha256)
        environments = environments_of(kept, epoch=first_epoch + 1, device=device)
    remaining, collapsed = updates(plan, state), False
    with (
        Progress(recipe, steps, len(plan.data.train.images), first_epoch=first_epoch, shown=progress) as shown,
        tracking(tracker, out, recipe) as show,
    ):
        show(map(json.loads, log))
        for epoch in range(first_epoch, recipe.epochs):
            infos: list[dict[str, Tensor]] = []
            started = time.perf_counter()
            for state, info in read_behind(islice(remaining, steps)):
                require_finite(info, state, epoch, out)
                infos.append(info)
                shown.step(epoch, info["loss"].item())
            require_finite_state(state, out)
            seconds = time.perf_counter() - started
            line = {
                "epoch": epoch + 1,
                "step": int(state.step),
                "learning_rate": float(plan.schedule(int(state.step) - 1)),
                **{name: torch.stack([info[name] for info in infos]).mean().item() for name in infos[0]},
                **watch(plan, state, random.fold_in(plan.key_views, epoch)),
                "images_per_second": round(steps * recipe.batch_size / seconds, 1),
                "seconds": round(seconds, 3),
                "peak_memory_bytes": peak_memory_bytes(),
            }
            plan.data.require_unchanged()
            # The checkpoint is written last: on resuming, metrics and reconstructions without one are dropped.
            log.append(json.dumps(line))
            with writing(out):
                write_atomically(out / "metrics.jsonl", ("\n".join(log) + "\n").encode())
                if plan.decoder is not None:
                    model, originals = _encoder(plan, state, log, environments), plan.decoder.originals
                    reconstructions[epoch_name(epoch + 1)] = model.decode(model.features(originals))
                    save_reconstructions(out, to_float(originals), reconstructions)
                metadata = {
                    "recipe": recipe.to_dict(),
                    "dataset_digest": plan.digest,
                    "start": plan.start,
                    "code": plan.code.sha256,
                    "environments": environments,
                    "metrics": metrics_digest(log),
                    "reconstructions": content_digest(reconstructions),
                }
                save_checkpoint(out / CHECKPOINT, state, metadata)
            # The checkpoint has what is shown, so that a run that is stopped after it does not repeat it.
            show([line])
            shown.epoch(line)
            collapsed = collapsed or warn_of_collapse(line, plan.encoder.feature_dim, plan.method.advice)
            if on_epoch is not None:
                on_epoch(epoch + 1, _encoder(plan, state, log, environments))
    return _encoder(plan, state, log, environments)


def _encoder(
    plan: Plan, state: TrainState, log: Sequence[str], environments: Sequence[Mapping[str, Any]]
) -> PretrainedEncoder:
    """The encoder of a state, with the configuration that the lines of metrics and the environments make."""
    recipe, images, lines = plan.recipe, plan.data.train.images, [json.loads(line) for line in log]
    last = {k: v for k, v in environments[-1].items() if k not in ("first_epoch", "device")} if environments else None
    config = {
        "name": name_of_run(recipe),
        "architecture": {
            "encoder": recipe.encoder,
            "in_channels": images.shape[1],
            "options": recipe.encoder_options,
        },
        "input_shape": list(images.shape[1:]),
        "feature_dim": plan.encoder.feature_dim,
        "mean": list(plan.mean),
        "std": list(plan.std),
        "recipe": recipe.to_dict(),
        "start": plan.start,
        "dataset": {"name": plan.data.name, "images": len(images), "digest": plan.digest},
        "training": {
            "steps": int(state.step),
            "seconds": round(sum(line["seconds"] for line in lines), 1),
            "peak_memory_bytes": max(line["peak_memory_bytes"] for line in lines),
            "loss": lines[-1]["loss"],
            "labels": plan.method.labelled,
        },
        "environment": last or environment(),  # a run that an earlier version finished has no record of its own
        "environments": list(environments),
    }
    published = _on_cpu(plan.method.encoder(state.params, state.state))
    if plan.decoder is None or plan.method.decoder is None:
        return PretrainedEncoder(plan.encoder, *published, config)
    name, options, layer, _ = plan.decoder
    decoder = Decoder(name, options, layer, *_on_cpu(plan.method.decoder(state.params, state.state)))
    return PretrainedEncoder(plan.encoder, *published, config, decoder)


def _on_cpu(weights: tuple[Params, BatchStats]) -> tuple[Params, BatchStats]:
    return tree.map(lambda x: x.detach().cpu(), weights)
