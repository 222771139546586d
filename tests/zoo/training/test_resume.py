"""A run killed at any moment resumes and ends bit-identical to an uninterrupted one; no file is half-written."""

import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from safetensors import safe_open

import zoo
from zoo.commands import main
from zoo.data.downloads import RemoteFile, Source, fetch, read_idx_files
from zoo.files import load_tensors, parts_of, save_tensors
from zoo.training.run_directory import read_metrics

# The server has imported torch but run nothing: its children start in milliseconds, each as a separate process.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["zoo.training.loop"])


def start(recipe, out):
    process = processes.Process(target=zoo.pretrain, args=(recipe,), kwargs={"out": out})
    process.start()
    return process


def finish(recipe, out):
    process = start(recipe, out)
    process.join(600)
    assert process.exitcode == 0


def bits(out):
    """Everything that a run computed, without its times and memory."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["seconds"], line["images_per_second"], line["peak_memory_bytes"]
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
    finish(recipe, out)
    return bits(out), min(line["seconds"] for line in read_metrics(out))


def epochs_done(out):
    path = out / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.is_file() else 0


def test_a_run_killed_at_random_moments_ends_in_the_same_bits(recipe, tmp_path, unbroken):
    expected, epoch_seconds = unbroken
    out = tmp_path / "run"
    moments = random.Random(0)
    for epochs in (0, 1, 2, 3, 4):  # of 6
        process = start(recipe, out)
        while epochs_done(out) < epochs and process.exitcode is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 1.5) * epoch_seconds)
        process.kill()
        process.join()
        assert process.exitcode == -9
        assert_whole(out)
    finish(recipe, out)
    assert bits(out) == expected


def test_a_second_process_is_refused_while_the_first_trains_but_not_after_it_was_killed(recipe, tmp_path):
    class TrainedAnEpoch(Exception):
        pass

    def stop(*_):
        raise TrainedAnEpoch

    recipe, out = recipe.replace(epochs=1000), tmp_path / "run"
    first, lock = start(recipe, out), out / "run.lock"
    while not (lock.is_file() and lock.read_text()):
        assert first.is_alive()
        time.sleep(0.01)
    with pytest.raises(zoo.ZooError, match=f"run: process {first.pid} is training here; wait for it, stop it, or"):
        zoo.pretrain(recipe, out=out)
    first.kill()
    first.join()
    assert lock.is_file(), "the process was killed while it trained"
    with pytest.raises(TrainedAnEpoch):
        zoo.pretrain(recipe, out=out, on_epoch=stop)
    assert not lock.exists()


KILLED_WHILE_WRITING = """
import os, signal, sys
import zoo
from zoo.training.recipe import read_recipe

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
    # Two syncs per start (recipe, its directory), then four per epoch: metrics, directory, checkpoint, directory.
    for syncs in ("1", "9"):
        killed = subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, path, out, syncs], timeout=600)
        assert killed.returncode == -9
        assert syncs == "9" or {file for file in out.iterdir()} == {*parts_of(out / "recipe.json"), out / "run.lock"}
        assert parts_of(out / ("checkpoint.safetensors" if syncs == "9" else "recipe.json"))
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2
    assert_whole(out)
    finish(recipe, out)
    assert bits(out) == unbroken[0]


KILLED_AFTER_A_LINE = """
import os, signal, sys
import zoo
from zoo.training.progress import Progress
from zoo.training.recipe import read_recipe

say = Progress.epoch

def say_and_die(self, line):
    say(self, line)
    os.kill(os.getpid(), signal.SIGKILL)

Progress.epoch = say_and_die
zoo.pretrain(read_recipe(sys.argv[1]), out=sys.argv[2], progress=True)
"""


def test_a_run_killed_after_the_line_of_an_epoch_does_not_repeat_it(recipe, tmp_path):
    out, path = tmp_path / "run", tmp_path / "recipe.json"
    path.write_text(recipe.to_json())
    for epoch in (1, 2):
        command = [sys.executable, "-c", KILLED_AFTER_A_LINE, path, out]
        killed = subprocess.run(command, timeout=600, stderr=subprocess.PIPE, text=True)
        assert killed.returncode == -9
        assert f"epoch {epoch}/{recipe.epochs}" in killed.stderr


CANNOT_WRITE = """
import ctypes, os, resource, sys
from zoo.commands import main

def resume():
    try:
        main(["resume", sys.argv[1]])
    except SystemExit as stopped:
        print(stopped.code)

hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # a checkpoint is larger, the metrics are not
resume()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

# Root may write even where the mode forbids it: drop that capability.
libc, header, capabilities = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(header, capabilities) == 0
capabilities[0] &= ~(1 << 1)
assert libc.capset(header, capabilities) == 0
os.chmod(sys.argv[1], 0o555)
resume()
os.chmod(sys.argv[1], 0o755)
"""


