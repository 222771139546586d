"""The model cache: encoder directories, each under the SHA-256 of its config.json, wherever they came from.

The cache is `$FUNCZOO_MODELS`, else `$XDG_CACHE_HOME/funczoo/models`, else `~/.cache/funczoo/models`:

    DIGEST/config.json, DIGEST/*.safetensors    an encoder; its digest pins all of it
    addresses/*.json                            what an address held when it was last looked up

A file is only ever moved here after its SHA-256 was checked. What changed since is found, named, and fetched again. One
process fetches an encoder while others wait for it; one that was killed leaves `*.part`, with which the next goes on.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from functional import random, tree
from zoo.data.transfer import LARGEST
from zoo.errors import ZooError
from zoo.files import expanded, write_atomically
from zoo.models.addresses import CONFIG_DIGEST, Address
from zoo.models.architectures import build_decoder, build_encoder
from zoo.models.code import Code
from zoo.models.configuration import parse_config
from zoo.models.pretrained import stored

CONFIG = "config.json"
CONFIG_LIMIT = 2**20  # bytes
_HEADER = 2**20  # bytes: the most that a safetensors file has beside its tensors
_LOCK = "lock"


class Origin(NamedTuple):
    """Where the files of an encoder can be had.

    Attributes:
        label: for messages.
        read: `(name, limit)` -> the bytes of a small file.
        receive: `(name, path, limit)` -> their SHA-256, after they were written to the path; a file that is there has
            the first of them.
    """

    label: str
    read: Callable[[str, int], bytes]
    receive: Callable[[str, Path, int], str]


class Weights(NamedTuple):
    """What a configuration says of a file of weights.

    Attributes:
        sha256: its SHA-256.
        limit: the most bytes that it can have.
    """

    sha256: str
    limit: int


def root() -> Path:
    """The directory of the cache, whether or not it exists."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return expanded(os.environ.get("FUNCZOO_MODELS") or f"{home}/funczoo/models")


def cached(config_sha256: str) -> Path | None:
    """The directory of an encoder, if all of its files are there and have the right SHA-256."""
    return None if lacking(config_sha256) else root() / config_sha256


def lacking(config_sha256: str) -> list[Path]:
    """The files of an encoder that are missing, truncated or modified; `config.json` alone if it is one of them."""
    directory = root() / config_sha256
    path = directory / CONFIG
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != config_sha256:
        return [path]
    config = json.loads(data)  # as it was when it was checked
    described = {"model.safetensors": config, "decoder.safetensors": config.get("decoder")}
    pinned = {directory / name: part["sha256"] for name, part in described.items() if part}
    return [path for path, sha256 in pinned.items() if _sha256(path) != sha256]


def store(config: bytes, origin: Origin, code: Code) -> Path:
    """Fetch the files that a configuration names and the cache lacks; returns their directory.

    Raises:
        ZooError: if the configuration is invalid, or a file cannot be had, is too large, or has another SHA-256.
        OSError: if the cache cannot be written.
    """
    sha256 = hashlib.sha256(config).hexdigest()
    weights = weights_of(parse_config(config, f"{origin.label}: {CONFIG}", code), code)
    directory = root() / sha256
    directory.mkdir(parents=True, exist_ok=True)
    with FileLock(directory / _LOCK):
        for path in filter(Path.is_file, lacking(sha256)):
            warnings.warn(f"{path}: truncated or modified since it was fetched; it is fetched again", stacklevel=2)
        for name, expected in weights.items():
            if _sha256(directory / name) != expected.sha256:
                _receive(origin, name, expected, directory)
        write_atomically(directory / CONFIG, config)
    return directory


def weights_of(config: dict[str, Any], code: Code) -> dict[str, Weights]:
    """The files of weights of an encoder directory, from its configuration."""
    architecture = config["architecture"]
    encoder = build_encoder(architecture["encoder"], architecture["in_channels"], architecture["options"], code)
    files = {"model.safetensors": Weights(config["sha256"], _largest(encoder, config["dtype"]))}
    if (decoder := config["decoder"]) is not None:
        layer = build_decoder(decoder["name"], encoder.feature_dim, architecture["in_channels"], decoder["options"])
        files["decoder.safetensors"] = Weights(decoder["sha256"], _largest(layer, config["dtype"]))
    return files


def remember(address: Address, record: dict[str, str]) -> None:
    """Keep what an address holds: `config_sha256`, and `commit` of a hub's."""
    if recall(address) == {"address": _plain(address), **record}:
        return  # the cache may be one that only others can write
    path = _record_path(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps({"address": _plain(address), **record}, indent=2) + "\n").encode())


def recall(address: Address) -> dict[str, str] | None:
    """What an address held when it was last looked up; None if that is not known."""
    try:
        record = json.loads(_record_path(address).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    valid = (
        isinstance(record, dict)
        and record.get("address") == _plain(address)
        and all(isinstance(value, str) for value in record.values())
        and CONFIG_DIGEST.fullmatch(record.get("config_sha256", ""))
    )
    return record if valid else None


def _receive(origin: Origin, name: str, expected: Weights, directory: Path) -> None:
    """Fetch one file, and move it to its place if it is the right one."""
    part = directory / f"{name}.part"
    for begun in (part.is_file(), False):
        if not begun:
            part.unlink(missing_ok=True)
        found = origin.receive(name, part, expected.limit)
        if found == expected.sha256:
            os.replace(part, directory / name)
            return
        size = part.stat().st_size
        part.unlink()
        if not begun:  # not spoilt by an older beginning
            raise ZooError(
                f"{origin.label}: {name}: got {size:,} bytes with SHA-256 {found[:12]}..., but {CONFIG} says "
                f"{expected.sha256[:12]}...; it was truncated or modified there or on the way, and was not kept"
            )


def _largest(network: Any, dtype: str) -> int:
    """The most bytes that a file with the weights of an encoder or decoder can have."""
    try:
        # On the meta device, where weights have a shape and no memory.
        weights = tree.leaves(stored(network.init(random.key(0, device="meta")), dtype))
    except (ValueError, RuntimeError):  # of sizes beyond any memory; loading it says which
        return LARGEST
    return min(LARGEST, _HEADER + sum(x.numel() * x.element_size() for x in weights))


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _record_path(address: Address) -> Path:
    return root() / "addresses" / f"{hashlib.sha256(_plain(address).encode()).hexdigest()[:32]}.json"


def _plain(address: Address) -> str:
    return str(address._replace(sha256=None))
