"""Files of tensors: exact, equal for equal content, written completely or not at all, and clearly refused."""

import os
import resource
import stat
import subprocess
import sys

import pytest
import torch

import zoo
from functional import random
from zoo import files
from zoo.files import (
    SEAL,
    content_digest,
    load_sealed,
    load_tensors,
    parts_of,
    save_sealed,
    save_tensors,
    write_atomically,
)

TENSORS = {
    "b": torch.arange(6, dtype=torch.int64).reshape(2, 3),
    "a.weight": random.normal(random.key(0), (4, 5)).T,  # not contiguous
    "c": torch.tensor(3),
    "d": torch.ones(3, dtype=torch.bfloat16),
}


def test_what_is_read_is_what_was_written(tmp_path):
    sha256 = save_tensors(tmp_path / "t.safetensors", TENSORS, {"z": 1, "a": [2]})
    back, metadata = load_tensors(tmp_path / "t.safetensors")
    assert metadata == {"z": 1, "a": [2]}
    assert all(torch.equal(back[name], TENSORS[name]) and back[name].dtype == TENSORS[name].dtype for name in TENSORS)
    shuffled = dict(reversed(TENSORS.items()))
    assert save_tensors(tmp_path / "u.safetensors", shuffled, {"a": [2], "z": 1}) == sha256
    assert content_digest(back) == content_digest(shuffled)
    assert content_digest({**back, "c": torch.tensor(4)}) != content_digest(back)
    assert stat.S_IMODE((tmp_path / "t.safetensors").stat().st_mode) & 0o044  # others can read it


WRONG_FILES = {
    "version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "a Git LFS pointer",
    "<!DOCTYPE html><html></html>": "a web page saved as .safetensors",
    "": "an empty file",
    "PK\x03\x04 something else altogether": "a truncated or corrupt safetensors file",
}


@pytest.mark.parametrize("text", WRONG_FILES)
def test_a_foreign_file_is_named_for_what_it_is(tmp_path, text):
    (tmp_path / "t.safetensors").write_text(text)
    with pytest.raises(zoo.ZooError, match=WRONG_FILES[text]):
        load_tensors(tmp_path / "t.safetensors")


def test_a_truncated_file_is_refused_at_any_length(tmp_path):
    save_tensors(tmp_path / "t.safetensors", TENSORS, {})
    whole = (tmp_path / "t.safetensors").read_bytes()
    for length in (1, 7, 8, 50, len(whole) // 2, len(whole) - 1):
        (tmp_path / "t.safetensors").write_bytes(whole[:length])
        with pytest.raises(zoo.ZooError, match="truncated"):
            load_tensors(tmp_path / "t.safetensors")


def test_a_full_disk_leaves_the_existing_file(tmp_path):
    path = tmp_path / "f"
    write_atomically(path, b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_atomically(path, bytes(1000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


# Processes that need no torch, and so start at once.
WRITER = """
import sys, time
from zoo.files import write_atomically
end, writes = time.monotonic() + 2, 0
while time.monotonic() < end:
    write_atomically(sys.argv[1], sys.argv[2].encode() * 200_000)
    writes += 1
print(writes)
"""


def test_of_many_writers_of_one_file_the_last_one_wins_and_none_is_mixed_in(tmp_path):
    path = tmp_path / "f"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, letter], stdout=subprocess.PIPE, text=True)
        for letter in "abc"
    ]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if path.is_file():
            seen.add(path.read_bytes())
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    counts = [int(writer.communicate()[0]) for writer in writers]
    assert seen <= {letter.encode() * 200_000 for letter in "abc"} and len(seen) > 1 and min(counts) > 5, counts
    assert list(tmp_path.iterdir()) == [path]


STUCK = """
import os, sys, time
from zoo.files import write_atomically
os.fsync = lambda descriptor: (print("half", flush=True), time.sleep(60))
write_atomically(sys.argv[1], b"half of it")
"""


def test_the_parts_of_dead_processes_are_removed_and_those_of_living_ones_are_not(tmp_path):
    path, like = tmp_path / "f", tmp_path / "f.part"
    like.write_text("not one of ours")
    process = subprocess.Popen([sys.executable, "-c", STUCK, path], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "half\n"
        (part,) = parts_of(path)
        write_atomically(path, b"another")
        write_atomically(tmp_path / "g", b"another file")
        assert parts_of(path) == [part] and part.read_bytes() == b"half of it"
    finally:
        process.kill()
        process.communicate()
    write_atomically(tmp_path / "g", b"another file")
    assert parts_of(path) == [part]
    write_atomically(path, b"a third")
    assert {p.name for p in tmp_path.iterdir()} == {"f", "g", "f.part"} and path.read_bytes() == b"a third"


def test_a_writer_that_is_interrupted_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "f", b"x")
    assert not list(tmp_path.iterdir())


def test_a_part_taken_for_abandoned_before_it_was_locked_is_written_again(tmp_path, monkeypatch):
    lock, taken = files._lock, []

    def late(file, *, wait):
        if wait and not taken:
            taken.append(file.name)
            os.unlink(file.name)  # as another process does between this one's opening and locking of the file
        lock(file, wait=wait)

    monkeypatch.setattr(files, "_lock", late)
    write_atomically(tmp_path / "f", b"x")
    assert taken and (tmp_path / "f").read_bytes() == b"x" and list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_a_seal_is_of_every_byte_and_equal_content_has_an_equal_file(tmp_path):
    save_sealed(tmp_path / "s", TENSORS, {"z": 1, "nested": {SEAL: "0" * 64}})
    tensors, metadata = load_sealed(tmp_path / "s")
    assert content_digest(tensors) == content_digest(TENSORS)
    assert metadata.pop(SEAL) and metadata == {"z": 1, "nested": {SEAL: "0" * 64}}
    save_sealed(tmp_path / "t", dict(reversed(TENSORS.items())), {"nested": {SEAL: "0" * 64}, "z": 1})
    assert (tmp_path / "s").read_bytes() == (tmp_path / "t").read_bytes()
    data = bytearray((tmp_path / "s").read_bytes())
    data[-1] ^= 1
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(zoo.ZooError, match="s: its content is not what its seal says: the file is truncated or modif"):
        load_sealed(tmp_path / "s")
    assert SEAL not in load_sealed_of_a_plain_file(tmp_path)


def load_sealed_of_a_plain_file(folder):
    save_tensors(folder / "plain", TENSORS, {"z": 1})
    return load_sealed(folder / "plain")[1]
