"""The first losses of a recipe are those of its run, and are compared as strictly as a machine allows."""

import math

import pytest

import zoo
from zoo.environment import environment
from zoo.training.run_directory import read_metrics
from zoo.training.trajectory import STEPS_ELSEWHERE, compare, first_losses, record_trajectory

HERE = environment()
ELSEWHERE = {**HERE, "processor": "abacus"}


def test_first_losses_are_those_of_the_run(recipe, run):
    losses = first_losses(recipe.replace(epochs=2))
    assert len(losses) == 20  # of the 200 asked for: the run has no more
    for line, part in zip(read_metrics(run), (losses[:10], losses[10:]), strict=True):
        assert sum(part) / 10 == pytest.approx(line["loss"], rel=1e-6)
    assert first_losses(recipe.replace(epochs=2), 13) == losses[:13]
    assert first_losses(recipe.replace(epochs=2, seed=1), 1) != losses[:1]


def test_data_in_memory_and_no_steps(recipe, digits):
    few = digits._replace(train=type(digits.train)(*(part[:128] for part in digits.train)))
    assert len(first_losses(recipe.replace(epochs=3), 50, data=few)) == 3
    with pytest.raises(zoo.ZooError, match="steps: expected 1 or more, got 0"):
        first_losses(recipe, 0)
    with pytest.raises(zoo.ZooError, match="unknown method 'simclear'"):
        first_losses(recipe.replace(method="simclear"))


def test_a_record_has_the_losses_and_the_machine(recipe):
    trajectory = record_trajectory(recipe, 3)
    assert trajectory == {"losses": first_losses(recipe, 3), "environment": {**HERE, "device": "cpu"}}
    found = compare(trajectory["losses"], trajectory, HERE)
    assert found.same_machine and found.identical and found.reproduced and found.steps == found.close_steps == 3


@pytest.mark.parametrize("name", ["processor", "cpu_capability", "threads", "torch"])
def test_what_decides_the_bits(name):
    trajectory = {"losses": [1.0], "environment": {**HERE, name: "another"}}
    assert not compare([1.0], trajectory, HERE).same_machine
    assert compare([1.0], {**trajectory, "environment": {**HERE, "python": "another"}}, HERE).same_machine


def test_a_gpu_repeats_the_bits_of_its_own_kind():
    gpu = {**HERE, "device": "cuda", "accelerator": "Loom"}
    trajectory = {"losses": [1.0], "environment": gpu}
    assert compare([1.0], trajectory, gpu).same_machine
    assert not compare([1.0], trajectory, {**gpu, "accelerator": "Spindle"}).same_machine
    assert not compare([1.0], trajectory, {**gpu, "device": "cpu"}).same_machine
    assert compare([1.0], {"losses": [1.0], "environment": HERE}, {**HERE, "device": "cpu"}).same_machine


def test_the_same_machine_repeats_bits_and_another_the_first_steps_to_a_thousandth():
    recorded = [2.0] * 40
    slightly, far = [2.0 + 1e-6] * 40, [2.0] * STEPS_ELSEWHERE + [3.0] * (40 - STEPS_ELSEWHERE)
    early = [2.0, 2.0, 2.01] + [2.0] * 37

    def of(losses, machine):
        return compare(losses, {"losses": recorded, "environment": machine}, HERE)

    assert not of(slightly, HERE).reproduced and of(slightly, ELSEWHERE).reproduced
    assert of(slightly, ELSEWHERE).largest_difference == pytest.approx(5e-7)
    assert of(far, ELSEWHERE).reproduced and of(far, ELSEWHERE).close_steps == STEPS_ELSEWHERE
    assert of(far, ELSEWHERE).largest_difference == 0.5
    assert not of(early, ELSEWHERE).reproduced and of(early, ELSEWHERE).close_steps == 2
    assert not of([math.nan] * 40, ELSEWHERE).reproduced and not of([math.nan] * 40, HERE).reproduced
    assert of(recorded[:3], ELSEWHERE).reproduced and not of(early[:3], ELSEWHERE).reproduced
