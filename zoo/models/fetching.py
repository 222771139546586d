"""Encoders from elsewhere: looked up in the cache first, fetched into it, and pinned by digest and commit.

    an address             `zoo.models.addresses`
    a name of the zoo      whose weights do not come with the package: from its home, `$FUNCZOO_HUB`, which is
                           `hf://OWNER`, `https://HOST/DIRECTORY` or a directory, and holds NAME under its name

What never changes is never looked up again: a commit, a digest, a name of the zoo. A tag, a branch or a web address is
looked up each time; without a network, with a warning, it is what it was the last time.
"""

import hashlib
import os
import re
import shutil
import warnings
from pathlib import Path
from typing import NamedTuple

from zoo.data.transfer import TransferError, read, stream
from zoo.errors import ZooError
from zoo.files import expanded
from zoo.models import cache, hub
from zoo.models.addresses import Address, HubAddress, WebAddress, is_address, parse_address, parse_url
from zoo.models.cache import CONFIG, CONFIG_LIMIT, Origin
from zoo.models.code import NO_CODE, Code
from zoo.models.entries import Entry


class Fetched(NamedTuple):
    """An encoder in the cache.

    Attributes:
        directory: its directory.
        config_sha256: SHA-256 of its config.json.
        source: the pinned address that it came from.
    """

    directory: Path
    config_sha256: str
    source: str


def fetch(address: Address, code: Code = NO_CODE) -> Fetched:
    """The encoder of an address, from the cache if it is there.

    Args:
        address: what to fetch.
        code: the user's own code, if the encoder is from it.

    Raises:
        ZooError: if it cannot be had, is not what its digest says, or is no encoder directory.
        OSError: if the cache cannot be written.
    """
    if address.sha256 and (directory := cache.cached(address.sha256)):
        return Fetched(directory, address.sha256, str(address))
    known = cache.recall(address)
    if isinstance(address, HubAddress) and address.is_fixed and (found := _remembered(address, known)):
        return found
    if hub.is_offline():
        return _last_seen(address, known, "HF_HUB_OFFLINE is set")
    try:
        return _looked_up(address, known, code)
    except TransferError as error:
        if error.status is not None and error.status < 500:
            raise
        return _last_seen(address, known, str(error))


def fetch_named(entry: Entry, home: str | None = None, code: Code = NO_CODE) -> Fetched:
    """A model of the zoo, from the cache if it is there, or else from its home.

    Args:
        entry: the model.
        home: as at the top of this file; None for `$FUNCZOO_HUB`.
        code: as for `fetch`.

    Raises:
        ZooError: as in `fetch`, or if no home is named.
        OSError: if the cache cannot be written.
    """
    if directory := cache.cached(entry.config_sha256):
        return Fetched(directory, entry.config_sha256, entry.name)
    home = home or os.environ.get("FUNCZOO_HUB")
    if not home:
        raise ZooError(
            f"{entry.name}: its weights do not come with this package, and are not in the cache {cache.root()}; say "
            "where they are: `zoo pull NAME --from HOME`, or FUNCZOO_HUB=HOME, where HOME is hf://OWNER, "
            "https://HOST/DIRECTORY or a directory"
        )
    if is_address(home):
        return fetch(_at_home(home, entry), code)
    origin = directory_origin(expanded(home) / entry.name)
    return _stored(origin, entry.config_sha256, origin.label, code)


def config_tag(config_sha256: str) -> str:
    """The tag of the commit that holds a configuration: by it, a name of the zoo finds its own version for ever.

    Example:
        >>> config_tag("0123456789abcdef" * 4)
        'config-0123456789ab'
    """
    return f"config-{config_sha256[:12]}"


def directory_origin(directory: Path) -> Origin:
    """Where the files of an encoder directory on this machine can be had."""

    def checked(name: str, limit: int) -> Path:
        path = directory / name
        if not path.is_file():
            raise ZooError(f"{path}: no such file; an encoder directory holds {CONFIG} and the weights that it names")
        if (size := path.stat().st_size) > limit:
            raise ZooError(f"{path}: has {size:,} bytes, expected at most {limit:,}")
        return path

    def receive(name: str, path: Path, limit: int) -> str:
        shutil.copyfile(checked(name, limit), path)
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return Origin(str(directory), lambda name, limit: checked(name, limit).read_bytes(), receive)


