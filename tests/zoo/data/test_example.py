"""The example images: every command accepts them, they are always the same, and nothing is overwritten."""

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import zoo
from zoo.commands import main
from zoo.data.example import write_example


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_folder_and_the_csv_are_the_same_dataset(here):
    result = run("data", "example", "deep/photos", "--json")
    assert json.loads(result.stdout) == {
        "directory": "deep/photos",
        "csv": "deep/labels.csv",
        "classes": 10,
        "train": 300,
        "test": 100,
    }
    folder, listed = zoo.load_dataset("deep/photos"), zoo.load_dataset("deep/labels.csv")
    assert folder.digest == listed.digest and folder.classes == listed.classes == tuple("0123456789")
    assert folder.train.images.shape == (300, 1, 32, 32) and folder.test.images.shape == (100, 1, 32, 32)
    assert folder.train.labels.bincount().tolist() == [30] * 10 and folder.test.labels.bincount().tolist() == [10] * 10
    write_example("again")
    assert zoo.load_dataset("again").digest == folder.digest
    assert sorted(path.name for path in here.iterdir()) == ["again", "deep", "labels.csv"]  # and nothing hidden


def test_the_commands_that_the_example_suggests_run(here):
    printed = run("data", "example", "my photos").stdout
    commands = [line for line in printed.splitlines() if line.startswith("zoo ")]
    assert len(commands) == 4
    quicker = {
        "probe": ("--labels-per-class", "1", "--draws", 1, "--baselines", ""),
        "pretrain": ("--set", "epochs=1", "--set", "warmup_epochs=0"),
    }
    for command in commands:
        _, name, *arguments = shlex.split(command)
        result = run(name, *arguments, *quicker.get(name, ()))
        assert result.exit_code == 0, (command, result.stderr)
    assert Path("sheet.png").is_file() and Path("features.npz").is_file() and Path("runs/mine/encoder").is_dir()
    found = json.loads(run("knn", "simclr-resnet8-digits", "--data", "my photos", "--baselines", "", "--json").stdout)
    assert found["accuracy"] > 0.85


@pytest.mark.parametrize("there", ["photos", "labels.csv"])
def test_nothing_is_overwritten(here, there):
    Path(there).write_text("mine")
    result = run("data", "example", "photos")
    assert result.exit_code == 2 and f"zoo: {there}: already exists; choose another directory" in result.stderr
    assert Path(there).read_text() == "mine" and [path.name for path in here.iterdir()] == [there]
