"""Files: atomic writes, named tensors to safetensors and back, and paths in one line of UTF-8."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from zoo.errors import ZooError


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write a file that is there whole or not at all, even if the process is killed or the disk is full.

    The bytes go to `PATH.part`, are flushed to disk, and then take the final name. The next attempt overwrites a
    `.part` that was left behind.

    Raises:
        OSError: if it cannot be written, with the file's name; what stood under the name before still stands.
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
        raise OSError(error.errno, error.strerror, str(path)) from error  # a full disk does not say of which file
    _sync_directory(path.parent)


def save_tensors(path: str | Path, flat: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Write named tensors and plain metadata to a safetensors file, atomically.

    Returns:
        The SHA-256 of the file. Equal tensors and metadata make equal files.

    Raises:
        ZooError: for a path that could not be read again, as `require_utf8` says.
        OSError: as `write_atomically`.
    """
    require_utf8(path)
    # Two names may share memory (a target network at its start), which the format refuses: each gets its own.
    tensors = {name: flat[name].detach().cpu().contiguous().clone() for name in sorted(flat)}
    # One metadata key: the format writes several in random order.
    data = save(tensors, metadata={"funczoo": json.dumps(metadata, sort_keys=True)})
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The named tensors and the metadata of a file that `save_tensors` wrote, or of any safetensors file (`{}`).

    Raises:
        ZooError: if it is missing, cut short, or not a safetensors file at all.
    """
    path = Path(path)
    require_utf8(path)
    if not path.is_file():
        raise ZooError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            text = (file.metadata() or {}).get("funczoo", "{}")
    except SafetensorError as error:
        raise ZooError(f"{path}: {_in_plain_words(path)} ({error})") from error
    return tensors, json.loads(text)


def require_utf8(path: str | Path) -> None:
    """Refuse a path that is not UTF-8: the format's library cannot open it.

    Raises:
        ZooError: which says so.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ZooError(
            f"{printable(path)}: expected a path in UTF-8, which safetensors files need; rename it, or choose another"
        ) from error


def printable(path: str | Path) -> str:
    r"""A path in one line of UTF-8, whatever bytes are in it.

    Example:
        >>> printable("a\nb")
        'a\\nb'
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def content_digest(flat: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes in sorted order: the same however a file lays its tensors out."""
    sha = hashlib.sha256()
    for name in sorted(flat):
        x = flat[name].detach().cpu().contiguous()
        sha.update(f"{name} {x.dtype} {list(x.shape)}\n".encode())
        sha.update(x.flatten().view(torch.uint8).numpy().data)
    return sha.hexdigest()


def _sync_directory(directory: Path) -> None:
    """Make a rename durable; some file systems cannot open a directory, and then nothing more can be done."""
    with contextlib.suppress(OSError), _opened(directory) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _in_plain_words(path: Path) -> str:
    with open(path, "rb") as file:
        head = file.read(64)
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page saved as .safetensors; download the file itself"
    if not head:
        return "an empty file"
    return "not a whole safetensors file; it was cut short or is of another format, so write or download it again"
