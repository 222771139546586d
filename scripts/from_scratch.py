"""Measure the baseline of every pretrained encoder: the same encoder, trained from scratch on just those labels.

    python scripts/from_scratch.py scripts/recipes/supervised_resnet8_mnist.py [--seeds 1] [--draws 5]
    python scripts/from_scratch.py RECIPE --validate --labels-per-class 10 --set epochs=100 --set batch_size=20

It trains the recipe on each draw of the labels that the recipe's `probes` name, with the changes of its `few_labels`
(`zoo.evaluation.recipe_files`), probes each encoder with the same labels on the test images, and writes the ledger
model_cards/from_scratch/NAME.json. All labels have no draws: they are repeated over the training seeds. If the model of
this recipe has a ledger, that was this training, and its row of all labels is taken. A measurement that was
stopped goes on where it was: the scores of finished runs are kept in runs/from_scratch. Runs on many labels take hours
without a GPU; --at-most leaves them out, and the tables an empty cell.

With --validate, the last tenth of the training images takes the place of the test images, the recipe can be changed,
and nothing is written: every choice is made this way. `python scripts/make_tables.py` then adds the ledger to the cards
of the models with the same encoder, and to README.md.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import zoo
from functional.base import Key
from zoo.data.datasets import Dataset
from zoo.environment import environment
from zoo.errors import ZooError, exit_on_bad_input
from zoo.evaluation.from_scratch import Fit, for_labels, from_scratch, train_and_judge
from zoo.evaluation.held_out import held_out
from zoo.evaluation.protocol import SCORES, draws_of_labels, labelled_splits, pooled
from zoo.evaluation.recipe_files import FewLabels, Probes, read_few_labels, read_probes
from zoo.files import write_atomically
from zoo.models.code import Code
from zoo.reports.tables import in_percent
from zoo.training.loop import resolve_recipe
from zoo.training.recipe import Recipe, read_change

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Train, measure, and write or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--seeds", type=int, default=1, help="training seeds, each with its own draws [default: 1]")
    parser.add_argument("--draws", type=int, default=5, help="draws of the labels [default: 5]")
    parser.add_argument("--at-most", type=int, metavar="N", help="leave out what has more than N labels in all")
    parser.add_argument("--labels-per-class", help="comma-separated, instead of those of the probes; to validate")
    parser.add_argument("--validate", action="store_true", help="judge on held-out training images; write nothing")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipe; to validate"
    )
    arguments = parser.parse_args()
    if arguments.set and not arguments.validate:
        raise ZooError("--set: only with --validate; on the test images, the recipe is measured as its file has it")
    if arguments.labels_per_class and not arguments.validate:
        raise ZooError("--labels-per-class: only with --validate; else --at-most leaves numbers out")
    if arguments.seeds < 1:
        raise ZooError(f"--seeds: expected 1 or more, got {arguments.seeds}")
    changes = dict(read_change(change) for change in arguments.set)
    recipe, code = resolve_recipe(arguments.recipe)
    recipe = recipe.replace(**changes)
    few_labels = {labels: {**own, **changes} for labels, own in read_few_labels(arguments.recipe).items()}
    probes = read_probes(arguments.recipe, recipe)
    if arguments.labels_per_class:
        counts = [int(count) if count.isdigit() else count for count in arguments.labels_per_class.split(",")]
        probes = tuple((name, counts) for name, _ in probes)
    data = {name: held_out(name) if arguments.validate else zoo.load_dataset(name) for name, _ in probes}
    done = [] if arguments.validate else rows_of_the_model(recipe, few_labels, probes, data, arguments.seeds)
    if done:
        probes = only(probes, lambda name, count: (name, count) != (recipe.dataset, "all"))
    if arguments.at_most is not None:
        probes = no_larger(probes, data, arguments.at_most)
    for name, counts in probes:  # what a dataset cannot give is said before hours of training
        draws_of_labels(data[name], counts, arguments.draws, seed=0)
    seconds: list[float] = []
    folder = None if arguments.validate else ROOT / "runs" / "from_scratch" / recipe.name
    rows = pooled(
        row
        for seed in range(arguments.seeds)
        for name, counts in probes
        for row in from_scratch(
            recipe,
            data[name],
            few_labels=few_labels,
            labels_per_class=counts,
            draws=arguments.draws,
            seed=seed,
            fit=remembering(code, folder, seconds),
        )
    )
    rows += done
    print("\n".join(map(in_words, rows)))
    if arguments.validate:
        return
    at_most = "" if arguments.at_most is None else f" --at-most {arguments.at_most}"
    options = f"--seeds {arguments.seeds} --draws {arguments.draws}{at_most}"
    ledger = {
        "model": recipe.name,
        "command": f"python scripts/from_scratch.py {arguments.recipe.as_posix()} {options}",
        "commit": subprocess.check_output(["git", "rev-parse", "HEAD"], text=True, cwd=Path(__file__).parent).strip(),
        "probes": {name: data[name].digest for name in dict.fromkeys(row["data"] for row in rows)},
        "draws": arguments.draws,
        "seeds": list(range(arguments.seeds)),
        "seconds": seconds,
        "environment": environment(),
        "recipe": recipe.to_dict(),
        "few_labels": few_labels,
        "results": rows,
    }
    path = ROOT / "model_cards" / "from_scratch" / f"{recipe.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(ledger, indent=2) + "\n").encode())
    print(f"{path.relative_to(ROOT)}; now `make tables`")


def rows_of_the_model(
    recipe: Recipe, few_labels: FewLabels, probes: Probes, data: Mapping[str, Dataset], seeds: int
) -> list[dict[str, Any]]:
    """The row of all labels from the ledger of the recipe's own model, which was trained from scratch on just those.

    None without a ledger of this recipe, these data and these training seeds; nor if `few_labels` changes the recipe.
    """
    path = ROOT / "model_cards" / "results" / f"{recipe.name}.json"
    if "all" not in dict(probes).get(recipe.dataset, ()) or not path.is_file():
        return []
    ledger, own = json.loads(path.read_text()), data[recipe.dataset]
    (_, labels), _ = labelled_splits(own)
    trained = Recipe.from_record(ledger["recipe"]).replace(seed=recipe.seed)  # the seeds are compared below
    if (
        trained != for_labels(recipe, few_labels, len(labels))
        or ledger["dataset_digest"] != own.digest
        or not set(range(seeds)) <= set(ledger["seeds"])
    ):
        return []
    wanted = {"features": "encoder", "data": recipe.dataset, "labels_per_class": "all"}
    return [{**row, "features": "from_scratch"} for row in ledger["results"] if wanted.items() <= row.items()]


def only(probes: Probes, wanted: Callable[[str, int | str], bool]) -> Probes:
    """The probes with the numbers of labels per class that are wanted of a dataset."""
    kept = [(name, tuple(count for count in counts if wanted(name, count))) for name, counts in probes]
    return tuple((name, counts) for name, counts in kept if counts)


def no_larger(probes: Probes, data: Mapping[str, Dataset], most: int) -> Probes:
    """The probes without the numbers of labels per class that are more than `most` labels in all.

    Raises:
        ZooError: if none is left.
    """

    def labels(name: str, count: int | str) -> int:
        (_, y), _ = labelled_splits(data[name])
        return len(y) if count == "all" else int(count) * len(data[name].classes)

    kept = only(probes, lambda name, count: labels(name, count) <= most)
    if probes and not kept:
        least = min(labels(name, count) for name, counts in probes for count in counts)
        raise ZooError(f"--at-most: expected {least:,} labels or more, the fewest of the recipe's probes, got {most:,}")
    return kept


def remembering(code: Code, folder: Path | None, seconds: list[float]) -> Fit:
    """`train_and_judge`, with the scores and seconds of every run kept in a folder, if one is given.

    A run is known by all that its scores depend on but the machine: recipe, code, images, labels, and held-out labels.
    """

    def fit(recipe: Recipe, few: Dataset, key: Key) -> Mapping[str, float]:
        inputs = {"recipe": recipe.to_dict(), "code": code.sha256, "data": few.digest, "key": key.tolist()}
        digest = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
        path = None if folder is None else folder / f"{Path(few.name).stem}-{len(few.train.images)}-{digest}.json"
        if path is not None and path.is_file():
            found = json.loads(path.read_text())
        else:
            started = time.perf_counter()
            scores = train_and_judge(recipe, few, key, code=code)
            found = {**scores, "seconds": round(time.perf_counter() - started, 1)}
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, json.dumps(found).encode())
        seconds.append(found["seconds"])
        about = f"{few.name}, {len(few.train.images):,} labels, training seed {recipe.seed}"
        print(f"{about}: {100 * found['linear']:.2f} % in {found['seconds']:.1f} s", file=sys.stderr, flush=True)
        return found

    return fit


def in_words(row: Mapping[str, Any]) -> str:
    """The scores of a row in %, in one line."""
    scores = "  ".join(f"{score} {in_percent(row[score])}" for score in SCORES)
    return f"{row['data']}, {row['labels']:,} labels: {scores} (n = {len(row['linear']['values'])})"


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
