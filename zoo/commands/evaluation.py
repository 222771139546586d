"""The commands that evaluate a model: `zoo probe`, `zoo knn`, `zoo cluster`, `zoo embed`, `zoo compare`."""

from pathlib import Path
from typing import Any

import click

from zoo.commands.shared import (
    as_json,
    baselines_option,
    code_option,
    data_option,
    model_and_data,
    model_argument,
    print_json,
    skip_bad,
    threads_option,
)
from zoo.errors import ZooError, printable
from zoo.files import expanded

labels_option = click.option(
    "--labels-per-class",
    metavar="LIST",
    help="Labels to draw per class, comma-separated; needs test images [default: 1,5,10,all].",
)
draws_option = click.option(
    "--draws", type=int, metavar="N", help="Draw the labels N times; needs test images [default: 5]."
)


@click.command()
@click.argument("models", nargs=-1, metavar="MODEL...")
@click.option("--all", "every", is_flag=True, help="Rank all models that came with the package.")
@data_option
@labels_option
@draws_option
@click.option("--seed", default=0, show_default=True, help="Seed of the draws and the untrained encoder.")
@baselines_option
@click.option("--report", is_flag=True, help="Print per-class scores and the confusion matrix, for the most labels.")
@skip_bad
@code_option
@threads_option
@as_json
def probe(
    models: tuple[str, ...],
    every: bool,
    data: str | None,
    labels_per_class: str | None,
    draws: int | None,
    seed: int,
    baselines: str,
    report: bool,
    skip_bad: bool,
    code: str | None,
    as_json: bool,
) -> None:
    """Probe the features of MODEL with a few labels.

    A linear probe is fitted on training images and evaluated on the test images. Data without labelled test images are
    cross-validated with all labels.

    Several models, or --all, are ranked by cross-validation on the labelled training images of --data, with 95 %
    intervals.
    """
    from zoo.evaluation.protocol import evaluate, probe_dataset
    from zoo.reports.cards import report_section
    from zoo.reports.tables import results_table

    if every or len(models) != 1:
        if labels_per_class is not None or draws is not None or report:
            raise ZooError("--labels-per-class, --draws and --report: only with a single model")
        _rank(models, every, data, seed, skip_bad, code, as_json)
        return
    loaded, dataset, left_out = model_and_data(models[0], data, skip_bad, code)
    if dataset.test is None or dataset.test.labels is None:
        _refuse_draws(dataset, labels_per_class, draws)
        found = probe_dataset(loaded, dataset, seed=seed, baselines=_items(baselines))
        _print_report(loaded, dataset, found, report, {"seed": seed, "unlabelled_left_out": left_out}, as_json)
        return
    record = evaluate(
        loaded,
        dataset,
        labels_per_class=_label_counts(labels_per_class or "1,5,10,all"),
        draws=5 if draws is None else draws,
        seed=seed,
        baselines=_items(baselines),
    )
    if as_json:
        print_json({**record, "unlabelled_left_out": left_out})
        return
    click.echo(f"{loaded.name} on the {record['test_images']:,} test images of {record['dataset']}: linear probe,")
    n = record["draws"]
    spread = "one draw" if n == 1 else f"mean +- standard deviation over {n} draws"
    click.echo(f"accuracy in %, {spread} of the labels\n")
    click.echo(results_table(record))
    if report:
        click.echo("\n" + report_section(record["report"]))


@click.command()
@click.argument("model")
@data_option
@click.option("--k", default=10, show_default=True, help="Number of neighbours that vote.")
@click.option("--seed", default=0, show_default=True, help="Seed of the untrained encoder and the folds.")
@baselines_option
@skip_bad
@code_option
@threads_option
@as_json
def knn(
    model: str, data: str | None, k: int, seed: int, baselines: str, skip_bad: bool, code: str | None, as_json: bool
) -> None:
    """Classify images by their nearest neighbours.

    Each test image is classified by the training images nearest to it in the features of MODEL, by cosine similarity of
    standardised features. Nothing is tuned. Data without labelled test images are cross-validated.
    """
    from zoo.evaluation.protocol import knn_dataset

    loaded, dataset, left_out = model_and_data(model, data, skip_bad, code)
    found = knn_dataset(loaded, dataset, k=k, seed=seed, baselines=_items(baselines))
    _print_report(loaded, dataset, found, True, {"k": k, "seed": seed, "unlabelled_left_out": left_out}, as_json)


