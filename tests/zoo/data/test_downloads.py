"""Downloads from a real server on loopback, in the real formats: the cache never holds a partial file."""

import gzip
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import zoo
from zoo.commands import main
from zoo.data.downloads import RemoteFile, Source, fetch, official_source, read_cifar, read_idx_files
from zoo.data.names import cache_path

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (7, 28, 28), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
LABELS = np.array([3, 0, 9, 1, 5, 2, 2], np.uint8)


def idx(array):
    """The format of MNIST's files: 0 0 8, the rank, big-endian sizes, bytes."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def cifar_archive():
    """The format of cifar-10-binary.tar.gz, with one image per batch."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for i, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
            record = bytes([i]) + COLOUR[i].tobytes()
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = len(record)
            archive.addfile(member, io.BytesIO(record))
    return buffer.getvalue()


FILES = {
    "train-images.gz": idx(GREY[:5]),
    "train-labels.gz": idx(LABELS[:5]),
    "test-images.gz": idx(GREY[5:]),
    "test-labels.gz": idx(LABELS[5:]),
    "cifar.tar.gz": cifar_archive(),
}


@pytest.fixture(scope="module")
def server():
    """`/whole/FILE` serves the file; `/short`, `/changed`, `/stalls` and `/breaks` fail as their names say."""
    finished = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            _, how, name = self.path.split("/")
            if how == "gone":
                return self.send_error(404)
            data = FILES[name]
            if how == "changed":
                data = data[:-1] + bytes([data[-1] ^ 1])
            self.send_response(200)
            self.send_header("Content-Length", str(len(data) // 2 if how == "short" else len(data)))
            self.end_headers()
            self.wfile.write(data if how in ("whole", "changed") else data[: len(data) // 2])
            if how == "stalls":
                finished.wait()
            if how == "breaks":
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        finished.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FUNCZOO_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


def remote(server, name, *how):
    return RemoteFile(tuple(f"{server}/{h}/{name}" for h in how), hashlib.sha256(FILES[name]).hexdigest())


def tiny_mnist(server, *how_the_last_file_comes):
    *names, last = list(FILES)[:4]
    files = [remote(server, name, "whole") for name in names]
    return Source((*files, remote(server, last, *how_the_last_file_comes)), read_idx_files, tuple("0123456789"))


def test_mnists_format_is_fetched_once_and_loads_as_it_was(server, cache):
    path = fetch("mnist", source=tiny_mnist(server, "whole"))
    assert path == cache / "mnist.safetensors" and list(cache.iterdir()) == [path]
    data = zoo.load_dataset(path)
    assert torch.equal(data.train.images, torch.from_numpy(GREY[:5, None]))
    assert data.train.labels.tolist() == [3, 0, 9, 1, 5] and data.test.labels.tolist() == [2, 2]
    assert data.classes == tuple("0123456789") and data.train.labels.dtype == torch.int64
    assert fetch("mnist", source=tiny_mnist("http://127.0.0.1:9", "whole")) == path  # from the cache, without a request


def test_cifars_binary_archive_is_read_without_unpickling(server, cache):
    source = Source((remote(server, "cifar.tar.gz", "whole"),), read_cifar, tuple("abcdefghij"))
    data = zoo.load_dataset(fetch("cifar10", source=source))
    assert torch.equal(data.train.images, torch.from_numpy(COLOUR[:5]))
    assert torch.equal(data.test.images, torch.from_numpy(COLOUR[5:]))
    assert data.train.labels.tolist() == [0, 1, 2, 3, 4] and data.test.labels.tolist() == [5]


@pytest.mark.parametrize(
    "how,words",
    [
        ("short", "truncated or modified"),
        ("changed", "truncated or modified"),
        ("breaks", "truncated or modified"),
        ("stalls", "timed out"),
        ("gone", "404"),
    ],
)
def test_a_download_that_fails_leaves_no_file_and_says_what_to_run(server, cache, how, words):
    with pytest.raises(zoo.ZooError) as error:
        fetch("mnist", source=tiny_mnist(server, how), timeout=0.3)
    for part in (words, f"{server}/{how}/test-labels.gz", "zoo data fetch mnist", str(cache / "mnist.safetensors")):
        assert part in str(error.value)
    assert list(cache.iterdir()) == []


def test_the_next_mirror_is_tried(server, cache):
    assert fetch("mnist", source=tiny_mnist(server, "gone", "changed", "whole")).is_file()


def test_a_killed_process_leaves_no_file_under_the_final_name(server, cache):
    program = (
        "import hashlib, os, signal, threading\n"
        "from zoo.data.downloads import *\n"
        "threading.Timer(1, os.kill, (os.getpid(), signal.SIGKILL)).start()\n"
        f"fetch('mnist', source=Source((RemoteFile(('{server}/stalls/train-images.gz',), ''),), read_idx_files, ()))"
    )
    killed = subprocess.run([sys.executable, "-c", program], env={**os.environ})
    assert killed.returncode == -9 and not (cache / "mnist.safetensors").exists()
    assert fetch("mnist", source=tiny_mnist(server, "whole")).is_file()


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    for name in ("FUNCZOO_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_path("mnist") == tmp_path / ".cache/funczoo/datasets/mnist.safetensors"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_path("mnist") == tmp_path / "x/funczoo/datasets/mnist.safetensors"
    monkeypatch.setenv("FUNCZOO_DATA", str(tmp_path / "d"))
    assert cache_path("mnist") == tmp_path / "d/mnist.safetensors"


def test_the_official_sources_name_whole_files():
    for name, files in (("mnist", 4), ("fashion_mnist", 4), ("cifar10", 1)):
        source = official_source(name)
        assert len(source.files) == files and len(source.classes) == 10
        assert all(len(file.sha256) == 64 and file.urls for file in source.files)
    assert official_source("cifar10").files[0].urls[0].endswith("/cifar-10-binary.tar.gz")
    assert official_source("mnist").files[2].urls[0].endswith("/t10k-images-idx3-ubyte.gz")


def zoo_data(*arguments):
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


def test_list_and_fetch_on_the_command_line(server, cache, monkeypatch):
    rows = {row["name"]: row for row in json.loads(zoo_data("list", "--json").stdout)}
    assert rows["digits"]["cached"] and not rows["mnist"]["cached"] and not rows["mnist_24k"]["cached"]
    fetch("mnist", source=tiny_mnist(server, "whole"))
    rows = {row["name"]: row for row in json.loads(zoo_data("list", "--json").stdout)}
    assert rows["mnist"]["cached"] and rows["mnist_24k"]["cached"] and rows["mnist"]["bytes"] > 0
    assert rows["mnist_labels_6k"]["subset"] == "training images 24,001 to 30,000 of mnist"
    assert rows["mnist"]["subset"] is None
    assert str(cache) in zoo_data("list").stdout
    found = zoo_data("fetch", "mnist_24k")  # in the cache, but not MNIST
    assert found.exit_code == 2 and f"delete {cache / 'mnist.safetensors'} and run `zoo data fetch" in found.stderr
    for proxy in ("http_proxy", "https_proxy"):  # no network: nobody listens on port 9
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    for command in (("fetch", "cifar10"), ("show", "cifar10_40k")):
        result = zoo_data(*command)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1 and result.stdout == ""
        assert "zoo data fetch cifar10" in result.stderr and str(cache / "cifar10.safetensors") in result.stderr
    assert "did you mean 'mnist'" in zoo_data("fetch", "mnst").stderr
    assert "comes with scikit-learn" in zoo_data("fetch", "digits").stderr
