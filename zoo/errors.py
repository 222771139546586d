"""The exception for errors that a user can fix, how commands report it, and text that is safe to show."""

import contextlib
import difflib
import importlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_SHOWN = 80  # characters of a value in a message
_NAMED = 5  # names that a message lists


class ZooError(ValueError):
    """Bad input: the message says what was expected, what came, and what to do. The command line exits with 2."""


@contextlib.contextmanager
def exit_on_bad_input(*, as_json: bool = False) -> Iterator[None]:
    """Turn an error that the user of a command can fix into one line on stderr and exit code 2.

    Such an error is a `ZooError` or an `OSError`. Anything else is a bug and keeps its traceback.

    Args:
        as_json: whether to write the line as `{"error": "..."}`.
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
    """The line that a command writes to stderr for an error, without control characters, whatever the names in it."""
    message = printable(message)
    return json.dumps({"error": message}) if as_json else f"zoo: {message}"


def printable(path: str | Path) -> str:
    r"""A path or another text as one line of UTF-8 without control characters, whatever it contains.

    Example:
        >>> printable("a\nb")
        'a\\nb'
    """
    try:
        raw = os.fsencode(path)
    except UnicodeEncodeError:  # half a pair of UTF-16, as only JSON can hold it
        raw = os.fspath(path).encode("utf-8", "backslashreplace")
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def unknown(kind: str, name: object, known: Iterable[str]) -> ZooError:
    """The error for an unknown name. It lists similar names, or all known names if none is similar.

    Example:
        >>> str(unknown("method", "simclear", ["simclr", "byol"]))
        "unknown method 'simclear'; did you mean 'simclr'?"
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(name)[:_SHOWN], known, n=3, cutoff=0.5)
    hint = f"did you mean {_or(near)}?" if near else f"known: {', '.join(known)}"
    return ZooError(f"unknown {kind} {shortened(str(name))}; {hint}")


def require_packages(purpose: str, extra: str, *names: str) -> None:
    """Check that optional packages can be imported.

    Args:
        purpose: what they are needed for.
        extra: the extra of this package that installs them.
        names: the names of their modules.

    Raises:
        ZooError: if one of them cannot.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ZooError(f"{purpose}: {name} is missing ({error}); run `pip install 'funczoo[{extra}]'`") from error


def shortened(value: object) -> str:
    """A value as a message shows it: the first characters of its representation.

    Example:
        >>> shortened("x" * 1_000)
        "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..."
    """
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def first_few(names: Iterable[str], prefix: str = "") -> str:
    """The first few of many names, and how many more there are.

    Example:
        >>> first_few("abcdefgh")
        'a, b, c, d, e and 3 more'
    """
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(prefix + name for name in names[:_NAMED]) + more


def _or(names: list[str]) -> str:
    return " or ".join(repr(name) for name in names)
