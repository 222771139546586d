"""The command `zoo`. It reads arguments, calls `zoo`, and prints; torch is imported only where it is needed.

Exit codes: 0 success; 1 a bug, an unfinished run, or a closed pipe; 2 bad input, with one line on stderr that says what
to do. Results go to stdout, as one JSON document with `--json`; progress and messages go to stderr. With `--json`, bad
input is reported as JSON too: the last line of stderr is `{"error": "..."}` and stdout is empty, so that stdout only
ever holds a result.
"""

import click

from zoo.commands.shared import LazyGroup

_EPILOG = """\b
Exit codes: 0 success, 1 a bug or an unfinished run, 2 bad input.
With --json, stdout is one JSON document. For bad input, stdout is
empty and the last line of stderr is {"error": "..."}."""
_HOMES = {
    "list": "zoo.commands.models:list_command",
    "show": "zoo.commands.models:show",
    "pretrain": "zoo.commands.training:pretrain",
    "resume": "zoo.commands.training:resume",
    "probe": "zoo.commands.evaluation:probe",
    "knn": "zoo.commands.evaluation:knn",
    "cluster": "zoo.commands.evaluation:cluster",
    "embed": "zoo.commands.evaluation:embed",
    "plot": "zoo.commands.plot:plot",
    "compare": "zoo.commands.evaluation:compare",
    "suggest": "zoo.commands.labelling:suggest",
    "fit": "zoo.commands.labelling:fit",
    "predict": "zoo.commands.labelling:predict",
    "report": "zoo.commands.labelling:report",
    "export": "zoo.commands.exporting:export",
    "publish": "zoo.commands.publishing:publish",
    "pull": "zoo.commands.publishing:pull",
    "verify": "zoo.commands.verifying:verify",
    "reproduce": "zoo.commands.verifying:reproduce",
    "card": "zoo.commands.verifying:card",
    "env": "zoo.commands.models:env",
    "data": "zoo.commands.data:data_group",
}


@click.group(cls=LazyGroup, homes=_HOMES, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="funczoo", prog_name="zoo")
def main() -> None:
    """Load, probe and pretrain self-supervised image encoders."""
