"""The command `zoo`. It reads arguments, calls `zoo`, and prints; torch is imported only where it is needed.

Exit codes: 0 done; 1 a bug or an unfinished run; 2 bad input, with one line on stderr that says what to do.
Results go to stdout, `--json` makes them one JSON document; progress and messages go to stderr.
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from zoo.data_cli import as_json, data_group, skip_bad
from zoo.errors import ZooError


class _Group(click.Group):
    """Errors that a user can mend become one line and exit code 2; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = lambda message, *_: click.echo(f"zoo: warning: {message}", err=True)
                return super().invoke(ctx)
        except ZooError as error:
            _fail(str(error))
        except OSError as error:
            _fail(f"{error.filename or 'file system'}: {error.strerror or error}")

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            from zoo.errors import unknown

            _fail(str(unknown("command", args[0], self.commands)))
        return super().resolve_command(ctx, args)


data_option = click.option(
    "--data", metavar="NAME|PATH", help="A dataset's name, a folder, .csv, .npz or .safetensors."
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="funczoo", prog_name="zoo")
def main() -> None:
    """Self-supervised image encoders: load by name, probe with a few labels, train again."""


@main.command("list")
@as_json
def list_command(as_json: bool) -> None:
    """List the models that can be loaded by name."""
    from zoo.entries import ENTRIES

    if as_json:
        _print_json([entry._asdict() for entry in ENTRIES.values()])
        return
    width = max((len(name) for name in ENTRIES), default=0)
    for name in sorted(ENTRIES):
        click.echo(f"{name:{width}}  {ENTRIES[name].summary}")


@main.command()
@click.argument("model")
@as_json
def show(model: str, as_json: bool) -> None:
    """Show the configuration of MODEL, a name or a directory: architecture, recipe, digests."""
    from zoo.loading import load

    loaded = load(_model_argument(model))
    if as_json:
        _print_json(loaded.config)
        return
    config = loaded.config
    click.echo(repr(loaded))
    click.echo(f"data      {config['dataset']['name']}, {config['dataset']['images']:,} images")
    click.echo(f"training  {config['training']['steps']:,} steps, {config['training']['seconds']:,.0f} s")
    click.echo(f"sha256    {config['sha256']}")
    click.echo("recipe")
    for name, value in config["recipe"].items():
        click.echo(f"  {name:18}{json.dumps(value)}")


@main.command()
@click.argument("recipe")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The run directory.")
@data_option
@click.option("--set", "changes", multiple=True, metavar="FIELD=VALUE", help="Change a field: --set epochs=3.")
@skip_bad
@as_json
def pretrain(recipe: str, out: Path, data: str | None, changes: tuple[str, ...], skip_bad: bool, as_json: bool) -> None:
    """Pretrain an encoder by RECIPE: a .py or .json file, or the name of a model, whose recipe is run again.

    A run that was stopped goes on where it was when the same command is given again.
    """
    from zoo.pretraining import pretrain, resolve_recipe

    chosen = resolve_recipe(recipe).replace(**dict(_field(change) for change in changes))
    model = _interruptible(out, lambda: pretrain(chosen, data=data, out=out, skip_bad=skip_bad, progress=True))
    _print_run(model, out, as_json)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@skip_bad
@as_json
def resume(run: Path, skip_bad: bool, as_json: bool) -> None:
    """Go on with the RUN directory of a run that was stopped."""
    from zoo.pretraining import resume

    _print_run(_interruptible(run, lambda: resume(run, skip_bad=skip_bad, progress=True)), run, as_json)


@main.command()
@click.argument("model")
@data_option
@click.option("--labels-per-class", default="1,5,10,all", show_default=True, help="Comma-separated.")
@click.option("--draws", default=5, show_default=True, help="How often the labels are drawn.")
@click.option("--seed", default=0, show_default=True, help="Of the draws.")
@click.option("--baselines", default="pixels,untrained", show_default=True, help="Comma-separated; '' for none.")
@as_json
def probe(
    model: str, data: str | None, labels_per_class: str, draws: int, seed: int, baselines: str, as_json: bool
) -> None:
    """Probe the features of MODEL with a few labels of the data's training images, on its test images."""
    from zoo.cards import results_table
    from zoo.datasets import load_dataset
    from zoo.evaluation import evaluate
    from zoo.loading import load

    loaded = load(_model_argument(model))
    record = evaluate(
        loaded,
        load_dataset(data or loaded.config["recipe"]["dataset"]),
        labels_per_class=[item if item == "all" else _integer(item) for item in _items(labels_per_class)],
        draws=draws,
        seed=seed,
        baselines=_items(baselines),
    )
    if as_json:
        _print_json(record)
        return
    click.echo(f"{loaded.name} on the {record['test_images']:,} test images of {record['dataset']}: linear probe,")
    click.echo(f"accuracy in %, mean +- standard deviation over {draws} draws of the labels\n")
    click.echo(results_table(record))


@main.command()
@click.argument("target", metavar="RUN|MODEL")
@data_option
@click.option("--out", type=click.Path(path_type=Path), help="Where the pictures go [default: beside the run].")
@as_json
def plot(target: str, data: str | None, out: Path | None, as_json: bool) -> None:
    """Draw the loss curve of a run, and the t-SNE of a model's features with its classes."""
    from zoo.datasets import load_dataset
    from zoo.figures import feature_map, loss_curve
    from zoo.loading import load
    from zoo.pretraining import read_metrics

    out = out or (Path(target) if Path(target).is_dir() else Path("."))
    written = []
    if (Path(target) / "metrics.jsonl").is_file():
        written.append(loss_curve(read_metrics(target), Path(target).name, out / "loss.png"))
    if not written or (Path(target) / "encoder" / "config.json").is_file():
        model = load(_model_argument(target))
        dataset = load_dataset(data or model.config["recipe"]["dataset"])
        split = dataset.test or dataset.train
        if split.labels is None:
            raise ZooError(f"{dataset.name}: has no labels to colour the t-SNE by; pass --data with some")
        written.append(
            feature_map(
                model.features(split.images[:2000]), split.labels[:2000], dataset.classes, model.name, out / "tsne.png"
            )
        )
    if as_json:
        _print_json([str(path) for path in written])
    else:
        for path in written:
            click.echo(path)


@main.command()
@as_json
def env(as_json: bool) -> None:
    """Show the versions, processor and threads that the bits of a result depend on."""
    from zoo.environment import environment

    values = environment()
    if as_json:
        _print_json(values)
        return
    for name, value in values.items():
        click.echo(f"{name:16}{value}")


def _print_run(model: Any, out: Path, as_json: bool) -> None:
    encoder = out / "encoder"
    if as_json:
        _print_json({"name": model.name, "run": str(out), "encoder": str(encoder), **model.config["training"]})
    else:
        click.echo(f"{model!r}\n{encoder}")


def _interruptible(out: Path, call: Any) -> Any:
    try:
        return call()
    except KeyboardInterrupt:
        click.echo(f"\nstopped; go on with: zoo resume {out}", err=True)
        sys.exit(1)


def _model_argument(model: str) -> str | Path:
    """On the command line a directory needs no slash, unless it could be a model as well."""
    from zoo.entries import ENTRIES

    return Path(model) if Path(model).is_dir() and model not in ENTRIES else model


def _field(text: str) -> tuple[str, Any]:
    """A field and its value: JSON, or else the text itself."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ZooError(f"--set: expected FIELD=VALUE, got {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _integer(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


def _fail(message: str) -> None:
    click.echo(f"zoo: {message}", err=True)
    sys.exit(2)


main.add_command(data_group(_Group))

if __name__ == "__main__":
    main()
