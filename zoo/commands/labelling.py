"""The commands for one's own images and a few labels: `zoo suggest`, `zoo fit`, `zoo predict`, `zoo report`."""

import functools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from zoo.commands.shared import as_json, code_option, model_argument, print_json, skip_bad, threads_option
from zoo.errors import ZooError, printable
from zoo.files import expanded

labels_option = click.option(
    "--labels", type=click.Path(path_type=Path), metavar="FILE.csv", help="CSV with the columns path and label."
)


@click.command()
@click.argument("model")
@click.argument("photos")
@click.option("-n", "n", default=20, show_default=True, help="How many images to choose.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE.csv", help="File of labels to fill in."
)
@click.option(
    "--sheet", type=click.Path(path_type=Path), metavar="FILE.png", help="Contact sheet of the chosen images."
)
@labels_option
@click.option("--method", default="typical", show_default=True, help="typical, k_means or k_center.")
@click.option("--seed", default=0, show_default=True, help="Seed of the choice.")
@skip_bad
@code_option
@threads_option
@as_json
def suggest(
    model: str,
    photos: str,
    n: int,
    out: Path,
    sheet: Path | None,
    labels: Path | None,
    method: str,
    seed: int,
    skip_bad: bool,
    code: str | None,
    as_json: bool,
) -> None:
    """Choose which PHOTOS to label first, in the features of MODEL.

    PHOTOS are a folder, a CSV, or a dataset name. The images that stand for the most others are written to a CSV with
    an empty column label, the most useful first. With --labels, what is labelled already is not chosen again, and
    stands first in the new file.
    """
    from zoo.data.labels import require_new, write_labels
    from zoo.evaluation.selection import check_method, suggest_among
    from zoo.models.loading import load

    check_method(method)
    out, sheet = require_new(out, ".csv"), require_new(sheet, ".png") if sheet else None
    loaded = load(model_argument(model), code=code)
    found, given, files = _photos_and_labels(photos, labels, loaded.input_shape, skip_bad)
    chosen = suggest_among(loaded.features(found.images), n, seed=seed, method=method, labelled=list(given)).tolist()
    paths = [found.paths[i] for i in chosen]
    rows = [(found.paths[i], label) for i, label in given.items()] + [(path, "") for path in paths]
    write_labels(out, rows, files=files)
    if sheet:
        _draw_sheet(sheet, paths if files else found.images[chosen], paths, printable(out.name))
    written = [str(path) for path in (out, sheet) if path]
    if as_json:
        about = {"model": loaded.name, "images": len(found.paths), "labelled": len(given), "method": method}
        print_json({**about, "seed": seed, "suggested": paths, "written": written})
        return
    click.echo(f"{n:,} of {len(found.paths) - len(given):,} images without a label, the most useful first:")
    for number, path in enumerate(paths, 1):
        click.echo(f"{number:>4}  {path}")
    click.echo(f"\n{', '.join(written)}: now fill in the column label, then")
    click.echo(
        "  " + _command("fit", model, photos, "--labels", out, "--out", "classifier", skip_bad=skip_bad, code=code)
    )


@click.command()
@click.argument("model")
@click.argument("photos")
@labels_option
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="DIRECTORY", help="Directory of the classifier."
)
@click.option("--seed", default=0, show_default=True, help="Seed of the folds of the cross-validation.")
@skip_bad
@code_option
@threads_option
@as_json
def fit(
    model: str,
    photos: str,
    labels: Path | None,
    out: Path,
    seed: int,
    skip_bad: bool,
    code: str | None,
    as_json: bool,
) -> None:
    """Fit a classifier to a few labels of PHOTOS, in the features of MODEL.

    Labels come from a CSV (--labels), as `zoo suggest` writes it, or from PHOTOS themselves: class folders, or a column
    label. The other images help without a label. Cross-validation chooses the kind of classifier, and says how accurate
    it is.
    """
    import torch

    from zoo.evaluation.prediction import fit_features, numbered
    from zoo.models.loading import load

    out = expanded(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise ZooError(f"{printable(out)}: already exists; choose another name, so that nothing is overwritten")
    loaded = load(model_argument(model), code=code)
    found, given, _ = _photos_and_labels(photos, labels, loaded.input_shape, skip_bad)
    if labels is None:
        given = {i: label for i, label in enumerate(found.labels) if label is not None}
        if not given:
            raise ZooError(
                f"{printable(photos)}: none of the {len(found.paths):,} images has a label; name a CSV of labels with "
                f"--labels, as `zoo suggest {model} {photos} -n 20 --out labels.csv` writes it"
            )
    numbers = numbered(list(given.values()), len(given))
    features = loaded.features(found.images)
    classifier = fit_features(loaded, features, torch.tensor(list(given)), numbers, seed=seed)
    classifier.save(out, code=code)
    if as_json:
        print_json({"model": loaded.name, "seed": seed, **classifier.report.to_dict(), "written": [str(out)]})
        return
    click.echo(classifier.report)
    click.echo(f"\n{printable(out)}; now")
    click.echo("  " + _command("predict", out, photos, "--out", "predictions.csv", skip_bad=skip_bad, code=code))


@click.command()
@click.argument("classifier", type=click.Path(path_type=Path))
@click.argument("photos", nargs=-1, required=True, metavar="PHOTOS...")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.csv",
    help="Write class, probability, margin.",
)
@click.option("--next", "following", default=10, show_default=True, help="How many images to name to label next.")
@skip_bad
@code_option
@threads_option
@as_json
def predict(
    classifier: Path,
    photos: tuple[str, ...],
    out: Path,
    following: int,
    skip_bad: bool,
    code: str | None,
    as_json: bool,
) -> None:
    """Predict the classes of PHOTOS with a CLASSIFIER that `zoo fit` wrote.

    The CSV has the columns path, class, probability and margin: how much more probable the class is than the next one.
    The images of the smallest margins are named: their labels are worth most next.
    """
    from zoo.data.labels import require_new, write_table
    from zoo.data.sources import read_source
    from zoo.evaluation.prediction import load_classifier

    out = require_new(out, ".csv")
    if following < 0:
        raise ZooError(f"--next: expected 0 or more, got {following}")
    loaded = load_classifier(classifier, code=code)
    found = read_source(photos, loaded.encoder.input_shape, skip_bad=skip_bad)
    said = loaded.predict(found.images)
    columns = (found.paths, said.labels.tolist(), said.confidences.tolist(), said.margins.tolist())
    rows = [[path, str(name), f"{p:.4f}", f"{m:.4f}"] for path, name, p, m in zip(*columns, strict=True)]
    write_table(out, ["path", "class", "probability", "margin"], rows)
    counts = {str(name): int((said.labels == name).sum()) for name in loaded.classes}
    least_sure = said.margins.argsort(stable=True)[:following].tolist()
    if as_json:
        about = {"encoder": loaded.encoder.name, "images": len(rows), "classes": counts}
        print_json({**about, "next": [found.paths[i] for i in least_sure], "written": [str(out)]})
        return
    click.echo(f"{len(rows):,} images: " + ", ".join(f"{name} {count:,}" for name, count in counts.items()))
    click.echo(str(out))
    if least_sure:
        click.echo("\nleast sure, so worth a label next (path, class, probability, margin):")
        for i in least_sure:
            click.echo("  " + "  ".join(rows[i]))


