"""TensorBoard and trackio show every epoch once, however a run was stopped, and what they read is what it recorded.

trackio is not among the packages of the tests, because it needs an older pillow than they do: its tests run where it is
installed.
"""

import importlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

import zoo
from zoo.training.run_directory import read_metrics
from zoo.training.tracking import PROJECT

TRACKIO = pytest.mark.skipif(
    importlib.util.find_spec("trackio") is None, reason="trackio is not installed: pip install 'funczoo[trackio]'"
)
TRACKERS = ["tensorboard", pytest.param("trackio", marks=TRACKIO)]


class StopError(Exception):
    pass


def stopped_after(epochs):
    def stop(epoch, _):
        if epoch == epochs:
            raise StopError

    return stop


@pytest.fixture(scope="module", autouse=True)
def database(tmp_path_factory):
    """A folder for trackio's database, and no connections: what is logged stays on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("trackio")
        patch.setenv("TRACKIO_DIR", str(folder))
        if "trackio" not in sys.modules and importlib.util.find_spec("trackio"):
            importlib.import_module("trackio")  # which reads the variable once
        patch.setattr(socket.socket, "connect", lambda self, address: pytest.fail(f"connected to {address}"))
        yield folder


def in_tensorboard(out):
    """`{name: [(step, value), ...]}`, as TensorBoard's own reader finds it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(out / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def in_trackio(out):
    """The same in trackio's database."""
    from trackio.sqlite_storage import SQLiteStorage

    name = json.loads((out / "trackio.json").read_text())["run"]
    found = {}
    for logged in SQLiteStorage.get_logs(PROJECT, name):
        for key, value in logged.items():
            if key not in ("step", "timestamp"):
                found.setdefault(key, []).append((logged["step"], value))
    return found


def check(tracker, out, epochs):
    """That the tracker has what the run recorded: each value of each epoch, once."""
    found = {"tensorboard": in_tensorboard, "trackio": in_trackio}[tracker](out)
    lines = read_metrics(out)
    assert len(lines) == epochs and found.keys() == lines[0].keys() - {"step"}
    for name, points in found.items():
        assert [step for step, _ in points] == [line["step"] for line in lines], name
        expected = [pytest.approx(line[name], rel=1e-6, nan_ok=True) for line in lines]
        if name not in ("seconds", "images_per_second", "peak_memory_bytes"):  # of an epoch that was trained twice
            assert [value for _, value in points] == expected, name


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_run_that_was_stopped_goes_on_without_a_step_twice(recipe, tmp_path, tracker):
    out = tmp_path / "run"
    with pytest.raises(StopError):
        zoo.pretrain(recipe.replace(epochs=3), out=out, log=tracker, on_epoch=stopped_after(1))
    check(tracker, out, 1)
    with pytest.raises(StopError):  # without the tracker: the next one finds what is missing
        zoo.pretrain(recipe.replace(epochs=3), out=out, on_epoch=stopped_after(2))
    zoo.resume(out, log=tracker)
    check(tracker, out, 3)
    zoo.resume(out, log=tracker)  # a finished run
    check(tracker, out, 3)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_finished_run_is_shown_from_its_first_epoch_and_keeps_its_bits(recipe, run, tmp_path, tracker):
    out = tmp_path / "run"
    model = zoo.pretrain(recipe.replace(epochs=2), out=out, log=tracker)
    assert model.config["sha256"] == zoo.load(run).config["sha256"]
    check(tracker, out, 2)


@pytest.mark.slow
@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_killed_run_goes_on_without_a_step_twice(recipe, tmp_path, tracker):
    out = tmp_path / "run"
    (tmp_path / "recipe.json").write_text(recipe.replace(epochs=40).to_json())
    command = [sys.executable, "-m", "zoo", "pretrain", "recipe.json", "--out", "run", "--log", tracker]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("epoch 3/"):
                os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    done = len(read_metrics(out))
    assert 2 <= done < 40
    with pytest.raises(StopError):
        zoo.pretrain(recipe.replace(epochs=40), out=out, log=tracker, on_epoch=stopped_after(done + 2))
    check(tracker, out, done + 2)


def test_a_torn_event_file_is_completed(recipe, tmp_path):
    """As after a kill while a record was written: what is left of it counts, and the rest is written again."""
    out = tmp_path / "run"
    with pytest.raises(StopError):
        zoo.pretrain(recipe.replace(epochs=3), out=out, log="tensorboard", on_epoch=stopped_after(2))
    (events,) = (out / "tensorboard").iterdir()
    whole = in_tensorboard(out)
    events.write_bytes(events.read_bytes()[:-150])
    torn = in_tensorboard(out)
    assert {len(points) for points in torn.values()} == {1, 2} and {len(points) for points in whole.values()} == {2}
    zoo.resume(out, log="tensorboard")
    check("tensorboard", out, 3)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_json_on_stdout_is_all_that_is_there(recipe, tmp_path, tracker):
    (tmp_path / "recipe.json").write_text(recipe.replace(epochs=1, warmup_epochs=0).to_json())
    command = [sys.executable, "-m", "zoo", "pretrain", "recipe.json", "--out", "run", "--log", tracker, "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == "run"


def test_an_unknown_tracker_is_named_before_anything_is_written(recipe, tmp_path):
    with pytest.raises(zoo.ZooError, match="unknown tracker 'tensorbord'; did you mean 'tensorboard'"):
        zoo.pretrain(recipe, out=tmp_path / "run", log="tensorbord")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("tracker", ["tensorboard", "trackio"])
def test_a_missing_package_is_named_before_anything_is_written(recipe, tmp_path, monkeypatch, tracker):
    monkeypatch.setitem(sys.modules, tracker, None)
    with pytest.raises(zoo.ZooError, match=rf"{tracker} is missing .*; run `pip install 'funczoo\[{tracker}\]'`"):
        zoo.pretrain(recipe, out=tmp_path / "run", log=tracker)
    assert not (tmp_path / "run").exists()
