"""Make a model of the zoo from a recipe: train the seeds, measure them, write weights, card and ledger.

    python scripts/release.py scripts/recipes/simclr_resnet8_digits.py [--seeds 3] [--runs runs/release]

It writes zoo/weights/NAME (the encoder of the first seed), model_cards/NAME.md, and the ledger
model_cards/results/NAME.json, and prints the entry for zoo/entries.py. Runs that are there already are gone on with.
"""

import argparse
import json
import shutil
import statistics
import subprocess
from pathlib import Path

import zoo
from zoo.cards import render_card
from zoo.checkpoints import write_atomically
from zoo.environment import environment
from zoo.pretraining import read_metrics
from zoo.recipe import read_recipe

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/release"))
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe)
    data = zoo.load_dataset(recipe.dataset)
    runs = {seed: arguments.runs / f"{recipe.name}-seed{seed}" for seed in range(arguments.seeds)}
    models = {seed: zoo.pretrain(recipe.replace(seed=seed), out=out, progress=True) for seed, out in runs.items()}
    records = {seed: zoo.evaluate(model, data, seed=seed) for seed, model in models.items()}
    ledger = {
        "model": recipe.name,
        "command": f"python scripts/release.py {arguments.recipe.as_posix()} --seeds {arguments.seeds}",
        "commit": subprocess.check_output(["git", "rev-parse", "HEAD"], text=True, cwd=ROOT).strip(),
        "dataset": data.name,
        "dataset_digest": data.digest,
        "test_images": records[0]["test_images"],
        "draws": records[0]["draws"],
        "seeds": list(runs),
        "training_seconds": [sum(line["seconds"] for line in read_metrics(out)) for out in runs.values()],
        "environment": environment(),
        "recipe": recipe.to_dict(),
        "results": over_seeds(list(records.values())),
    }
    shipped = ROOT / "zoo" / "weights" / recipe.name
    shutil.rmtree(shipped, ignore_errors=True)
    model = zoo.save(models[0], shipped)
    card = render_card(model.config, ledger).encode()
    write_atomically(shipped / "README.md", card)
    write_atomically(ROOT / "model_cards" / f"{recipe.name}.md", card)
    write_atomically(
        ROOT / "model_cards" / "results" / f"{recipe.name}.json", (json.dumps(ledger, indent=2) + "\n").encode()
    )
    print(card.decode())
    print(f"zoo/entries.py: {recipe.name!r}, sha256 {model.config['sha256']!r}")


def over_seeds(records: list[dict]) -> list[dict]:
    """One row per features and number of labels, over the draws of all seeds."""
    rows = []
    for parts in zip(*(record["results"] for record in records), strict=True):
        pooled = {"features": parts[0]["features"], "labels_per_class": parts[0]["labels_per_class"]}
        for probe in ("linear", "knn"):
            values = [value for part in parts for value in part[probe]["values"]]
            std = statistics.stdev(values) if len(set(values)) > 1 else None
            pooled[probe] = {"mean": statistics.fmean(values), "std": std, "values": values}
        rows.append(pooled)
    return rows


if __name__ == "__main__":
    main()
