"""The files of a run are those that it wrote, to the last bit, or the run is not resumed; one process writes them."""

import functools
import itertools
import json
import math
import os
import shutil
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

import zoo
from functional import training
from zoo.commands import main
from zoo.environment import environment, using_threads
from zoo.files import SEAL, load_sealed, locked, save_tensors
from zoo.training.run_directory import load_checkpoint, read_metrics, save_checkpoint


def test_a_checkpoint_keeps_the_structure_even_where_leaves_share_memory(tmp_path):
    shared = torch.ones(2)
    state = training.TrainState({"w": shared}, (shared,), {"m": torch.zeros(2)}, torch.tensor(5))
    save_checkpoint(tmp_path / "c.safetensors", state, {})
    back, _ = load_checkpoint(tmp_path / "c.safetensors", state)
    assert isinstance(back, training.TrainState) and isinstance(back.state, tuple)
    assert torch.equal(back.params["w"], shared) and int(back.step) == 5


@pytest.mark.parametrize(
    "template,words",
    [
        ({"w": torch.ones(3)}, "w: expected torch.float32 [3], got torch.float32 [2]"),
        ({"w": torch.ones(2).double()}, "w: expected torch.float64 [2]"),
        ({"v": torch.ones(2)}, "missing v, unknown w"),
    ],
)
def test_a_checkpoint_of_another_structure_names_the_leaf(tmp_path, template, words):
    save_checkpoint(tmp_path / "c.safetensors", {"w": torch.ones(2)}, {})
    with pytest.raises(zoo.ZooError) as error:
        load_checkpoint(tmp_path / "c.safetensors", template)
    assert words in str(error.value) and "c.safetensors" in str(error.value)


# --- what is not the checkpoint of this run, byte for byte ---------------------------------------------------------


def test_a_change_of_any_bit_of_a_checkpoint_is_found(tmp_path):
    path, state = tmp_path / "c.safetensors", {"a": torch.tensor([1.0, 2.0]), "n": {"step": torch.tensor(5)}}
    metadata = {"dataset_digest": "0" * 64, "start": {"mean": [1e-5]}, "code": "", "recipe": {"seed": 0}, "metrics": ""}
    save_checkpoint(path, state, metadata)
    whole = path.read_bytes()
    assert load_checkpoint(path, state)[1].items() >= metadata.items()
    for place, bit in itertools.chain.from_iterable(
        ((i, i % 8), (i, 5)) for i in range(len(whole))
    ):  # 5: a letter's case
        data = bytearray(whole)
        data[place] ^= 1 << bit
        path.write_bytes(data)
        with pytest.raises(zoo.ZooError):
            load_checkpoint(path, state)


@pytest.fixture
def stopped(run, tmp_path):
    """A run whose second and last epoch is trained and whose encoder is not written."""
    out = shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(out / "encoder")
    return out


@pytest.fixture(scope="module")
def after_an_epoch(recipe, tmp_path_factory):
    """A function that copies a run that was stopped after the first of two epochs."""

    @functools.cache
    def make(seed):
        out = tmp_path_factory.mktemp("stopped") / "run"
        with pytest.raises(Stopped):
            zoo.pretrain(recipe.replace(epochs=2, seed=seed), out=out, on_epoch=stop)
        return out

    return lambda out, seed=0: shutil.copytree(make(seed), out)


class Stopped(Exception):
    pass


def stop(*_):
    raise Stopped


def refused(out):
    """The message for a run that is resumed, which must come before anything is written."""
    before = {path: path.stat().st_mtime_ns for path in out.iterdir() if path.name.endswith(("safetensors", "jsonl"))}
    result = CliRunner().invoke(main, ["resume", str(out)])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and not (out / "encoder").exists(), result.output
    assert before == {path: path.stat().st_mtime_ns for path in before}
    return result.stderr


def test_the_checkpoint_of_another_run_is_refused_with_the_difference(after_an_epoch, tmp_path):
    out, other = after_an_epoch(tmp_path / "run"), after_an_epoch(tmp_path / "other", seed=1)
    shutil.copy(other / "checkpoint.safetensors", out)
    words = refused(out)
    assert f"{out}/checkpoint.safetensors: is of a run of another recipe (seed 1 there, 0 here)" in words
    assert words.endswith("restore a copy, or delete it to restart the training: nothing else is lost\n")


def test_a_recipe_that_was_replaced_is_found(after_an_epoch, tmp_path):
    out, other = after_an_epoch(tmp_path / "run"), after_an_epoch(tmp_path / "other", seed=1)
    shutil.copy(other / "recipe.json", out)
    assert "is of a run of another recipe (seed 0 there, 1 here) than the recipe.json beside it" in refused(out)


