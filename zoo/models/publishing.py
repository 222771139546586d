"""Publish encoder directories: to a model hub in one commit, or to another directory.

What is sent is what was loaded and checked: weights, decoder, config.json, the card README.md, results.json, pictures,
and the results of the card in the form that hubs read, `.eval_results`. A card that leaves out what a reader has to
know is refused. A repository or directory that holds anything else, or another encoder, is left alone.

On a hub, the commit has the tag `config-` and the first digits of the SHA-256 of config.json, by which a model of the
zoo is found under its name even after the repository has moved on; and a tag of the user's choice.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoo.data.transfer import TransferError
from zoo.errors import ZooError
from zoo.files import expanded, write_atomically
from zoo.models import hub
from zoo.models.addresses import HubAddress, is_address, parse_address
from zoo.models.cache import CONFIG, CONFIG_LIMIT
from zoo.models.code import Code
from zoo.models.fetching import config_tag
from zoo.models.loading import load, located
from zoo.models.pretrained import fingerprint
from zoo.reports.card_metadata import EVAL_RESULTS, evaluation_results, require_publishable, with_license

CARD = "README.md"
_KINDS = re.compile(
    r"(config\.json|model\.safetensors|decoder\.safetensors|README\.md|results\.json"
    r"|pictures/[^/]+\.png|\.eval_results/[^/]+\.yaml)"
)
_PART = re.compile(r"\.[0-9a-f]{8}\.part$")  # of a process that was killed while it wrote here
_OF_THE_HUB = ".gitattributes"  # which a hub puts into every repository
_CLOSE = 1e-3  # machines agree on a fingerprint to about 1e-4
_TAG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")


class SentFile(NamedTuple):
    """A file of a published encoder.

    Attributes:
        path: relative to the encoder directory.
        bytes: its size.
        sha256: its SHA-256.
    """

    path: str
    bytes: int
    sha256: str


class Published(NamedTuple):
    """What was published, or would be.

    Attributes:
        address: what to load it by: `hf://OWNER/REPO@COMMIT`, or the directory; without the commit for a dry run.
        config_sha256: SHA-256 of its config.json, which pins everything.
        tags: the tags of the commit.
        files: what was sent.
    """

    address: str
    config_sha256: str
    tags: tuple[str, ...]
    files: tuple[SentFile, ...]


def publish(
    directory: str | Path,
    to: str | Path,
    *,
    tag: str | None = None,
    private: bool = False,
    license: str | None = None,
    dry_run: bool = False,
    code: Code | str | Path | None = None,
) -> Published:
    """Publish an encoder directory, after it was loaded and checked.

    Args:
        directory: an encoder directory, a finished run, or the name of a model of the zoo.
        to: `hf://OWNER/REPO`, created if it does not exist, or a directory of its own.
        tag: a tag of the commit on a hub.
        private: create a repository that only its owner sees.
        license: licence of the weights by its name on the Hub, such as "apache-2.0", for a card that states none.
        dry_run: send nothing and ask nobody.
        code: the Python file that defines the encoder, if it is your own (`zoo.models.code`).

    Raises:
        ZooError: if the encoder does not load, its card is not fit to be published, the destination holds something
            else, the tag is taken, or the hub refuses it.
        OSError: if a directory cannot be written.

    Example:
        >>> import zoo
        >>> would = zoo.publish("simclr-resnet8-digits", "hf://owner/simclr-resnet8-digits", tag="v1", dry_run=True)
        >>> would.tags
        ('config-68a96e9bd355', 'v1')
    """
    files = _checked_files(directory, license, code)
    config_sha256 = hashlib.sha256(files[CONFIG]).hexdigest()
    sent = tuple(SentFile(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in files.items())
    if not is_address(to):
        _require_no_options(tag, private)
        target = expanded(to)
        _require_own(target, config_sha256)
        if not dry_run:
            _copy(files, target, config_sha256)
        return Published(str(target), config_sha256, (), sent)
    address = parse_address(str(to))
    if not isinstance(address, HubAddress) or str(to).count("@") or address.sha256:
        raise ZooError(f"publish: expected hf://OWNER/REPO or a directory, got {str(to)!r}")
    if tag is not None and not _TAG.fullmatch(tag):
        raise ZooError(f"--tag: expected letters, digits, '.', '_' and '-', at most 100, got {tag!r}")
    own_tag = config_tag(config_sha256)
    tags = (own_tag,) if tag in (None, own_tag) else (own_tag, tag)
    if dry_run:
        return Published(f"hf://{address.repository}", config_sha256, tags, sent)
    commit = _send(files, address, tags, private)
    return Published(str(address._replace(revision=commit)), config_sha256, tags, sent)


def _checked_files(directory: str | Path, license: str | None, code: Code | str | Path | None) -> dict[str, bytes]:
    """The files of an encoder directory that are published, by their paths in it."""
    root, _ = located(directory)
    if not (root / CONFIG).is_file():
        raise ZooError(f"{root}: not an encoder directory: it has no {CONFIG}")
    files = {path: _read(root, path) for path in sorted(_contents(root)) if _KINDS.fullmatch(path)}
    model = load(directory, code=code, sha256=hashlib.sha256(files[CONFIG]).hexdigest())
    pinned = {"model.safetensors": model.config, "decoder.safetensors": model.config["decoder"]}
    for path, described in pinned.items():
        if described is None:
            files.pop(path, None)  # left there by an older encoder
        elif hashlib.sha256(files.get(path, b"")).hexdigest() != described["sha256"]:
            raise ZooError(f"{root / path}: was modified while it was read; publish it again")
    known = model.config.get("fingerprint")
    if not isinstance(known, list) or not _are_close(fingerprint(model), known):
        raise ZooError(f"{root}: on the fixed image the encoder gives other features than {CONFIG} says; save it again")
    if CARD not in files:
        raise ZooError(f"{root}: has no card {CARD}; `zoo.save` writes one")
    card, where = files[CARD].decode("utf-8", "replace"), str(root / CARD)
    if license is not None:
        card = with_license(card, license, where)
        files[CARD] = card.encode()
    require_publishable(card, where)
    if (results := evaluation_results(card, where)) is not None:
        files[EVAL_RESULTS] = results.encode()
    return files


def _contents(root: Path) -> set[str]:
    """The paths of all files in a directory, relative to it."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}


