"""The first losses of a recipe, by which anyone can see within minutes that its training is reproduced.

A ledger records them with the machine that made them. Machines of one type, with the same versions and threads, repeat
them bit for bit. Others sum in another order, and training multiplies such differences: with one thread and with two,
the losses of five recipes on digits agreed to 7e-5 for 10 steps, to 3e-3 for 20, and to .01 to .2 for 200. So the
promise for another machine is about the first steps. Another seed changed them by .015 to .2.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from zoo.data.datasets import Dataset
from zoo.environment import environment
from zoo.errors import ZooError
from zoo.training.catalogue import catalogue, check_names
from zoo.training.memory import keep_freed_memory
from zoo.training.plan import decide_precision, make_plan, updates
from zoo.training.recipe import Recipe

STEPS = 200
TOLERANCE = 1e-3  # largest relative difference between machines of different types,
STEPS_ELSEWHERE = 10  # in this many steps
_DECIDES_BITS = ("processor", "cpu_capability", "threads", "torch")


def first_losses(recipe: Recipe, steps: int = STEPS, data: Dataset | None = None, device: str = "cpu") -> list[float]:
    """The losses of the first steps of a run, with the plan and the step of `zoo.pretrain`.

    Args:
        recipe: what to train.
        steps: how many, 1 or more; a shorter run gives all of its losses.
        data: data in memory, instead of the recipe's.
        device: the device to train on.

    Raises:
        ZooError: for an invalid recipe, data that it cannot be trained on, or no steps.

    Example:
        >>> import zoo
        >>> recipe = Recipe.from_record(zoo.load("simclr-resnet8-digits").config["recipe"])
        >>> [round(loss, 2) for loss in first_losses(recipe, 2)]
        [6.18, 6.17]
    """
    if steps < 1:
        raise ZooError(f"steps: expected 1 or more, got {steps}")
    check_names(recipe, catalogue())
    if recipe.compile:
        torch.compiler.reset()  # after eight runs, torch would stop compiling what it has compiled for others
    keep_freed_memory()
    plan = make_plan(decide_precision(recipe, device), data=data, device=device)
    made = tqdm(islice(updates(plan, plan.init()), steps), desc="train", unit=" steps", delay=2, disable=None)
    return [info["loss"].item() for _, info in made]


def record_trajectory(recipe: Recipe, steps: int = STEPS, device: str = "cpu") -> dict[str, Any]:
    """The first losses of a recipe and the machine that made them, as a ledger holds them."""
    losses = first_losses(recipe, steps, device=device)
    return {"losses": losses, "environment": {**environment(), "device": torch.device(device).type}}


class Agreement(NamedTuple):
    """How losses agree with those of a trajectory, as far as both go.

    Attributes:
        steps: the number of losses compared.
        same_machine: whether the machine must repeat them bit for bit.
        identical: whether they are equal bit for bit.
        close_steps: the number of steps up to the first that differs by more than `TOLERANCE`.
        largest_difference: the largest relative difference.
    """

    steps: int
    same_machine: bool
    identical: bool
    close_steps: int
    largest_difference: float

    @property
    def reproduced(self) -> bool:
        """Whether the losses are what the trajectory promises for this machine."""
        return self.identical if self.same_machine else self.close_steps >= min(self.steps, STEPS_ELSEWHERE)


def compare(losses: Sequence[float], trajectory: Mapping[str, Any], here: Mapping[str, Any]) -> Agreement:
    """Compare losses with those of a trajectory.

    Args:
        losses: the losses of the first steps, at least one.
        trajectory: what `record_trajectory` returned, perhaps on another machine.
        here: the environment of the losses.
    """
    pairs = list(zip(losses, trajectory["losses"], strict=False))
    differences = [0.0 if a == b else abs(a - b) / abs(b) if b else math.inf for a, b in pairs]
    # Written so that a difference of NaN is not close.
    far = [i for i, difference in enumerate(differences) if not difference <= TOLERANCE]
    return Agreement(
        steps=len(pairs),
        same_machine=same_machine(trajectory["environment"], here),
        identical=all(a == b for a, b in pairs),
        close_steps=far[0] if far else len(pairs),
        largest_difference=max(differences),
    )


def same_machine(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Whether one machine repeats another's bits: same device, processor, instructions, threads and torch."""
    machines = recorded, here
    device, other = (each.get("device", "cpu") for each in machines)  # earlier records have none
    gpu, other_gpu = ("" if device == "cpu" else each["accelerator"] for each in machines)
    return (device, gpu) == (other, other_gpu) and all(recorded[name] == here[name] for name in _DECIDES_BITS)