@click.command()
@click.argument("classifier", type=click.Path(path_type=Path))
@click.argument("photos")
@labels_option
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.html", help="The page.")
@click.option("--next", "following", default=20, show_default=True, help="How many images to suggest for a label.")
@click.option("--map", "layout", default="tsne", show_default=True, help="tsne or umap.")
@click.option("--seed", default=0, show_default=True, help="Seed of the held-out labels and of the suggestions.")
@skip_bad
@code_option
@threads_option
@as_json
def report(
    classifier: Path,
    photos: str,
    labels: Path | None,
    out: Path,
    following: int,
    layout: str,
    seed: int,
    skip_bad: bool,
    code: str | None,
    as_json: bool,
) -> None:
    """Write a page about PHOTOS and what a CLASSIFIER that `zoo fit` wrote says of them.

    One HTML file that needs no network: a map of the images, class counts, accuracy, the errors with their images, the
    least sure images, and a form to label more, which saves a CSV for `zoo fit`. Labels come from a CSV (--labels), or
    from PHOTOS themselves; the accuracy is of labels that the classifier was not fitted to.
    """
    from zoo.evaluation.reporting import report as write_report

    found = write_report(
        classifier,
        photos,
        out,
        labels=labels,
        n=following,
        layout=layout,
        seed=seed,
        skip_bad=skip_bad,
        code=code,
        say=functools.partial(click.echo, err=True),
    )
    if as_json:
        print_json(found.to_dict())
        return
    click.echo(found)
    click.echo(f"\n{printable(found.path)}: open it in a browser, look at the errors, and label more images there")


def _photos_and_labels(
    photos: str, labels: Path | None, shape: tuple[int, int, int], skip_bad: bool
) -> tuple[Any, dict[int, str], bool]:
    """The training images of a source, the labels of a CSV by position, and whether the images are files."""
    from zoo.data.labels import read_labels
    from zoo.data.sources import are_files, read_source

    found, files = read_source([photos], shape, skip_bad=skip_bad), are_files(photos)
    kept = [i for i, split in enumerate(found.splits) if split == "train"]
    if len(kept) < len(found.splits):
        paths, splits, names = (tuple(column[i] for i in kept) for column in found[1:])
        found = found._replace(images=found.images[kept], paths=paths, splits=splits, labels=names)
    return found, read_labels(labels, found.paths, files=files) if labels else {}, files


def _command(*words: str | Path, skip_bad: bool, code: str | None) -> str:
    """The next command as a shell takes it; it reads the same images with the same code."""
    options = [*(["--skip-bad"] if skip_bad else []), *(["--code", code] if code else [])]
    return shlex.join(printable(word) for word in ("zoo", *words, *options))


def _draw_sheet(sheet: Path, images: Sequence[Any], paths: Sequence[str], title: str) -> None:
    """A contact sheet of images in their order, large enough to be labelled by sight."""
    import torch

    from zoo.data.images import read_image
    from zoo.reports.contact_sheet import LARGE_TILE, numbered_sheet

    shown = [
        torch.from_numpy(read_image(image, (3, LARGE_TILE, LARGE_TILE))) if isinstance(image, str) else image
        for image in images
    ]
    numbered_sheet(shown, [Path(path).name for path in paths], title, sheet)
