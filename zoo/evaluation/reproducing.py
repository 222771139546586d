"""Train a model again by its own configuration, and say how what comes out agrees with what ships.

On the same type of machine, with the same versions and threads, the bits are identical. Elsewhere torch sums in another
order, and training multiplies the differences: what is compared then is a probe of the new weights with the probes of
the training seeds, and what differs between the machines is named. The first losses are compared within minutes; the
ledger has them (`zoo.training.trajectory`).
"""

import contextlib
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from functional import tree
from zoo.data.datasets import load_dataset
from zoo.environment import environment, last_environment, using_threads, what_differs
from zoo.errors import ZooError
from zoo.evaluation.protocol import evaluate
from zoo.evaluation.verifying import read_results, threads_of
from zoo.models.code import Code
from zoo.models.loading import load, located
from zoo.models.pretrained import PretrainedEncoder, rounded
from zoo.training.loop import pretrain
from zoo.training.recipe import Recipe
from zoo.training.trajectory import STEPS_ELSEWHERE, TOLERANCE, compare, first_losses

ONE_SEED = 0.02  # how far a probe may be from that of the only training seed: there is no spread to measure it by


class Band(NamedTuple):
    """Where a probe of the weights that were trained again lies among those of the training seeds.

    Attributes:
        what: what the accuracies are of.
        found: the accuracy of the new weights, 0 to 1.
        low: the lowest accuracy that counts as reproduced,
        high: and the highest.
        rule: how these two were found.
    """

    what: str
    found: float
    low: float
    high: float
    rule: str

    @property
    def holds(self) -> bool:
        """Whether the accuracy lies in the band."""
        return self.low <= self.found <= self.high


@dataclass(frozen=True)
class Reproduction:
    """How a model that was trained again agrees with the one that ships; it prints as a few lines.

    Attributes:
        model: the name or directory that was asked for.
        compared: "weights" after the whole training, or "losses" of its first steps.
        steps: the number of steps that were trained.
        identical: whether all of them are equal bit for bit.
        largest_difference: of a weight, or the largest relative difference of a loss.
        close_steps: for losses, the number of steps before the first that differs by more than a thousandth.
        differs: what differs between the two machines, as "torch 2.14.1 -> 2.15.0"; "" if nothing that is known.
        band: for weights that are not identical, how their probe compares; None if there is nothing to compare with.
    """

    model: str
    compared: str
    steps: int
    identical: bool
    largest_difference: float
    close_steps: int | None
    differs: str
    band: Band | None

    @property
    def reproduced(self) -> bool:
        """Whether the result is what the machine promises: the same bits, or elsewhere the same within the spread."""
        if self.identical or not self.differs:
            return self.identical
        if self.close_steps is not None:
            return self.close_steps >= min(self.steps, STEPS_ELSEWHERE)
        return self.band is not None and self.band.holds

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        band = None if self.band is None else {**self.band._asdict(), "holds": self.band.holds}
        return {**asdict(self), "band": band, "reproduced": self.reproduced}

    def __str__(self) -> str:
        """The verdict, then what it rests on."""
        lines = [f"{self.model}: {'reproduced' if self.reproduced else 'NOT REPRODUCED'}"]
        if self.identical:
            lines.append(f"  identical bits: {self.compared}, {self.steps:,} steps")
        elif self.close_steps is None:
            lines.append(f"  weights differ by up to {self.largest_difference:.1e} after {self.steps:,} steps")
        else:
            lines.append(
                f"  losses differ by up to {self.largest_difference:.1e} in {self.steps:,} steps, by less than "
                f"{TOLERANCE:g} in the first {self.close_steps:,}"
            )
        if self.differs:
            lines.append(f"  what differs: {self.differs}")
        elif not self.identical:
            lines.append("  what differs: nothing that decides the bits, but perhaps the code")
        if self.band is not None:
            place = "in" if self.band.holds else "NOT in"
            lines.append(
                f"  {self.band.what}: {100 * self.band.found:.1f} %, {place} {100 * self.band.low:.1f} to "
                f"{100 * self.band.high:.1f} % ({self.band.rule})"
            )
        return "\n".join(lines)


