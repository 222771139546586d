"""What the commands share: options, the group class, and output."""

import functools
import importlib
import io
import itertools
import json
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from zoo.environment import wait_passively
from zoo.errors import ZooError, error_line, exit_on_bad_input, printable, unknown

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
skip_bad = click.option("--skip-bad", is_flag=True, help="Skip unreadable or truncated images.")
data_option = click.option(
    "--data",
    metavar="NAME|PATH",
    help="Dataset name, folder, .csv, .parquet, .npz or .safetensors [default: the recipe's].",
)
baselines_option = click.option(
    "--baselines", default="pixels,untrained", show_default=True, help="Baselines, comma-separated; '' for none."
)
code_option = click.option(
    "--code",
    type=click.Path(),
    metavar="FILE.py",
    help="Python file that defines your own encoder or method.",
)


# Images of fewer pixels are probed by one thread: measured on 8 x 8, a second one made probes 1.3 times slower; on
# 28 x 28 it saves time or costs none.
_PIXELS_FOR_THREADS = 16 * 16


def _use_threads(ctx: click.Context, param: click.Parameter, value: int | None) -> None:
    if value is None:
        return
    if value < 1:
        raise ZooError(f"--threads: expected 1 or more, got {value}")
    if "torch" not in sys.modules:
        os.environ["OMP_NUM_THREADS"] = str(value)  # for numpy and scikit-learn, which read it once
    ctx.meta["threads"] = value
    _set_threads(ctx, value)


def _set_threads(ctx: click.Context, n: int) -> None:
    import torch

    ctx.call_on_close(functools.partial(torch.set_num_threads, torch.get_num_threads()))
    torch.set_num_threads(n)


def _one_thread_where_two_do_not_pay(shape: tuple[int, int, int]) -> None:
    """Use one thread for small images, unless the user chose a number of threads."""
    ctx = click.get_current_context()
    if "threads" not in ctx.meta and "OMP_NUM_THREADS" not in os.environ and shape[1] * shape[2] < _PIXELS_FOR_THREADS:
        _set_threads(ctx, 1)


device_option = click.option(
    "--device", default="cpu", show_default=True, metavar="cpu|cuda", help="Device to train on."
)

threads_option = click.option(
    "--threads",
    type=int,
    metavar="N",
    expose_value=False,  # a command takes no argument for it
    callback=_use_threads,
    help="Compute with N threads [default: one per core; one thread to evaluate on images below 16 x 16 pixels].",
)


class Group(click.Group):
    """A group that reports bad input in one line with exit code 2; any other error keeps its traceback."""

    def main(self, args: Any = None, prog_name: str | None = None, *rest: Any, **extra: Any) -> Any:
        wait_passively()
        arguments = sys.argv[1:] if args is None else [str(argument) for argument in args]
        as_json = "--json" in itertools.takewhile(lambda argument: argument != "--", arguments)
        sys.stdout = sys.stdout or open(os.devnull, "w")  # closed, as by `2>&-`, and as some schedulers start programs
        sys.stderr = sys.stderr or open(os.devnull, "w")
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # file names need not be UTF-8
        try:
            with exit_on_bad_input(as_json=as_json):
                code = super().main(args, prog_name, *rest, **{**extra, "standalone_mode": False})
                sys.exit(code if isinstance(code, int) else 0)
        except click.Abort:
            click.echo("Aborted!", err=True)
            sys.exit(1)
        except click.ClickException as error:
            if as_json:
                click.echo(error_line(error.format_message(), as_json=True), err=True)
            else:
                shown = io.StringIO()
                error.show(shown)
                click.echo("\n".join(map(printable, shown.getvalue().splitlines())), err=True)
            sys.exit(error.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: click.echo(f"zoo: warning: {printable(str(message))}", err=True)
            return super().invoke(ctx)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in (names := self.list_commands(ctx)):
            raise unknown("command", args[0], names)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """A group that imports a command when it is asked for.

    Args:
        homes: command names with the module and the variable that hold each, as `"package.module:variable"`.
        settings: of the group.
    """

    def __init__(self, *, homes: Mapping[str, str], **settings: Any) -> None:
        super().__init__(**settings)
        self.homes = homes

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.homes:
            return None
        module, _, variable = self.homes[cmd_name].partition(":")
        return getattr(importlib.import_module(module), variable)


def model_and_data(
    model: str,
    data: str | None,
    skip_bad: bool,
    code: str | None = None,
    *,
    quiet: bool = False,
    or_all: bool = False,
) -> tuple[Any, Any, int]:
    """The encoder, the data to probe it with, and the number of images skipped for lack of a label.

    With `or_all`, images of which none has a label are all taken.
    """
    from zoo.data.sources import labelled_dataset
    from zoo.models.loading import load

    loaded = load(model_argument(model), code=code)
    _one_thread_where_two_do_not_pay(loaded.input_shape)
    dataset, left_out = labelled_dataset(
        data or loaded.config["recipe"]["dataset"], loaded.input_shape, skip_bad=skip_bad, or_all=or_all
    )
    if left_out and not quiet:
        click.echo(f"{dataset.name}: skipped {left_out:,} images without a label", err=True)
    return loaded, dataset, left_out


def model_argument(model: str) -> str | Path:
    """A directory, which needs no slash on the command line unless a model has the same name, or else a model name."""
    from zoo.models.entries import ENTRIES

    return Path(model) if Path(model).is_dir() and model not in ENTRIES else model


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=2))
