"""The command: results on stdout, JSON where asked, one line and exit code 2 for bad input, no torch for `zoo list`."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from zoo.cli import main


def zoo_command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_list_names_the_models_without_importing_torch():
    program = "import sys, runpy; sys.argv = ['zoo', 'list', '--json']\n"
    program += "try: runpy.run_module('zoo.cli', run_name='__main__')\nfinally: assert 'torch' not in sys.modules"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "simclr-resnet8-digits" in {entry["name"] for entry in json.loads(printed)}
    assert "simclr-resnet8-digits" in zoo_command("list").stdout


def test_pretrain_resume_show_probe_and_plot(recipe, tmp_path):
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    out = tmp_path / "run"
    result = zoo_command(
        "pretrain", tmp_path / "recipe.json", "--out", out, "--set", "epochs=2", "--set", "seed=5", "--json"
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["encoder"] == str(out / "encoder")
    assert "PretrainedEncoder" in zoo_command("resume", out).stdout
    shown = json.loads(zoo_command("show", out, "--json").stdout)
    assert shown["recipe"]["seed"] == 5 and shown["recipe"]["epochs"] == 2
    assert "learning_rate" in zoo_command("show", out).stdout
    options = ("--labels-per-class", "1,2", "--draws", 2, "--baselines", "pixels")
    record = json.loads(zoo_command("probe", out, *options, "--json").stdout)
    assert len(record["results"]) == 4
    assert "| raw pixels |" in zoo_command("probe", out, *options).stdout
    np.savez(tmp_path / "few.npz", images=np.zeros((3, 8, 8), np.uint8))
    paths = json.loads(zoo_command("plot", out, "--json").stdout)
    assert [path.rsplit("/")[-1] for path in paths] == ["loss.png", "tsne.png"]


def test_env_says_what_bits_depend_on():
    values = json.loads(zoo_command("env", "--json").stdout)
    assert {"torch", "python", "threads", "processor", "cpu_capability"} <= set(values)
    assert values["torch"] in zoo_command("env").stdout


@pytest.mark.parametrize(
    "arguments,words",
    [
        (("shwo",), "unknown command 'shwo'; did you mean 'show'?"),
        (("show", "simclr-resnet8-digit"), "did you mean 'simclr-resnet8-digits'?"),
        (("probe", "nothing"), "unknown model 'nothing'"),
        (("probe", "simclr-resnet8-digits", "--data", "digts"), "did you mean 'digits'"),
        (("probe", "simclr-resnet8-digits", "--data", "none.npz"), "none.npz: no such file"),
        (("probe", "simclr-resnet8-digits", "--labels-per-class", "x"), "labels per class: expected a number"),
        (("probe", "simclr-resnet8-digits", "--labels-per-class", "900"), "asked for 900 per class"),
        (("pretrain", "none.json", "--out", "x"), "none.json: no such file"),
        (("pretrain", "simclr-resnet8-digit", "--out", "x"), "unknown model"),
        (("pretrain", "simclr-resnet8-digits", "--out", "x", "--set", "epoch=3"), "did you mean 'epochs'"),
        (
            ("pretrain", "simclr-resnet8-digits", "--out", "x", "--set", "epochs"),
            "--set: expected FIELD=VALUE, got 'epochs'",
        ),
        (("resume", "nowhere"), "nowhere: not a run directory"),
        (("plot", "nowhere"), "unknown model 'nowhere'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = zoo_command(*arguments)
    assert result.exit_code == 2 and words in result.stderr
    assert result.stderr.count("\n") == 1 and result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_images_of_another_size_are_named(tmp_path):
    np.savez(
        tmp_path / "d.npz",
        train_images=np.zeros((4, 28, 28), np.uint8),
        train_labels=np.array([0, 1, 0, 1]),
        test_images=np.zeros((2, 28, 28), np.uint8),
        test_labels=np.array([0, 1]),
    )
    result = zoo_command("probe", "simclr-resnet8-digits", "--data", tmp_path / "d.npz", "--labels-per-class", "1")
    assert result.exit_code == 2 and "expected uint8 [N, 1, 8, 8], got [4, 1, 28, 28]" in result.stderr


def test_a_directory_that_cannot_be_written_is_named(recipe, tmp_path):
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    (tmp_path / "file").write_text("")
    result = zoo_command("pretrain", tmp_path / "recipe.json", "--out", tmp_path / "file" / "run")
    assert result.exit_code == 2 and "Not a directory" in result.stderr