def reproduce(
    name: str | Path,
    *,
    steps: int | None = None,
    out: str | Path | None = None,
    code: Code | str | Path | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> Reproduction:
    """Train a model again by the recipe in its own configuration, with the threads that it was trained with.

    Args:
        name: as for `zoo.load`.
        steps: how many steps to train, and to compare by the losses in the ledger; None for the whole training, which
            is compared by its weights.
        out: a run directory, in which a training that was stopped is resumed; None for a temporary one.
        code: as for `zoo.load`.
        device: the device to train on, as for `zoo.pretrain`.
        progress: whether to show the progress of the whole training.

    Raises:
        ZooError: if there is no such model, its data are not the same here, or there are no losses to compare with.

    Example:
        >>> report = reproduce("simclr-resnet8-digits", steps=2)
        >>> report.reproduced, report.steps, report.compared
        (True, 2, 'losses')
    """
    model = load(name, code=code)
    recipe, ledger = Recipe.from_record(model.config["recipe"]), read_results(located(name)[0])
    if steps is not None:
        return _by_losses(str(name), recipe, ledger, steps, device)
    with _directory(out) as directory, using_threads(threads_of(model.config)):
        again = pretrain(recipe, out=directory, code=code, device=device, progress=progress)
        if again.config["dataset"]["digest"] != (digest := model.config["dataset"]["digest"]):
            raise ZooError(f"{recipe.dataset}: has other images than {name} was trained on, of digest {digest[:12]}...")
        again = rounded(again, model.config["dtype"])
        differences = _differences(model, again)
        band = _band(again, ledger) if differences and ledger is not None else None
    return Reproduction(
        model=str(name),
        compared="weights",
        steps=again.config["training"]["steps"],
        identical=not differences,
        largest_difference=max(differences.values(), default=0.0),
        close_steps=None,
        differs=_differs(model.config, again.config),
        band=band,
    )


def band_of(what: str, found: float, seeds: Sequence[float]) -> Band:
    """The band of an accuracy: two standard deviations around the mean of the training seeds, or their range if wider.

    Example:
        >>> band = band_of("all labels", 0.9, [0.9, 0.91, 0.92])
        >>> band.low, band.high, band.rule, band.holds
        (0.89, 0.93, 'mean +- 2 standard deviations of 3 training seeds', True)
    """
    if len(seeds) == 1:
        rule = f"within {100 * ONE_SEED:g} points of the only training seed"
        return Band(what, found, round(seeds[0] - ONE_SEED, 6), round(seeds[0] + ONE_SEED, 6), rule)
    mean, std = statistics.fmean(seeds), statistics.stdev(seeds)
    low, high = mean - 2 * std, mean + 2 * std
    if low <= min(seeds) and max(seeds) <= high:
        rule = f"mean +- 2 standard deviations of {len(seeds)} training seeds"
        return Band(what, found, round(low, 6), round(high, 6), rule)
    return Band(what, found, min(seeds), max(seeds), f"the range of {len(seeds)} training seeds")


def _by_losses(name: str, recipe: Recipe, ledger: Mapping[str, Any] | None, steps: int, device: str) -> Reproduction:
    recorded = (ledger or {}).get("trajectory")
    if not recorded:
        raise ZooError(f"{name}: no losses of its first steps are in its results.json; leave out --steps")
    with using_threads(threads_of(recorded)):
        losses = first_losses(recipe, min(steps, len(recorded["losses"])), device=device)
        here = {**environment(), "device": torch.device(device).type}
    found = compare(losses, recorded, here)
    return Reproduction(
        model=name,
        compared="losses",
        steps=found.steps,
        identical=found.identical,
        largest_difference=found.largest_difference,
        close_steps=found.close_steps,
        differs=what_differs({"device": "cpu", **recorded["environment"]}, here),
        band=None,
    )


def _band(model: PretrainedEncoder, ledger: Mapping[str, Any]) -> Band:
    """How the probe with the most labels compares with those of the training seeds."""
    row = max((row for row in ledger["results"] if row["features"] == "encoder"), key=lambda row: row["labels"])
    data, seeds = load_dataset(row["data"]), ledger["seeds"]
    record = evaluate(
        model,
        data,
        labels_per_class=[row["labels_per_class"]],
        draws=ledger["draws"],
        seed=seeds[0],
        baselines=(),
    )
    values = row["linear"]["values"]
    each = len(values) // len(seeds)
    means = [statistics.fmean(values[i * each : (i + 1) * each]) for i in range(len(seeds))]
    what = f"linear probe with {row['labels']:,} labels of {row['data']}"
    return band_of(what, record["results"][0]["linear"]["mean"], means)


def _differs(config: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    several = len(config.get("environments") or ()) > 1
    changed = what_differs(last_environment(config), last_environment(again))
    return ", ".join(filter(None, (changed, "it was trained in several environments" if several else "")))


def _differences(model: PretrainedEncoder, again: PretrainedEncoder) -> dict[str, float]:
    """The largest difference in each parameter or statistic that is not equal bit for bit.

    Raises:
        ZooError: if the two have other parameters.
    """
    ours, theirs = _weights(model), _weights(again)
    if {name: x.shape for name, x in ours.items()} != {name: x.shape for name, x in theirs.items()}:
        raise ZooError(f"{model.name}: the recipe in its config.json makes another architecture than it has")
    return {
        name: (x - theirs[name]).abs().max().item()
        for name, x in ours.items()
        if not torch.equal(_bits(x), _bits(theirs[name]))
    }


def _weights(model: PretrainedEncoder) -> dict[str, Tensor]:
    decoder = {} if model.decoder is None else {"decoder": model.decoder.params}
    return tree.flatten({"params": model.params, "batch_stats": model.batch_stats, **decoder})


def _bits(x: Tensor) -> Tensor:
    return x.flatten().view(torch.uint8)


@contextlib.contextmanager
def _directory(out: str | Path | None) -> Iterator[Path]:
    if out is not None:
        yield Path(out).expanduser()
        return
    with tempfile.TemporaryDirectory(prefix="zoo-reproduce-") as directory:
        yield Path(directory)
