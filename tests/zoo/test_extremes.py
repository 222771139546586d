"""No value of a field, no name and no folder gives a traceback: one line on stderr and exit code 2, and nothing raw."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import zoo
from zoo.commands import main

MODEL = "simclr-resnet8-digits"
ZOO = (sys.executable, "-m", "zoo")
DEEP = "[" * 100_000 + "]" * 100_000
ESCAPES = "\x1b]0;title\x07\x1b[31m red\u202e"


def zoo_command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(*arguments):
    """The one line that a command prints for bad input; nothing in it controls a terminal."""
    result = zoo_command(*arguments)
    assert result.exit_code == 2 and result.stdout == "" and result.stderr.count("\n") == 1, result.output
    assert result.stderr[:-1].isprintable()
    return result.stderr


@pytest.fixture
def here(recipe, tmp_path, monkeypatch):
    """A folder with a recipe."""
    monkeypatch.chdir(tmp_path)
    Path("recipe.json").write_text(recipe.replace(epochs=1, warmup_epochs=0).to_json())
    return tmp_path


def options(field, **values):
    return f"{field}={json.dumps(values)}"


@pytest.mark.parametrize(
    "change,words",
    [
        (f"seed={2**63}", f"seed: expected an integer, got {2**63}"),
        ("epochs=1" + "0" * 30, "epochs: expected an integer, got 1000"),
        ("epochs=3000000000", "epochs: expected at most 2147483647, got 3000000000"),
        ("epochs=[0.4]", "epochs: expected an integer, got (0.4,)"),
        ("epochs=true", "epochs: expected an integer, got True"),
        ("batch_size={}", "batch_size: expected an integer, got {}"),
        ("learning_rate=1" + "0" * 400, "learning_rate: expected a number above 0, got 1000"),
        ("learning_rate=" + "9" * 5000, "--set: learning_rate: not JSON (Exceeds the limit"),
        ("mean=[]", "mean: expected a number per channel, or null, got ()"),
        ("mean=[NaN]", "mean: expected a number per channel, or null, got (nan,)"),
        ("mean=[true]", "mean: expected a number per channel, or null, got (True,)"),
        ("std=[0]", "std: expected a number above 0 per channel, or null, got (0,)"),
        ("image_size=100000", "image_size: expected 1 pixel or more, at most 65,535, or null, got 100000"),
        ("views=" + DEEP, "--set: views: not JSON (maximum recursion depth"),
        ("views=" + "[" * 150 + "]" * 150, "--set: views: not JSON that can be read: nested more than 100 deep"),
        ('encoder_options={"width":4,"width":8}', "encoder_options: not JSON that can be read: 'width' stands twice"),
        ('views=[["random_resized_crop",{}]]', "view 'random_resized_crop': missing size"),
        ('views=[["random_resized_crop",{"size":"8"}]]', "size: expected an integer or a list of 2 integers, got '8'"),
        ('views=[["random_resized_crop",{"size":8,"scale":[1]}]]', "scale: expected a list of 2 numbers, got (1,)"),
        ('views=[["rotate",{"degrees":null}]]', "view 'rotate': degrees: expected a finite number, got None"),
        ('views=[["rotate",{"degrees":1e999}]]', "view 'rotate': degrees: expected a finite number, got inf"),
        (options("method_options", temperature="x"), "temperature: expected a finite number or a pair (schedule, opt"),
        (options("method_options", projector=16), "projector: expected a list of integers, got 16"),
        (options("method_options", projector={}), "projector: expected a list of integers, got {}"),
        (options("method_options", temperature=["linear", {"initial": 1, "epochs": "x"}]), "expected a finite number"),
        (options("method_options", temperature=["linear", {"initial": 1}]), "schedule 'linear': missing final"),
        (options("method_options", temperature=["step", {"boundaries": 3}]), "boundaries: expected a list of numbers"),
        (
            options("method_options", temperature=["cosine", {"value": 1, "epochs": 1e30}]),
            "schedule 'cosine': epochs: expected 2147483647 epochs or fewer, got 1e+30",
        ),
        (options("encoder_options", width=True), "encoder 'resnet8': width: expected an integer, got True"),
        (options("encoder_options", width=2.5), "encoder 'resnet8': width: expected an integer, got 2.5"),
        (options("encoder_options", width=-4), "expected a number above 0, got -16"),
        (options("encoder_options", width=10**9), "cannot be trained on images [1, 8, 8]"),
        (options("encoder_options", stem=[]), "stem: expected 'cifar' or 'imagenet' or 'strided', got ()"),
        (
            'views=[["random_resized_crop",{"size":20000}]]',
            "cannot be trained on images [1, 8, 8]: needs more than the",
        ),
        (options("encoder_options", grid=10_000_000), "expected fewer than 2**31 elements"),
        (options("optimizer_options", betas=[0.9]), "betas: expected a list of 2 numbers, got (0.9,)"),
        (options("optimizer_options", eps="x"), "optimizer 'adamw': eps: expected a finite number, got 'x'"),
        (options("optimizer_options", mask={}), "unknown mask '{}'"),
        (options("optimizer_options", weight_decay=1e308), "cannot be converted to type float without overflow"),
        ('parameter_groups=[["*",{"weight_decay":["x",{}]}]]', "unknown schedule 'x'"),
        ('parameter_groups=[["*",{"frozen_epochs":1e308}]]', "expected a number of 0 or more, or 'all', got 1e+308"),
        ('parameter_groups=[["*",{"learning_rate":1e999}]]', "learning_rate: expected a number above 0, got inf"),
        ("start=~nosuchuser/x", "~nosuchuser/x: the home directory ~nosuchuser is not known"),
        ("dataset=~nosuchuser/x", "~nosuchuser/x: the home directory ~nosuchuser is not known"),
        ("dataset=a/\0.npz", "a/\\x00.npz: has a null byte"),
        (f"dataset={ESCAPES}", "unknown dataset"),
        (f"dataset=./{ESCAPES}", "red\\u202e: no such file or folder"),
        (f"{ESCAPES}=3", "unknown recipe field"),
        (f"method={'x' * 100_000}", "unknown method 'xxxxx"),
    ],
)
def test_a_change_of_a_recipe(here, change, words):
    assert words in refused("pretrain", "recipe.json", "--out", "run", "--set", change)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"architecture": []}, "architecture: expected encoder (a name), in_channels (1 or more) and options, got []"),
        ({"architecture": {"encoder": "resnet8", "in_channels": 1}}, "architecture: expected encoder"),
        ({"options": {"width": 10**9}}, "does not fit resnet8"),
        ({"options": {"width": -4}}, "does not fit resnet8: Trying to create tensor with negative dimension -4"),
        ({"options": {"width": "4"}}, "encoder 'resnet8': width: expected an integer, got '4'"),
        ({"options": {"widht": 4}}, "option of encoder 'resnet8': 'widht'; did you mean 'width'"),
        ({"std": [0]}, "std: expected a number above 0 for each channel, got [0]"),
        ({"mean": [float("nan")]}, "mean: expected a finite number for each channel, got [nan]"),
        ({"input_shape": [1, 8, 10**9]}, "input_shape: expected [channels, height, width], each 1 or more"),
        ({"dataset": {}}, "dataset: expected name and images (how many), got {}"),
        ({"training": 3}, "training: expected steps and seconds, got 3"),
        ({"recipe": {}}, "recipe: expected the fields of a recipe, got {}"),
        ({"name": ESCAPES}, "name: expected a name, got"),
        ({"decoder": {"name": "s5_decoder", "options": {"x": 1}, "sha256": 64 * "0"}}, "unknown option of decoder"),
        ({"environment": "DEEP"}, "not JSON (maximum recursion depth"),
        ({"mean": 10**30}, "mean: expected a finite number"),
    ],
)
def test_a_field_of_a_configuration(here, model, changes, words):
    zoo.save(model, "encoder")
    path = Path("encoder/config.json")
    config = json.loads(path.read_text())
    if "options" in changes:
        config["architecture"]["options"] = changes["options"]
    else:
        config |= changes
    path.write_text(json.dumps(config).replace('"DEEP"', DEEP))
    line = refused("show", "encoder")
    assert words in line and "encoder" in line
    assert words in refused("embed", "encoder", "digits", "--out", "x.npz") and not Path("x.npz").exists()


@pytest.fixture
def deep(here):
    """The working directory; what is in it is removed at once, as pytest would fail to, sessions later."""
    yield here
    os.chdir(here)
    subprocess.run(["rm", "-rf", "photos"], check=True)


def test_a_folder_in_a_folder_1500_times(deep):
    from PIL import Image

    for name in ("photos", "cat", *["d"] * 1_500):
        os.mkdir(name)
        os.chdir(name)
    for i in range(4):
        Image.fromarray(np.full((9, 12, 3), i, np.uint8)).save(f"{i}.png")
    os.chdir(deep)
    shown = json.loads(zoo_command("data", "show", "photos", "--json").stdout)
    assert shown["train"]["per_class"] == {"cat": 4}


def test_names_with_control_characters_are_not_written_to_a_terminal(here):
    labels = np.array(["a", ESCAPES] * 10)
    np.savez("data.npz", images=np.zeros((20, 8, 8), np.uint8), labels=labels)
    for result in (
        zoo_command("data", "show", "data.npz"),
        zoo_command("probe", MODEL, "--data", "data.npz", "--report"),
    ):
        assert result.exit_code == 0 and all(line.isprintable() for line in result.output.split("\n")), result.output
    for command in (
        ("show", ESCAPES),
        ("show", f"./{ESCAPES}"),
        ("knn", MODEL, "--k", ESCAPES),
        ("show", MODEL, ESCAPES),
    ):
        for shown in (zoo_command(*command), zoo_command(*command, "--json")):
            assert shown.exit_code == 2 and all(line.isprintable() for line in shown.stderr.split("\n")), shown.stderr
        assert all(c.isprintable() for c in json.loads(shown.stderr)["error"])


def test_no_home_directory(here):
    def in_a_container(*command):
        environment = {"PATH": os.environ["PATH"], "HOME": "~"}  # what Python takes for a user without a home
        return subprocess.run([*ZOO, *command], env=environment, capture_output=True, text=True)

    assert in_a_container("show", MODEL).returncode == 0
    done = in_a_container("data", "list")
    assert done.returncode == 2 and done.stderr.startswith(
        "zoo: ~/.cache/funczoo/datasets: the home directory ~ is not"
    )


@pytest.mark.parametrize("arguments", [("list",), ("list", "--json"), ("--help",)])
def test_a_disk_without_room_for_the_output(arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run([*ZOO, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_no_output_at_all():
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        command = ["sh", "-c", f'"$@" {closed}', "sh", *ZOO, "cluster", MODEL, "--json"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0 and "Traceback" not in done.stderr
