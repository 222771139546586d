"""The commands that describe models and this machine: `zoo list`, `zoo show`, `zoo env`."""

import json

import click

from zoo.commands.shared import as_json, code_option, model_argument, print_json


@click.command("list")
@as_json
def list_command(as_json: bool) -> None:
    """List the models that can be loaded by name."""
    from zoo.models.entries import ENTRIES

    if as_json:
        print_json([entry._asdict() for entry in ENTRIES.values()])
        return
    width = max((len(name) for name in ENTRIES), default=0)
    for name in sorted(ENTRIES):
        click.echo(f"{name:{width}}  {ENTRIES[name].summary}")


@click.command()
@click.argument("model")
@code_option
@as_json
def show(model: str, code: str | None, as_json: bool) -> None:
    """Show the configuration of MODEL and its results.

    MODEL is a name or a directory. The configuration has the architecture, recipe and digests, and what the bits of the
    weights need: the GPU, if they were trained on one, the processor and its instructions, threads, and torch.
    """
    from zoo.environment import last_environment
    from zoo.evaluation.verifying import read_results
    from zoo.models.loading import load, located
    from zoo.reports.cards import bits_need
    from zoo.reports.shipped import with_shipped
    from zoo.reports.tables import results_table

    loaded = load(model_argument(model), code=code)
    if as_json:
        print_json(loaded.config)
        return
    config = loaded.config
    click.echo(repr(loaded))
    click.echo(f"data      {config['dataset']['name']}, {config['dataset']['images']:,} images")
    click.echo(f"training  {config['training']['steps']:,} steps, {config['training']['seconds']:,.0f} s")
    click.echo(f"machine   {bits_need(last_environment(config))}")
    click.echo(f"sha256    {config['sha256']}")
    if "source" in config:
        click.echo(f"source    {config['source']}")
    click.echo("recipe")
    for name, value in config["recipe"].items():
        click.echo(f"  {name:18}{json.dumps(value)}")
    if ledger := read_results(located(model_argument(model))[0]):
        click.echo(f"\nlinear probes, accuracy in %\n\n{results_table(with_shipped(ledger))}")


@click.command()
@as_json
def env(as_json: bool) -> None:
    """Show versions, processor and threads.

    Bit-identical results depend on them.
    """
    from zoo.environment import environment

    values = environment()
    if as_json:
        print_json(values)
        return
    for name, value in values.items():
        click.echo(f"{name:16}{value}")
