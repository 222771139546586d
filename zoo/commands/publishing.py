"""The commands that send and fetch encoders: `zoo publish`, `zoo pull`."""

import click

from zoo.commands.shared import as_json, code_option, model_argument, print_json


@click.command()
@click.argument("directory", metavar="DIRECTORY")
@click.option("--to", required=True, metavar="hf://OWNER/REPO|DIR", help="Repository or directory to publish to.")
@click.option("--tag", metavar="TAG", help="Tag of the commit, beside the one that names its configuration.")
@click.option("--private", is_flag=True, help="Create a repository that only its owner sees.")
@click.option("--license", metavar="NAME", help="Licence of the weights, such as apache-2.0, for a card without one.")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing.")
@code_option
@as_json
def publish(
    directory: str,
    to: str,
    tag: str | None,
    private: bool,
    license: str | None,
    dry_run: bool,
    code: str | None,
    as_json: bool,
) -> None:
    """Publish the encoder in DIRECTORY.

    It is loaded and checked first; its card must be complete. On a model hub, it becomes one commit with weights,
    configuration, card, results and pictures. The address to load it by is printed.
    """
    from zoo.models.publishing import publish

    done = publish(model_argument(directory), to, tag=tag, private=private, license=license, dry_run=dry_run, code=code)
    if as_json:
        print_json({**done._asdict(), "files": [file._asdict() for file in done.files], "sent": not dry_run})
        return
    if dry_run:
        width = max(len(file.path) for file in done.files)
        for file in done.files:
            click.echo(f"{file.path:{width}}  {file.bytes:>12,} bytes  {file.sha256}")
        tags = f", tags {', '.join(done.tags)}" if done.tags else ""
        click.echo(f"nothing was sent; without --dry-run, to {done.address}{tags}")
        return
    click.echo(done.address)


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="NAME|ADDRESS...")
@click.option(
    "--from", "home", metavar="HOME", help="Where the names are: hf://OWNER, https://... or a folder [$FUNCZOO_HUB]."
)
@code_option
@as_json
def pull(models: tuple[str, ...], home: str | None, code: str | None, as_json: bool) -> None:
    """Fetch encoders into the model cache.

    An ADDRESS is hf://OWNER/REPO, hf://OWNER/REPO@REVISION or https://HOST/DIRECTORY, perhaps with #sha256=DIGEST.
    Files are checked by their SHA-256; those in the cache are not fetched again.
    """
    from zoo.models.loading import pull

    found = {model: pull(model, home=home, code=code) for model in models}
    if as_json:
        print_json(
            {
                model: {"directory": str(f.directory), "config_sha256": f.config_sha256, "source": f.source}
                for model, f in found.items()
            }
        )
        return
    for model, fetched in found.items():
        source = "" if fetched.source == model else f"  {fetched.source}"
        click.echo(f"{model}  {fetched.directory}{source}")
