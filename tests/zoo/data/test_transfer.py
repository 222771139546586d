"""Transfers from a server on loopback that does everything wrong: each ends, in the right bytes or in one line."""

import email.utils
import hashlib
import socket
import time
import urllib.request

import pytest
from hub_server import running

from zoo.data import transfer
from zoo.data.transfer import TransferError, read, stream

DATA = bytes(range(256)) * 1024  # 256 KiB
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(scope="module")
def server():
    with running() as server:
        yield server


@pytest.fixture
def serve(server, monkeypatch):
    """`serve(*answers)`: the URL of a file that is answered by each of them in turn, the last one for ever."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.requests.clear()

    def serve(*answers):
        left = list(answers)
        server.faults["/file"] = lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)
        return f"{server.url}/file"

    return serve


def whole(handler):
    handler.send(DATA)


def ranged(handler):
    start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    handler.send(DATA[start:], 206, {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"})


def status(code, **headers):
    return lambda handler: handler.fail(code, **headers)


def head(handler, length=None):
    handler.send_response(200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True


def breaks(handler):
    head(handler, len(DATA))
    handler.wfile.write(DATA[: len(DATA) // 2])
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def endless(handler):
    head(handler)
    while True:
        handler.wfile.write(DATA)


def announces_too_much(handler):
    head(handler, 10**12)
    handler.wfile.write(DATA)


def drip(handler, *before):
    """One byte at a time, for ever; the pause is far below any timeout between two bytes."""
    handler.wfile.write(b"".join(before))
    while True:
        handler.wfile.write(b"1")
        handler.wfile.flush()
        time.sleep(0.02)


def drips_its_body(handler):
    head(handler, len(DATA))
    drip(handler)


def drips_its_status(handler):
    drip(handler, b"HTTP/1.1 200 ")


def drips_a_header(handler):
    drip(handler, b"HTTP/1.1 200 OK\r\nX-Name: ")


def drips_the_size_of_a_chunk(handler):
    drip(handler, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


def test_a_file_arrives_with_its_size_and_digest(serve, tmp_path):
    path = tmp_path / "f"
    assert stream(serve(whole), path, limit=len(DATA)) == (len(DATA), SHA256)
    assert path.read_bytes() == DATA == read(serve(whole), limit=len(DATA))


def test_a_broken_connection_goes_on_where_it_stopped(serve, server, tmp_path):
    assert stream(serve(breaks, ranged), tmp_path / "f") == (len(DATA), SHA256)
    assert [headers.get("Range") for _, _, headers in server.requests] == [None, f"bytes={len(DATA) // 2}-"]


def test_it_starts_again_where_the_server_knows_no_ranges(serve, tmp_path):
    assert stream(serve(breaks, whole), tmp_path / "f") == (len(DATA), SHA256)


def test_a_connection_that_breaks_without_a_new_byte_is_given_up(serve, server, tmp_path):
    with pytest.raises(TransferError, match="file: the connection broke after 131,072 of 262,144 bytes"):
        stream(serve(breaks), tmp_path / "f")
    assert len(server.requests) == 3  # the first one, to go on, and once more


@pytest.mark.parametrize("begun", [0, 1, 1000, len(DATA) - 1, len(DATA), len(DATA) + 1])
def test_a_file_that_was_begun_is_completed(serve, tmp_path, begun):
    path = tmp_path / "f"
    path.write_bytes((DATA + b"?")[:begun])
    rest = whole if begun == 0 else ranged if begun < len(DATA) else status(416)
    assert stream(serve(rest, whole), path, resume=True) == (len(DATA), SHA256)


def test_a_range_that_begins_elsewhere_is_refused(serve, tmp_path):
    (tmp_path / "f").write_bytes(DATA[:100])
    url = serve(
        lambda handler: handler.send(DATA[50:], 206, {"Content-Range": f"bytes 50-{len(DATA) - 1}/{len(DATA)}"})
    )
    with pytest.raises(TransferError, match="answered with bytes from 50, not from 100"):
        stream(url, tmp_path / "f", resume=True)


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_an_overloaded_server_is_asked_once_more(serve, server, tmp_path, code):
    assert stream(serve(status(code, Retry_After="0"), whole), tmp_path / "f")[1] == SHA256
    with pytest.raises(TransferError, match=f"HTTP {code} .*, twice; try again later") as error:
        stream(serve(status(code, Retry_After="0")), tmp_path / "f")
    assert error.value.status == code and len(server.requests) == 4


def test_the_time_that_the_server_names_is_waited_for(serve, tmp_path):
    start = time.monotonic()
    stream(serve(status(429, Retry_After="1"), whole), tmp_path / "f")
    assert 1.0 <= time.monotonic() - start < 20


@pytest.mark.parametrize("wait", [lambda: "3600", lambda: email.utils.formatdate(time.time() + 3600)])
def test_a_server_that_asks_to_wait_for_long_is_not_waited_for(serve, server, tmp_path, wait):
    with pytest.raises(TransferError, match=r"429 Too Many Requests; the server asks to wait 3,[56]\d\d s"):
        stream(serve(status(429, Retry_After=wait())), tmp_path / "f")
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 499])
def test_a_refusal_is_final(serve, server, tmp_path, code):
    with pytest.raises(TransferError, match=f"^{server.url}/file: HTTP {code}") as error:
        stream(serve(status(code, X_Error_Code="Why")), tmp_path / "f")
    assert len(server.requests) == 1 and error.value.code == "Why" and "\n" not in str(error.value)


def test_a_body_without_end_is_stopped_at_the_limit(serve, tmp_path):
    with pytest.raises(TransferError, match="sends more than the 100,000 bytes expected at most; it was stopped"):
        stream(serve(endless), tmp_path / "f", limit=100_000)
    assert (tmp_path / "f").stat().st_size <= 100_000
    with pytest.raises(TransferError, match="sends more than"):
        read(serve(endless), limit=100_000)


def test_a_file_that_is_announced_as_too_large_is_not_downloaded(serve, tmp_path):
    with pytest.raises(
        TransferError, match="has 1,000,000,000,000 bytes, expected at most 100; nothing was downloaded"
    ):
        stream(serve(announces_too_much), tmp_path / "f", limit=100)
    assert (tmp_path / "f").read_bytes() == b""


@pytest.mark.parametrize("drips", [drips_its_body, drips_its_status, drips_a_header, drips_the_size_of_a_chunk])
def test_a_drip_ends(serve, tmp_path, monkeypatch, drips):
    monkeypatch.setattr(transfer, "GRACE", 0.4)
    start = time.monotonic()
    with pytest.raises(TransferError, match="file: sent .* bytes in .* s, which is too slow"):
        stream(serve(drips), tmp_path / "f", limit=len(DATA))
    assert 0.4 <= time.monotonic() - start < 2


def test_a_slow_server_has_the_time_that_its_bytes_need(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "GRACE", 0.3)
    monkeypatch.setattr(transfer, "SLOWEST", len(DATA) // 4)

    def slow(handler):
        head(handler, len(DATA))
        for i in range(0, len(DATA), len(DATA) // 8):
            handler.wfile.write(DATA[i : i + len(DATA) // 8])
            handler.wfile.flush()
            time.sleep(0.1)

    assert stream(serve(slow), tmp_path / "f")[1] == SHA256  # 0.8 s, with 0.3 s of grace


def test_a_server_that_says_nothing_times_out(serve, tmp_path):
    with pytest.raises(TransferError, match="file: timed out"):
        stream(serve(lambda handler: time.sleep(1.5)), tmp_path / "f", timeout=0.2)


def test_an_unreachable_server_is_given_up_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1,host.invalid")
    start = time.monotonic()
    with pytest.raises(TransferError, match=r"^http://127.0.0.1:9/f: cannot be reached \(Connection refused\)$"):
        stream("http://127.0.0.1:9/f", tmp_path / "f")
    with pytest.raises(TransferError, match="^http://host.invalid/f: cannot be reached"):
        stream("http://host.invalid/f", tmp_path / "f")
    assert time.monotonic() - start < 5


def test_what_is_not_http_is_refused(serve, tmp_path):
    (tmp_path / "secret").write_text("?")
    for target in (f"file://{tmp_path}/secret", "ftp://127.0.0.1/f", "data:,x"):
        with pytest.raises(TransferError):
            stream(serve(status(302, Location=target)), tmp_path / "f")
        with pytest.raises(TransferError):
            stream(target, tmp_path / "f")


def test_a_token_does_not_follow_to_another_host(serve, server, tmp_path):
    headers = {"Authorization": "Bearer secret"}
    elsewhere = f"http://localhost:{server.server_port}/elsewhere"
    server.faults["/elsewhere"] = whole
    assert stream(serve(status(302, Location=elsewhere)), tmp_path / "f", headers=headers)[1] == SHA256
    assert stream(serve(status(302, Location="/elsewhere")), tmp_path / "f", headers=headers)[1] == SHA256
    sent = [headers.get("Authorization") for _, path, headers in server.requests]
    assert sent == ["Bearer secret", None, "Bearer secret", "Bearer secret"]


def test_https_does_not_lead_to_http():
    request = urllib.request.Request("https://example.org/f")
    with pytest.raises(OSError, match="it redirects from https to http"):
        transfer._Redirects().redirect_request(request, None, 302, "Found", {}, "http://example.org/f")  # type: ignore[arg-type]


def test_a_full_disk_is_named(serve):
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        stream(serve(whole), transfer.Path("/dev/full"))
