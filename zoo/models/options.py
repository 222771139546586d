"""Options: keyword arguments from a recipe or a configuration, checked against the function that takes them.

The names, types and required arguments come from the function's signature, so that they are written down once. A value
of JSON fits an annotation as follows; any other annotation, or none, as in a user's own code, takes every value.

    int              an integer below 2**63; true and false are no numbers
    float            a finite number
    bool, str, None  true or false, a string, null
    Literal[...]     one of those values
    tuple[X, ...]    a list; tuple[X, X] a list of two
    X | Y            what fits either
    Schedule         a pair of a name and options, which `zoo.training.catalogue` checks
"""

import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeGuard, Union

from functional.base import Schedule
from zoo.errors import ZooError, shortened, unknown

Options = Mapping[str, Any]
_LARGEST = 2**63 - 1


class Expected(NamedTuple):
    """Values that fit an annotation.

    Attributes:
        fits: whether a value does.
        words: for a message: "expected ...".
    """

    fits: Callable[[Any], bool]
    words: str


def check_options(
    kind: str,
    known: Mapping[str, Callable[..., Any]],
    name: str,
    options: Options,
    *,
    not_options: tuple[str, ...] = (),
) -> None:
    """Look up a name and its options, and check their types, without calling anything.

    Args:
        kind: what the name denotes, for the message.
        known: functions by name; their keyword-only parameters are the options.
        name: the name to look up.
        options: the options to check.
        not_options: keyword-only parameters that are set elsewhere.

    Raises:
        ZooError: if a name or an option is unknown (similar ones are listed), an option is missing, or its type is
            another than the function's.

    Example:
        >>> from functional import encoders
        >>> check_options("encoder", {"resnet8": encoders.resnet8}, "resnet8", {"width": "4"})
        Traceback (most recent call last):
            ...
        zoo.errors.ZooError: encoder 'resnet8': width: expected an integer, got '4'
    """
    if name not in known:
        raise unknown(kind, name, known)
    parameters = inspect.signature(known[name]).parameters.values()
    wanted = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in not_options}
    annotations = annotations_of(known[name])
    for option, value in options.items():
        if option not in wanted:
            raise unknown(f"option of {kind} {name!r}:", option, wanted)
        check_value(f"{kind} {name!r}: {option}", value, annotations.get(option))
    for option, parameter in wanted.items():
        if parameter.default is parameter.empty and option not in options:
            raise ZooError(f"{kind} {name!r}: missing {option}")


def check_value(where: str, value: Any, annotation: Any) -> None:
    """Check that a value of JSON fits an annotation.

    Args:
        where: the start of the message.
        value: the value.
        annotation: a type, resolved; see the module docstring.

    Raises:
        ZooError: if it does not.
    """
    if not (expected := expectation(annotation)).fits(value):
        raise ZooError(f"{where}: expected {expected.words}, got {shortened(value)}")


def expectation(annotation: Any) -> Expected:
    """The values that fit an annotation, as in the module docstring.

    Example:
        >>> expectation(tuple[int, ...] | None).words
        'a list of integers or null'
    """
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return Expected(lambda value: value in list(arguments), " or ".join(map(repr, arguments)))
    if origin in (Union, types.UnionType):
        choices = [expectation(argument) for argument in arguments]
        return Expected(
            lambda value: any(choice.fits(value) for choice in choices), " or ".join(choice.words for choice in choices)
        )
    if origin is Mapping:
        return Expected(lambda value: isinstance(value, Mapping), "an object of options")
    if origin is tuple and arguments:
        item = expectation(arguments[0])
        count = None if arguments[-1] is Ellipsis else len(arguments)
        words = item.words.removeprefix("a finite ").removeprefix("an ").removeprefix("a ") + "s"
        return Expected(
            lambda value: (
                isinstance(value, list | tuple) and count in (None, len(value)) and all(map(item.fits, value))
            ),
            f"a list of {words}" if count is None else f"a list of {count} {words}",
        )
    return Expected(lambda _: True, "any value")


def annotations_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function, resolved; none if they cannot be, as may be in a user's own code."""
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}


def is_named(value: Any) -> TypeGuard[tuple[str, Mapping[str, Any]]]:
    """Whether an option is a pair of a name and options: a decoder or a schedule."""
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], Mapping)


def is_integer(value: Any) -> bool:
    """Whether a value of JSON is an integer that a tensor can hold."""
    return type(value) is int and abs(value) <= _LARGEST


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a finite number, or an integer that is one."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max  # NaN is not below it


_SIMPLE: dict[Any, Expected] = {
    int: Expected(is_integer, "an integer"),
    float: Expected(is_number, "a finite number"),
    bool: Expected(lambda value: isinstance(value, bool), "true or false"),
    str: Expected(lambda value: isinstance(value, str), "a string"),
    type(None): Expected(lambda value: value is None, "null"),
    Schedule: Expected(is_named, "a pair (schedule, options)"),
}