def test_the_encoder_of_another_run_is_refused(run, recipe, tmp_path):
    out = shutil.copytree(run, tmp_path / "run")
    config = json.loads((out / "encoder" / "config.json").read_text())
    config["recipe"]["seed"] = 1
    (out / "encoder" / "config.json").write_text(json.dumps(config))
    with pytest.raises(zoo.ZooError, match=r"config.json: is of .* \(seed 1 there, 0 here\).*delete .*/encoder"):
        zoo.resume(out)


def test_a_checkpoint_that_lost_its_seal_is_refused_and_one_that_never_had_one_is_not(after_an_epoch, tmp_path):
    out = after_an_epoch(tmp_path / "run")
    path = out / "checkpoint.safetensors"
    tensors, metadata = load_sealed(path)
    unsealed = {name: value for name, value in metadata.items() if name != SEAL}
    save_tensors(path, tensors, unsealed)
    assert "not a checkpoint, or one whose metadata were modified" in refused(out)
    earlier = {name: unsealed[name] for name in ("dataset_digest", "start", "code")}
    save_tensors(path, tensors, {**earlier, "device": "cpu"})
    with pytest.warns(UserWarning, match="written by an earlier version, without a seal and without a record"):
        model = zoo.resume(out)
    assert "from epoch 1 on cpu, the rest was not recorded; from epoch 2 on cpu, " in card(out)
    assert [each["first_epoch"] for each in model.config["environments"]] == [1, 2]


def card(out):
    return (out / "encoder" / "README.md").read_text()


def test_other_threads_are_warned_of_and_listed(after_an_epoch, tmp_path):
    out = after_an_epoch(tmp_path / "run")
    with using_threads(2), pytest.warns(UserWarning, match=r"other settings than before \(threads 1 -> 2\).*bits will"):
        model = zoo.resume(out)
    first, second = model.config["environments"]
    assert (first["first_epoch"], first["threads"]) == (1, 1) and (second["first_epoch"], second["threads"]) == (2, 2)
    assert model.config["environment"]["threads"] == 2 and model.config["environment"].keys() == environment().keys()
    assert "threads: 1" in card(out) and "from epoch 2 on cpu" in card(out)


