"""The user's own code: methods, encoders and augmentations from a Python file that the user names.

The file maps names to functions, and can also hold a `recipe` that uses them:

    methods = {"spectral": spectral}                # (encoder, *, views, ...) -> Method
    encoders = {"my_net": my_net}                   # (in_channels, *, ...) -> Encoder
    augmentations = {"my_crop": my_crop}            # (keys, images, *, ...) -> images

Only the user names code, by an argument or a command-line option. A recipe in JSON, a checkpoint and the configuration
of an encoder contain only names, so that no downloaded file can make this package run code.
"""

import hashlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from zoo.errors import ZooError
from zoo.files import expanded

KINDS = ("methods", "encoders", "augmentations")


class Code(NamedTuple):
    """Functions by the names that recipes use for them.

    Attributes:
        methods: `(encoder, *, views, ...) -> Method`.
        encoders: `(in_channels, *, ...) -> Encoder`.
        augmentations: `(keys, images, *, ...) -> images`.
        sha256: SHA-256 of the file that they come from; "" if there is none.
    """

    methods: Mapping[str, Callable[..., Any]] = {}
    encoders: Mapping[str, Callable[..., Any]] = {}
    augmentations: Mapping[str, Callable[..., Any]] = {}
    sha256: str = ""


NO_CODE = Code()


def read_code(code: Code | str | Path | None) -> Code:
    """The functions that a Python file defines. A `Code` is returned unchanged; None gives no functions.

    Raises:
        ZooError: if there is no such file, or a mapping in it does not have the form above.
    """
    if code is None or isinstance(code, Code):
        return code or NO_CODE
    return code_of(Path(code), run_file(code))


def run_file(path: str | Path) -> dict[str, Any]:
    """Run a Python file, and return its variables. The file can import others in its folder.

    Raises:
        ZooError: if there is no such file. Exceptions raised by the file itself are passed on unchanged.
    """
    path = expanded(path)
    if path.suffix != ".py" or not path.is_file():
        raise ZooError(f"{path}: expected a Python file that exists and ends in .py")
    name = f"funczoo_file_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # always true for a .py file
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.resolve().parent))
    return vars(module)


def code_of(path: Path, variables: Mapping[str, Any]) -> Code:
    """The functions among the variables of a file.

    Raises:
        ZooError: for a mapping that does not map names to functions.
    """
    found = {kind: variables.get(kind, {}) for kind in KINDS}
    found = {kind: value for kind, value in found.items() if not _is_module(value)}
    for kind, functions in found.items():
        if not isinstance(functions, Mapping):
            raise ZooError(f"{path}: {kind}: expected a dict of names and functions, got {type(functions).__name__}")
        for name, function in functions.items():
            if not isinstance(name, str) or not re.fullmatch("[a-z0-9_]+", name):
                raise ZooError(f"{path}: {kind}: expected names of a-z, 0-9 and _, got {name!r}")
            if not callable(function):
                raise ZooError(f"{path}: {kind}: {name!r}: expected a function, got {type(function).__name__}")
    sha256 = hashlib.sha256(expanded(path).read_bytes()).hexdigest()
    return Code(**found, sha256=sha256 if any(found.values()) else "")


def _is_module(value: Any) -> bool:
    """Whether a variable is a module, such as `functional.methods`, imported under the name of a mapping."""
    return isinstance(value, type(sys))
