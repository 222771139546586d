"""Encoders from a hub, a web server or a directory: what was published arrives bit for bit, or one line says why not.

The hub is a real server on loopback, and what publishes is the real client of huggingface_hub.
"""

import contextlib
import functools
import hashlib
import http.server
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from hub_server import TOKEN, Repository, running
from huggingface_hub import constants, hf_hub_download

import zoo
from zoo.data import transfer
from zoo.models import loading

NAME = "simclr-resnet8-digits"
CONFIG_SHA256 = zoo.entry(NAME).config_sha256
SHIPPED = loading.WEIGHTS / NAME
REPOSITORY = f"me/{NAME}"
IMAGES = torch.arange(5 * 64, dtype=torch.int64).mul(37).remainder(256).to(torch.uint8).reshape(5, 1, 8, 8)


@pytest.fixture(scope="module")
def published():
    """A hub to which one encoder was published with the tag v1, its address, and what the hub was asked for."""
    with running() as hub, pytest.MonkeyPatch.context() as patch:
        environment(patch, hub.url)
        done = zoo.publish(NAME, f"hf://{REPOSITORY}", tag="v1")
        yield hub, done, list(hub.requests)


def environment(patch, url):
    patch.setenv("no_proxy", "127.0.0.1")
    patch.setenv("HF_ENDPOINT", url)
    patch.setenv("HF_TOKEN", TOKEN)
    for name in ("HF_HUB_OFFLINE", "FUNCZOO_HUB"):
        patch.delenv(name, raising=False)


@pytest.fixture
def hub(published, monkeypatch, tmp_path):
    """The hub, without faults, and an empty cache."""
    hub, _, _ = published
    environment(monkeypatch, hub.url)
    monkeypatch.setenv("FUNCZOO_MODELS", str(tmp_path / "models"))
    hub.faults.clear()
    hub.requests.clear()
    return hub


@pytest.fixture
def address(published):
    return published[1].address


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """As if no weights came with the package."""
    monkeypatch.setattr(loading, "WEIGHTS", tmp_path / "no weights")


@pytest.fixture(scope="module")
def original():
    return zoo.load(NAME)


def features_equal(model, original):
    return torch.equal(model.features(IMAGES), original.features(IMAGES))


