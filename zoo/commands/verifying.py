"""The commands that check models: `zoo verify`, `zoo reproduce`, `zoo card`."""

import sys
from pathlib import Path

import click

from zoo.commands.shared import as_json, code_option, device_option, model_argument, print_json


@click.command()
@click.argument("models", nargs=-1, metavar="[NAME|DIRECTORY...]")
@click.option(
    "--metrics/--no-metrics",
    default=None,
    help="Measure the figures again [default: if the datasets are on this machine].",
)
@code_option
@as_json
def verify(models: tuple[str, ...], metrics: bool | None, code: str | None, as_json: bool) -> None:
    """Check that encoders are what they claim to be; all models of the zoo without a name.

    Digests of weights and configuration, the card against configuration and ledger, the features of a fixed image, and
    the figures of the weights that ship, measured again. The exit code is 1 if something does not verify.
    """
    from zoo.evaluation.verifying import verify
    from zoo.models.entries import list_models

    reports = []
    for model in models or list_models():
        reports.append(verify(model_argument(model), metrics=metrics, code=code))
        if not as_json:
            click.echo(reports[-1])
    if as_json:
        print_json([report.to_dict() for report in reports])
    sys.exit(any(not report.verified for report in reports))


@click.command()
@click.argument("model")
@click.option("--steps", type=int, metavar="N", help="Train the first N steps alone, and compare their losses.")
@click.option("--out", type=click.Path(path_type=Path), metavar="RUN", help="Keep the run here, and resume it.")
@device_option
@code_option
@as_json
def reproduce(model: str, steps: int | None, out: Path | None, device: str, code: str | None, as_json: bool) -> None:
    """Train MODEL again by its own configuration, and compare.

    Either the bits are identical, or the largest difference is printed, what differs between the machines, and whether
    a probe lies in the band of the training seeds. The exit code is 1 if the model was not reproduced.
    """
    from zoo.evaluation.reproducing import reproduce

    report = reproduce(model_argument(model), steps=steps, out=out, code=code, device=device, progress=True)
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(report)
    sys.exit(not report.reproduced)


@click.command()
@click.argument("model")
@as_json
def card(model: str, as_json: bool) -> None:
    """Print the card of MODEL; with --json, the metadata that model hubs read."""
    from zoo.errors import ZooError
    from zoo.models.loading import located
    from zoo.reports.card_metadata import read_card

    path = located(model_argument(model))[0] / "README.md"
    if not path.is_file():
        raise ZooError(f"{path}: no such file; `zoo.save` writes the card of an encoder")
    text = path.read_bytes().decode("utf-8", "replace")
    if as_json:
        print_json(read_card(text, str(path))[0])
    else:
        click.echo(text, nl=False)
