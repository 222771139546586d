"""The commands `zoo data ...`: list, download, import and inspect datasets, or create an example."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from zoo.commands.shared import Group, as_json, print_json, skip_bad
from zoo.errors import ZooError, error_line

size_option = click.option(
    "--size", type=int, metavar="N", help="Resize to NxN pixels [default: the median shorter side, at most 224]."
)


@click.command("list")
@as_json
def list_command(as_json: bool) -> None:
    """List the named datasets, with those on this machine."""
    from zoo.data.names import NAMES, SUBSETS, cache_path

    rows = []
    for name in (*NAMES, *SUBSETS):
        whole, start, stop = SUBSETS.get(name, (name, 0, 0))
        path = None if whole == "digits" else cache_path(whole)
        cached = path is None or path.is_file()
        rows.append(
            {
                "name": name,
                "cached": cached,
                "bytes": path.stat().st_size if path and cached else None,
                "path": str(path) if path else None,
                "subset": f"training images {start + 1:,} to {stop:,} of {whole}" if stop else None,
            }
        )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        where = f"in {row['path']}, {row['bytes'] / 1e6:.1f} MB" if row["bytes"] else "comes with scikit-learn"
        if not row["cached"]:
            where = "not downloaded yet; it is downloaded on first use, or by `zoo data fetch`"
        click.echo(f"{row['name']:20}{row['subset'] or where}")


@click.command("fetch")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@as_json
def fetch_command(names: tuple[str, ...], as_json: bool) -> None:
    """Download datasets into the dataset cache.

    Cached datasets are not downloaded again, but checked.
    """
    from zoo.data.datasets import load_dataset
    from zoo.data.downloads import fetch
    from zoo.data.names import SUBSETS

    paths = {name: str(fetch(SUBSETS.get(name, (name,))[0])) for name in names}
    for name in names:
        load_dataset(name)
    if as_json:
        print_json(paths)
        return
    for name, path in paths.items():
        click.echo(f"{name:20}{path}")


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.safetensors")
@size_option
@skip_bad
@as_json
def import_command(path: Path, out: Path, size: int | None, skip_bad: bool, as_json: bool) -> None:
    """Convert a folder, CSV, .parquet or .npz to one file.

    The .safetensors file holds the images of PATH and loads at once. An import that was stopped goes on when the
    command is repeated. When images were added, changed or removed later, only those are decoded again.
    """
    if out.suffix != ".safetensors":
        raise ZooError(f"--out: expected a path ending in .safetensors, got {str(out)!r}")
    from zoo.data.datasets import is_listing, load_dataset, save_dataset
    from zoo.data.importing import import_images
    from zoo.files import expanded, printable

    counts = {}
    if is_listing(path):
        try:
            dataset, decoded, unchanged = import_images(path, out, size=size, skip_bad=skip_bad)
        except KeyboardInterrupt:
            stopped = "stopped; what was decoded is kept: repeat the command to go on"
            click.echo(error_line(stopped, as_json=True) if as_json else f"\n{stopped}", err=True)
            sys.exit(1)
        counts = {"decoded": decoded, "unchanged": unchanged}
    else:
        if expanded(out).exists():
            raise ZooError(f"{out}: already exists; choose another name, so that nothing is overwritten")
        dataset = load_dataset(path, size=size, skip_bad=skip_bad)
        expanded(out).parent.mkdir(parents=True, exist_ok=True)
        save_dataset(dataset, expanded(out), source=f"zoo data import {printable(path.name)}")
    if not counts.get("unchanged"):
        _say_the_rule(path, size, dataset)
    if as_json:
        print_json({"path": str(out), **counts, **_summary(dataset)})
        return
    click.echo(_in_words(dataset))
    if counts:
        click.echo(f"{counts['decoded']:,} images decoded, {counts['unchanged']:,} unchanged since they were imported")
    click.echo(str(out))


@click.command()
@click.argument("dataset", metavar="NAME|PATH")
@click.option(
    "--sheet", type=click.Path(path_type=Path), metavar="FILE.png", help="Write a contact sheet of each class."
)
@size_option
@skip_bad
@as_json
def show(dataset: str, sheet: Path | None, size: int | None, skip_bad: bool, as_json: bool) -> None:
    """Show a dataset: splits, sizes, classes, digest."""
    from zoo.data.datasets import load_dataset
    from zoo.data.labels import require_new
    from zoo.reports.contact_sheet import contact_sheet

    sheet = require_new(sheet, ".png") if sheet else None
    data = load_dataset(dataset, size=size, skip_bad=skip_bad)
    _say_the_rule(Path(dataset), size, data)
    summary = _summary(data)
    if sheet is not None:
        summary["sheet"] = str(contact_sheet(data.train, data.classes, _in_words(data), sheet))
    if as_json:
        print_json(summary)
        return
    click.echo(_in_words(data))
    for statistic in ("mean", "std"):
        click.echo(f"{statistic:8}{', '.join(f'{value:.4f}' for value in summary[statistic])}")
    click.echo(f"digest  {data.digest}")
    if sheet is not None:
        click.echo(f"sheet   {sheet}")
    if data.classes:
        width = max(map(len, ("class", *data.classes)))
        splits = [split for split in ("train", "test") if summary[split] and summary[split]["per_class"]]
        click.echo(f"\n{'class':{width}}" + "".join(f"{split:>9}" for split in splits))
        for name in data.classes:
            counts = (f"{summary[split]['per_class'][name]:9,}" for split in splits)
            click.echo(f"{name:{width}}" + "".join(counts))


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@as_json
def example(directory: Path, as_json: bool) -> None:
    """Create a small folder of example images.

    The images go to DIRECTORY, and labels.csv beside it lists them. They are 400 of scikit-learn's digits as PNG files
    of 32x32 pixels, 100 of them test images. Nothing is downloaded.
    """
    from zoo.data.example import PER_CLASS, write_example
    from zoo.files import printable

    folder, table = write_example(directory)
    if as_json:
        images = {split: 10 * n for split, n in PER_CLASS.items()}
        print_json({"directory": str(folder), "csv": str(table), "classes": 10, **images})
        return
    photos, labels = (shlex.quote(printable(path)) for path in (folder, table))
    click.echo(f"{photos}: 300 training and 100 test images of 10 classes; {labels} lists them. Try:\n")
    click.echo(f"zoo data show {photos} --sheet sheet.png")
    click.echo(f"zoo probe simclr-resnet8-digits --data {labels} --report")
    click.echo(f"zoo embed simclr-resnet8-digits {photos} --out features.npz")
    click.echo(f"zoo pretrain simclr-resnet8-digits --data {photos} --set image_size=8 --out runs/mine")


data_group = Group(
    "data",
    commands=[list_command, fetch_command, import_command, show, example],
    help="List, download, import or inspect datasets.",
)


def _say_the_rule(path: Path, size: int | None, dataset: Any) -> None:
    from zoo.data.parquet import is_table

    if size is None and (path.is_dir() or path.suffix.lower() == ".csv" or is_table(path)):
        side = dataset.train.images.shape[-1]
        click.echo(f"resized to {side}x{side}, the median shorter side, at most 224; change it with --size", err=True)


def _summary(dataset: Any) -> dict[str, Any]:
    from zoo.data.datasets import channel_statistics

    mean, std = channel_statistics(dataset)
    return {
        "name": dataset.name,
        "shape": list(dataset.train.images.shape[1:]),
        "train": _counts(dataset.train, dataset.classes),
        "test": _counts(dataset.test, dataset.classes) if dataset.test else None,
        "classes": list(dataset.classes),
        "mean": mean,
        "std": std,
        "digest": dataset.digest,
    }


def _counts(split: Any, classes: Sequence[str]) -> dict[str, Any]:
    if split.labels is None:
        return {"images": len(split.images), "per_class": None}
    counts = split.labels.bincount(minlength=len(classes)).tolist()
    return {"images": len(split.images), "per_class": dict(zip(classes, counts, strict=True))}


def _in_words(dataset: Any) -> str:
    from zoo.files import printable

    channels, height, width = dataset.train.images.shape[1:]
    test = f" and {len(dataset.test.images):,} test" if dataset.test else ""
    labels = f"{len(dataset.classes):,} classes" if dataset.classes else "no labels"
    return (
        f"{printable(Path(dataset.name).name)}: {len(dataset.train.images):,} training{test} images, "
        f"{height}x{width} {'grey' if channels == 1 else 'colour'}, {labels}"
    )