@click.command()
@click.argument("model")
@data_option
@click.option("--seeds", default=5, show_default=True, help="Number of clusterings of each kind.")
@click.option("--seed", default=0, show_default=True, help="Seed of the untrained encoder.")
@baselines_option
@skip_bad
@code_option
@threads_option
@as_json
def cluster(
    model: str, data: str | None, seeds: int, seed: int, baselines: str, skip_bad: bool, code: str | None, as_json: bool
) -> None:
    """Cluster the features of MODEL without labels.

    The clusters are then compared with the classes of the test images.
    """
    from zoo.evaluation.clustering import cluster
    from zoo.reports.cards import clusters_section

    loaded, dataset, _ = model_and_data(model, data, skip_bad, code)
    record = cluster(loaded, dataset, seeds=range(seeds), seed=seed, baselines=_items(baselines))
    if as_json:
        print_json(record)
    else:
        click.echo(f"{loaded.name}: {clusters_section(record)}")


@click.command()
@click.argument("model")
@click.argument("images", nargs=-1, required=True, metavar="IMAGES...")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a .npz, .safetensors, .parquet, .csv or .tsv.",
)
@skip_bad
@code_option
@threads_option
@as_json
def embed(model: str, images: tuple[str, ...], out: Path, skip_bad: bool, code: str | None, as_json: bool) -> None:
    """Write the features of IMAGES to a file.

    IMAGES are image files, or one dataset name, folder or CSV. Paths and labels are written with the features. A .tsv
    holds only the features; a second file beside it holds the paths and labels, as embedding viewers expect.
    """
    from zoo.evaluation.embedding import check_output, embed, write_embedding
    from zoo.models.loading import load

    check_output(out)
    loaded = load(model_argument(model), code=code)
    embedding = embed(loaded, images, skip_bad=skip_bad)
    written = [str(path) for path in write_embedding(embedding, out)]
    n, dim = embedding.features.shape
    labelled = n - embedding.labels.count(None)
    if as_json:
        print_json({"model": loaded.name, "images": n, "labelled": labelled, "feature_dim": dim, "written": written})
        return
    click.echo(f"{n:,} images, {labelled:,} of them labelled: {dim} features each, by {loaded.name}")
    for path in written:
        click.echo(path)


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="RUN|MODEL...")
@data_option
@labels_option
@draws_option
@click.option("--seed", default=0, show_default=True, help="Seed of the draws and the untrained encoder.")
@click.option(
    "--baselines",
    default="pixels",
    show_default=True,
    help="Baselines of the first model, comma-separated; '' for none.",
)
@click.option(
    "--out",
    default="losses.png",
    show_default=True,
    type=click.Path(path_type=Path),
    metavar="FILE.png",
    help="File of the loss curves.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
@skip_bad
@code_option
@threads_option
@as_json
def compare(
    targets: tuple[str, ...],
    data: str | None,
    labels_per_class: str | None,
    draws: int | None,
    seed: int,
    baselines: str,
    out: Path,
    overwrite: bool,
    skip_bad: bool,
    code: str | None,
    as_json: bool,
) -> None:
    """Compare two or more runs or models.

    The comparison has their loss curves, a probe of each, and the differences between their recipes. A model of the zoo
    has no metrics, hence no loss curve; an unfinished run has no encoder to probe. The default data are those of the
    first model or finished run.
    """
    from zoo.evaluation.comparison import compare_probes, recipe_differences, require_distinct
    from zoo.reports.figures import loss_curves
    from zoo.reports.tables import differences_table, results_table
    from zoo.training.recipe import Recipe, read_recipe
    from zoo.training.run_directory import read_metrics

    require_distinct(targets)
    out = expanded(out)
    if out.suffix != ".png":
        raise ZooError(f"--out: expected a path ending in .png, got {str(out)!r}")
    metrics = {target: read_metrics(target) for target in targets if (Path(target) / "metrics.jsonl").is_file()}
    if metrics and out.exists() and not overwrite:
        raise ZooError(
            f"{printable(out)}: already exists; choose another name with --out, or replace it with --overwrite"
        )
    models, recipes = {}, {}
    for target in targets:
        if target in metrics and not (Path(target) / "encoder" / "config.json").is_file():
            recipes[target] = read_recipe(Path(target) / "recipe.json")
            continue
        loaded, dataset, _ = model_and_data(target, data, skip_bad, code)
        data = data or loaded.config["recipe"]["dataset"]
        if dataset.test is None or dataset.test.labels is None:
            _refuse_draws(dataset, labels_per_class, draws)
        models[target], recipes[target] = (loaded, dataset), Recipe.from_record(loaded.config["recipe"])
    rows = compare_probes(
        models,
        labels_per_class=_label_counts(labels_per_class or "1,5,10,all"),
        draws=5 if draws is None else draws,
        seed=seed,
        baselines=_items(baselines),
    )
    differences = recipe_differences(recipes)
    curves = loss_curves(metrics, out) if metrics else None
    left_out = {
        "without_metrics": [target for target in targets if target not in metrics],
        "unfinished": [target for target in targets if target not in models],
    }
    if as_json:
        document = {"dataset": data, "seed": seed, "results": rows, "recipe_differences": differences}
        print_json({**document, "loss_curves": str(curves) if curves else None, **left_out})
        return
    if rows:
        folds = rows[0].get("folds")
        spread = "one draw" if draws == 1 else f"mean +- standard deviation over {draws or 5} draws"
        judged = f"{folds}-fold cross-validation" if folds else spread
        click.echo(f"linear probe on {data}, accuracy in %, {judged}\n")
        click.echo(results_table({"results": rows}) + "\n")
    click.echo(differences_table(differences) if differences else "The recipes are the same.")
    if curves:
        click.echo(f"\nloss curves: {curves}")
    if left_out["without_metrics"]:
        click.echo(f"\nno loss curve, because there are no metrics: {', '.join(left_out['without_metrics'])}")
    if left_out["unfinished"]:
        click.echo(f"\nno probe, because the run is not finished: {', '.join(left_out['unfinished'])}")


def _rank(
    models: tuple[str, ...], every: bool, data: str | None, seed: int, skip_bad: bool, code: str | None, as_json: bool
) -> None:
    """Print models by the accuracy of their probes."""
    from zoo.evaluation.comparison import require_distinct
    from zoo.evaluation.ranking import rank, verdict
    from zoo.models.entries import list_models
    from zoo.models.loading import WEIGHTS
    from zoo.reports.tables import ranking_table

    if every and models:
        raise ZooError(f"--all: expected no other models, got {', '.join(models)}; name some models, or all")
    if not every and not models:
        raise ZooError("expected a model, several, or --all; `zoo list` names them")
    if data is None:
        raise ZooError("--data: expected the labelled images by which models are ranked: a folder, a CSV, or a name")
    names = [name for name in list_models() if (WEIGHTS / name).is_dir()] if every else list(models)
    require_distinct(names)
    loaded, left_out = {}, 0
    for name in names:
        model, dataset, left_out = model_and_data(name, data, skip_bad, code, quiet=bool(loaded))
        loaded[name] = model, dataset
    ranked = rank(loaded, seed=seed)
    if as_json:
        rows = [row._asdict() for row in ranked]
        print_json(
            {"data": data, "seed": seed, "unlabelled_left_out": left_out, "results": rows, "verdict": verdict(ranked)}
        )
        return
    click.echo(f"linear probe on {data}, {ranked[0].labels:,} labels held out in turn\n")
    click.echo(ranking_table([row._asdict() for row in ranked]))
    click.echo(f"\n{verdict(ranked)}")


def _print_report(model: Any, dataset: Any, report: Any, whole: bool, options: dict[str, Any], as_json: bool) -> None:
    if as_json:
        about = {"model": model.name, "dataset": dataset.name, "dataset_digest": dataset.digest, **options}
        print_json({**about, **report.to_dict()})
        return
    click.echo(f"{model.name} on {dataset.name}")
    click.echo(report if whole else report.summary())


def _refuse_draws(dataset: Any, labels_per_class: str | None, draws: int | None) -> None:
    if labels_per_class is not None or draws is not None:
        raise ZooError(
            f"{dataset.name}: has no labelled test images, so all of its labels are cross-validated; "
            "omit --labels-per-class and --draws, or add test images"
        )


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _label_counts(text: str) -> list[int | str]:
    return [int(item) if item.isdecimal() else item for item in _items(text)]