def _read(root: Path, path: str) -> bytes:
    if any((root / part).is_symlink() for part in (path, Path(path).parent)):
        raise ZooError(f"{root / path}: is a link, which may lead to what was not meant to be published; copy the file")
    return (root / path).read_bytes()


def _are_close(found: Sequence[float], known: Sequence[Any]) -> bool:
    return len(found) == len(known) and all(
        isinstance(b, int | float) and abs(a - b) <= _CLOSE * max(1.0, abs(a))
        for a, b in zip(found, known, strict=True)
    )


def _require_no_options(tag: str | None, private: bool) -> None:
    if tag is not None or private:
        raise ZooError("--tag and --private: only a repository hf://OWNER/REPO has tags and owners")


def _require_own(target: Path, config_sha256: str) -> None:
    """Reject a directory that holds anything but this encoder."""
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise ZooError(f"{target}: exists and is not a directory; choose another")
    contents = {path for path in _contents(target) if not _PART.search(path)}
    _require_known_files(contents, str(target))
    if contents:
        there = (target / CONFIG).read_bytes() if CONFIG in contents else b""
        if hashlib.sha256(there).hexdigest() != config_sha256:
            raise ZooError(f"{target}: holds another encoder; choose another directory, or move it away")


def _require_known_files(paths: Iterable[str], where: str) -> None:
    if foreign := sorted(path for path in paths if not _KINDS.fullmatch(path) and path != _OF_THE_HUB):
        raise ZooError(
            f"{where}: holds {foreign[0]!r}, which is not part of an encoder; choose a place of its own, so that "
            "nothing is mixed or overwritten"
        )


def _copy(files: Mapping[str, bytes], target: Path, config_sha256: str) -> None:
    """Write files to a directory: a new one appears at once; of one that holds this encoder, only the rest changes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or not any(target.iterdir()):
        part = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.part"
        try:
            _write(files, part)
            os.rename(part, target)
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):  # else another process was faster
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
        _require_own(target, config_sha256)
    _write(files, target)
    for path in _contents(target) - files.keys():
        (target / path).unlink()


def _write(files: Mapping[str, bytes], directory: Path) -> None:
    for path, data in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(directory / path, data)


def _send(files: Mapping[str, bytes], address: HubAddress, tags: Sequence[str], private: bool) -> str:
    """Send files to a repository in one commit with tags; returns the commit."""
    hub.require_token(address)
    try:
        head = hub.commit_of(address)
    except TransferError as error:
        if error.status not in (401, 403, 404):  # those of a repository that does not exist yet
            raise
        head = None
    if head is not None:
        there = hub.files_of(address, head)
        _require_known_files(there, str(address))
        _require_same_name(files, address._replace(revision=head), there)
        for tag, commit in hub.tags_of(address).items():
            if tag in tags and _config_of(address._replace(revision=commit)) != files[CONFIG]:
                raise ZooError(f"{address}: the tag {tag!r} is taken by commit {commit}; choose another")
        removed = sorted(set(there) - files.keys() - {_OF_THE_HUB})
    else:
        removed = []
        hub.create(address, private)
    name = json.loads(files[CONFIG])["name"]
    commit = hub.commit(
        address, files, removed, f"{name} ({config_tag(hashlib.sha256(files[CONFIG]).hexdigest())})", head
    )
    hub.set_tags(address, commit, tags)
    return commit


def _require_same_name(files: Mapping[str, bytes], address: HubAddress, there: Iterable[str]) -> None:
    if CONFIG not in there:
        return
    try:
        name = json.loads(_config_of(address))["name"]
    except (ValueError, KeyError, TypeError, RecursionError):
        name = None
    if name != (own := json.loads(files[CONFIG])["name"]):
        raise ZooError(f"hf://{address.repository}: holds the encoder {name!r}, not {own!r}; choose another repository")


def _config_of(address: HubAddress) -> bytes:
    return hub.origin(address).read(CONFIG, CONFIG_LIMIT)
