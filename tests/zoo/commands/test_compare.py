"""Runs and models side by side: one figure, one table of probes, and the fields in which the recipes differ."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import zoo
from zoo.commands import main
from zoo.data.datasets import as_dataset, save_dataset

MODEL = "simclr-resnet8-digits"
QUICK = ("--labels-per-class", "1,2", "--draws", 2)


def compare(*arguments):
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


@pytest.fixture(scope="module")
def runs(recipe, run, tmp_path_factory):
    """A folder of two finished runs, and one that has no encoder yet."""
    folder = tmp_path_factory.mktemp("compared")
    shutil.copytree(run, folder / "first")
    zoo.pretrain(recipe.replace(epochs=3, seed=3), out=folder / "second")
    shutil.copytree(run, folder / "unfinished")
    shutil.rmtree(folder / "unfinished" / "encoder")
    return folder


@pytest.fixture(autouse=True)
def here(runs, monkeypatch):
    monkeypatch.chdir(runs)
    Path("losses.png").unlink(missing_ok=True)


def test_runs_and_a_model_of_the_zoo_are_compared():
    result = compare("first", "second", MODEL, *QUICK, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["loss_curves"] == "losses.png" and Path("losses.png").read_bytes().startswith(b"\x89PNG")
    assert found["without_metrics"] == [MODEL] and found["unfinished"] == [] and found["dataset"] == "digits"
    names = [row["features"] for row in found["results"]]
    assert names == ["first"] * 2 + ["second"] * 2 + [MODEL] * 2 + ["pixels"] * 2
    differ = found["recipe_differences"]
    assert differ["epochs"] == {"first": 2, "second": 3, MODEL: 60} and differ["seed"]["second"] == 3
    assert "dataset" not in differ and "start" not in differ  # of an older record, which lacks the field
    alone = zoo.evaluate(zoo.load(MODEL), zoo.load_dataset("digits"), labels_per_class=(1, 2), draws=2, baselines=())
    of_model = [row["linear"] for row in found["results"] if row["features"] == MODEL]
    assert of_model == [row["linear"] for row in alone["results"]]


def test_the_tables_are_printed_and_name_what_is_missing():
    result = compare("first", "unfinished", MODEL, *QUICK, "--baselines", "untrained", "--out", "deep/a.png")
    assert result.exit_code == 0, result.stderr
    rows = [line.split("|")[1].strip() for line in result.stdout.splitlines() if line.startswith("| ")]
    assert rows[0] == "features" and rows[2:5] == ["first", MODEL, "first, untrained"]
    assert "epochs" in rows and "seed" not in rows
    assert "20 labels (2 per class)" in result.stdout and "loss curves: deep/a.png" in result.stdout
    assert f"no loss curve, because there are no metrics: {MODEL}\n" in result.stdout
    assert "no probe, because the run is not finished: unfinished\n" in result.stdout
    assert Path("deep/a.png").is_file()
    shutil.rmtree("deep")
    same = compare("first", "unfinished", *QUICK, "--baselines", "")
    assert same.exit_code == 0 and "The recipes are the same." in same.stdout


def test_a_figure_that_exists_is_replaced_only_on_request():
    Path("losses.png").write_text("mine")
    quick = ("first", "unfinished", "--labels-per-class", 1, "--draws", 1, "--baselines", "")
    refused = compare(*quick)
    assert refused.exit_code == 2 and "losses.png: already exists" in refused.stderr
    assert Path("losses.png").read_text() == "mine"
    assert compare(*quick, "--overwrite").exit_code == 0
    assert Path("losses.png").read_bytes().startswith(b"\x89PNG")


def test_data_without_test_images_are_cross_validated(digits):
    few = as_dataset((digits.train.images[:60], digits.train.labels[:60]))
    save_dataset(few, "few.safetensors", source="a test")
    found = compare("first", MODEL, "--data", "few.safetensors", "--json")
    assert found.exit_code == 0, found.stderr
    results = json.loads(found.stdout)["results"]
    assert [(row["features"], row["labels"]) for row in results] == [("first", 60), (MODEL, 60), ("pixels", 60)]
    again = ("first", MODEL, "--data", "few.safetensors", "--overwrite")
    assert "4-fold cross-validation" in compare(*again).stdout
    refused = compare(*again, "--draws", 2)
    assert refused.exit_code == 2 and "omit --labels-per-class and --draws" in refused.stderr


@pytest.mark.parametrize(
    "arguments,words",
    [
        (("first",), "expected two or more runs or models to compare, got 1"),
        (("first", "first"), "first: given 2 times; name each run or model once"),
        (("first", "first/"), "first: given 2 times; name each run or model once"),
        (("first", "nothing"), "unknown model 'nothing'"),
        (("first", MODEL, "--out", "x.pdf"), "--out: expected a path ending in .png, got 'x.pdf'"),
        (("first", MODEL, "--data", "digts"), "did you mean 'digits'"),
    ],
)
def test_bad_input(arguments, words):
    result = compare(*arguments)
    assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1
