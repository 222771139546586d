"""Files: paths that can be opened, JSON, atomic writes, and named tensors to and from safetensors."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError, shortened
from zoo.errors import printable as printable

if TYPE_CHECKING:  # `zoo data list` needs paths, but no torch
    from torch import Tensor

_DEEPEST = 100  # levels of JSON


def expanded(path: str | Path) -> Path:
    """A path of the user's with `~` replaced by a home directory.

    Raises:
        ZooError: if there is no such home directory, or the path has a null byte, which no file's name has.

    Example:
        >>> expanded("runs/mine")
        PosixPath('runs/mine')
    """
    if "\0" in str(path):
        raise ZooError(f"{printable(path)}: has a null byte, which no path can have")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ZooError(
            f"{printable(path)}: the home directory {Path(path).parts[0]} is not known; write the path out, or set HOME"
        ) from error


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text. A name twice in one object is refused: readers differ in which of the two they take.

    Raises:
        ZooError: if it is not JSON, has a name twice in one object, or is nested more than 100 deep.

    Example:
        >>> parse_json('{"epochs": 3}')
        {'epochs': 3}
    """
    try:
        value = json.loads(text, object_pairs_hook=_without_repetition)
    except ZooError:
        raise
    except (ValueError, RecursionError) as error:  # the former also for integers of more than 4,300 digits
        raise ZooError(f"not JSON ({error})") from error
    _refuse_depth(value)
    return value


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file completely or not at all, even if the process is killed or the disk is full.

    The bytes are written to `PATH.part` and flushed to disk; the file is then renamed. The next attempt overwrites a
    `.part` that was left behind.

    Raises:
        OSError: if the file cannot be written; the error names it. An existing file keeps its content.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error  # ENOSPC does not name the file
    _sync_directory(path.parent)


def save_tensors(path: str | Path, flat: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Write named tensors and plain metadata to a safetensors file, atomically.

    Returns:
        The SHA-256 of the file. Equal tensors and metadata give identical files.

    Raises:
        ZooError: if the path is not UTF-8, as in `require_utf8`.
        OSError: as in `write_atomically`.
    """
    from safetensors.torch import save

    require_utf8(path)
    # Two names may share memory (an initial target network), which the format rejects: clone each tensor.
    tensors = {name: flat[name].detach().cpu().contiguous().clone() for name in sorted(flat)}
    # One metadata key: the format writes several keys in random order.
    data = save(tensors, metadata={"funczoo": json.dumps(metadata, sort_keys=True)})
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The named tensors and the metadata of a file; `{}` for a safetensors file that `save_tensors` did not write.

    Raises:
        ZooError: if the file is missing, truncated, or not a safetensors file.
    """
    path = Path(path)
    require_utf8(path)
    if not path.is_file():
        raise ZooError(f"{path}: no such file")
    return read_tensors(path.read_bytes(), path)


def read_tensors(data: bytes, path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The named tensors and the metadata in the bytes of a file; the path is for messages.

    Raises:
        ZooError: as in `load_tensors`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
    except SafetensorError as error:
        raise ZooError(f"{path}: {_in_plain_words(data)} ({error})") from error
    length = int.from_bytes(data[:8], "little")  # of the header, which `load` has checked
    try:
        text = parse_json(data[8 : 8 + length]).get("__metadata__", {}).get("funczoo", "{}")
        if not isinstance(metadata := parse_json(text), dict):
            raise ZooError(f"expected an object, got {shortened(metadata)}")
    except ZooError as error:
        raise ZooError(f"{printable(path)}: metadata: {error}; write or download the file again") from error
    return tensors, metadata


def require_utf8(path: str | Path) -> None:
    """Reject a path that is not UTF-8, which the safetensors library cannot open.

    Raises:
        ZooError: if the path is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ZooError(
            f"{printable(path)}: expected a path in UTF-8, as safetensors files require; rename it or choose another"
        ) from error


def excerpt(text: str) -> str:
    r"""The start of a text from a file, as one line in quotes.

    Example:
        >>> excerpt("a\x1b[31m" + 99 * "b")
        "'a\\x1b[31mbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb...'"
    """
    return "'" + printable(text[:60]) + ("..." if len(text) > 60 else "") + "'"


def content_digest(flat: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, dtypes, shapes and bytes in sorted order, independent of the order of tensors in a file."""
    import torch

    sha = hashlib.sha256()
    for name in sorted(flat):
        x = flat[name].detach().cpu().contiguous()
        sha.update(f"{name} {x.dtype} {list(x.shape)}\n".encode())
        sha.update(x.flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        left = set(values)
        twice = next(name for name, _ in pairs if name not in left or left.remove(name))
        raise ZooError(f"not JSON that can be read: {shortened(twice)} stands twice in one object")
    return values


def _refuse_depth(value: Any) -> None:
    """Refuse what functions that call themselves could not walk."""
    level, depth = [value], 0
    while level := [x for inner in level for x in _members(inner)]:
        if (depth := depth + 1) > _DEEPEST:
            raise ZooError(f"not JSON that can be read: nested more than {_DEEPEST} deep")


def _members(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _sync_directory(directory: Path) -> None:
    """Make a rename durable. Some file systems cannot open a directory; the sync is then skipped."""
    with contextlib.suppress(OSError), _opened(directory) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _in_plain_words(data: bytes) -> str:
    head = data[:64]
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself; download the file with `git lfs pull`"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page saved as .safetensors; download the file itself"
    if not head:
        return "an empty file"
    return "a truncated or corrupt safetensors file, or one of another format; write or download it again"
