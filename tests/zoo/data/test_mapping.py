"""Mapped files: what is read is what the file held, and a file that changes stops who reads it with a message."""

import copy
import json
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import save, save_file

import zoo
from zoo.data.datasets import channel_statistics, load_dataset
from zoo.data.mapping import MappedFile

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6000, 3, 32, 32), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    save_file({"images": IMAGES, "labels": np.arange(6000) % 3}, tmp_path / "d.safetensors")
    return tmp_path / "d.safetensors"


def test_rows_and_pieces_are_those_of_the_map(path):
    data = load_dataset(path)
    images, index = data.train.images, torch.from_numpy(RNG.integers(0, 4000, 99))
    assert torch.equal(data.rows(images, index), torch.from_numpy(IMAGES)[index])
    assert torch.equal(data.rows(images[1000:], index), torch.from_numpy(IMAGES)[1000:][index])
    pieces = list(data.pieces(images[7:]))
    assert len(pieces) > 1 and torch.equal(torch.cat(pieces), torch.from_numpy(IMAGES[7:]))
    assert channel_statistics(data) == channel_statistics(images)
    for other in (images.clone(), images[::2], images.transpose(2, 3)):  # elsewhere, or not in the order of the file
        assert torch.equal(data.rows(other, index[:3]), other[index[:3]])
        assert torch.equal(torch.cat(list(data.pieces(other))), other)
    assert data.rows(images, index[:0]).shape == (0, 3, 32, 32)


