"""The one exception for what a user can mend, what a command does with it, and what to say of an unknown name."""

import contextlib
import difflib
import json
import sys
from collections.abc import Iterable, Iterator


class ZooError(ValueError):
    """Bad input: the message says what was expected, what came, and what to do. The command line exits with 2."""


@contextlib.contextmanager
def exit_on_bad_input(*, as_json: bool = False) -> Iterator[None]:
    """For a command: an error that its user can mend becomes one line on stderr and exit code 2.

    That is a `ZooError`, or an `OSError` of a file. Anything else is a bug, and keeps its traceback.

    Args:
        as_json: write the line as `{"error": "..."}`.
    """
    try:
        yield
        return
    except ZooError as error:
        message = str(error)
    except OSError as error:
        message = f"{error.filename or 'file system'}: {error.strerror or error}"
    print(error_line(message, as_json=as_json), file=sys.stderr)
    sys.exit(2)


def error_line(message: str, *, as_json: bool) -> str:
    """What a command writes on stderr for an error."""
    return json.dumps({"error": message}) if as_json else f"zoo: {message}"


def unknown(kind: str, name: object, known: Iterable[str]) -> ZooError:
    """The error for a name that is not known, with the near ones listed, or all of them where none is near.

    Example:
        >>> str(unknown("method", "simclear", ["simclr", "byol"]))
        "unknown method 'simclear'; did you mean 'simclr'?"
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f"did you mean {_or(near)}?" if near else f"known: {', '.join(known)}"
    return ZooError(f"unknown {kind} {str(name)!r}; {hint}")


def _or(names: list[str]) -> str:
    return " or ".join(repr(name) for name in names)
