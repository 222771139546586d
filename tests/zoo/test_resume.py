"""A run killed at any moment goes on to the same bits as one that never was, and leaves no half-written file."""

import json
import multiprocessing
import random
import subprocess
import sys
import time

import pytest
from safetensors import safe_open

import zoo

# The server has imported torch but run nothing: its children start in milliseconds, and each is a process of its own.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["zoo.pretraining"])


def start(recipe, out):
    process = processes.Process(target=zoo.pretrain, args=(recipe,), kwargs={"out": out})
    process.start()
    return process


def finish(recipe, out):
    process = start(recipe, out)
    process.join(120)
    assert process.exitcode == 0


def bits(out):
    """All that a run computed, less the clock."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"], line["images_per_second"]
    return (
        (out / "checkpoint.safetensors").read_bytes(),
        (out / "encoder" / "model.safetensors").read_bytes(),
        lines,
    )


def assert_whole(out):
    """Every file under a final name can be read to its end."""
    for path in out.rglob("*"):
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                assert [file.get_tensor(name) for name in file.keys()]
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".jsonl":
            assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.fixture(scope="module")
def unbroken(recipe, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    started = time.perf_counter()
    finish(recipe, out)
    return bits(out), (time.perf_counter() - started) / recipe.epochs


def epochs_done(out):
    path = out / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.is_file() else 0


def test_a_run_killed_at_random_moments_ends_in_the_same_bits(recipe, tmp_path, unbroken):
    expected, seconds_per_epoch = unbroken
    out = tmp_path / "run"
    moments = random.Random(0)
    for epochs in (0, 1, 2, 3, 4):  # of 6
        process = start(recipe, out)
        while epochs_done(out) < epochs and process.exitcode is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 1.5) * seconds_per_epoch)
        process.kill()
        process.join()
        assert process.exitcode == -9
        assert_whole(out)
    finish(recipe, out)
    assert bits(out) == expected


KILLED_WHILE_WRITING = """
import os, signal, sys
import zoo
from zoo.recipe import read_recipe

sync, left = os.fsync, int(sys.argv[3])

def kill_at_the_last(descriptor):
    global left
    left -= 1
    if left == 0:
        os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    sync(descriptor)

os.fsync = kill_at_the_last
zoo.pretrain(read_recipe(sys.argv[1]), out=sys.argv[2])
"""


def test_a_run_killed_while_it_writes_a_checkpoint_ends_in_the_same_bits(recipe, tmp_path, unbroken):
    out, path = tmp_path / "run", tmp_path / "recipe.json"
    path.write_text(recipe.to_json())
    # Two files a start (recipe, its directory), then four syncs an epoch: metrics, directory, checkpoint, directory.
    killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, path, out, "9"], timeout=120)
    assert killed.returncode == -9
    assert (out / "checkpoint.safetensors.part").exists()
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2
    assert_whole(out)
    finish(recipe, out)
    assert bits(out) == unbroken[0]


def test_a_finished_run_is_loaded_and_not_trained_again(run):
    before = (run / "checkpoint.safetensors").stat().st_mtime_ns
    assert zoo.resume(run).name == "simclr-resnet8-digits"
    assert (run / "checkpoint.safetensors").stat().st_mtime_ns == before
