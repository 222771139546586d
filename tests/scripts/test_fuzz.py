"""A few hundred damaged inputs to every reader; and what a reader must not do is seen."""

import importlib.util
import json
import mmap
import os
import pickle
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.errors import ZooError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fuzz(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    spec = importlib.util.spec_from_file_location("fuzz", ROOT / "scripts" / "fuzz.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_reader_refuses_or_reads_correctly():
    command = [sys.executable, ROOT / "scripts" / "fuzz.py", "--inputs", "400", "--seed", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["readers"]) >= {"weights", "config.json", "recipe", "--set", "checkpoint", "metrics", "npz", "png"}
    assert all(row["inputs"] and row["refused"] for row in found["readers"].values())
    whole = found["all"]
    assert whole["failed"] == 0 and whole["refused"] + whole["the same"] + whole["other, correct"] == whole["inputs"]


def reading(act):
    """A reader that does something for every input but the undamaged one."""
    from fuzzing.readers import Reader, _exactly

    return Reader(
        {"x": b"whole"},
        "x",
        lambda rng, data: b"damaged",
        lambda folder: act(folder) if (folder / "x").read_bytes() == b"damaged" else "whole",
        _exactly,
    )


def unpickle(_):
    pickle.loads(pickle.dumps(os.path.join))


def connect(_):
    with socket.socket() as s:
        s.connect(("127.0.0.1", 9))


def take_memory(_):
    with mmap.mmap(-1, 100 * 2**20) as memory:  # from the system: an allocator may have as much from earlier tests
        memory.write(bytes(len(memory)))
    return "whole"


def refuse(text):
    raise ZooError(text)


@pytest.mark.parametrize(
    "act,complaint",
    [
        (lambda _: refuse("x: expected y, got z"), ""),
        (lambda _: "whole", ""),
        (lambda _: "another", "another result was accepted"),
        (lambda _: refuse(""), "a message of 0 characters"),
        (lambda _: refuse("x" * 4_000), "a message of 4,000 characters"),
        (lambda _: {}["x"], "KeyError"),
        (unpickle, "pickle.find_class"),
        (connect, "socket.connect"),
        (lambda _: os.system("true"), "os.system"),
        (lambda folder: (folder / "../../escaped").write_text(""), "opened for writing"),
        (lambda folder: (folder / "../../moved").mkdir(), "os.mkdir"),
        (lambda folder: (folder / "x").rename(folder / "../../moved"), "os.rename"),
        (lambda folder: (folder / "../../secret").read_text(), "opened"),
        (lambda _: os.abort(), "the process ended by signal 6"),
        (lambda _: time.sleep(9), "or too slow"),
    ],
)
def test_what_a_reader_must_not_do_is_seen(fuzz, act, complaint, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 1)
    (tmp_path / "secret").write_text("whole")
    row = fuzz._in_a_process("a reader", reading(act), 0, [0], tmp_path / "in")
    assert row["failed"] == bool(complaint) and complaint in str(row["failures"])


def test_too_much_memory_is_seen(fuzz, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz, "MEGABYTES", 10)
    row = fuzz._in_a_process("a reader", reading(take_memory), 0, [0], tmp_path / "in")
    assert "MiB of memory" in str(row["failures"])
