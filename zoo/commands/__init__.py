"""The command `zoo`. It reads arguments, calls `zoo`, and prints; torch is imported only where it is needed.

Exit codes: 0 success; 1 a bug, an unfinished run, or a closed pipe; 2 bad input, with one line on stderr that says what
to do. Results go to stdout, as one JSON document with `--json`; progress and messages go to stderr. With `--json`, bad
input is reported as JSON too: the last line of stderr is `{"error": "..."}` and stdout is empty, so that stdout only
ever holds a result.
"""

import click

from zoo.commands.data import data_group
from zoo.commands.evaluation import cluster, compare, embed, knn, plot, probe
from zoo.commands.models import env, list_command, show
from zoo.commands.shared import Group
from zoo.commands.training import pretrain, resume

_EPILOG = """\b
Exit codes: 0 success, 1 a bug or an unfinished run, 2 bad input.
With --json, stdout is one JSON document. For bad input, stdout is
empty and the last line of stderr is {"error": "..."}."""


@click.group(cls=Group, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="funczoo", prog_name="zoo")
def main() -> None:
    """Load, probe and pretrain self-supervised image encoders."""


for command in (list_command, show, pretrain, resume, probe, knn, cluster, embed, plot, compare, env, data_group):
    main.add_command(command)
