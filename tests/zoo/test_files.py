"""Files of tensors: exact, equal for equal content, written completely or not at all, and clearly refused."""

import resource
import stat

import pytest
import torch

import zoo
from functional import random
from zoo.files import (
    content_digest,
    load_tensors,
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
