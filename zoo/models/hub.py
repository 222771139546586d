"""A model hub that speaks the protocol of huggingface_hub: what its addresses hold, and how to publish there.

The endpoint is `$HF_ENDPOINT`, else huggingface_hub's. The token is that of huggingface_hub: `$HF_TOKEN`, else the one
that `hf auth login` keeps. Downloads do not use its client, which neither checks files nor limits them, and which tries
an endpoint that does not answer for 24 s; they ask for the same URLs with the same token.
"""

import contextlib
import json
import os
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo.data.transfer import TransferError, read, stream
from zoo.errors import ZooError
from zoo.models.addresses import COMMIT, HubAddress
from zoo.models.cache import Origin

_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"
_ANSWER_LIMIT = 2**22  # bytes of what the hub says about a repository


def is_offline() -> bool:
    """Whether `HF_HUB_OFFLINE` forbids the use of the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def commit_of(address: HubAddress) -> str:
    """The commit that a revision denotes now.

    Raises:
        TransferError: if the hub cannot be reached, or has no such repository or revision.
    """
    if address.is_fixed:
        return address.revision
    url = f"{_endpoint()}/api/models/{address.repository}/revision/{urllib.parse.quote(address.revision, safe='')}"
    with _explained(address):
        answer = read(url, limit=_ANSWER_LIMIT, headers=_headers())
    try:
        commit = json.loads(answer)["sha"]
    except (ValueError, KeyError, TypeError, RecursionError):
        commit = None
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise TransferError(f"{address}: the answer of {_endpoint()} names no commit; is it a model hub?")
    return commit


def origin(address: HubAddress) -> Origin:
    """Where the files of a commit can be had; the revision of the address is one."""
    from huggingface_hub import hf_hub_url

    def url(name: str) -> str:
        return hf_hub_url(address.repository, name, revision=address.revision, endpoint=_endpoint())

    def receive(name: str, path: Path, limit: int) -> str:
        with _explained(address):
            return stream(url(name), path, limit=limit, headers=_headers(), resume=True)[1]

    def read_file(name: str, limit: int) -> bytes:
        with _explained(address):
            return read(url(name), limit=limit, headers=_headers())

    return Origin(str(address), read_file, receive)


def require_token(address: HubAddress) -> None:
    """Reject the attempt to publish without a network or a token.

    Raises:
        ZooError: if one of them is missing.
    """
    from huggingface_hub import get_token

    if is_offline():
        raise ZooError(f"{address}: cannot publish: HF_HUB_OFFLINE is set")
    if get_token() is None:
        raise ZooError(f"{address}: publishing needs a token with write access; {_LOG_IN}")


def files_of(address: HubAddress, commit: str) -> list[str]:
    """The paths of the files of a commit."""
    with _asked(address) as api:
        return api.list_repo_files(address.repository, revision=commit)


def tags_of(address: HubAddress) -> dict[str, str]:
    """The tags of a repository, with their commits."""
    with _asked(address) as api:
        return {tag.name: tag.target_commit for tag in api.list_repo_refs(address.repository).tags}


def create(address: HubAddress, private: bool) -> None:
    """Create a repository, unless it is there."""
    with _asked(address) as api:
        api.create_repo(address.repository, private=private or None, exist_ok=True)


def commit(
    address: HubAddress, files: Mapping[str, bytes], removed: Iterable[str], message: str, parent: str | None
) -> str:
    """Add and remove files in one commit, and return it; the last one if nothing changes.

    Args:
        address: the repository.
        files: their content by path.
        removed: paths of files that are there and go.
        message: of the commit.
        parent: the commit that it must follow; None for a new repository.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations = [
        *(CommitOperationAdd(path, data) for path, data in files.items()),
        *(CommitOperationDelete(path) for path in removed),
    ]
    with _asked(address) as api:
        return str(api.create_commit(address.repository, operations, commit_message=message, parent_commit=parent).oid)


def set_tags(address: HubAddress, commit: str, tags: Iterable[str]) -> None:
    """Give a commit tags; one that is there stays where it is."""
    with _asked(address) as api:
        for tag in tags:
            api.create_tag(address.repository, tag=tag, revision=commit, exist_ok=True)


@contextlib.contextmanager
def _asked(address: HubAddress) -> Iterator[Any]:
    """The client of huggingface_hub; its errors come as one line."""
    from huggingface_hub import HfApi, errors

    try:
        yield HfApi(endpoint=_endpoint(), library_name="funczoo")
    # Of its connections too, which have no class there; a ValueError is for names and metadata that are refused, a
    # RuntimeError, whose cause says more, or an OSError for a large file that could not be sent.
    except (errors.HTTPError, ValueError, RuntimeError, OSError) as error:  # pyright: ignore[reportPrivateImportUsage]
        error = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        response = getattr(error, "response", None)
        status = None if response is None else response.status_code
        refused = f"; the token may not write there: {_LOG_IN}" if status in (401, 403) else ""
        text = getattr(error, "server_message", None) or str(error) or type(error).__name__
        answer = f"HTTP {status}: " if status else ""
        raise ZooError(f"{address}: {answer}{' '.join(text.split())[:300]}{refused}") from None


def _endpoint() -> str:
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def _headers() -> Mapping[str, str]:
    from huggingface_hub import get_token

    token = get_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


@contextlib.contextmanager
def _explained(address: HubAddress) -> Iterator[None]:
    """Say what a refusal of the hub means."""
    try:
        yield
    except TransferError as error:
        reason = {
            "RevisionNotFound": f"the repository has no revision {address.revision!r}",
            "EntryNotFound": "the repository lacks a file of an encoder directory",
            "GatedRepo": f"ask for access at {_endpoint()}/{address.repository}, then {_LOG_IN}",
        }.get(error.code or "")
        if reason is None and error.status in (401, 403):
            reason = f"it does not exist, or is private and the token is missing or invalid; {_LOG_IN}"
        elif reason is None and error.status == 404:
            reason = f"no such repository; if it is private, {_LOG_IN}"
        detail = f"{reason} ({error})" if reason else str(error)
        raise TransferError(f"{address}: {detail}", error.status, error.code) from None
