"""A few of each fault, at random moments and places; and what is lost is seen."""

import collections
import importlib.util
import random
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def faults():
    spec = importlib.util.spec_from_file_location("faults", ROOT / "scripts" / "faults.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_nothing_is_lost(faults):
    command = [sys.executable, ROOT / "scripts" / "faults.py", "--times", "5", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f"\n{name}" in done.stdout for name in faults.SCENARIOS) and "FAILED" not in done.stdout


def test_other_bits_after_a_kill_are_seen(faults, tmp_path):
    results = iter(["as never killed", "otherwise"])
    action = faults.Action(("list",), lambda: {"x": next(results)}, lambda: None, tmp_path / "x")
    place = faults.Place(tmp_path, random.Random(0), 1, "", collections.Counter())
    with pytest.raises(faults.Lost, match="other bits: x"):
        faults._killed(lambda _: action, place)


def test_a_process_that_ends_in_a_traceback_is_seen(faults):
    def fail():
        raise KeyError("x")

    done = faults._end(faults._fork(fail))
    assert done.status == 1 and "KeyError: 'x'" in done.stderr
    for lines in ("", "zoo: one\nzoo: two\n", f"{done.stderr}zoo: one\n"):
        with pytest.raises(faults.Lost, match="expected one line"):
            faults._require_one_line(faults.Done(2, lines))
    faults._require_one_line(faults.Done(2, "epoch 1/2  loss 3.4\nzoo: warning: slow\nzoo: x: no room\n"))


def test_a_killed_process_is_told_from_one_that_finished(faults):
    assert faults._run(("list",), kill_after=0).status in (0, -9) and faults._run(("list",)).status == 0
    assert faults._run(("lst",)).status == 2
