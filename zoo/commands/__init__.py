"""The command `zoo`. It reads arguments, calls `zoo`, and prints; torch is imported only where it is needed.

Exit codes: 0 done; 1 a bug, an unfinished run, or a pipe whose reader is gone; 2 bad input, with one line on stderr
that says what to do. Results go to stdout, `--json` makes them one JSON document; progress and messages go to stderr.
With `--json` bad input is JSON as well: the last line of stderr is `{"error": "..."}`, and stdout stays empty, so that
what is there is always a result.
"""

import click

from zoo.commands.data import data_group
from zoo.commands.evaluation import cluster, compare, embed, knn, plot, probe
from zoo.commands.models import env, list_command, show
from zoo.commands.shared import Group
from zoo.commands.training import pretrain, resume

_EPILOG = """\b
Exit codes: 0 done, 1 a bug or an unfinished run, 2 bad input.
With --json, stdout is one JSON document; for bad input it is empty,
and the last line of stderr is {"error": "..."}."""


@click.group(cls=Group, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="funczoo", prog_name="zoo")
def main() -> None:
    """Self-supervised image encoders: load by name, probe with a few labels, train again."""


for command in (list_command, show, pretrain, resume, probe, knn, cluster, embed, plot, compare, env, data_group):
    main.add_command(command)
