"""Files of the dataset cache hold what their names say; what was checked once is remembered until it changes."""

import contextlib
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file

import zoo
from zoo.commands import main
from zoo.data.datasets import Split, load_dataset, save_dataset
from zoo.data.names import CLASSES
from zoo.data.official import DIFFERENT_TEST_IMAGES, OFFICIAL

LEDGERS = Path(__file__).parents[3] / "model_cards" / "results"


@pytest.fixture
def cache(real_mnist, tmp_path, monkeypatch):
    """A cache of its own, which holds MNIST."""
    monkeypatch.setenv("FUNCZOO_DATA", str(tmp_path))
    shutil.copy(real_mnist, tmp_path / "mnist.safetensors")
    return tmp_path


def flip(path, position):
    with open(path, "r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ 1]))


def test_a_file_is_checked_once_and_again_when_it_changes(cache):
    path, beside = cache / "mnist.safetensors", cache / "mnist.digest.json"
    fetched = CliRunner().invoke(main, ["data", "fetch", "mnist_24k"])
    assert fetched.stdout.split() == ["mnist_24k", str(path)]
    assert load_dataset("mnist").digest == OFFICIAL["mnist"]
    assert json.loads(beside.read_text())["size"] == path.stat().st_size
    noted = beside.stat().st_mtime_ns
    started = time.process_time()
    load_dataset("mnist_24k")
    assert beside.stat().st_mtime_ns == noted and time.process_time() - started < 0.1
    status = path.stat()
    flip(path, status.st_size - 5_000_000)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # who hides a change cannot hide when it was made
    for _ in range(2):
        with pytest.raises(zoo.ZooError, match=r"mnist.safetensors: expected mnist with the digest 0d7bfa.* delete .*"):
            load_dataset("mnist")
    flip(path, status.st_size - 5_000_000)
    assert load_dataset("mnist").digest == OFFICIAL["mnist"]


@pytest.mark.filterwarnings("ignore:.* not used")  # of an array whose name was changed
def test_a_changed_or_shortened_file_is_found_wherever_it_is_changed(cache):
    path = cache / "mnist.safetensors"
    size = path.stat().st_size
    rng = np.random.default_rng(0)
    start = 8 + int.from_bytes(path.read_bytes()[:8], "little")
    for position in rng.integers(8, start, 20).tolist():  # a source that is spelled otherwise is the same dataset
        flip(path, position)
        with contextlib.suppress(zoo.ZooError):
            assert load_dataset("mnist").digest == OFFICIAL["mnist"]
        flip(path, position)
    for position in (0, 3, 7, *rng.integers(start, size, 6).tolist(), size - 1):
        flip(path, position)
        with pytest.raises(zoo.ZooError, match="delete .*mnist.safetensors and run `zoo data fetch mnist`"):
            load_dataset("mnist")
        flip(path, position)
    load_dataset("mnist")
    for length in (size - 1, size - 10_000, 300, 8, 7, 0):
        os.truncate(path, length)
        with pytest.raises(zoo.ZooError, match="mnist.safetensors: a truncated or corrupt safetensors file"):
            load_dataset("mnist")


def test_a_file_under_another_name_is_refused(cache):
    load_dataset("mnist")
    os.rename(cache / "mnist.safetensors", cache / "fashion_mnist.safetensors")
    os.rename(cache / "mnist.digest.json", cache / "fashion_mnist.digest.json")
    with pytest.raises(zoo.ZooError, match="expected the dataset 'fashion_mnist', got 'mnist'"):
        load_dataset("fashion_mnist")
    arrays, metadata = load_file(cache / "fashion_mnist.safetensors"), {"name": "fashion_mnist"}
    save_file(arrays, cache / "fashion_mnist.safetensors", metadata)
    with pytest.raises(zoo.ZooError, match="expected the classes of fashion_mnist, got others"):
        load_dataset("fashion_mnist")
    metadata["classes"] = json.dumps(CLASSES["fashion_mnist"])
    save_file(arrays, cache / "fashion_mnist.safetensors", metadata)
    with pytest.raises(zoo.ZooError, match="expected fashion_mnist with the digest 6d01cf.*got 0d7bfa"):
        load_dataset("fashion_mnist")
    assert load_dataset(cache / "fashion_mnist.safetensors").digest == OFFICIAL["mnist"]  # by its path, it is one


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": 3}', "[" * 100_000])
def test_a_damaged_note_is_as_good_as_none(cache, text):
    (cache / "mnist.digest.json").write_text(text)
    assert load_dataset("mnist").digest == OFFICIAL["mnist"]
    assert json.loads((cache / "mnist.digest.json").read_text())["digest"] == OFFICIAL["mnist"]


def test_a_cache_that_cannot_be_written_works_without_notes(cache):
    (cache / "mnist.digest.json").mkdir()  # for root, permissions are no obstacle
    for _ in range(2):
        assert load_dataset("mnist").digest == OFFICIAL["mnist"]


def test_the_digests_are_those_of_the_ledgers():
    ledgers = [json.loads(path.read_text()) for path in LEDGERS.glob("*.json")]
    probed = [item for ledger in ledgers for item in ledger.get("probes", {}).items() if item[0] in OFFICIAL]
    assert {name for name, _ in probed} == set(OFFICIAL)
    assert all(OFFICIAL[name] == digest for name, digest in probed)


def test_a_download_of_cifar10_may_differ_in_twenty_test_images(real_cifar10, tmp_path, monkeypatch):
    path, positions = tmp_path / "cifar10.safetensors", list(DIFFERENT_TEST_IMAGES["cifar10"][0])
    data = load_dataset(real_cifar10)
    images = data.test.images.clone()
    images[positions] ^= 1
    save_dataset(data._replace(test=Split(images, data.test.labels)), path, source="a test")
    monkeypatch.setenv("FUNCZOO_DATA", str(tmp_path))
    assert load_dataset("cifar10").digest != OFFICIAL["cifar10"]
    start = path.read_bytes().index(images[positions[0]].numpy().tobytes())
    flip(path, start + 5)
    with pytest.raises(zoo.ZooError, match="cifar10.safetensors: expected cifar10 with the digest"):
        load_dataset("cifar10")
    flip(path, start + 5)
    load_dataset("cifar10")
    images[positions[0] + 1] ^= 1
    save_dataset(data._replace(test=Split(images, data.test.labels)), path, source="a test")
    with pytest.raises(zoo.ZooError, match="cifar10.safetensors: expected cifar10 with the digest"):
        load_dataset("cifar10")
