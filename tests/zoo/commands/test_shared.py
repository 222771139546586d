"""What holds for every command: errors as JSON, quiet pipes, threads, `python -m zoo`, and the user's own code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import zoo
from zoo.commands import main

MODEL = "simclr-resnet8-digits"
ZOO = (sys.executable, "-m", "zoo")


def zoo_command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def commands(group=main, path=()):
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def error_of(result):
    assert result.exit_code == 2 and result.stdout == "", result.stdout
    (line,) = result.stderr.splitlines()
    (message,) = json.loads(line).items()
    assert message[0] == "error"
    return message[1]


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_usage_errors_are_json_on_request(command):
    assert error_of(zoo_command(*command, "--json", "--jason")) == "No such option '--jason'. Did you mean '--json'?"
    result = zoo_command(*command, "--jason")
    assert result.exit_code == 2 and result.stderr.startswith("Usage: ")
    assert "Error: No such option '--jason'. Did you mean '--json'?" in result.stderr


def test_bad_input_is_json_on_request(tmp_path):
    assert "did you mean 'show'" in error_of(zoo_command("shwo", "--json"))
    assert "did you mean 'fetch'" in error_of(zoo_command("data", "fetsh", "--json"))
    assert error_of(zoo_command("show", "--json")) == "Missing argument 'MODEL'."
    assert "unknown model 'none'" in error_of(zoo_command("show", "--json", "none"))
    assert "not a valid integer" in error_of(zoo_command("knn", MODEL, "--k", "x", "--json"))
    Path(tmp_path, "file").write_text("")  # an OSError: a file where a directory is needed
    out = tmp_path / "file" / "x.npz"
    assert f"{out.parent}: " in error_of(zoo_command("embed", MODEL, "digits", "--out", out, "--json"))
    assert zoo_command("show", "--", "--json").stderr.startswith("zoo: ")  # here it is no option


@pytest.mark.parametrize("arguments", [("list",), ("show", MODEL, "--json"), ("--help",), ("data", "list", "--help")])
def test_a_closed_pipe_is_quiet(arguments):
    read, write = os.pipe()
    os.close(read)
    result = subprocess.run([*ZOO, *arguments], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert result.stderr == "" and result.returncode == 1


def test_python_m_zoo_is_the_command(tmp_path):
    result = subprocess.run([*ZOO, "show", "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0 and result.stdout.startswith("Usage: zoo show [OPTIONS] MODEL")
    result = subprocess.run([*ZOO, "shwo"], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2 and result.stderr == "zoo: unknown command 'shwo'; did you mean 'show'?\n"


def test_threads_are_those_asked_for_while_the_command_runs(monkeypatch):
    seen = []
    monkeypatch.setattr(zoo.PretrainedEncoder, "features", lambda *_: seen.append(torch.get_num_threads()) or 1 / 0)
    before = torch.get_num_threads()
    for threads in (before + 1, before):
        assert isinstance(zoo_command("knn", MODEL, "--threads", threads).exception, ZeroDivisionError)
        assert seen.pop() == threads and torch.get_num_threads() == before
    for threads, words in (("0", "--threads: expected 1 or more, got 0"), ("-1", "expected 1 or more, got -1")):
        result = zoo_command("knn", MODEL, "--threads", threads)
        assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1
    assert "'two' is not a valid integer" in zoo_command("knn", MODEL, "--threads", "two").stderr


@pytest.mark.parametrize("name", ["pretrain", "resume", "probe", "knn", "cluster", "embed", "plot", "compare"])
def test_every_command_that_computes_takes_threads(name):
    assert any(option.name == "threads" for option in main.get_command(click.Context(main), name).params)


@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_idle_threads_sleep_unless_the_environment_says_otherwise(given):
    program = "import os, runpy, sys\nsys.argv = ['zoo', 'list']\n"
    program += "try: runpy.run_module('zoo', run_name='__main__')\n"
    program += "finally: print(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment).stdout
    assert printed.splitlines()[-1] == (given or "PASSIVE")


CODE = """
from functional import encoders

encoders = {"my_net": encoders.resnet8}
"""


@pytest.fixture(scope="module")
def mine(model, tmp_path_factory):
    """An encoder directory that names a user's own encoder, and the file that defines it."""
    folder = tmp_path_factory.mktemp("mine")
    zoo.save(model, folder / "encoder")
    path = folder / "encoder" / "config.json"
    config = json.loads(path.read_text())
    config["architecture"]["encoder"] = "my_net"
    path.write_text(json.dumps(config))
    (folder / "net.py").write_text(CODE)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "encoder"),
        ("probe", "encoder", "--labels-per-class", "1", "--draws", 1, "--baselines", ""),
        ("knn", "encoder", "--baselines", ""),
        ("cluster", "encoder", "--seeds", 1, "--baselines", ""),
        ("embed", "encoder", "digits", "--out", "x.npz"),
        ("plot", "encoder", "--out", "plots"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_your_own_encoder_is_loaded_from_the_file_that_you_name(mine, arguments, monkeypatch):
    monkeypatch.chdir(mine)
    refused = zoo_command(*arguments)
    assert refused.exit_code == 2 and "--code FILE.py" in refused.stderr
    assert "none.py: expected a Python file" in zoo_command(*arguments, "--code", "none.py").stderr
    result = zoo_command(*arguments, "--code", "net.py")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    "arguments,environment,side,expected",
    [
        ((), {}, 8, 1),
        ((), {}, 28, 2),
        (("--threads", 2), {}, 8, 2),
        ((), {"OMP_NUM_THREADS": "2"}, 8, 2),
    ],
    ids=["small images", "large images", "--threads", "OMP_NUM_THREADS"],
)
def test_small_images_take_one_thread_unless_the_user_says_otherwise(
    monkeypatch, tmp_path, recipe, arguments, environment, side, expected
):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    images = torch.randint(0, 256, (40, 1, side, side), dtype=torch.uint8)
    quick = recipe.replace(epochs=1, warmup_epochs=0, batch_size=20)
    zoo.pretrain(quick, data=(images, torch.arange(40) % 2), out=tmp_path / "run")
    np.savez(tmp_path / "data.npz", images=images.numpy(), labels=np.arange(40) % 2)
    seen = []
    monkeypatch.setattr("zoo.evaluation.protocol.knn_dataset", lambda *_, **__: seen.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        zoo_command("knn", tmp_path / "run", "--data", tmp_path / "data.npz", "--baselines", "", *arguments)
        assert seen == [expected] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
