"""The command that draws: `zoo plot`.

What is drawn depends on what there is: metrics, an encoder, a decoder, labels to probe with and to colour by. The names
of all figures are known before anything is computed; models, data and features are then loaded and computed as they are
needed.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import click

from zoo.commands.shared import (
    as_json,
    code_option,
    data_option,
    model_and_data,
    model_argument,
    print_json,
    skip_bad,
    threads_option,
)
from zoo.errors import ZooError
from zoo.files import expanded

Figures = dict[str, Callable[[Path], Path]]  # functions that draw and write, by the names of the files
_POINTS = 2000  # in a map: t-SNE takes seconds for these, minutes for ten thousand
_PROBE_FIGURES = ("confusion.png", "predictions.png")


@click.command()
@click.argument("target", metavar="RUN|MODEL")
@data_option
@click.option("--out", type=click.Path(path_type=Path), help="Directory of the figures [default: RUN, else '.'].")
@click.option("--umap", is_flag=True, help="Map the features by UMAP as well; needs umap-learn.")
@click.option("--three-d", is_flag=True, help="Draw the maps in three dimensions as well.")
@click.option("--overwrite", is_flag=True, help="Replace figures that exist.")
@skip_bad
@code_option
@threads_option
@as_json
def plot(
    target: str,
    data: str | None,
    out: Path | None,
    umap: bool,
    three_d: bool,
    overwrite: bool,
    skip_bad: bool,
    code: str | None,
    as_json: bool,
) -> None:
    """Plot losses, features, errors and reconstructions.

    A run gets its loss curve. A model, or a finished run, gets a t-SNE of its features, coloured by class if the images
    have labels. A model with a decoder gets reconstructions and the plane of its latents. A linear probe on all
    training labels gives the confusion matrix and a grid of images with predictions.
    """
    from zoo.reports.figures import loss_curve
    from zoo.reports.figures.maps import require_umap
    from zoo.training.run_directory import read_metrics

    if umap:
        require_umap()
    directory = path if isinstance(path := model_argument(target), Path) else None
    out = expanded(out) if out else directory or Path(".")
    figures: Figures = {}
    if directory and (directory / "metrics.jsonl").is_file():
        figures["loss.png"] = partial(loss_curve, read_metrics(directory), directory.resolve().name)
    subject = None
    if not figures or (directory and (directory / "encoder" / "config.json").is_file()):
        subject = _Subject(target, data, skip_bad, code)
        figures |= _map_figures(subject, ("tsne", "umap") if umap else ("tsne",), (2, 3) if three_d else (2,))
        if subject.model.has_decoder:
            figures |= _decoder_figures(subject, directory)
    _require_absent([out / name for name in (*figures, *(_PROBE_FIGURES if subject else ()))], overwrite)
    written = _draw(figures, out) + (_draw(_probe_figures(subject), out) if subject else [])
    if as_json:
        print_json(written)
    else:
        click.echo("\n".join(written))


class _Subject:
    """A model and its data, each loaded or computed when it is first asked for."""

    def __init__(self, target: str, data: str | None, skip_bad: bool, code: str | None) -> None:
        self.target, self.source, self.skip_bad, self.code = target, data, skip_bad, code

    @cached_property
    def model(self) -> Any:
        from zoo.models.loading import load

        return load(model_argument(self.target), code=self.code)

    @cached_property
    def data(self) -> Any:
        return model_and_data(self.target, self.source, self.skip_bad, self.code, or_all=True)[1]

    @cached_property
    def judged(self) -> Any:
        """The images that are mapped, and that a probe predicts: those of the test split, if it has labels."""
        data = self.data
        return data.train if data.test is None or data.test.labels is None else data.test

    @property
    def kind(self) -> str:
        """What these images are, in words."""
        return "images" if self.judged is self.data.train else "test images"

    @cached_property
    def shown(self) -> tuple[Any, Any]:
        """The features `[N, D]` and labels `[N]`, or None for no labels, of evenly spaced images."""
        import torch

        images, labels = self.judged
        n = min(len(images), _POINTS)
        index = torch.arange(n) * len(images) // n
        return self.model.features(self.data.rows(images, index)), None if labels is None else labels[index]

    def titled(self, what: str) -> str:
        """The title of a figure of the shown images, in two lines."""
        return f"{self.model.name}\n{what} of {len(self.shown[0]):,} {self.kind} of {self.data.name}"


def _map_figures(subject: _Subject, kinds: Sequence[str], dimensions: Sequence[int]) -> Figures:
    from zoo.reports import figures

    embeddings = {"tsne": ("t-SNE", figures.tsne), "umap": ("UMAP", figures.umap)}

    def draw(kind: str, dims: int, path: Path) -> Path:
        words, embed = embeddings[kind]
        features, labels = subject.shown
        title = subject.titled(words if dims == 2 else f"3-D {words}")
        return figures.feature_map(embed(features, dims), labels, subject.data.classes, title, path)

    names = {2: "{}.png", 3: "{}_3d.png"}
    return {names[dims].format(kind): partial(draw, kind, dims) for dims in dimensions for kind in kinds}


def _decoder_figures(subject: _Subject, directory: Path | None) -> Figures:
    from zoo.reports import figures

    model = subject.model

    def draw_reconstructions(path: Path) -> Path:
        title = f"{model.name}\nimages of {subject.data.name} and their reconstructions"
        return figures.reconstructions(*_reconstructions(subject, directory), title, path)

    def draw_denoising(path: Path) -> Path:
        from functional import augmentations, random
        from zoo.training.plan import choose_examples

        images = choose_examples(subject.data)
        noise = model.config["recipe"]["method_options"].get("noise", 0.3)
        drawn = random.normal(random.key(0), tuple(images.shape))
        noisy = (augmentations.to_float(images) + noise * drawn).clamp(0, 1)
        denoised = model.decode(model.features((noisy * 255).round().byte()))
        title = f"{model.name}\nimages of {subject.data.name}, noise of standard deviation {noise:g}"
        return figures.denoising_pairs(noisy, denoised, images, title, path)

    def draw_plane(path: Path) -> Path:
        plane = figures.LatentPlane.of(subject.shown[0])
        title = f"{model.name}\nimages decoded from the plane of its latents on {subject.data.name}"
        return figures.latent_plane(model.decode(plane.points()), plane, title, path)

    def draw_scatter(path: Path) -> Path:
        title = subject.titled("latents")
        return figures.latent_scatter(*subject.shown, subject.data.classes, title, path)

    drawn: Figures = {"reconstructions.png": draw_reconstructions}
    if model.config["recipe"]["method"] == "denoising_autoencoder":
        drawn["denoising.png"] = draw_denoising
    if model.feature_dim >= 2:
        drawn |= {"latent_plane.png": draw_plane, "latent_scatter.png": draw_scatter}
    return drawn


def _reconstructions(subject: _Subject, directory: Path | None) -> tuple[Any, dict[str, Any]]:
    """Images, and their reconstructions: after each epoch as the run kept them, or by the model on other --data."""
    from zoo.training.plan import choose_examples
    from zoo.training.run_directory import read_reconstructions

    if directory and not subject.source and (kept := read_reconstructions(directory)):
        return kept
    images, model = choose_examples(subject.data), subject.model
    return images, {"reconstruction": model.decode(model.features(images))}


def _probe_figures(subject: _Subject) -> Figures:
    """The figures of a linear probe; none, and a message, if there are no labels, or too few for one."""
    from zoo.evaluation.protocol import probe_dataset
    from zoo.reports.figures import confusion_matrix, predictions_grid

    try:
        if subject.judged.labels is None:
            raise ZooError(f"{subject.data.name}: has no labels to fit a probe to")
        report = probe_dataset(subject.model, subject.data)
    except ZooError as error:
        click.echo(f"{' and '.join(_PROBE_FIGURES)} are left out: {error}", err=True)
        return {}
    (images, labels), classes = subject.judged, subject.data.classes
    guesses = report.predictions, [classes[i] for i in labels.tolist()], report.confidences
    title = f"{subject.model.name}\nlinear probe on {subject.kind} of {subject.data.name}"
    scored = f"{title}\n{100 * report.accuracy:.1f} % {report.judged_on}"
    return {
        "confusion.png": partial(confusion_matrix, report.confusion, classes, scored),
        "predictions.png": partial(predictions_grid, images, *guesses, title),
    }


def _require_absent(paths: Sequence[Path], overwrite: bool) -> None:
    existing = [str(path) for path in paths if path.exists()]
    if existing and not overwrite:
        raise ZooError(
            f"{', '.join(existing)}: exists already; choose another directory with --out, or replace with --overwrite"
        )


def _draw(figures: Figures, out: Path) -> list[str]:
    return [str(draw(out / name)) for name, draw in figures.items()]
