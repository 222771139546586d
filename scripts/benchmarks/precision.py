"""The cost of bfloat16 in accuracy, which decides the default: S3a in both precisions, on held-out images.

The images are the last tenth of MNIST's training images, as for every choice (`scripts/validate.py`). There are three
runs with different seeds in each precision, of half of the recipe's epochs.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zoo
from benchmarks.measuring import SCRIPTS, Options, line, not_run, say
from zoo.environment import has_bfloat16
from zoo.errors import ZooError
from zoo.evaluation.held_out import held_out
from zoo.evaluation.protocol import evaluate
from zoo.training.recipe import read_recipe

SEEDS = 3


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part."""
    name = "s3a in bfloat16 against float32"
    if not has_bfloat16():
        yield not_run(name, "this processor has no instructions for bfloat16")
        return
    if options.quick:
        recipe, labels, counts = read_recipe(SCRIPTS / "recipes" / "simclr_resnet8_digits.py"), "digits", (1,)
        recipe = recipe.replace(epochs=1, warmup_epochs=0)
    else:
        recipe, labels = read_recipe(SCRIPTS / "recipes" / "simclr_s3a_mnist_24k.py"), "mnist_labels_6k"
        recipe, counts = recipe.replace(epochs=recipe.epochs // 2), (10, 100, "all")
    try:
        data = held_out(labels)
    except ZooError as error:
        yield not_run(name, str(error))
        return
    found: dict[str, list[dict[str, float]]] = {"bfloat16": [], "float32": []}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1 if options.quick else SEEDS):
            for precision, results in found.items():
                out = Path(folder) / f"{precision}-{seed}"
                model = zoo.pretrain(recipe.replace(seed=seed, precision=precision), out=out)
                rows = evaluate(model, data, labels_per_class=counts, baselines=())["results"]
                accuracies = {f"{row['labels']:,} labels": 100 * row["linear"]["mean"] for row in rows}
                results.append({"seconds": model.config["training"]["seconds"], **accuracies})
                say(f"{precision}, seed {seed}: {results[-1]}")
    for what in found["bfloat16"][0]:
        ours, theirs = ([each[what] for each in results] for results in found.values())
        unit, of = ("s", "training") if what == "seconds" else ("% right", what)
        note = "" if what == "seconds" else f"seeds: {_list(ours)}; in float32 {_list(theirs)}"
        yield line(
            f"s3a in bfloat16, {recipe.epochs} epochs, {of}", unit, ours, peer="float32", theirs=theirs, note=note
        )


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)