@pytest.mark.slow
def test_another_instruction_set_is_warned_of(after_an_epoch, tmp_path):
    out = after_an_epoch(tmp_path / "run")
    before = environment()["cpu_capability"]
    if before == "DEFAULT":
        pytest.skip("this processor has no other")
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "resume", out],
        env={**os.environ, "ATEN_CPU_CAPABILITY": "default"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"zoo: warning: this run is resumed with other settings than before ({before} -> DEFAULT)" in done.stderr


def test_a_run_in_one_environment_lists_one_and_warns_of_nothing(after_an_epoch, run, tmp_path):
    model = zoo.resume(after_an_epoch(tmp_path / "run"))
    assert model.config["environments"] == [{"first_epoch": 1, "device": "cpu", **environment()}]
    assert model.config["sha256"] == zoo.load(run).config["sha256"]


LINES = {
    "not JSON": (lambda lines: ["{", lines[1]], "line 1: not JSON"),
    "not UTF-8": (lambda lines: [lines[0] + "\udcff", lines[1]], "line 1: not UTF-8"),
    "a list": (lambda lines: ["[1]", lines[1]], "line 1: expected an object of numbers, got [1]"),
    "a word": (lambda lines: [change(lines[0], loss="low"), lines[1]], "line 1: expected an object of numbers, got {"),
    "another epoch": (lambda lines: [lines[1], lines[0]], "line 1: expected epoch 1, got 2"),
    "an epoch twice": (lambda lines: [lines[0], lines[0]], "line 2: expected epoch 2, got 1"),
    "no epoch": (lambda lines: [drop(lines[0], "epoch"), lines[1]], "line 1: expected epoch 1, got None"),
    "no loss": (lambda lines: [drop(lines[0], "loss"), lines[1]], "line 1: loss: expected a finite number, got None"),
    "no time": (lambda lines: [lines[0], drop(lines[1], "seconds")], "line 2: seconds: expected a finite number"),
    "not a number": (lambda lines: [change(lines[0], loss=math.nan), lines[1]], "line 1: loss: expected a finite"),
    "infinite": (lambda lines: [change(lines[0], seconds=math.inf), lines[1]], "line 1: seconds: expected a finite"),
    "a huge number": (
        lambda lines: [change(lines[0], loss=10**400), lines[1]],
        "line 1: expected an object of numbers",
    ),
    "another step": (lambda lines: [change(lines[0], step=11), lines[1]], "line 1: expected step 10, got 11"),
    "another loss": (lambda lines: [change(lines[0], loss=1.5), lines[1]], "its lines are not those that were written"),
    "another field": (lambda lines: [drop(lines[0], "alignment"), lines[1]], "its lines are not those"),
    "too few": (lambda lines: lines[:1], "expected 2 lines, one per completed epoch, got 1"),
    "none": (lambda lines: [], "expected 2 lines, one per completed epoch, got 0"),
    "too many": (lambda lines: [*lines, change(lines[1], epoch=3)], "expected 2 lines at most, one per epoch"),
    "a long line": (lambda lines: [lines[0] + " " * 10**7, lines[1]], "line 1: expected 65,536 bytes or fewer"),
}


def change(line, **values):
    return json.dumps({**json.loads(line), **values})


def drop(line, name):
    return json.dumps({key: value for key, value in json.loads(line).items() if key != name})


@pytest.mark.parametrize("how", LINES)
def test_damaged_metrics_are_found_before_anything_is_done(stopped, how):
    path, (damage, words) = stopped / "metrics.jsonl", LINES[how]
    lines = damage(path.read_text().splitlines())
    path.write_text("".join(line + "\n" for line in lines), errors="surrogateescape")
    assert f"{path}: {words}" in (found := refused(stopped)) and found.endswith("; restore the file\n")


def test_metrics_that_cannot_be_read_are_named_by_whoever_reads_them(stopped):
    path = stopped / "metrics.jsonl"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(zoo.ZooError, match=r"metrics.jsonl: line 2: not JSON .*; restore the file"):
        read_metrics(stopped)
    with open(path, "wb") as file:
        file.truncate(10**10)  # a hole, which takes no room
    with pytest.raises(zoo.ZooError, match="expected 67,108,864 bytes or fewer, got 10,000,000,000"):
        read_metrics(stopped)


def test_later_lines_are_dropped_with_the_epochs_that_are_made_again(after_an_epoch, run, tmp_path):
    """As of a run that was killed between its metrics and its checkpoint, or whose checkpoint is an older copy."""
    out = after_an_epoch(tmp_path / "run")
    with open(out / "metrics.jsonl", "a") as file:
        file.write("what was written after the checkpoint\n")
    assert zoo.resume(out).config["sha256"] == zoo.load(run).config["sha256"]
    assert len(read_metrics(out)) == 2


# --- one process at a time ------------------------------------------------------------------------------------------

ALONE = """
import os, sys, time
from pathlib import Path
from zoo.errors import ZooError
from zoo.files import locked

path, entered = Path(sys.argv[1]), 0
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    try:
        with locked(path / "lock", "training", patience=0):
            os.close(os.open(path / "inside", os.O_CREAT | os.O_EXCL))  # fails where another process is inside
            time.sleep(0.002)
            os.unlink(path / "inside")
            entered += 1
    except ZooError as error:
        assert str(error).startswith(f"{path}: process ") or str(error).startswith(f"{path}: another process"), error
    time.sleep(0.001)
print(entered)
"""


def test_processes_that_take_turns_never_hold_a_lock_together(tmp_path):
    command = [sys.executable, "-c", ALONE, tmp_path, "2"]
    crowd = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    counts = [int(process.communicate()[0]) for process in crowd]
    assert all(process.returncode == 0 for process in crowd) and sum(counts) > 50, counts


HOLD = """
import sys, time
from pathlib import Path
from zoo.files import locked
with locked(Path(sys.argv[1]), "training"):
    print("held", flush=True)
    time.sleep(60)
"""


LATE = """
import os, sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(0.1)
    with open(sys.argv[1], "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)
"""


def test_an_id_that_a_dead_process_left_is_not_taken_for_that_of_one_that_has_just_begun(tmp_path):
    path = tmp_path / "run.lock"
    path.write_text("99999999")
    process = subprocess.Popen([sys.executable, "-c", LATE, path], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(zoo.ZooError, match=f"process {process.pid} is training here"):
            with locked(path, "training"):
                raise AssertionError
    finally:
        process.kill()
        process.communicate()


def test_the_second_is_told_the_first_ones_id_also_over_the_lock_of_a_dead_process(tmp_path):
    path = tmp_path / "run.lock"
    for _ in range(3):  # the second and third over the lock of one that was killed
        process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout.readline() == "held\n"
            with pytest.raises(zoo.ZooError, match=f"{tmp_path}: process {process.pid} is training here; wait for it"):
                with locked(path, "training"):
                    raise AssertionError
        finally:
            process.kill()
            process.communicate()
        assert path.is_file()
    with locked(path, "training"):
        assert path.read_text() == str(os.getpid())
    assert not path.exists()
