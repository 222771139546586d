"""The script repeats what models claim, and records the first losses of those whose ledger has none."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo.errors import ZooError

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
    """The path of a copy of a ledger, without its losses; the script reads and writes this copy."""
    monkeypatch.setattr(script, "ROOT", tmp_path)
    path = tmp_path / "model_cards" / "results" / f"{NAME}.json"
    path.parent.mkdir(parents=True)
    values = json.loads((ROOT / "model_cards" / "results" / f"{NAME}.json").read_text())
    values.pop("trajectory")
    path.write_text(json.dumps(values))
    return path


def test_a_shipped_model_is_verified_with_its_figures_and_its_first_losses():
    command = [sys.executable, ROOT / "scripts" / "reproduce.py", NAME, "--steps", "4"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{NAME}: verified" in done.stdout and "  metrics        ok           " in done.stdout
    assert f"{NAME}: reproduced" in done.stdout and NAME in done.stderr


def test_missing_losses_are_recorded_once(script, ledger):
    before = json.loads(ledger.read_text())
    assert script.record(NAME, 3)
    after = json.loads(ledger.read_text())
    trajectory = after.pop("trajectory")
    assert after == before and len(trajectory["losses"]) == 3
    assert trajectory["environment"]["threads"] == zoo.load(NAME).config["environment"]["threads"]
    assert not script.record(NAME, 2) and json.loads(ledger.read_text())["trajectory"] == trajectory
    with pytest.raises(ZooError, match="no such ledger; `python scripts/release.py RECIPE` writes it"):
        script.record("byol-resnet8-digits", 2)


def test_a_model_that_cannot_be_repeated_has_its_error_and_the_exit_code_is_1(script, tmp_path, monkeypatch, capsys):
    shutil.copytree(zoo.models.loading.WEIGHTS / NAME, tmp_path / NAME)
    monkeypatch.setattr(zoo.models.loading, "WEIGHTS", tmp_path)
    values = json.loads((tmp_path / NAME / "results.json").read_text())
    values.pop("trajectory")
    values["probes"]["digits"] = "0" * 64
    (tmp_path / NAME / "results.json").write_text(json.dumps(values))
    monkeypatch.setattr(sys, "argv", ["reproduce.py", NAME, "--json"])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    (report,) = json.loads(capsys.readouterr().out)
    assert stopped.value.code == 1 and not report["reproduced"] and not report["verified"]["verified"]
    assert "no losses of its first steps are in its results.json" in report["error"]
