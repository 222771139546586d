"""Repeat what the ledgers say of the models of the zoo: their figures, and the first losses of their recipes.

    python scripts/reproduce.py [NAME ...] [--steps 200] [--record] [--json]

Each model, all of the zoo by default, is loaded by its name, and checked with as many threads as it was trained with:

    figures       it is probed with the draws of the first training seed, whose encoder is the one that ships; every
                  value must equal the ledger's (model_cards/results/NAME.json) to the last digit
    trajectory    its recipe is trained for the first steps; on the type of machine that recorded them the losses must
                  be the same bits, elsewhere the first 10 must agree to 1e-3 (zoo/training/trajectory.py says why)

The exit code is 1 if one of them does not come out again. `--record` adds the trajectory to a ledger that has none.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import zoo
from zoo.environment import environment, using_threads
from zoo.errors import ZooError, exit_on_bad_input
from zoo.evaluation.protocol import SCORES
from zoo.files import write_atomically
from zoo.models.pretrained import PretrainedEncoder
from zoo.training.recipe import Recipe
from zoo.training.trajectory import STEPS, compare, first_losses, record_trajectory, same_machine

ROOT = Path(__file__).parent.parent
LINE = "{:38}  {:22}  {:22}  {}"


def main() -> None:
    """Repeat, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="model of the zoo [default: all]")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps to train [default: %(default)s]")
    parser.add_argument("--record", action="store_true", help="add the trajectory to a ledger that has none")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    arguments = parser.parse_args()
    if arguments.steps < 1:
        raise ZooError(f"--steps: expected 1 or more, got {arguments.steps}")
    names = [zoo.entry(name).name for name in arguments.names] or zoo.list_models()
    reports = []
    if not arguments.json:
        print(LINE.format("model", "figures", "first losses", "result"))
    for name in names:
        print(name, file=sys.stderr)
        reports.append(reproduce(name, arguments.steps, record=arguments.record))
        if not arguments.json:
            print(in_words(reports[-1]), flush=True)
    if arguments.json:
        print(json.dumps(reports, indent=2))
    sys.exit(any(not report["reproduced"] for report in reports))


def reproduce(name: str, steps: int, *, record: bool) -> dict[str, Any]:
    """The report of a model; one that cannot be repeated here, for lack of its data, has an error in it."""
    try:
        path = ROOT / "model_cards" / "results" / f"{name}.json"
        ledger, model = read_ledger(path), zoo.load(name)
        recipe = Recipe.from_record(model.config["recipe"])
        with using_threads(ledger["environment"]["threads"]):
            figures = check_figures(model, ledger)
        if record and "trajectory" not in ledger:
            with using_threads(model.config["environment"]["threads"]):  # as in its run
                ledger["trajectory"] = record_trajectory(recipe, steps)
            write_atomically(path, (json.dumps(ledger, indent=2) + "\n").encode())
        trajectory = check_trajectory(recipe, ledger, steps)
    except ZooError as error:
        return {"model": name, "reproduced": False, "error": str(error)}
    reproduced = figures["equal"] == figures["values"] and trajectory is not None and trajectory["reproduced"]
    return {"model": name, "reproduced": reproduced, "figures": figures, "trajectory": trajectory}


def read_ledger(path: Path) -> dict[str, Any]:
    """The ledger of a model.

    Raises:
        ZooError: if there is none.
    """
    if not path.is_file():
        raise ZooError(f"{path}: no such ledger; `python scripts/release.py RECIPE` writes it")
    return json.loads(path.read_text())


def check_figures(model: PretrainedEncoder, ledger: Mapping[str, Any]) -> dict[str, Any]:
    """How many of the ledger's figures for the shipped encoder come out again, and how far off the others are.

    Raises:
        ZooError: if the data are missing here, or others than the ledger's.
    """
    differences = []
    for name, digest in ledger["probes"].items():
        data = zoo.load_dataset(name)
        if data.digest != digest:
            raise ZooError(f"{name}: has other images or labels than the ledger's, whose digest is {digest[:12]}...")
        rows = [row for row in ledger["results"] if row["features"] == "encoder" and row["data"] == name]
        counts = [row["labels_per_class"] for row in rows]
        again = zoo.evaluate(
            model, data, labels_per_class=counts, draws=ledger["draws"], seed=ledger["seeds"][0], baselines=()
        )
        for row, found in zip(rows, again["results"], strict=True):
            for score in (score for score in SCORES if score in row):
                values = found[score]["values"]  # of one seed; the ledger has those of all seeds, this one first
                differences += [abs(a - b) for a, b in zip(row[score]["values"], values, strict=False)]
    return {
        "values": len(differences),
        "equal": differences.count(0.0),
        "largest_difference": max(differences),
        "measured_on": machine(ledger["environment"]),
        "same_machine": same_machine(ledger["environment"], environment()),
    }


def check_trajectory(recipe: Recipe, ledger: Mapping[str, Any], steps: int) -> dict[str, Any] | None:
    """How the first losses of a recipe agree with the ledger's; None if it has none."""
    recorded = ledger.get("trajectory")
    if recorded is None:
        return None
    with using_threads(recorded["environment"]["threads"]):
        found = compare(first_losses(recipe, min(steps, len(recorded["losses"]))), recorded, environment())
    return {**found._asdict(), "reproduced": found.reproduced, "recorded_on": machine(recorded["environment"])}


def in_words(report: Mapping[str, Any]) -> str:
    """A report as a line of the table."""
    if "error" in report:
        return LINE.format(report["model"], report["error"], "", "NOT REPRODUCED")
    figures, trajectory = report["figures"], report["trajectory"]
    measured = f"{figures['equal']} of {figures['values']} identical"
    if figures["equal"] < figures["values"]:
        measured += f", off by up to {100 * figures['largest_difference']:.2f} points"
        measured += "" if figures["same_machine"] else f" (measured on {figures['measured_on']})"
    if trajectory is None:
        trained = "not recorded; --record adds them"
    elif trajectory["identical"]:
        trained = f"{trajectory['steps']} of {trajectory['steps']} identical"
    else:
        trained = (
            f"within 1e-3 for {trajectory['close_steps']} of {trajectory['steps']} steps, "
            f"max. difference {trajectory['largest_difference']:.1e} (recorded on {trajectory['recorded_on']})"
        )
    result = "reproduced" if report["reproduced"] else "NOT REPRODUCED"
    return LINE.format(report["model"], measured, trained, result)


def machine(of: Mapping[str, Any]) -> str:
    """What decides the bits of a result, in words."""
    return f"{of['processor']}, {of['cpu_capability']}, threads: {of['threads']}, torch {of['torch']}"


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
