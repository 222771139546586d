"""Make a model of the zoo from a recipe: train the seeds, measure them, write weights, card and ledger.

    python scripts/release.py scripts/recipes/simclr_resnet8_digits.py [--seeds 3] [--clusters] [--runs runs/release]
    python scripts/release.py scripts/recipes/simclr_resnet8_digits.py --add-seeds 3,4

It writes zoo/weights/NAME (the encoder of the first seed with its results), model_cards/NAME.md, and the ledger
model_cards/results/NAME.json, and prints the entry for zoo/models/entries.py. It resumes runs that were stopped.

A recipe's .py file can name the labels that its encoders are measured with: datasets, and labels per class.

    probes = (("mnist_labels_6k", (10, 100, "all")), ("mnist_labels_12k", ("all",)))

The default is 1, 5, 10 and all labels of its own dataset. Each training seed has its own draws of the labels and its
own untrained encoder. Raw pixels have no training seed: they are measured once, on the draws of the first seed.
Baselines are the same for all models with the same encoder: their rows are kept in the directory of the runs, for as
long as the code that measures them stays the same.

The weights ship in bfloat16, half the size, where this moves the accuracy with the most labels by .1 percentage points
at most. Everything is measured on the encoders as they ship. The ledger also has the losses of the first steps of the
first seed, which `zoo reproduce NAME --steps N` repeats; not those of runs that were trained on another device and
copied here, to which `scripts/reproduce.py --record --device cuda` adds them on a machine with a GPU.

With --add-seeds, the weights stay as they are, and the figures of more training seeds are added to the ledger;
`python scripts/make_tables.py` then brings them to the card and the tables. With --no-weights, the ledger has the
configuration too, from which that script renders the card.
"""

import argparse
import dataclasses
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

import zoo
from zoo.data.datasets import Dataset
from zoo.environment import environment, last_environment, machine_of, using_threads
from zoo.errors import ZooError, exit_on_bad_input
from zoo.evaluation.clustering import SCORES, cluster
from zoo.evaluation.protocol import BASELINES, draws_of_labels, pooled, spread
from zoo.evaluation.recipe_files import Probes, read_probes
from zoo.evaluation.reconstruction import reconstruction
from zoo.files import write_atomically
from zoo.models.entries import SHIPPED_LICENCE
from zoo.models.pretrained import PretrainedEncoder, rounded
from zoo.reports.cards import render_card
from zoo.reports.from_scratch import with_from_scratch
from zoo.training.recipe import Recipe, read_recipe
from zoo.training.run_directory import read_metrics
from zoo.training.trajectory import record_trajectory

ROOT = SOURCES = Path(__file__).parent.parent
LARGEST_MOVE = 0.001 + 1e-9  # of the accuracy, by weights in bfloat16; the second number is for rounding


