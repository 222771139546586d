"""The one exception for what a user can mend, and the words for a name that is not known."""

import difflib
from collections.abc import Iterable


class ZooError(ValueError):
    """Bad input: the message says what was expected, what came, and what to do. The command line exits with 2."""


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