def test_what_cannot_be_written_loses_nothing(recipe, tmp_path, unbroken):
    out = tmp_path / "run"
    process = start(recipe, out)
    while not (out / "checkpoint.safetensors").is_file() and process.exitcode is None:
        time.sleep(0.01)
    process.kill()
    process.join()
    before = (out / "checkpoint.safetensors").read_bytes()
    stopped = subprocess.run([sys.executable, "-c", CANNOT_WRITE, out], capture_output=True, text=True, timeout=600)
    assert stopped.stdout.split() == ["2", "2"]
    full, forbidden = (line for line in stopped.stderr.splitlines() if line.startswith("zoo: "))
    assert f"{out}/checkpoint.safetensors: File too large; the last checkpoint is intact. Free disk space" in full
    assert f"{out}/run.lock: Permission denied; the last checkpoint is intact" in forbidden
    assert full.endswith(f"resume with `zoo resume {out}`") and forbidden.endswith(f"resume with `zoo resume {out}`")
    assert (out / "checkpoint.safetensors").read_bytes() == before and not list(out.glob("*.part"))

    assert_whole(out)
    finish(recipe, out)
    assert bits(out) == unbroken[0]


def test_errors_for_broken_files_of_a_run_say_what_to_do(run, tmp_path):
    def resume(out, how):
        result = CliRunner().invoke(main, ["resume", str(out)])
        assert result.exit_code == 2 and result.stderr.count("\n") == 1 and how in result.stderr
        return result.stderr

    def cut(path):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    out = shutil.copytree(run, tmp_path / "run")
    cut(out / "encoder" / "config.json")
    assert "config.json: not JSON" in resume(out, f"or delete {out}/encoder and run `zoo resume {out}` to write it")
    shutil.rmtree(out / "encoder")
    whole = (out / "metrics.jsonl").read_text()
    (out / "metrics.jsonl").write_text(whole.splitlines()[0])
    resume(out, "metrics.jsonl: expected 2 lines, one per completed epoch, got 1; restore the file")
    (out / "metrics.jsonl").write_text(whole)
    zoo.resume(out)
    weights = (run / "encoder" / "model.safetensors").read_bytes()
    assert (out / "encoder" / "model.safetensors").read_bytes() == weights
    cut(out / "checkpoint.safetensors")
    assert "truncated" in resume(out, "restore a copy, or delete it to restart the training: nothing else is lost")
    shutil.rmtree(out / "encoder")
    (out / "checkpoint.safetensors").unlink()
    zoo.resume(out)
    assert (out / "encoder" / "model.safetensors").read_bytes() == weights
    cut(out / "recipe.json")
    resume(out, "recipe.json: not JSON")


def test_the_folder_of_a_killed_download_is_removed_a_day_later(tmp_path, monkeypatch):
    monkeypatch.setenv("FUNCZOO_DATA", str(tmp_path))
    for name in ("mnist.old", "mnist.new", "mnist_24k.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train-images.gz").write_text("half")
        yesterday = time.time() - 25 * 3600
        os.utime(tmp_path / name, (yesterday, yesterday) if name.endswith("old") else None)
    nobody_listens = Source((RemoteFile(("http://127.0.0.1:9/train-images.gz",), ""),), read_idx_files, ())
    with pytest.raises(zoo.ZooError, match="Connection refused"):
        fetch("mnist", source=nobody_listens)
    assert {path.name for path in tmp_path.iterdir()} == {"mnist.new", "mnist_24k.old"}


def test_a_finished_run_is_loaded_and_not_trained_again(run):
    before = (run / "checkpoint.safetensors").stat().st_mtime_ns
    assert zoo.resume(run).name.startswith("simclr-resnet8-digits_")
    assert (run / "checkpoint.safetensors").stat().st_mtime_ns == before


def test_a_run_of_version_1_resumes_to_the_same_bits(recipe, tmp_path, unbroken):
    """Its recipe has a device, and its checkpoint says neither device nor code."""
    out = tmp_path / "run"

    def stop(epoch, model):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zoo.pretrain(recipe, out=out, on_epoch=stop)
    tensors, metadata = load_tensors(out / "checkpoint.safetensors")
    save_tensors(
        out / "checkpoint.safetensors", tensors, {name: metadata[name] for name in ("dataset_digest", "start")}
    )
    stored = {name: value for name, value in recipe.to_dict().items() if name != "parameter_groups"}
    (out / "recipe.json").write_text(json.dumps({**stored, "device": "cpu"}))
    with pytest.warns(UserWarning, match="written by an earlier version, without a seal"):
        model = zoo.resume(out)
    assert (out / "encoder" / "model.safetensors").read_bytes() == unbroken[0][1]
    before, now = model.config["environments"]
    assert before == {"first_epoch": 1, "device": "cpu"} and now["first_epoch"] == 3 and now["threads"] == 1
