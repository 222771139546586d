"""Scripts are commands, too: bad input gives one line and exit code 2, and a recipe's file runs `zoo pretrain`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "scripts" / "recipes" / "simclr_resnet8_digits.py"


def script(name, *arguments):
    command = [sys.executable, ROOT / "scripts" / name, *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


@pytest.mark.parametrize(
    "arguments,said",
    [
        (("recipes/simclr_resnet8_digits.py", "--out", ROOT), "exists and is not a run directory"),
        (("recipes/simclr_resnet8_digits.py", "--set", "epochs"), "--set: expected FIELD=VALUE, got 'epochs'"),
        (("demo.py", ROOT), "exists and is not a run directory"),
        (("release.py", "nothing.py"), "nothing.py: no such file"),
        (("reproduce.py", "simclr-resnet8-digit"), "did you mean 'simclr-resnet8-digits'"),
        (("reproduce.py", "--steps", "0"), "--steps: expected 1 or more, got 0"),
        (("validate.py", DIGITS, "--labels", "digit"), "unknown dataset 'digit'; did you mean 'digits'?"),
        (("validate.py", DIGITS, "--labels", "digits", "--set", "epoch=3"), "unknown recipe field 'epoch'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, said):
    done = script(*arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("zoo: ") and said in line


@pytest.mark.parametrize("path", sorted((ROOT / "scripts" / "recipes").glob("*.py")), ids=lambda path: path.stem)
def test_a_recipe_explains_itself(path):
    done = script(path, "--help")
    assert done.returncode == 0 and done.stdout.startswith("Usage: zoo pretrain ")


def test_a_recipe_trains_itself(tmp_path):
    quick = [f"--set={change}" for change in ("epochs=1", "warmup_epochs=0", 'encoder_options={"width": 4}')]
    done = script(DIGITS, "--out", tmp_path / "run", *quick)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "encoder" / "model.safetensors").is_file() and "simclr-resnet8-digits" in done.stdout
