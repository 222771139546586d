"""The first losses of a recipe, by which anyone can see within minutes that its training is reproduced.

A ledger records them with the machine that made them. Machines of one type, with the same versions and threads, repeat
them bit for bit. Others sum in another order: their losses agree to about six digits at first and drift apart slowly.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

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
TOLERANCE = 1e-3  # largest relative difference between machines of different types
_DECIDES_BITS = ("processor", "cpu_capability", "threads", "torch")


def first_losses(recipe: Recipe, steps: int = STEPS, data: Dataset | None = None) -> list[float]:
    """The losses of the first steps of a run on the CPU, with the plan and the step of `zoo.pretrain`.

    Args:
        recipe: what to train.
        steps: how many, 1 or more; a shorter run gives all of its losses.
        data: data in memory, instead of the recipe's.

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
    plan = make_plan(decide_precision(recipe), data=data)
    made = tqdm(islice(updates(plan, plan.init()), steps), desc="train", unit=" steps", delay=2, disable=None)
    return [info["loss"].item() for _, info in made]


def record_trajectory(recipe: Recipe, steps: int = STEPS) -> dict[str, Any]:
    """The first losses of a recipe and the machine that made them, as a ledger holds them."""
    return {"losses": first_losses(recipe, steps), "environment": environment()}


def gives_same_bits(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    """Whether a machine repeats what another recorded bit for bit: same processor, threads and version of torch."""
    return all(recorded[name] == here[name] for name in _DECIDES_BITS)


def largest_difference(losses: Sequence[float], recorded: Sequence[float]) -> float:
    """The largest relative difference between losses and those recorded, as far as both go."""
    return max(abs(a - b) / abs(b) if a != b else 0.0 for a, b in zip(losses, recorded, strict=False))
