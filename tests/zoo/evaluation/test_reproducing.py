"""`zoo reproduce`: identical bits where the machine promises them, elsewhere what differs and by how much."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo.environment import environment
from zoo.errors import ZooError
from zoo.evaluation.reproducing import band_of, reproduce
from zoo.training.trajectory import record_trajectory

NAME = "supervised-resnet8-digits"


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values, indent=2) + "\n")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, recipe):
    """The encoder directory of a short run on this machine, with a ledger."""
    short = recipe.replace(epochs=2, warmup_epochs=0)
    model = zoo.pretrain(short, out=tmp_path_factory.mktemp("runs") / "run")
    directory = tmp_path_factory.mktemp("encoders") / "encoder"
    zoo.save(model, directory, dtype="bfloat16")
    data = zoo.load_dataset("digits")
    record = zoo.evaluate(model, data, labels_per_class=(1,), draws=2, baselines=())
    ledger = {"seeds": [0], "draws": 2, "results": record["results"], "trajectory": record_trajectory(short, 4)}
    (directory / "results.json").write_text(json.dumps(ledger))
    return directory


@pytest.fixture
def directory(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "encoder"))


def test_a_run_of_this_machine_comes_out_again_bit_for_bit(directory):
    report = reproduce(directory)
    assert report.identical and report.reproduced and report.largest_difference == 0 and report.band is None
    assert report.differs == "" and "identical bits: weights, 20 steps" in str(report)


def test_other_threads_or_versions_are_named_and_the_probe_decides(directory):
    def elsewhere(config):
        config["environment"] |= {"torch": "1.0.0", "cpu_capability": "AVX9"}
        config["recipe"]["seed"] = 5  # so that the bits differ

    edit(directory / "config.json", elsewhere)
    report = reproduce(directory)
    here = environment()
    assert not report.identical and report.largest_difference > 0
    assert report.differs == f"torch 1.0.0 -> {here['torch']}, AVX9 -> {here['cpu_capability']}"
    assert report.band.rule == "within 2 points of the only training seed"
    assert report.band.what == "linear probe with 10 labels of digits" and report.reproduced == report.band.holds
    assert f"what differs: {report.differs}" in str(report) and "linear probe with 10 labels" in str(report)


def test_the_same_machine_must_give_the_same_bits(directory):
    edit(directory / "config.json", lambda config: config["recipe"].update(seed=5))
    report = reproduce(directory)
    assert not report.identical and not report.reproduced and report.differs == ""
    assert "NOT REPRODUCED" in str(report) and "perhaps the code" in str(report)


def test_the_first_losses_are_compared_within_seconds(directory):
    report = reproduce(directory, steps=3)
    assert report.identical and report.steps == 3 and report.reproduced
    assert "identical bits: losses, 3 steps" in str(report)
    edit(directory / "results.json", lambda ledger: ledger["trajectory"]["losses"].__setitem__(1, 6.0))
    report = reproduce(directory, steps=3)
    assert not report.reproduced and report.close_steps == 1
    edit(directory / "results.json", lambda ledger: ledger["trajectory"]["environment"].update(torch="1.0.0"))
    assert "what differs: torch 1.0.0 -> " in str(reproduce(directory, steps=3))


def test_the_losses_of_a_shipped_model_are_reproduced():
    report = reproduce(NAME, steps=4)
    assert report.reproduced and report.steps == 4, str(report)


def test_what_cannot_be_compared_is_said_before_anything_is_trained(directory):
    (directory / "results.json").unlink()
    with pytest.raises(ZooError, match="no losses of its first steps are in its results.json; leave out --steps"):
        reproduce(directory, steps=3)
    edit(directory / "config.json", lambda config: config["dataset"].update(digest="0" * 64))
    with pytest.raises(ZooError, match="digits: has other images than .* was trained on, of digest 000000000000"):
        reproduce(directory)


def test_a_recipe_of_another_architecture_is_refused(directory):
    edit(directory / "config.json", lambda config: config["recipe"]["encoder_options"].update(width=2))
    with pytest.raises(ZooError, match=r"the recipe in its config.json makes another architecture than it has"):
        reproduce(directory)


@pytest.mark.parametrize(
    "seeds,found,holds,rule",
    [
        ([0.9, 0.91, 0.92], 0.93, True, "mean +- 2 standard deviations of 3 training seeds"),
        ([0.9, 0.91, 0.92], 0.94, False, "mean +- 2 standard deviations of 3 training seeds"),
        ([0.9], 0.919, True, "within 2 points of the only training seed"),
        ([0.9], 0.87, False, "within 2 points of the only training seed"),
        ([0.9] * 9 + [0.99], 0.985, True, "the range of 10 training seeds"),
    ],
)
def test_the_band_is_two_standard_deviations_or_the_range(seeds, found, holds, rule):
    band = band_of("all labels", found, seeds)
    assert (band.holds, band.rule) == (holds, rule)


def test_the_command_prints_the_verdict_and_keeps_a_run_when_asked(directory, tmp_path):
    arguments = ["reproduce", str(directory), "--out", str(tmp_path / "kept"), "--json"]
    done = subprocess.run([sys.executable, "-m", "zoo", *arguments], capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["reproduced"] and report["identical"], done.stderr
    assert zoo.load(tmp_path / "kept").name == zoo.load(directory).name
