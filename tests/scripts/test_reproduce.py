"""Ledgers are repeated: figures to the last digit, losses bit for bit, and what does not come out again is named."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
NAME = "supervised-resnet8-digits"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("reproduce", ROOT / "scripts" / "reproduce.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ledger(script, tmp_path, monkeypatch):
    """The path of a copy of a ledger, without its trajectory; the script reads and writes this copy."""
    monkeypatch.setattr(script, "ROOT", tmp_path)
    path = tmp_path / "model_cards" / "results" / f"{NAME}.json"
    path.parent.mkdir(parents=True)
    shutil.copy(ROOT / "model_cards" / "results" / f"{NAME}.json", path)
    edit(path, lambda values: values.pop("trajectory", None))
    return path


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_a_shipped_model_is_reproduced():
    command = [sys.executable, ROOT / "scripts" / "reproduce.py", NAME, "--steps", "4"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    header, line = done.stdout.splitlines()
    assert header.split() == ["model", "figures", "first", "losses", "result"]
    assert line.startswith(NAME) and " 32 of 32 identical " in line and line.endswith("  reproduced")
    assert "4 of 4" in line and NAME in done.stderr


def test_a_missing_trajectory_is_recorded_once_and_then_repeated(script, ledger):
    before = json.loads(ledger.read_text())
    missing = script.reproduce(NAME, 3, record=False)
    assert not missing["reproduced"] and "not recorded; --record adds them" in script.in_words(missing)
    assert json.loads(ledger.read_text()) == before
    recorded = script.reproduce(NAME, 3, record=True)
    after = json.loads(ledger.read_text())
    trajectory = after.pop("trajectory")
    assert after == before and recorded["reproduced"]
    assert len(trajectory["losses"]) == 3
    assert trajectory["environment"]["threads"] == zoo.load(NAME).config["environment"]["threads"]
    assert script.reproduce(NAME, 2, record=True)["trajectory"]["steps"] == 2
    assert json.loads(ledger.read_text())["trajectory"] == trajectory  # not recorded again


def spoil_a_figure(values):
    values["results"][0]["linear"]["values"][1] += 0.004
    values["environment"]["processor"] = "abacus"


def spoil_a_loss(values):
    values["trajectory"]["losses"][1] *= 1 + 1e-6


@pytest.mark.parametrize(
    "spoil,words",
    [
        (spoil_a_figure, "31 of 32 identical, off by up to 0.40 points (measured on abacus, "),
        (spoil_a_loss, "within 1e-3 for 2 of 2 steps, max. difference 1.0e-06 (recorded on "),  # but not the same bits
    ],
)
def test_what_does_not_come_out_again_is_named_and_the_exit_code_is_1(
    script, ledger, monkeypatch, capsys, spoil, words
):
    script.reproduce(NAME, 2, record=True)
    edit(ledger, spoil)
    monkeypatch.setattr(sys, "argv", ["reproduce.py", NAME, "--steps", "2"])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == 1
    line = capsys.readouterr().out.splitlines()[-1]
    assert words in line and line.endswith("  NOT REPRODUCED")


def test_other_data_or_no_ledger_are_errors_of_that_model_alone(script, ledger, monkeypatch, capsys):
    edit(ledger, lambda values: values["probes"].update(digits="0" * 64))
    monkeypatch.setattr(sys, "argv", ["reproduce.py", NAME, "byol-resnet8-digits", "--json"])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    first, second = json.loads(capsys.readouterr().out)
    assert stopped.value.code == 1 and not first["reproduced"] and not second["reproduced"]
    assert "digits: has other images or labels than the ledger's" in first["error"]
    assert "byol-resnet8-digits.json: no such ledger; `python scripts/release.py RECIPE` writes it" in second["error"]


def test_the_trajectory_is_that_of_the_shipped_recipe(script, ledger):
    edit(ledger, lambda values: values["recipe"].update(learning_rate=1.0))  # the encoder's own recipe counts
    script.reproduce(NAME, 3, record=True)
    recipe = Recipe.from_record(zoo.load(NAME).config["recipe"])
    losses = json.loads(ledger.read_text())["trajectory"]["losses"]
    with script.using_threads(zoo.load(NAME).config["environment"]["threads"]):
        assert script.first_losses(recipe, 3) == losses