def refused(what, **options):
    with pytest.raises(zoo.ZooError) as error:
        zoo.load(what, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_published_encoder_is_one_commit_with_tags(published, address):
    hub, done, requests = published
    repository = hub.repositories[REPOSITORY]
    commit = repository.branches["main"]
    assert address == f"hf://{REPOSITORY}@{commit}" and len(repository.commits) == 2
    assert repository.tags == {"v1": commit, f"config-{CONFIG_SHA256[:12]}": commit}
    sent = repository.commits[commit]
    assert sent.keys() >= {"config.json", "model.safetensors", "README.md", "pictures/tsne.png", ".gitattributes"}
    for file in done.files:
        assert sent[file.path] == (SHIPPED / file.path).read_bytes() and file.bytes == len(sent[file.path])
        assert file.sha256 == hashlib.sha256(sent[file.path]).hexdigest()
    assert sum("/commit/" in path for method, path, _ in requests if method == "POST") == 1


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of huggingface_hub's request
def test_weights_that_the_hub_keeps_as_large_files_arrive_too(hub, original, elsewhere, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # a protocol of its own, which the server lacks
    monkeypatch.setattr(hub, "large", True)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    done = zoo.publish(SHIPPED, "hf://me/large")
    weights = (SHIPPED / "model.safetensors").read_bytes()
    assert hub.store == {hashlib.sha256(weights).hexdigest(): weights}
    assert features_equal(zoo.load(done.address), original)
    (sent,) = [headers for method, path, headers in hub.requests if method == "GET" and path.startswith("/store/")]
    assert "Authorization" not in sent
    path = hf_hub_download("me/large", "model.safetensors", endpoint=hub.url, cache_dir=tmp_path)
    assert Path(path).read_bytes() == weights


@pytest.mark.parametrize("xet", [True, False])
def test_a_large_file_that_cannot_be_sent_is_one_line_and_no_commit(hub, monkeypatch, xet):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", not xet)
    monkeypatch.setattr(hub, "large", True)
    monkeypatch.setattr(hub, "store", {})
    hub.faults[hashlib.sha256((SHIPPED / "model.safetensors").read_bytes()).hexdigest()] = lambda h: h.fail(403)
    with pytest.raises(zoo.ZooError) as error:
        zoo.publish(SHIPPED, "hf://me/failed")
    assert "\n" not in str(error.value) and "hf://me/failed" in str(error.value)
    assert len(hub.repositories["me/failed"].commits) == 1


def test_the_hubs_own_client_finds_it(hub, tmp_path):
    path = hf_hub_download(REPOSITORY, "config.json", revision="v1", endpoint=hub.url, cache_dir=tmp_path)
    assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == CONFIG_SHA256


@pytest.mark.parametrize("revision", ["", "@main", "@v1", f"@config-{CONFIG_SHA256[:12]}"])
def test_it_loads_by_revision_and_says_which_commit(hub, address, original, revision):
    model = zoo.load(f"hf://{REPOSITORY}{revision}")
    assert features_equal(model, original) and model.config["source"] == address
    assert {**model.config, "source": None} == {**original.config, "source": None}


def test_a_commit_is_fetched_once_and_needs_no_network_again(hub, address, original, monkeypatch):
    assert features_equal(zoo.load(address), original)
    assert [path.rpartition("/")[2] for _, path, _ in hub.requests] == ["config.json", "model.safetensors"]
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert features_equal(zoo.load(address), original) and len(hub.requests) == 2
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert features_equal(zoo.load(address), original)


def test_a_tag_is_looked_up_but_its_files_are_fetched_once(hub, original):
    for _ in range(2):
        assert features_equal(zoo.load(f"hf://{REPOSITORY}@v1"), original)
    assert hub.gets("/revision/v1") == 2 and hub.gets("model.safetensors") == hub.gets("config.json") == 1


@pytest.mark.parametrize("how", ["offline", "unreachable", "500"])
def test_without_a_network_a_tag_is_what_it_was(hub, address, original, monkeypatch, how):
    zoo.load(f"hf://{REPOSITORY}@v1")
    if how == "offline":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    elif how == "unreachable":
        # Records are of the address, whatever the endpoint: a mirror holds the same commits.
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    else:
        hub.faults["/revision/v1"] = lambda handler: handler.fail(500, Retry_After="0")
    start = time.monotonic()
    with pytest.warns(UserWarning, match=f"using what it was when it was last looked up, {address}"):
        model = zoo.load(f"hf://{REPOSITORY}@v1")
    assert features_equal(model, original) and model.config["source"] == address
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_the_hub_refuses_is_not_taken_from_the_cache(hub, address, status):
    zoo.load(f"hf://{REPOSITORY}@v1")
    hub.faults["/revision/v1"] = lambda handler: handler.fail(status)
    assert f"HTTP {status}" in refused(f"hf://{REPOSITORY}@v1")
    assert zoo.load(address).name == NAME  # the commit is what it was


@pytest.mark.parametrize("what", ["@v1", "@main", "@" + "0" * 40])
def test_what_is_not_in_the_cache_fails_at_once_without_a_network(hub, monkeypatch, what):
    start = time.monotonic()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "not in the cache" in (text := refused(f"hf://{REPOSITORY}{what}")) and "cannot be reached" in text
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in refused(f"hf://{REPOSITORY}{what}")
    assert time.monotonic() - start < 2


def test_a_tag_that_moved_is_noticed(hub, original):
    name = "me/moves"
    old, new = (files_of(hub) for _ in range(2))
    config = json.loads(new["config.json"])
    new["config.json"] = json.dumps({**config, "mean": [0.4]}).encode()
    repository = hub.repositories[name] = Repository()
    first = repository.tags["v1"] = repository.commit(old, "old")
    assert features_equal(zoo.load(f"hf://{name}@v1"), original)
    second = repository.tags["v1"] = repository.commit(new, "new")
    with pytest.warns(UserWarning, match=f"@v1: was commit {first[:12]}, and is {second[:12]} now"):
        model = zoo.load(f"hf://{name}@v1")
    assert model.config["mean"] == [0.4] and model.config["source"] == f"hf://{name}@{second}"
    assert features_equal(zoo.load(f"hf://{name}@{first}"), original)


def files_of(hub):
    repository = hub.repositories[REPOSITORY]
    return dict(repository.commits[repository.tags["v1"]])


def test_a_name_is_found_at_its_home_and_verified(hub, elsewhere, original, monkeypatch):
    text = refused(NAME)
    assert "FUNCZOO_HUB=HOME" in text and "zoo pull NAME --from HOME" in text
    monkeypatch.setenv("FUNCZOO_HUB", "hf://me")
    assert features_equal(zoo.load(NAME), original)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert features_equal(zoo.load(NAME), original)  # from the cache, wherever it came from
    assert features_equal(zoo.load(f"https://127.0.0.1:9/m#sha256={CONFIG_SHA256}"), original)


def test_a_name_at_a_home_with_another_encoder_is_refused(hub, elsewhere):
    other = files_of(hub)
    other["config.json"] += b" "
    repository = hub.repositories[f"other/{NAME}"] = Repository()
    repository.tags[f"config-{CONFIG_SHA256[:12]}"] = repository.commit(other, "other")
    with pytest.raises(zoo.ZooError, match="config.json has SHA-256 .*, expected .*; it is another encoder, or was"):
        zoo.pull(NAME, home="hf://other")


@pytest.mark.parametrize("digest", ["0" * 64, CONFIG_SHA256[:-1] + "x"])
def test_another_digest_than_expected_is_refused(hub, address, digest):
    for what, options in (
        (f"{address}#sha256={digest}", {}),
        (address, {"sha256": digest}),
        (NAME, {"sha256": digest}),
    ):
        assert re.search("sha-?256", refused(what, **options), re.IGNORECASE)
    assert zoo.load(f"{address}#sha256={CONFIG_SHA256}").name == NAME
    assert re.search("sha-?256", refused(address, sha256=digest), re.IGNORECASE)  # though the cache has it by now


def test_a_repository_or_revision_that_is_not_there(hub):
    assert "no such repository" in (text := refused("hf://me/none")) and "hf auth login" in text
    assert "has no revision 'v9'" in refused(f"hf://{REPOSITORY}@v9")
    assert "has no revision" in refused(f"hf://{REPOSITORY}@{'0' * 40}")
    hub.repositories["me/empty"] = Repository()
    assert "lacks a file of an encoder directory" in refused("hf://me/empty")


@pytest.mark.parametrize(
    "code,headers,words",
    [
        (401, {}, "log in with `hf auth login`, or set HF_TOKEN"),
        (403, {}, "log in with `hf auth login`, or set HF_TOKEN"),
        (403, {"X_Error_Code": "GatedRepo"}, "ask for access at"),
        (404, {}, "no such repository"),
        (429, {"Retry_After": "0"}, "429 Too Many Requests, twice"),
        (429, {"Retry_After": "600"}, "the server asks to wait 600 s"),
        (500, {"Retry_After": "0"}, "500 Internal Server Error, twice"),
    ],
)
@pytest.mark.parametrize("file", ["/revision/v1", "config.json", "model.safetensors"])
def test_refusals_in_one_line(hub, file, code, headers, words):
    hub.faults[file] = lambda handler: handler.fail(code, **headers)
    assert words in refused(f"hf://{REPOSITORY}@v1")


@pytest.mark.parametrize("file", ["/revision/v1", "config.json", "model.safetensors"])
@pytest.mark.parametrize("code", [429, 500])
def test_one_failure_of_the_hub_is_forgiven(hub, original, file, code):
    once(hub, file, lambda handler: handler.fail(code, Retry_After="0"))
    assert features_equal(zoo.load(f"hf://{REPOSITORY}@v1"), original)


def once(hub, file, fault):
    def answer(handler):
        del hub.faults[file]
        fault(handler)

    hub.faults[file] = answer


def breaks_in_the_middle(data):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    return answer


def endless(handler):
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True
    while True:
        handler.wfile.write(bytes(1 << 16))


def drip(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "300000")
    handler.end_headers()
    while True:
        handler.wfile.write(b"1")
        handler.wfile.flush()
        time.sleep(0.02)


def test_a_broken_download_goes_on_where_it_stopped(hub, address, original):
    data = files_of(hub)["model.safetensors"]
    once(hub, "model.safetensors", breaks_in_the_middle(data))
    assert features_equal(zoo.load(address), original)
    ranges = [headers.get("Range") for _, path, headers in hub.requests if path.endswith("model.safetensors")]
    assert ranges == [None, f"bytes={len(data) // 2}-"]


@pytest.mark.parametrize("begun,spoilt", [(1000, False), (1000, True), (10**7, False)])
def test_a_download_that_a_killed_process_began_is_completed(hub, address, original, tmp_path, begun, spoilt):
    data = bytearray((files_of(hub)["model.safetensors"] * 40)[:begun])
    data[7] ^= spoilt
    part = tmp_path / "models" / CONFIG_SHA256 / "model.safetensors.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(data)
    assert features_equal(zoo.load(address), original) and not part.exists()
    assert hub.requests[1][2]["Range"] == f"bytes={begun}-" or begun > 10**6


def shortened(data):
    return data[:-1]


def flipped(data):
    return data[:1000] + bytes([data[1000] ^ 4]) + data[1001:]


@pytest.mark.parametrize("change", [shortened, flipped])
@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_what_was_truncated_or_flipped_on_the_way_is_not_used(hub, address, file, change, tmp_path):
    changed = change(files_of(hub)[file])
    hub.faults[file] = lambda handler: handler.send(changed)
    text = refused(address, sha256=CONFIG_SHA256)
    assert file in text and "truncated or modified" in text
    assert not list((tmp_path / "models").rglob("*.safetensors"))
    hub.faults.clear()
    assert zoo.load(address).name == NAME


@pytest.mark.parametrize("file,most", [("config.json", 2**20), ("model.safetensors", 314_952 + 2**20)])
def test_a_body_without_end_is_stopped(hub, address, tmp_path, file, most):
    hub.faults[file] = endless
    assert "bytes expected at most; it was stopped" in refused(address)
    assert all(path.stat().st_size <= most for path in (tmp_path / "models").rglob("*.part"))


@pytest.mark.parametrize("file", ["/revision/v1", "config.json", "model.safetensors"])
def test_a_drip_ends(hub, file, monkeypatch):
    monkeypatch.setattr(transfer, "GRACE", 0.3)
    hub.faults[file] = drip
    start = time.monotonic()
    assert "which is too slow; it was stopped" in refused(f"hf://{REPOSITORY}@v1")
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("answer", [b"<!doctype html>", b"[]", b'{"sha": "../../x"}', b'{"sha": 3}', b"[" * 100_000])
def test_what_is_no_hub_is_refused(hub, answer):
    hub.faults["/revision/v1"] = lambda handler: handler.send(answer)
    assert "is it a model hub?" in refused(f"hf://{REPOSITORY}@v1")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("change", [shortened, flipped])
def test_a_damaged_file_in_the_cache_is_named_and_fetched_again(hub, address, original, monkeypatch, file, change):
    path = zoo.pull(address).directory / file
    path.write_bytes(change(path.read_bytes() + b" "))
    path.write_bytes(change(path.read_bytes()))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert f"{path}: truncated or modified since it was fetched" in refused(address)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.warns(UserWarning, match=f"{file}: truncated or modified since it was fetched; it is fetched again"):
        assert features_equal(zoo.load(address), original)
    path.unlink()
    assert features_equal(zoo.load(address), original)


def test_a_damaged_record_of_the_cache_is_no_record(hub, original, tmp_path):
    zoo.load(f"hf://{REPOSITORY}@v1")
    records = list((tmp_path / "models" / "addresses").iterdir())
    assert len(records) == 2  # of the tag, and of the commit
    for damage in (b"", b"[]", b"[" * 100_000, b'{"config_sha256": "../../../etc"}', b"\xff"):
        for record in records:
            record.write_bytes(damage)
        assert features_equal(zoo.load(f"hf://{REPOSITORY}@v1"), original)


def test_a_cache_that_only_others_can_write_is_enough(hub, original, tmp_path):
    zoo.load(f"hf://{REPOSITORY}@v1")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*")}
    assert features_equal(zoo.load(f"hf://{REPOSITORY}@v1"), original)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "models").rglob("*")}