def _looked_up(address: Address, known: dict[str, str] | None, code: Code) -> Fetched:
    """What an address holds now."""
    if isinstance(address, WebAddress):
        return _from_the_web(address, code)
    commit = hub.commit_of(address)
    if known and known["commit"] != commit:
        warnings.warn(f"{address}: was commit {known['commit'][:12]}, and is {commit[:12]} now", stacklevel=3)
    fixed = address._replace(revision=commit)
    found = _remembered(fixed, cache.recall(fixed))
    if found is None:
        found = _stored(hub.origin(fixed), address.sha256, str(fixed), code)
    for each in {fixed, address}:
        cache.remember(each, {"commit": commit, "config_sha256": found.config_sha256})
    return found


def _from_the_web(address: WebAddress, code: Code) -> Fetched:
    def receive(name: str, path: Path, limit: int) -> str:
        return stream(f"{address.url}/{name}", path, limit=limit, resume=True)[1]

    origin = Origin(address.url, lambda name, limit: read(f"{address.url}/{name}", limit=limit), receive)
    config = origin.read(CONFIG, CONFIG_LIMIT)
    sha256 = hashlib.sha256(config).hexdigest()
    found = _stored(origin, address.sha256, str(address._replace(sha256=sha256)), code, config)
    cache.remember(address, {"config_sha256": sha256})
    return found


def _stored(origin: Origin, expected: str | None, source: str, code: Code, config: bytes | None = None) -> Fetched:
    """An encoder from its origin, whose config.json must have the expected SHA-256."""
    config = origin.read(CONFIG, CONFIG_LIMIT) if config is None else config
    sha256 = hashlib.sha256(config).hexdigest()
    if expected not in (None, sha256):
        raise _other_digest(origin.label, sha256, expected)
    directory = cache.cached(sha256) or cache.store(config, origin, code)
    return Fetched(directory, sha256, source)


def _other_digest(label: str, found: str, expected: str | None) -> ZooError:
    return ZooError(
        f"{label}: {CONFIG} has SHA-256 {found[:12]}..., expected {(expected or '')[:12]}...; "
        "it is another encoder, or was truncated or modified"
    )


def _remembered(address: HubAddress, known: dict[str, str] | None) -> Fetched | None:
    """The encoder of a commit that the cache has."""
    if known is None or address.sha256 not in (None, known["config_sha256"]):
        return None
    directory = cache.cached(known["config_sha256"])
    return None if directory is None else Fetched(directory, known["config_sha256"], str(address._replace(sha256=None)))


def _last_seen(address: Address, known: dict[str, str] | None, why: str) -> Fetched:
    """What an address held when it was last looked up."""
    sha256 = address.sha256 or (known["config_sha256"] if known else None)
    damaged = [path for path in cache.lacking(sha256) if path.is_file()] if sha256 else []
    if damaged:
        raise ZooError(
            f"{damaged[0]}: truncated or modified since it was fetched from {address}, and cannot "
            f"be fetched again: {why}"
        )
    directory = sha256 and cache.cached(sha256)
    if not known or not sha256 or not directory:
        raise ZooError(f"{address}: not in the cache {cache.root()}, and cannot be fetched: {why}")
    if isinstance(address, HubAddress):
        fixed = address._replace(revision=known["commit"], sha256=None)
    else:
        fixed = address._replace(sha256=sha256)
    warnings.warn(f"{address}: {why}; using what it was when it was last looked up, {fixed}", stacklevel=3)
    return Fetched(directory, sha256, str(fixed))


def _at_home(home: str, entry: Entry) -> Address:
    """The address of a model in a home on the network."""
    if home.startswith("hf://"):
        owner = home.removeprefix("hf://").rstrip("/")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", owner):
            raise ZooError(f"expected hf://OWNER, whose repositories have the names of models, got {home!r}")
        repository = f"hf://{owner}/{entry.name}@{config_tag(entry.config_sha256)}"
        return parse_address(repository, entry.config_sha256)
    return WebAddress(f"{parse_url(home)}/{entry.name}", entry.config_sha256)
