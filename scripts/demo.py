"""The whole workflow on real images, in minutes on any machine: pretrain, save, load, probe, plot.

    make demo        # or: python scripts/demo.py [OUT]

It pretrains on scikit-learn's digits without their labels, and writes to OUT (default: runs/demo)

    encoder/         the encoder directory: weights, configuration, card
    loss.png  tsne.png
    results.json     every number that it prints
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from recipes.simclr_resnet8_digits import recipe as shipped

import zoo
from zoo.environment import environment
from zoo.errors import exit_on_bad_input
from zoo.files import write_atomically
from zoo.reports.cards import render_card
from zoo.reports.figures import feature_map, loss_curve, tsne
from zoo.reports.tables import results_table
from zoo.training.run_directory import read_metrics

recipe = shipped.replace(epochs=30)  # half as many as for the shipped weights


def main(out: Path) -> None:
    """Run the workflow and print its results."""
    started = time.perf_counter()
    data = zoo.load_dataset(recipe.dataset)
    test = data.test
    assert test is not None and test.labels is not None  # digits has both
    say(f"1. pretrain {recipe.name}: {len(data.train.images):,} images, no labels, {recipe.epochs} epochs")
    model = zoo.pretrain(recipe, out=out, progress=True)
    say(f"2. load {out / 'encoder'}: {model}")
    again = zoo.load(out / "encoder")
    same = torch.equal(model.features(test.images), again.features(test.images))
    say(f"   features of {len(test.images)} test images bit-identical after loading: {same}")
    say("3. probe with a few labels; accuracy in %, mean +- standard deviation over 5 draws of the labels")
    record = zoo.evaluate(again, data)
    say("\n" + results_table(record) + "\n")
    points, title = tsne(again.features(test.images)), f"{recipe.name}\nt-SNE of the test images of {recipe.dataset}"
    figures = [
        loss_curve(read_metrics(out), recipe.name, out / "loss.png"),
        feature_map(points, test.labels, data.classes, title, out / "tsne.png"),
    ]
    seconds = round(time.perf_counter() - started, 1)
    results = {**record, "same_bits_when_loaded_again": same, "seconds": seconds, "environment": environment()}
    write_atomically(out / "results.json", (json.dumps(results, indent=2) + "\n").encode())
    ledger = {**record, "seeds": [recipe.seed], "command": "python scripts/demo.py"}
    write_atomically(out / "encoder" / "README.md", render_card(again.config, ledger).encode())
    say(f"4. see {figures[0]}, {figures[1]}, the card {out / 'encoder' / 'README.md'}, and {out / 'results.json'}")
    say(f"{seconds:.0f} s in all")
    if not same:
        sys.exit("the loaded encoder gave different features")


def say(text: str) -> None:
    """Print without buffering, even to a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    # The tensors are small: a second thread gains little, and one gives the same bits on any number of cores.
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/demo"))
    arguments = parser.parse_args()
    with exit_on_bad_input():
        main(arguments.out)