def test_only_files_that_the_configuration_names_are_fetched_and_nothing_leaves_the_cache(hub, tmp_path):
    hostile = files_of(hub) | {"../../x": b"?", "/etc/x": b"?", "evil.pkl": b"?", "code.py": b"?"}
    repository = hub.repositories["me/hostile"] = Repository()
    repository.branches["main"] = repository.commit(hostile, "hostile")
    found = zoo.pull("hf://me/hostile")
    assert {path.name for path in found.directory.iterdir()} == {"config.json", "model.safetensors", "lock"}
    assert {path.name for path in tmp_path.iterdir()} == {"models"}


@pytest.mark.slow
def test_two_processes_that_pull_the_same_thing_both_succeed(hub, address, tmp_path):
    waiting = threading.Event()

    def slow(handler):
        waiting.wait(0.3)
        handler.file(REPOSITORY, address.rpartition("@")[2], "model.safetensors")

    hub.faults["model.safetensors"] = slow
    command = [sys.executable, "-m", "zoo", "pull", address, "--json"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] and hub.gets("model.safetensors") == 1
    assert not list((tmp_path / "models").rglob("*.part"))


@contextlib.contextmanager
def static_server(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_features_and_probe_are_the_same_whichever_way_it_came(hub, elsewhere, original, digits, tmp_path, monkeypatch):
    home = tmp_path / "home"
    assert zoo.publish(SHIPPED, home / NAME).address == str(home / NAME)
    few = {"train": (digits.train.images[:100], digits.train.labels[:100])}
    few["test"] = (digits.test.images[:50], digits.test.labels[:50])
    probed = zoo.linear_probe(original, **few)
    with static_server(home) as url:
        ways = {
            "path": lambda: zoo.load(home / NAME),
            "name": lambda: zoo.pull(NAME, home=str(home)) and zoo.load(NAME),
            "web": lambda: zoo.load(f"{url}/{NAME}"),
            "web, pinned": lambda: zoo.load(f"{url}/{NAME}/", sha256=CONFIG_SHA256),
            "web, by name": lambda: zoo.pull(NAME, home=url) and zoo.load(NAME),
            "hub, by name": lambda: zoo.pull(NAME, home="hf://me") and zoo.load(NAME),
        }
        for way, loaded in ways.items():
            monkeypatch.setenv("FUNCZOO_MODELS", str(tmp_path / way))
            model = loaded()
            assert features_equal(model, original), way
            report = zoo.linear_probe(model, **few)
            assert report.accuracy == probed.accuracy and report.per_class == probed.per_class, way
        source = zoo.load(f"{url}/{NAME}").config["source"]
        assert source == f"{url}/{NAME}#sha256={CONFIG_SHA256}"
        shutil.rmtree(home / NAME)
        assert "404" in refused(f"{url}/{NAME}")


def test_a_web_address_without_a_network_is_what_it_was(hub, original, tmp_path):
    zoo.publish(NAME, tmp_path / "home")
    with static_server(tmp_path / "home") as url:
        zoo.load(url)
    with pytest.warns(UserWarning, match="cannot be reached .*using what it was when it was last looked up, http"):
        assert features_equal(zoo.load(url), original)
    assert features_equal(zoo.load(url, sha256=CONFIG_SHA256), original)  # pinned, it needs no look