def main() -> None:
    """Train, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="device to train on [default: cpu]")
    parser.add_argument("--clusters", action="store_true", help="also measure k-means and Gaussian mixtures")
    parser.add_argument("--runs", type=Path, default=Path("runs/release"))
    parser.add_argument(
        "--no-weights", action="store_true", help="write card and ledger alone, for weights too large for the package"
    )
    parser.add_argument(
        "--add-seeds", type=seed_list, metavar="SEED,...", help="add the figures of these training seeds to the ledger"
    )
    parser.add_argument(
        "--trained-on", metavar="TEXT", help="where it was trained, as cards say it [default: as the runs record]"
    )
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe)
    if arguments.add_seeds:
        add_seeds(recipe, arguments)
    else:
        release(recipe, arguments)


def release(recipe: Recipe, arguments: argparse.Namespace) -> None:
    """Train and measure all seeds, and write weights, card and ledger."""
    probes, kept = possible_probes(arguments.recipe, recipe), arguments.runs / "baselines"
    models, trained = train(recipe, range(arguments.seeds), arguments)
    weights, records = choose_weights(models[0], probes, kept)
    models = {seed: rounded(model, weights["dtype"]) for seed, model in models.items()}
    records += [record for seed, model in models.items() if seed for record in measure(model, probes, seed, kept)]
    own = last_environment(models[0].config)
    ledger = {
        "model": recipe.name,
        "command": command(arguments, f"--seeds {arguments.seeds}", own["device"]),
        "commit": subprocess.check_output(["git", "rev-parse", "HEAD"], text=True, cwd=Path(__file__).parent).strip(),
        "dataset": models[0].config["dataset"]["name"],
        "dataset_digest": models[0].config["dataset"]["digest"],
        "probes": {record["dataset"]: record["dataset_digest"] for record in records},
        "draws": records[0]["draws"],
        **trained,
        "peak_memory_bytes": [model.config["training"].get("peak_memory_bytes") for model in models.values()],
        "environment": environment(),
        "recipe": recipe.to_dict(),
        "results": pooled(row for record in records for row in record["results"]),
        "report": report_of_the_most_labels(records),
        "weights": weights,
    }
    if torch.device(arguments.device).type == own["device"]:  # else the run came from a machine with a GPU
        with using_threads(own["threads"]):
            first = Recipe.from_record(models[0].config["recipe"])
            ledger["trajectory"] = record_trajectory(first, device=arguments.device)
    if models[0].has_decoder:
        ledger["reconstruction"] = reconstruction(list(models.values()), zoo.load_dataset(recipe.dataset))
    if arguments.clusters:
        data = zoo.load_dataset(probes[0][0])
        found = [cluster(model, data, seed=seed, baselines=baselines(seed)) for seed, model in models.items()]
        ledger["clusters"] = clusters_over_seeds(found)
    if arguments.no_weights:
        ledger["config"] = models[0].config
    write(ledger, models[0], ships=not arguments.no_weights)


def add_seeds(recipe: Recipe, arguments: argparse.Namespace) -> None:
    """Train and measure more seeds of a model that ships, and add them to its ledger."""
    ledger = ledger_to_extend(recipe, arguments.add_seeds)
    probes, kept = possible_probes(arguments.recipe, recipe), arguments.runs / "baselines"
    models, trained = train(recipe, arguments.add_seeds, arguments)
    records = [
        record
        for seed, model in models.items()
        for record in measure(rounded(model, ledger["weights"]["dtype"]), probes, seed, kept)
    ]
    device = last_environment(next(iter(models.values())).config)["device"]
    numbers = ",".join(map(str, arguments.add_seeds))
    added = {**trained, "command": command(arguments, f"--add-seeds {numbers}", device)}
    more = {
        "seeds": [*ledger["seeds"], *arguments.add_seeds],
        "added": [*ledger.get("added", ()), added],
        "results": pooled([*ledger["results"], *(row for record in records for row in record["results"])]),
    }
    write_atomically(ledger_of(recipe.name), _as_json({**ledger, **more}))


def possible_probes(path: Path, recipe: Recipe) -> Probes:
    """The probes of a recipe's file, all of which its datasets can give: training takes hours.

    Raises:
        ZooError: as in `read_probes` and `evaluate`.
    """
    probes = read_probes(path, recipe)
    for name, counts in probes:
        draws_of_labels(zoo.load_dataset(name), counts, draws=1, seed=0)
    return probes


def train(
    recipe: Recipe, seeds: Iterable[int], arguments: argparse.Namespace
) -> tuple[dict[int, PretrainedEncoder], dict[str, Any]]:
    """The encoder of each training seed, and what a ledger says of their runs."""
    runs = {seed: arguments.runs / f"{recipe.name}-seed{seed}" for seed in seeds}
    options = {"device": arguments.device, "progress": True}
    models = {
        seed: named(zoo.pretrain(recipe.replace(seed=seed), out=out, **options), recipe.name)
        for seed, out in runs.items()
    }
    first = next(iter(models.values()))
    return models, {
        "seeds": list(models),
        "training_seconds": [sum(line["seconds"] for line in read_metrics(out)) for out in runs.values()],
        "trained_on": arguments.trained_on or machine_of(last_environment(first.config)),
    }


def seed_list(text: str) -> list[int]:
    """Parse `"1,2"`."""
    return [int(number) for number in text.split(",")]


def command(arguments: argparse.Namespace, which: str, device: str) -> str:
    """The command that does this again."""
    flags = [f"--device {device}"] if device != "cpu" else []
    flags += [f"--{name}" for name in ("clusters", "no-weights") if getattr(arguments, name.replace("-", "_"))]
    return " ".join([f"python scripts/release.py {arguments.recipe.as_posix()}", which, *flags])


def write(ledger: dict[str, Any], model: PretrainedEncoder, *, ships: bool) -> None:
    """Write the ledger and the card; and the weights with both beside them, if they ship."""
    name = ledger["model"]
    scratch = [json.loads(path.read_text()) for path in sorted(ROOT.glob("model_cards/from_scratch/*.json"))]
    beside, shipped = with_from_scratch(ledger, scratch), ROOT / "zoo" / "weights" / name
    if ships:
        shutil.rmtree(shipped, ignore_errors=True)
        model = zoo.save(model, shipped, dtype=ledger["weights"]["dtype"])
    source = name if ships else f"./runs/{name}"
    card = render_card(model.config, beside, licence=SHIPPED_LICENCE, source=source)
    write_atomically(ROOT / "model_cards" / f"{name}.md", card.encode())
    write_atomically(ledger_of(name), _as_json(ledger))
    print(card)
    if ships:
        write_atomically(shipped / "README.md", card.encode())
        write_atomically(shipped / "results.json", _as_json(beside))
        config_sha256 = hashlib.sha256((shipped / "config.json").read_bytes()).hexdigest()
        print(f"zoo/models/entries.py: {name!r}, sha256 {model.config['sha256']!r}, config_sha256 {config_sha256!r}")


def ledger_of(name: str) -> Path:
    """The file of a model's ledger."""
    return ROOT / "model_cards" / "results" / f"{name}.json"


