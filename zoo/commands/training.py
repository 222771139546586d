"""The commands that train: `zoo pretrain` and `zoo resume`."""

import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from zoo.commands.shared import as_json, code_option, data_option, device_option, print_json, skip_bad, threads_option
from zoo.errors import ZooError, error_line

log_option = click.option(
    "--log", metavar="tensorboard|trackio", help="Show the metrics there as well; each is an extra of this package."
)


@click.command()
@click.argument("recipe", required=False)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run directory.")
@data_option
@click.option(
    "--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a recipe field, as in --set epochs=3."
)
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), help="Precision of the encoder.")
@click.option(
    "--compile/--no-compile", default=None, help="Compile the loss: half a minute at the start, faster steps."
)
@device_option
@log_option
@code_option
@threads_option
@skip_bad
@as_json
def pretrain(
    recipe: str | None,
    out: Path,
    data: str | None,
    changes: tuple[str, ...],
    device: str,
    log: str | None,
    code: Path | None,
    skip_bad: bool,
    as_json: bool,
    **fields: Any,
) -> None:
    """Pretrain an encoder from RECIPE.

    RECIPE is a .py or .json file, or the name of a model, whose recipe is run again. Without one, a recipe is picked
    that suits the size and number of the images of --data. To resume a run that was stopped, repeat the command.
    Options that are not given default to the recipe. A .py file can define your own method, encoder or augmentations.
    """
    with _interruptible(out, as_json):
        from zoo.models.code import NO_CODE, read_code
        from zoo.training.default_recipe import default_recipe, in_words
        from zoo.training.loop import pretrain, resolve_recipe
        from zoo.training.recipe import read_change

        given = {field: value for field, value in fields.items() if value is not None}
        if recipe:
            chosen, own = resolve_recipe(recipe)
        elif data:
            chosen, own = default_recipe(data, device=device), NO_CODE
            click.echo(in_words(chosen), err=True)
        else:
            raise ZooError("expected a RECIPE, or images to pick one for with --data, got neither")
        chosen = chosen.replace(**given, **dict(read_change(change) for change in changes))
        functions = own if code is None else read_code(code)
        options = {"data": data, "code": functions, "device": device, "skip_bad": skip_bad, "log": log}
        model = pretrain(chosen, out=out, progress=True, **options)
    _print_run(model, out, as_json)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@device_option
@log_option
@code_option
@threads_option
@skip_bad
@as_json
def resume(run: Path, device: str, log: str | None, code: Path | None, skip_bad: bool, as_json: bool) -> None:
    """Resume the run in the directory RUN."""
    with _interruptible(run, as_json):
        from zoo.training.loop import resume

        model = resume(run, device=device, code=code, skip_bad=skip_bad, progress=True, log=log)
    _print_run(model, run, as_json)


def _print_run(model: Any, out: Path, as_json: bool) -> None:
    encoder, training = out / "encoder", model.config["training"]
    if as_json:
        about = {"name": model.name, "run": str(out), "encoder": str(encoder), "sha256": model.config["sha256"]}
        print_json({**about, **training})
        return
    click.echo(f"{model!r}")
    click.echo(f"{training['steps']:,} steps in {training['seconds']:,.0f} s, SHA-256 {model.config['sha256']}")
    click.echo(encoder)


@contextlib.contextmanager
def _interruptible(out: Path, as_json: bool) -> Iterator[None]:
    """Say how to resume, where Ctrl-C or the SIGTERM of a job scheduler stops a run; a second one ends it at once."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}  # as after nohup

    def stop(*_: Any) -> None:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:
        kept = (out / "checkpoint.safetensors").is_file()
        way = (
            f"resume with: zoo resume {shlex.quote(str(out))}"
            if kept
            else "no epoch was completed, so nothing was saved"
        )
        click.echo(error_line(f"stopped; {way}", as_json=True) if as_json else f"\nstopped; {way}", err=True)
        sys.exit(1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
