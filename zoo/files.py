"""Files: paths that can be opened, JSON, atomic writes, and named tensors to and from safetensors."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from zoo.errors import ZooError, shortened
from zoo.errors import printable as printable

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

if TYPE_CHECKING:  # `zoo data list` needs paths, but no torch
    from torch import Tensor

_DEEPEST = 100  # levels of JSON
SEAL = "~seal"  # in the metadata of a sealed file: the SHA-256 of the file with 64 zeros in the place of the seal
_SEAL_STARTS = rb"\"~seal\": \""  # in the file, which has JSON within JSON; the last one, as names are sorted
_NO_SEAL = 64 * "0"


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


def write_atomically(path: str | Path, data: bytes | bytearray) -> None:
    """Write a file as in `writing_atomically`.

    Raises:
        OSError: if the file cannot be written; the error names it. An existing file keeps its content.
    """
    with writing_atomically(path) as file:
        file.write(data)


@contextlib.contextmanager
def writing_atomically(path: str | Path) -> Iterator[BinaryIO]:
    """A file to be written, completely or not at all, even if the process is killed or the disk is full.

    The bytes are written to `PATH.XXXXXXXX.part`, a new name for each attempt, and flushed to disk; the file is then
    renamed. Of two writers of one file, the last one wins. What killed processes left of earlier attempts is removed.

    Raises:
        OSError: if the file cannot be written; the error names it. An existing file keeps its content.
    """
    path = Path(path)
    try:
        _remove_abandoned(path)
        with _new_part(path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if os.name == "nt":
                file.close()  # Windows renames no open file
            os.replace(file.name, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # ENOSPC does not name the file
    _sync_directory(path.parent)


def parts_of(path: str | Path) -> list[Path]:
    """The unfinished files of processes that are writing this file, or were killed while they did."""
    path = Path(path)
    pattern = re.compile(re.escape(path.name) + r"\.[0-9a-f]{8}\.part")
    return [other for other in path.parent.iterdir() if pattern.fullmatch(other.name)]


@contextlib.contextmanager
def locked(path: Path, doing: str, *, patience: float = 0.2) -> Iterator[None]:
    """Hold a lock file, which has the process's id, and remove it afterwards. That of a process that died is no lock.

    Args:
        path: the lock file; its directory exists.
        doing: what the process does there, for the message to another one, as in "training".
        patience: seconds to wait for another process. Short ones are enough to read its id, which is written right
            after the lock was taken.

    Raises:
        ZooError: if another process holds the lock; the message has its id.
        OSError: if the file cannot be written.
    """
    from filelock import FileLock, Timeout

    lock, holder, deadline = FileLock(path), "", time.monotonic() + patience
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout as error:
            before, holder = holder, _first_line(path)
            if holder == before and time.monotonic() > deadline:
                who = f"process {holder}" if holder else "another process"
                raise ZooError(
                    f"{path.parent}: {who} is {doing} here; wait for it, stop it, or choose another directory"
                ) from error
        time.sleep(0.02)
    try:
        path.write_text(str(os.getpid()))
        yield
    finally:
        # While the lock is held: who opened the file before finds that it is gone, and opens the next one.
        with contextlib.suppress(OSError):  # Windows removes no open file
            path.unlink()
        lock.release()


def save_tensors(path: str | Path, flat: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Write named tensors and plain metadata to a safetensors file, atomically.

    Returns:
        The SHA-256 of the file. Equal tensors and metadata give identical files.

    Raises:
        ZooError: if the path is not UTF-8, as in `require_utf8`.
        OSError: as in `write_atomically`.
    """
    data = _serialized(path, flat, metadata)
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def save_sealed(path: str | Path, flat: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a file as `save_tensors` does, and seal it: its metadata hold a digest of every other byte.

    Raises:
        ZooError: as in `save_tensors`.
        OSError: as in `write_atomically`.
    """
    data = bytearray(_serialized(path, flat, {**metadata, SEAL: _NO_SEAL}))
    seal = hashlib.sha256(data).hexdigest().encode()
    start = _place_of_seal(data)
    data[start : start + len(seal)] = seal
    write_atomically(path, data)


def load_sealed(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the metadata of a file, after a check of its seal; without a seal, the metadata have no `SEAL`.

    No change of a single byte makes a sealed file one that never had a seal: its metadata keep other fields that only
    sealed files have, or cannot be read. The caller knows which they are.

    Raises:
        ZooError: as in `load_tensors`, and if a byte of the file is not what was written.
    """
    data = _bytes_of(path)
    if sealed := (start := _place_of_seal(data)) >= 0:
        view, end = memoryview(data), start + len(_NO_SEAL)
        sha = hashlib.sha256(view[:start])
        sha.update(_NO_SEAL.encode())
        sha.update(view[end:])
        sealed = sha.hexdigest().encode() == data[start:end]
    flat, metadata = read_tensors(data, path)
    if SEAL in metadata and not sealed:
        raise ZooError(f"{path}: its content is not what its seal says: the file is truncated or modified")
    return flat, metadata


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The named tensors and the metadata of a file; `{}` for a safetensors file that `save_tensors` did not write.

    Raises:
        ZooError: if the file is missing, truncated, or not a safetensors file.
    """
    return read_tensors(_bytes_of(path), path)


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


def _serialized(path: str | Path, flat: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bytes:
    """The bytes of a file of tensors; the path is checked before the work."""
    from safetensors.torch import save

    require_utf8(path)
    # Two names may share memory (an initial target network), which the format rejects: clone each tensor.
    tensors = {name: flat[name].detach().cpu().contiguous().clone() for name in sorted(flat)}
    # One metadata key: the format writes several keys in random order.
    return save(tensors, metadata={"funczoo": json.dumps(metadata, sort_keys=True)})


def _place_of_seal(data: bytes | bytearray) -> int:
    """Where the digits of the seal are in the bytes of a file; -1 if it has no seal."""
    found = data.rfind(_SEAL_STARTS, 0, 8 + int.from_bytes(data[:8], "little"))  # the length of the header comes first
    return found if found < 0 else found + len(_SEAL_STARTS)


def _bytes_of(path: str | Path) -> bytes:
    path = Path(path)
    require_utf8(path)
    if not path.is_file():
        raise ZooError(f"{path}: no such file")
    return path.read_bytes()


@contextlib.contextmanager
def _new_part(path: Path) -> Iterator[BinaryIO]:
    """A new file beside another, removed unless it was renamed. It is locked, by which others see that it is in use."""
    while True:
        part = path.with_name(f"{path.name}.{os.urandom(4).hex()}.part")
        try:
            with open(part, "xb") as file:
                with contextlib.suppress(OSError):  # of file systems without locks, where no part is ever removed
                    _lock(file, wait=True)
                if part.exists():  # else another process took it for abandoned before it was locked
                    yield file
                    return
        finally:
            with contextlib.suppress(OSError):
                part.unlink()


def _remove_abandoned(path: Path) -> None:
    """Remove the parts of processes that died. Those of living ones are locked; Windows removes no open file."""
    with contextlib.suppress(OSError):
        for part in parts_of(path):
            with contextlib.suppress(OSError), open(part, "r+b") as file:
                if os.name == "nt":
                    file.close()
                _lock(file, wait=False)
                part.unlink()


def _first_line(path: Path) -> str:
    with contextlib.suppress(OSError):
        return printable(path.read_text(errors="replace")[:20]).strip()
    return ""


def _lock(file: BinaryIO, *, wait: bool) -> None:
    """Lock an open file until it is closed.

    Raises:
        OSError: if another process has locked it and this one does not wait, or the file system has no locks.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


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
