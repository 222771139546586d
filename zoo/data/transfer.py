"""Receive a file over HTTP within bounds: no server can fill the disk, or keep a program waiting for ever.

A transfer has a limit in bytes, and may take `GRACE` seconds plus those that its bytes need at `SLOWEST` bytes per
second; then its connections are shut, whatever they are waiting for (name look-ups excepted). A connection that breaks
goes on where it stopped if the server knows the header Range. An overloaded server, status 429 or 5xx, is asked once
more, after the time that it names. Every failure is a `TransferError`, one line that begins with the URL.
"""

import contextlib
import email.utils
import errno
import hashlib
import http
import http.client
import io
import os
import re
import socket
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from tqdm import tqdm

from zoo.errors import ZooError

GRACE = 60.0  # seconds
SLOWEST = 16 * 1024  # bytes per second
LARGEST = 4 * 2**30  # bytes of a file whose size nobody knows
_CONNECTING = 5.0  # seconds until a server that does not answer counts as unreachable
_WAIT = 30.0  # the longest that a server may ask to wait, in seconds
_PIECE = 1 << 16

T = TypeVar("T")


class TransferError(ZooError):
    """A file that could not be received.

    Attributes:
        status: the HTTP status of the answer; None if there was none.
        code: the server's own name for the error (the header X-Error-Code of model hubs), if it sent one.
    """

    def __init__(self, message: str, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def stream(
    url: str,
    path: Path,
    *,
    limit: int = LARGEST,
    timeout: float = 30.0,
    headers: Mapping[str, str] | None = None,
    resume: bool = False,
) -> tuple[int, str]:
    """Download a URL to a file; returns the number of its bytes and their SHA-256.

    Args:
        url: an address of HTTP.
        path: the file, replaced if it exists.
        limit: the most bytes that it may have.
        timeout: seconds without data after which a connection is abandoned.
        headers: of the request; Authorization is only sent to the host of the URL, not where it redirects.
        resume: keep the bytes that the file has and ask for the others.

    Raises:
        TransferError: if it cannot be received, or has more bytes. The file keeps what came.
        OSError: if the file cannot be written; the error names it.
    """
    try:
        with open(path, "r+b" if resume and path.is_file() else "w+b") as file:
            _receive(url, file, limit, timeout, headers or {}, path.name.removesuffix(".part"))
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return file.tell(), digest
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # ENOSPC does not name the file


def read(url: str, *, limit: int, timeout: float = 30.0, headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a small file at a URL; the arguments and errors are those of `stream`."""
    file = io.BytesIO()
    _receive(url, file, limit, timeout, headers or {}, None)
    return file.getvalue()


def _receive(
    url: str, file: BinaryIO, limit: int, timeout: float, headers: Mapping[str, str], label: str | None
) -> None:
    """Append the bytes of a URL to a file that holds the first of them, or none."""
    furthest, patience = file.seek(0, os.SEEK_END), 1  # a failure that brings no new byte is forgiven once
    with (
        _Watch() as watch,
        tqdm(desc=label, initial=furthest, unit="B", unit_scale=True, disable=None if label else True) as bar,
    ):
        while True:
            try:
                with _opened(watch, url, headers, file.tell(), timeout) as response:
                    _copy(response, url, file, limit, watch, bar)
                if not watch.expired:  # a connection that is shut may look like the end of a header or of the body
                    return
                raise TransferError(f"{url}: {watch.in_words()}")
            except _Broken as error:
                if watch.expired:
                    raise TransferError(f"{url}: {watch.in_words()}") from None
                position = file.tell()
                if position <= furthest:
                    if not patience or error.final:
                        raise TransferError(f"{url}: {error}", error.status, error.code) from None
                    patience -= 1
                    if error.status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                        file.seek(0)
                        file.truncate()
                    watch.pause(error.wait)
                furthest = max(furthest, position)


def _copy(response: Any, url: str, file: BinaryIO, limit: int, watch: "_Watch", bar: tqdm) -> None:
    """Append the body of a response, which must be what was asked for and within the limit."""
    asked = file.tell()
    start = _first_byte(response, asked)
    if start != asked:  # the whole file, or a part that does not fit
        if start:
            raise _Broken(f"answered with bytes from {start:,}, not from {asked:,}", final=True)
        file.seek(0)
        file.truncate()
    length = response.length  # None without Content-Length
    total = None if length is None else start + length
    bar.total, bar.n = total, start
    if total is not None and total > limit:
        raise TransferError(f"{url}: has {total:,} bytes, expected at most {limit:,}; nothing was downloaded")
    while piece := _broken_if_it_fails(response.read1, _PIECE):
        watch.received += len(piece)
        if file.tell() + len(piece) > limit:
            raise TransferError(f"{url}: sends more than the {limit:,} bytes expected at most; it was stopped")
        file.write(piece)
        bar.update(len(piece))
    if total is not None and file.tell() < total:
        raise _Broken(f"the connection broke after {file.tell():,} of {total:,} bytes; it was truncated or modified")


def _first_byte(response: Any, asked: int) -> int:
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    found = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else asked


class _Broken(Exception):
    """A failure after which the file can be asked for again, unless it is final."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        wait: float = 0.0,
        final: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.wait, self.final = status, code, wait, final


@contextlib.contextmanager
def _opened(watch: "_Watch", url: str, headers: Mapping[str, str], start: int, timeout: float) -> Iterator[Any]:
    """The response to a request for the bytes of a URL from a position on."""
    request = urllib.request.Request(url, headers={"User-Agent": "funczoo", **headers})
    if start:
        request.add_header("Range", f"bytes={start}-")
    response = _broken_if_it_fails(_opener(watch).open, request, timeout=timeout)
    with contextlib.closing(response):
        yield response


def _broken_if_it_fails(call: Callable[..., T], *args: Any, **options: Any) -> T:
    """What a call returns that reads from the network; its errors in words that do not hold the connection open."""
    try:
        return call(*args, **options)
    except urllib.error.HTTPError as error:
        error.close()
        raise _refusal(error.code, error.headers) from None
    except urllib.error.URLError as error:
        raise _Broken(f"cannot be reached ({_in_words(error.reason)})", final=True) from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # the latter for malformed lengths
        raise _Broken(_in_words(error)) from None


def _refusal(status: int, headers: Any) -> _Broken:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    words, code = f"HTTP {status} {phrase}".strip(), headers.get("X-Error-Code")
    if status == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return _Broken(words, status=status)
    if status != http.HTTPStatus.TOO_MANY_REQUESTS and status < 500:
        return _Broken(words, status=status, code=code, final=True)
    wait = _seconds(headers.get("Retry-After"))
    if wait > _WAIT:
        return _Broken(f"{words}; the server asks to wait {wait:,.0f} s: try again then", status=status, final=True)
    return _Broken(f"{words}, twice; try again later", status=status, code=code, wait=wait)


def _seconds(retry_after: str | None) -> float:
    """The time to wait that a server names, in seconds or as a date; one second if it names none."""
    if retry_after is None:
        return 1.0
    if re.fullmatch(r"\d{1,9}", retry_after.strip()):
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 1.0


def _in_words(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:200]


class _Watch:
    """Shuts the connections of a transfer that takes longer than the bytes that it received need."""

    def __init__(self) -> None:
        self.received, self.expired = 0, False
        self._start, self._sockets = time.monotonic(), []
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._thread.join()
        for connection in self._sockets:
            connection.close()

    def in_words(self) -> str:
        """Why it expired."""
        elapsed = time.monotonic() - self._start
        return f"sent {self.received:,} bytes in {elapsed:,.0f} s, which is too slow; it was stopped, try again later"

    def connect(self, address: Any, timeout: float, source_address: Any = None) -> socket.socket:
        """A connection that is shut when the transfer expires; in place of `socket.create_connection`."""
        connection = socket.create_connection(address, min(timeout, _CONNECTING), source_address)
        connection.settimeout(timeout)
        self._sockets.append(connection.dup())  # TLS takes the connection over, and urllib closes it
        if self.expired:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        return connection

    def pause(self, seconds: float) -> None:
        """Wait, and do not count it."""
        time.sleep(seconds)
        self._start += seconds

    def _watch(self) -> None:
        while (left := self._start + GRACE + self.received / SLOWEST - time.monotonic()) > 0:
            if self._finished.wait(left):
                return
        self.expired = True
        for connection in list(self._sockets):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _opener(watch: _Watch) -> urllib.request.OpenerDirector:
    """Opens http and https, and nothing else, by connections that are watched."""

    def connected(kind: type[http.client.HTTPConnection]) -> Any:
        def make(host: str, **options: Any) -> http.client.HTTPConnection:
            connection = kind(host, **options)
            # The one place that has the socket before TLS and headers, in which a server can take its time as well.
            connection._create_connection = watch.connect  # type: ignore[attr-defined]
            return connection

        return make

    class Plain(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(connected(http.client.HTTPConnection), req)

    class Secure(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> Any:
            return self.do_open(connected(http.client.HTTPSConnection), req, context=ssl.create_default_context())

    opener = urllib.request.OpenerDirector()
    for handler in (
        *(urllib.request.ProxyHandler(), Plain(), Secure(), _Redirects(), urllib.request.HTTPErrorProcessor()),
        *(urllib.request.HTTPDefaultErrorHandler(), urllib.request.UnknownHandler()),
    ):
        opener.add_handler(handler)
    return opener


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http, and without the token to another host."""

    def redirect_request(self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str):
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is None:
            return None
        before, after = (urllib.parse.urlsplit(r.full_url) for r in (req, request))
        if before.scheme == "https" and after.scheme != "https":
            raise urllib.error.URLError(f"it redirects from https to {after.scheme}")
        if (before.scheme, before.netloc) != (after.scheme, after.netloc):
            request.remove_header("Authorization")
        return request