def ledger_to_extend(recipe: Recipe, seeds: Sequence[int]) -> dict[str, Any]:
    """The ledger of a model that ships, to which training seeds are added.

    Raises:
        ZooError: if there is none, it is of another recipe, or it has one of the seeds.
    """
    path = ledger_of(recipe.name)
    if not path.is_file():
        raise ZooError(f"--add-seeds: {path} does not exist; release the model first, without --add-seeds")
    ledger = json.loads(path.read_text())
    if Recipe.from_record(ledger["recipe"]).replace(seed=recipe.seed) != recipe:
        raise ZooError(f"--add-seeds: {path} is of another recipe; release the model again, without --add-seeds")
    if known := set(seeds) & set(ledger["seeds"]):
        raise ZooError(f"--add-seeds: {path} has seed {min(known)} already; it has {ledger['seeds']}")
    return ledger


def named(model: PretrainedEncoder, name: str) -> PretrainedEncoder:
    """The encoder under the name that it is released by, which belonged to another recipe if that was changed."""
    return dataclasses.replace(model, config={**model.config, "name": name})


def _as_json(ledger: dict[str, Any]) -> bytes:
    return (json.dumps(ledger, indent=2) + "\n").encode()


def choose_weights(model: PretrainedEncoder, probes: Probes, kept: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The dtype in which the encoder of the first seed ships, its accuracy in each, and its records in that dtype.

    The accuracy is that with the most labels.
    """
    data, count = max(
        ((zoo.load_dataset(name), count) for name, counts in probes for count in counts),
        key=lambda probe: len(probe[0].train.images) if probe[1] == "all" else int(probe[1]) * len(probe[0].classes),
    )

    def accuracy(records: Iterable[dict[str, Any]]) -> float:
        rows = {(r["features"], r["data"], r["labels_per_class"]): r for record in records for r in record["results"]}
        return rows["encoder", data.name, count]["linear"]["mean"]

    short = measure(rounded(model, "bfloat16"), probes, 0, kept)
    long = [zoo.evaluate(model, data, labels_per_class=(count,), seed=0, baselines=())]
    accuracies = {"float32": accuracy(long), "bfloat16": accuracy(short)}
    moved = abs(accuracies["bfloat16"] - accuracies["float32"]) > LARGEST_MOVE
    choice = {"dtype": "float32" if moved else "bfloat16", "data": data.name, "accuracy": accuracies}
    return choice, measure(model, probes, 0, kept) if moved else short


def measure(model: PretrainedEncoder, probes: Probes, seed: int, kept: Path) -> list[dict[str, Any]]:
    """A record of `zoo.evaluate` for each dataset; rows of baselines are read from `kept` if they are there."""
    records = []
    for name, counts in probes:
        data = zoo.load_dataset(name)
        files = {source: kept / _baseline_file(source, model, data, counts, seed) for source in baselines(seed)}
        missing = [source for source, path in files.items() if not path.is_file()]
        record = zoo.evaluate(model, data, labels_per_class=counts, seed=seed, baselines=missing)
        rows = {source: [r for r in record["results"] if r["features"] == source] for source in ("encoder", *missing)}
        for source in missing:
            kept.mkdir(parents=True, exist_ok=True)
            write_atomically(files[source], json.dumps(rows[source]).encode())
        known = [row for path in files.values() for row in json.loads(path.read_text())]
        records.append({**record, "results": rows["encoder"] + known})
    return records


def _baseline_file(source: str, model: PretrainedEncoder, data: Dataset, counts: Sequence[int | str], seed: int) -> str:
    """The name of the file of rows that depend on nothing but these arguments, this code and this machine."""
    code = hashlib.sha256()
    for pattern in ("functional/**/*.py", "zoo/evaluation/*.py", "zoo/models/pretrained.py"):
        for path in sorted(SOURCES.glob(pattern)):
            code.update(path.read_bytes())
    encoder = {field: model.config[field] for field in ("architecture", "input_shape", "mean", "std")}
    told = [source, encoder, data.digest, counts, seed, environment(), code.hexdigest()]
    return f"{hashlib.sha256(json.dumps(told).encode()).hexdigest()}.json"


def baselines(seed: int) -> tuple[str, ...]:
    """The baselines of a training seed; pixels, which are always the same, are measured only for the first."""
    return BASELINES if seed == 0 else tuple(name for name in BASELINES if name != "pixels")


def report_of_the_most_labels(records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The per-class scores and the confusion matrix of the first seed, for the dataset with the most labels."""
    return max((record["report"] for record in records), key=lambda report: report["labels"])


def clusters_over_seeds(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One record of clusters over the training seeds and the clustering seeds."""
    rows: dict[tuple, list[dict[str, Any]]] = {}
    for row in (row for record in records for row in record["results"]):
        rows.setdefault((row["features"], row["method"]), []).append(row)
    pooled = [
        {**parts[0], **{score: spread([v for part in parts for v in part[score]["values"]]) for score in SCORES}}
        for parts in rows.values()
    ]
    return {**records[0], "training_seeds": len(records), "results": pooled}


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