def test_what_is_read_is_in_memory_of_its_own(path):
    data = load_dataset(path)
    piece = next(iter(data.pieces(data.train.images)))
    row = data.rows(data.train.images, torch.tensor([4]))
    expected = piece.clone(), row.clone()
    with open(path, "r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(piece, expected[0]) and torch.equal(row, expected[1])


def test_a_file_that_shrank_or_was_written_to_is_an_error(path):
    data = load_dataset(path)
    data.require_unchanged()
    os.truncate(path, 1_000_000)
    for read in (
        lambda: data.digest,
        lambda: channel_statistics(data),
        lambda: data.rows(data.train.images, torch.tensor([0, 4999])),
        data.require_unchanged,
    ):
        with pytest.raises(zoo.ZooError, match=r"d.safetensors: the file was changed while it was in use: .*1,000,000"):
            read()
    assert torch.equal(data.rows(data.train.images, torch.tensor([7])), torch.from_numpy(IMAGES[7:8]))


def test_features_come_from_the_file_and_not_from_the_map(tmp_path):
    model = zoo.load("simclr-resnet8-digits")
    images = torch.from_numpy(IMAGES[:1000, :1, :8, :8].copy())
    path = tmp_path / "d.safetensors"
    save_file({"images": images.numpy(), "labels": np.arange(1000) % 10}, path)
    data = load_dataset(path)
    assert torch.equal(model.features(data.train.images), model.features(images))
    assert torch.equal(model.features(data.train.images[300:]), model.features(images[300:]))
    assert torch.equal(model.pixels(data.train.images), model.pixels(images))
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    with pytest.raises(zoo.ZooError, match="d.safetensors: the file was changed while it was in use: written to"):
        model.features(data.train.images)
    os.truncate(path, 2_000)
    for read in (model.features, model.pixels):
        with pytest.raises(zoo.ZooError, match="d.safetensors: the file was changed while it was in use: only 2,000"):
            read(data.train.images)


def test_a_file_that_is_replaced_moved_or_removed_does_no_harm(path):
    data = load_dataset(path)
    digest = data.digest
    path.with_name("other").write_bytes(b"other")
    os.replace(path.with_name("other"), path)
    data.require_unchanged()
    path.unlink()
    data.require_unchanged()
    assert data.digest == digest


def test_copies_of_a_dataset_are_in_memory(path):
    data = load_dataset(path)
    for twin in (copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        assert twin.file is None and twin.digest == data.digest


CHANGES = {
    "truncated": ("os.truncate(path, 100_000)", "only 100,000 bytes of|100,000 bytes instead of"),
    "overwritten": ("file = open(path, 'r+b'); file.seek(100_000); file.write(b'x'); file.close()", "written to"),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_run_stops_with_a_message_when_its_file_changes(tmp_path, recipe, how):
    change, words = CHANGES[how]
    path, out = tmp_path / "d.safetensors", tmp_path / "run"
    save_file({"images": IMAGES[:128, :, :24, :24]}, path)
    views = (("random_resized_crop", {"size": 8}),)
    recipe = recipe.replace(views=views, epochs=4, batch_size=32, warmup_epochs=0)
    program = f"""
import os, sys, torch, zoo
torch.set_num_threads(1)
path = {str(path)!r}
def on_epoch(epoch, model):
    if epoch == 2:
        {change}
try:
    recipe = zoo.Recipe.from_record({json.loads(recipe.to_json())!r})
    zoo.pretrain(recipe, data=path, out={str(out)!r}, on_epoch=on_epoch)
except zoo.ZooError as error:
    sys.exit(str(error))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode != -signal.SIGBUS
    assert result.returncode == 1, result.stderr
    assert f"{path}: the file was changed while it was in use: " in result.stderr
    assert any(part in result.stderr for part in words.split("|"))
    assert not (out / "encoder").exists()
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2, "nothing is kept of the epoch that read it"
    with pytest.raises(zoo.ZooError, match="a truncated or corrupt safetensors file|this run was on other data"):
        zoo.pretrain(recipe, data=path, out=out)


def header(entries, data=b"", length=None):
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


U8 = {"dtype": "U8", "shape": [2, 1, 2, 2], "data_offsets": [0, 8]}
DAMAGED = {
    "nothing": b"",
    "seven bytes": bytes(7),
    "no header": header({}, length=2**63),
    "a header of 10**9 bytes": header({}, length=10**9),
    "no JSON": header(b"{" * 40),
    "deep JSON": header(b"[" * 100_000),
    "a list": header([1, 2]),
    "no entry": header({"images": 3}),
    "no shape": header({"images": {"dtype": "U8", "data_offsets": [0, 8]}}, bytes(8)),
    "10**12 bytes": header({"images": {**U8, "shape": [10**12], "data_offsets": [0, 10**12]}}, bytes(8)),
    "more than claimed": header({"images": U8}, bytes(9)),
    "less than claimed": header({"images": U8}, bytes(7)),
    "another size": header({"images": {**U8, "shape": [2, 1, 2, 3]}}, bytes(8)),
    "negative": header({"images": {**U8, "shape": [-2, -1, 2, 2]}}, bytes(8)),
    "a fraction": header({"images": {**U8, "shape": [2.0, 1, 2, 2]}}, bytes(8)),
    "True": header({"images": {**U8, "shape": [True, 2, 2, 2]}}, bytes(8)),
    "a hole": header({"images": {**U8, "data_offsets": [1, 9]}}, bytes(9)),
    "twice the same bytes": header({"images": U8, "labels": U8}, bytes(16)),
    "an overlap": header({"images": U8, "labels": {**U8, "data_offsets": [4, 12]}}, bytes(12)),
    "twice": header(
        b'{"images": ' + json.dumps(U8).encode() + b', "images": ' + json.dumps(U8).encode() + b"}", bytes(8)
    ),
    "no room": header({"images": {**U8, "shape": [0] + [2**40] * 3, "data_offsets": [0, 0]}}),
    "99 dimensions": header({"images": {**U8, "shape": [1] * 99, "data_offsets": [0, 1]}}, b"x"),
    "an unknown type": header({"images": {**U8, "dtype": "F8_E4M3"}}, bytes(8)),
    "an unhashable type": header({"images": {**U8, "dtype": []}}, bytes(8)),
    "metadata": header({"__metadata__": {"name": 3}, "images": U8}, bytes(8)),
    "metadata in a list": header({"__metadata__": ["name"], "images": U8}, bytes(8)),
    "half a character": header(b'{"\\ud800\\u001b[31m": 3}'),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_header_is_refused_before_anything_is_allocated(tmp_path, damage):
    (tmp_path / "d.safetensors").write_bytes(DAMAGED[damage])
    with pytest.raises(zoo.ZooError, match="d.safetensors: a truncated or corrupt safetensors file") as error:
        load_dataset(tmp_path / "d.safetensors")
    assert str(error.value).isprintable() and len(str(error.value)) < 400


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "d.safetensors"
    whole = save({"images": IMAGES[:2, :, :4, :4], "labels": np.arange(2)})
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(zoo.ZooError, match="truncated or corrupt"):
            load_dataset(path)
    path.write_bytes(whole)
    assert load_dataset(path).train.labels.tolist() == [0, 1]


def test_an_open_file_is_closed_with_its_dataset(path):
    file = MappedFile(path)
    closed = file._closing
    assert closed.alive
    del file
    assert not closed.alive
