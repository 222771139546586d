"""The command `zoo`. It reads arguments, calls `zoo`, and prints; torch is imported only where it is needed.

Exit codes: 0 done; 1 a bug or an unfinished run; 2 bad input, with one line on stderr that says what to do.
Results go to stdout, `--json` makes them one JSON document; progress and messages go to stderr.
"""

import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from zoo.commands.data import as_json, data_group, skip_bad
from zoo.errors import ZooError, exit_on_bad_input, unknown


class _Group(click.Group):
    """Errors that a user can mend become one line and exit code 2; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # the names of files need not be UTF-8
        with exit_on_bad_input(), warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: click.echo(f"zoo: warning: {message}", err=True)
            return super().invoke(ctx)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            raise unknown("command", args[0], self.commands)
        return super().resolve_command(ctx, args)


data_option = click.option(
    "--data", metavar="NAME|PATH", help="A dataset's name, a folder, .csv, .npz or .safetensors."
)


baselines_option = click.option(
    "--baselines", default="pixels,untrained", show_default=True, help="Comma-separated; '' for none."
)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="funczoo", prog_name="zoo")
def main() -> None:
    """Self-supervised image encoders: load by name, probe with a few labels, train again."""


@main.command("list")
@as_json
def list_command(as_json: bool) -> None:
    """List the models that can be loaded by name."""
    from zoo.models.entries import ENTRIES

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
    from zoo.models.loading import load

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
@click.option("--precision", type=click.Choice(["auto", "float32", "bfloat16"]), help="In which the encoder computes.")
@click.option("--compile/--no-compile", default=None, help="Compile the loss: half a minute, then faster steps.")
@click.option("--device", metavar="cpu|cuda", help="Where to train.")
@skip_bad
@as_json
def pretrain(
    recipe: str, out: Path, data: str | None, changes: tuple[str, ...], skip_bad: bool, as_json: bool, **speed: Any
) -> None:
    """Pretrain an encoder by RECIPE: a .py or .json file, or the name of a model, whose recipe is run again.

    A run that was stopped goes on where it was when the same command is given again. What is not given is the recipe's.
    """
    from zoo.training.loop import pretrain, resolve_recipe
    from zoo.training.recipe import read_change

    given = {field: value for field, value in speed.items() if value is not None}
    chosen = resolve_recipe(recipe).replace(**given, **dict(read_change(change) for change in changes))
    model = _interruptible(out, lambda: pretrain(chosen, data=data, out=out, skip_bad=skip_bad, progress=True))
    _print_run(model, out, as_json)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@skip_bad
@as_json
def resume(run: Path, skip_bad: bool, as_json: bool) -> None:
    """Go on with the RUN directory of a run that was stopped."""
    from zoo.training.loop import resume

    _print_run(_interruptible(run, lambda: resume(run, skip_bad=skip_bad, progress=True)), run, as_json)


@main.command()
@click.argument("model")
@data_option
@click.option(
    "--labels-per-class", metavar="LIST", help="Comma-separated; with test images only [default: 1,5,10,all]."
)
@click.option("--draws", type=int, metavar="N", help="How often the labels are drawn; likewise [default: 5].")
@click.option("--seed", default=0, show_default=True, help="Of the draws and the untrained encoder.")
@baselines_option
@click.option("--report", is_flag=True, help="Print scores per class and the confusion matrix, for the most labels.")
@skip_bad
@as_json
def probe(
    model: str,
    data: str | None,
    labels_per_class: str | None,
    draws: int | None,
    seed: int,
    baselines: str,
    report: bool,
    skip_bad: bool,
    as_json: bool,
) -> None:
    """Probe the features of MODEL with a few labels of the data's training images, on its test images.

    Data without labelled test images are cross-validated, with all of their labels.
    """
    from zoo.evaluation.protocol import evaluate, probe_dataset
    from zoo.reports.cards import report_section
    from zoo.reports.tables import results_table

    loaded, dataset, left_out = _model_and_data(model, data, skip_bad)
    if dataset.test is None or dataset.test.labels is None:
        if labels_per_class is not None or draws is not None:
            raise ZooError(
                f"{dataset.name}: has no labelled test images, so all of its labels are cross-validated; "
                "leave out --labels-per-class and --draws, or give it test images"
            )
        found = probe_dataset(loaded, dataset, seed=seed, baselines=_items(baselines))
        _print_report(loaded, dataset, found, report, {"seed": seed, "unlabelled_left_out": left_out}, as_json)
        return
    record = evaluate(
        loaded,
        dataset,
        labels_per_class=[
            item if item == "all" else _integer(item) for item in _items(labels_per_class or "1,5,10,all")
        ],
        draws=5 if draws is None else draws,
        seed=seed,
        baselines=_items(baselines),
    )
    if as_json:
        _print_json({**record, "unlabelled_left_out": left_out})
        return
    click.echo(f"{loaded.name} on the {record['test_images']:,} test images of {record['dataset']}: linear probe,")
    click.echo(f"accuracy in %, mean +- standard deviation over {record['draws']} draws of the labels\n")
    click.echo(results_table(record))
    if report:
        click.echo("\n" + report_section(record["report"]))


@main.command()
@click.argument("model")
@data_option
@click.option("--k", default=10, show_default=True, help="Neighbours that vote.")
@click.option("--seed", default=0, show_default=True, help="Of the untrained encoder, and of folds.")
@baselines_option
@skip_bad
@as_json
def knn(model: str, data: str | None, k: int, seed: int, baselines: str, skip_bad: bool, as_json: bool) -> None:
    """Classify the data's test images by their nearest training images in the features of MODEL; nothing is tuned.

    Nearest by cosine on standardised features. Data without labelled test images are cross-validated.
    """
    from zoo.evaluation.protocol import knn_dataset

    loaded, dataset, left_out = _model_and_data(model, data, skip_bad)
    found = knn_dataset(loaded, dataset, k=k, seed=seed, baselines=_items(baselines))
    _print_report(loaded, dataset, found, True, {"k": k, "seed": seed, "unlabelled_left_out": left_out}, as_json)


@main.command()
@click.argument("model")
@data_option
@click.option("--seeds", default=5, show_default=True, help="How many clusterings of each kind.")
@click.option("--seed", default=0, show_default=True, help="Of the untrained encoder.")
@baselines_option
@skip_bad
@as_json
def cluster(model: str, data: str | None, seeds: int, seed: int, baselines: str, skip_bad: bool, as_json: bool) -> None:
    """Find clusters in the features of MODEL without labels, and compare them with the classes of the test images."""
    from zoo.evaluation.clustering import cluster
    from zoo.reports.cards import clusters_section

    loaded, dataset, _ = _model_and_data(model, data, skip_bad)
    record = cluster(loaded, dataset, seeds=range(seeds), seed=seed, baselines=_items(baselines))
    if as_json:
        _print_json(record)
    else:
        click.echo(f"{loaded.name}: {clusters_section(record)}")


@main.command()
@click.argument("model")
@click.argument("images", nargs=-1, required=True, metavar="IMAGES...")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help=".npz, .safetensors, .csv or .tsv."
)
@skip_bad
@as_json
def embed(model: str, images: tuple[str, ...], out: Path, skip_bad: bool, as_json: bool) -> None:
    """Write the features of IMAGES with their paths and labels: image files, or a dataset's name, a folder or a CSV.

    A .tsv holds the features alone, and a second file beside it paths and labels, as embedding viewers ask for.
    """
    from zoo.evaluation.embedding import check_output, embed, write_embedding
    from zoo.models.loading import load

    check_output(out)
    loaded = load(_model_argument(model))
    embedding = embed(loaded, images, skip_bad=skip_bad)
    written = [str(path) for path in write_embedding(embedding, out)]
    n, dim = embedding.features.shape
    labelled = n - embedding.labels.count(None)
    if as_json:
        _print_json({"model": loaded.name, "images": n, "labelled": labelled, "feature_dim": dim, "written": written})
        return
    click.echo(f"{n:,} images, {labelled:,} of them labelled: {dim} features each, by {loaded.name}")
    for path in written:
        click.echo(path)


@main.command()
@click.argument("target", metavar="RUN|MODEL")
@data_option
@click.option("--out", type=click.Path(path_type=Path), help="Where the pictures go [default: beside the run].")
@as_json
def plot(target: str, data: str | None, out: Path | None, as_json: bool) -> None:
    """Draw the loss curve of a run, and what a model's features tell of classes.

    That is their t-SNE, and for data with labelled test images the confusion matrix of a linear probe on all training
    labels, and a grid of test images with label and prediction.
    """
    from zoo.evaluation.protocol import probe_dataset
    from zoo.reports.figures import confusion_matrix, feature_map, loss_curve, predictions_grid
    from zoo.training.run_directory import read_metrics

    out = out or (Path(target) if Path(target).is_dir() else Path("."))
    written = []
    if (Path(target) / "metrics.jsonl").is_file():
        written.append(loss_curve(read_metrics(target), Path(target).name, out / "loss.png"))
    if not written or (Path(target) / "encoder" / "config.json").is_file():
        model, dataset, _ = _model_and_data(target, data, skip_bad=False)
        split = dataset.test or dataset.train
        if split.labels is None:
            raise ZooError(f"{dataset.name}: has no labels to colour the t-SNE by; pass --data with some")
        written.append(
            feature_map(
                model.features(split.images[:2000]), split.labels[:2000], dataset.classes, model.name, out / "tsne.png"
            )
        )
        if split is dataset.test and dataset.train.labels is not None:
            report = probe_dataset(model, dataset)
            title = f"{model.name}: linear probe, {100 * report.accuracy:.1f} % of {len(split.images):,} test images"
            actual = [dataset.classes[i] for i in split.labels.tolist()]
            written.append(confusion_matrix(report.confusion, dataset.classes, title, out / "confusion.png"))
            written.append(predictions_grid(split.images, report.predictions, actual, out / "predictions.png"))
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


def _model_and_data(model: str, data: str | None, skip_bad: bool) -> tuple[Any, Any, int]:
    """The encoder, the data to probe it with, and how many images were left out of them."""
    from zoo.data.sources import labelled_dataset
    from zoo.models.loading import load

    loaded = load(_model_argument(model))
    dataset, left_out = labelled_dataset(loaded, data or loaded.config["recipe"]["dataset"], skip_bad=skip_bad)
    if left_out:
        click.echo(f"left out of {dataset.name}, having no label: {left_out:,} images", err=True)
    return loaded, dataset, left_out


def _print_report(model: Any, dataset: Any, report: Any, whole: bool, options: dict[str, Any], as_json: bool) -> None:
    if as_json:
        about = {"model": model.name, "dataset": dataset.name, "dataset_digest": dataset.digest, **options}
        _print_json({**about, **report.to_dict()})
        return
    click.echo(f"{model.name} on {dataset.name}")
    click.echo(report if whole else report.summary())


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
    from zoo.models.entries import ENTRIES

    return Path(model) if Path(model).is_dir() and model not in ENTRIES else model


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _integer(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


main.add_command(data_group(_Group))
