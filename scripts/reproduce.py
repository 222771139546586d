"""Repeat what models of the zoo claim: `zoo verify --metrics` and `zoo reproduce --steps` for each, in one table.

    python scripts/reproduce.py [NAME ...] [--steps 200] [--record] [--device cuda] [--json]

All models of the zoo by default. The exit code is 1 if one of them does not verify or is not reproduced. `--record`
trains the first steps of models whose ledger in model_cards/results has no losses yet, and adds them; `make tables`
then copies them to the weights, where `zoo reproduce --steps` finds them.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import zoo
from zoo.environment import using_threads
from zoo.errors import ZooError, exit_on_bad_input
from zoo.files import write_atomically
from zoo.training.recipe import Recipe
from zoo.training.trajectory import STEPS, record_trajectory

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Record, or repeat and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="model of the zoo [default: all]")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps to train [default: %(default)s]")
    parser.add_argument("--record", action="store_true", help="add the first losses to ledgers that have none")
    parser.add_argument("--device", default="cpu", help="device to train on [default: %(default)s]")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    arguments = parser.parse_args()
    if arguments.steps < 1:
        raise ZooError(f"--steps: expected 1 or more, got {arguments.steps}")
    names = [zoo.entry(name).name for name in arguments.names] or zoo.list_models()
    if arguments.record:
        for name in names:
            if record(name, arguments.steps, arguments.device):
                print(f"{name}: recorded; `make tables` copies it to the weights", file=sys.stderr)
        return
    reports = []
    for name in names:
        print(name, file=sys.stderr)
        reports.append(repeated(name, arguments.steps, arguments.device))
        if not arguments.json:
            print(*reports[-1]["words"], sep="\n", flush=True)
    if arguments.json:
        print(json.dumps(reports, indent=2))
    sys.exit(any(not report["reproduced"] for report in reports))


def repeated(name: str, steps: int, device: str = "cpu") -> dict[str, Any]:
    """What `zoo verify` and `zoo reproduce` say of a model; one that cannot be trained here has an error in it."""
    verified = zoo.verify(name, metrics=True)
    report = {"model": name, "verified": verified.to_dict()}
    try:
        trained = zoo.reproduce(name, steps=steps, device=device)
    except ZooError as error:
        return {**report, "reproduced": False, "error": str(error), "words": [str(verified), f"  {error}"]}
    reproduced = verified.verified and trained.reproduced
    words = [str(verified), str(trained)]
    return {**report, "reproduced": reproduced, "trained": trained.to_dict(), "words": words}


def record(name: str, steps: int, device: str = "cpu") -> bool:
    """Add the first losses to the ledger of a model, with the threads of its run; False if it has them already.

    Raises:
        ZooError: if there is no ledger.
    """
    path = ROOT / "model_cards" / "results" / f"{name}.json"
    if not path.is_file():
        raise ZooError(f"{path}: no such ledger; `python scripts/release.py RECIPE` writes it")
    ledger, config = json.loads(path.read_text()), zoo.load(name).config
    if "trajectory" in ledger:
        return False
    with using_threads(config["environment"]["threads"]):
        ledger["trajectory"] = record_trajectory(Recipe.from_record(config["recipe"]), steps, device)
    write_atomically(path, (json.dumps(ledger, indent=2) + "\n").encode())
    return True


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
