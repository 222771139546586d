"""The command `zoo export`."""

from pathlib import Path

import click

from zoo.commands.shared import as_json, code_option, model_argument, print_json, threads_option
from zoo.files import expanded


@click.command()
@click.argument("model")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE", help="Write a .onnx or a .pt2.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@code_option
@threads_option
@as_json
def export(model: str, out: Path, overwrite: bool, code: str | None, as_json: bool) -> None:
    """Export MODEL to one file for other programs.

    The file takes uint8 images, any number of them, and has the preprocessing inside: a .onnx for ONNX runtimes, a .pt2
    for torch without this package. It is loaded again and compared with MODEL before it gets its name.
    """
    from zoo.models.exporting import check_export, export
    from zoo.models.loading import load

    check_export(expanded(out), overwrite=overwrite)
    found = export(load(model_argument(model), code=code), out, overwrite=overwrite)
    if as_json:
        print_json({**found._asdict(), "path": str(found.path)})
        return
    about = found.metadata
    click.echo(f"{about['name']}: {about['input']} -> {about['output']}")
    click.echo(f"loaded again: features differ by {found.difference:.2g} at most, the largest is {found.largest:.3g}")
    click.echo(f"{found.path}, {found.bytes:,} bytes")
