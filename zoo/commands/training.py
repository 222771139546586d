"""The commands that train: `zoo pretrain` and `zoo resume`."""

import sys
from pathlib import Path
from typing import Any

import click

from zoo.commands.shared import as_json, data_option, print_json, skip_bad


@click.command()
@click.argument("recipe")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The run directory.")
@data_option
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field: --set epochs=3.")
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), help="In which the encoder computes.")
@click.option("--compile/--no-compile", default=None, help="Compile the loss: half a minute, then faster steps.")
@click.option("--device", metavar="cpu|cuda", help="Where to train.")
@skip_bad
@as_json
def pretrain(
    recipe: str, out: Path, data: str | None, changes: tuple[str, ...], skip_bad: bool, as_json: bool, **speed: Any
) -> None:
    """Pretrain an encoder by RECIPE: a .py or .json file, or the name of a model, whose recipe is run again.

    The same command given again resumes a run that was stopped. Options that are not given are the recipe's.
    """
    from zoo.training.loop import pretrain, resolve_recipe
    from zoo.training.recipe import read_change

    given = {field: value for field, value in speed.items() if value is not None}
    chosen = resolve_recipe(recipe).replace(**given, **dict(read_change(change) for change in changes))
    model = _interruptible(out, lambda: pretrain(chosen, data=data, out=out, skip_bad=skip_bad, progress=True))
    _print_run(model, out, as_json)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@skip_bad
@as_json
def resume(run: Path, skip_bad: bool, as_json: bool) -> None:
    """Resume the run in the directory RUN."""
    from zoo.training.loop import resume

    _print_run(_interruptible(run, lambda: resume(run, skip_bad=skip_bad, progress=True)), run, as_json)


def _print_run(model: Any, out: Path, as_json: bool) -> None:
    encoder = out / "encoder"
    if as_json:
        print_json({"name": model.name, "run": str(out), "encoder": str(encoder), **model.config["training"]})
    else:
        click.echo(f"{model!r}\n{encoder}")


def _interruptible(out: Path, call: Any) -> Any:
    try:
        return call()
    except KeyboardInterrupt:
        click.echo(f"\nstopped; go on with: zoo resume {out}", err=True)
        sys.exit(1)
