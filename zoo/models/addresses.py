"""Addresses of encoders elsewhere.

    hf://OWNER/REPO[@REVISION][#sha256=DIGEST]        a repository of a model hub; a revision is a tag, branch or commit
    https://HOST/PATH[#sha256=DIGEST]                 a directory of any web server

The digest is the SHA-256 of the encoder's config.json, which has that of the weights: it pins everything. A commit
(40 hexadecimal digits) never changes; tags, branches and web servers may, so that what they hold is looked up again.
"""

import ipaddress
import re
import urllib.parse
from typing import NamedTuple

from zoo.errors import ZooError

CONFIG_DIGEST = re.compile(r"[0-9a-f]{64}")
COMMIT = re.compile(r"[0-9a-f]{40}")
MAIN = "main"  # the revision of an address without one
_EXAMPLES = "'hf://OWNER/REPO', 'hf://OWNER/REPO@REVISION' or 'https://HOST/DIRECTORY'"
# A name of a hub: what its client accepts, in one part.
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_REVISION = r"[A-Za-z0-9](?:[A-Za-z0-9._/+-]{0,254}[A-Za-z0-9])?"


class HubAddress(NamedTuple):
    """A repository of a model hub.

    Attributes:
        repository: `OWNER/REPO`.
        revision: a tag, branch or commit.
        sha256: SHA-256 of config.json; None if the address has none.
    """

    repository: str
    revision: str = MAIN
    sha256: str | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether it denotes the same files for ever."""
        return COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        return f"hf://{self.repository}@{self.revision}{_fragment(self.sha256)}"


class WebAddress(NamedTuple):
    """A directory of a web server.

    Attributes:
        url: its URL, without a slash at the end.
        sha256: SHA-256 of config.json; None if the address has none.
    """

    url: str
    sha256: str | None = None

    def __str__(self) -> str:
        return f"{self.url}{_fragment(self.sha256)}"


Address = HubAddress | WebAddress


def is_address(text: object) -> bool:
    """Whether a text is meant as an address, and not as a name or a path.

    Example:
        >>> is_address("hf://owner/repo"), is_address("./directory")
        (True, False)
    """
    return isinstance(text, str) and "://" in text


def parse_address(text: str, sha256: str | None = None) -> Address:
    """The address in a text.

    Args:
        text: as at the top of this file.
        sha256: the digest, if it is not in the text.

    Raises:
        ZooError: if it is not an address of these forms.

    Example:
        >>> parse_address("hf://owner/simclr@v1")
        HubAddress(repository='owner/simclr', revision='v1', sha256=None)
        >>> str(parse_address("https://example.org/models/simclr/", sha256="0" * 64))[:53]
        'https://example.org/models/simclr#sha256=000000000000'
    """
    address, _, fragment = text.partition("#")
    if fragment:
        if not fragment.startswith("sha256="):
            raise ZooError(f"{_shown(text)}: expected '#sha256=' and 64 hexadecimal digits after the address")
        if sha256 not in (None, fragment.removeprefix("sha256=")):
            raise ZooError(f"{_shown(text)}: has another digest than sha256={sha256}; pass one of the two")
        sha256 = fragment.removeprefix("sha256=")
    if sha256 is not None and not CONFIG_DIGEST.fullmatch(sha256):
        raise ZooError(f"{_shown(text)}: sha256: expected 64 hexadecimal digits of config.json, got {_shown(sha256)}")
    if address.startswith("hf://"):
        return _hub_address(address, sha256)
    return WebAddress(parse_url(address), sha256)


def parse_url(text: str) -> str:
    """A URL of a web server without a slash at the end.

    Raises:
        ZooError: if it is another kind of address, has a user name, a query or `..`, or is not encrypted and of another
            machine than this one.
    """
    try:
        parts = urllib.parse.urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urllib.parse.urlsplit("")
    if parts.scheme not in ("https", "http") or not host or not re.fullmatch(r"[!-~]+", text):
        raise ZooError(f"expected {_EXAMPLES}, got {_shown(text)}")
    if parts.scheme == "http" and not _is_this_machine(host):
        raise ZooError(f"expected an encrypted connection, https://{host}/..., got {_shown(text)}")
    if parts.username is not None or parts.query or ".." in parts.path.split("/"):
        raise ZooError(f"https://{host}: expected an address without user name, query and '..'")
    return text.rstrip("/")


def _hub_address(text: str, sha256: str | None) -> HubAddress:
    found = re.fullmatch(rf"hf://({_NAME}/{_NAME})(?:@({_REVISION}))?", text)
    if found is None or ".." in text:
        raise ZooError(f"expected 'hf://OWNER/REPO' or 'hf://OWNER/REPO@REVISION', got {_shown(text)}")
    return HubAddress(found[1], found[2] or MAIN, sha256)


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _fragment(sha256: str | None) -> str:
    return f"#sha256={sha256}" if sha256 else ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:200]}...")
