"""What a few labels give: random or suggested images, logistic regression or label spreading, on official test sets.

    python scripts/few_labels.py                # 5 seeds, writes model_cards/few_labels.json
    python scripts/few_labels.py --validate     # on the last tenth of the training images; writes nothing

Of the training images without labels, some are drawn at random or chosen as `zoo.suggest` does, and only their labels
are revealed: the number of labels is that of all classes together, and not every class need be among them. `fit` is
what `zoo.fit` makes of them, by cross-validation on these labels alone. Every choice in the code (typical images and
not another method, the number of neighbours, when spreading gives way) was made with --validate. Features are computed
once and kept in runs/few_labels. `python scripts/make_tables.py` then adds the table to README.md.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoo
from functional import random
from functional.base import Key
from zoo.data.datasets import Dataset
from zoo.environment import environment
from zoo.errors import exit_on_bad_input
from zoo.evaluation import few_labels
from zoo.evaluation.held_out import held_out
from zoo.evaluation.protocol import spread
from zoo.evaluation.selection import DIRECTIONS, METHODS
from zoo.files import load_tensors, save_tensors, write_atomically

ROOT = Path(__file__).parent.parent
PAIRS = (
    ("simclr-resnet8-mnist", "mnist"),
    ("simclr-resnet8-fashion_mnist", "fashion_mnist"),
    ("simclr-resnet8-cifar10_40k", "cifar10"),
)
LABELS = (10, 20, 50, 100)


def main() -> None:
    """Measure, and write or print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="draws of the images [default: 5]")
    parser.add_argument("--only", help="a dataset's name, instead of all of them")
    parser.add_argument("--method", default="typical", choices=METHODS, help="which images are suggested")
    parser.add_argument("--validate", action="store_true", help="judge on held-out training images; write nothing")
    arguments = parser.parse_args()
    results, seconds, data_digests = [], {}, {}
    for name, data in PAIRS:
        if arguments.only in (None, data):
            given = held_out(data) if arguments.validate else zoo.load_dataset(data)
            rows, seconds[data] = measure(zoo.load(name), given, arguments.seeds, arguments.method)
            results += rows
            data_digests[data] = given.digest
    if arguments.validate or arguments.only or arguments.method != "typical":
        return
    ledger = {
        "command": f"python scripts/few_labels.py --seeds {arguments.seeds}",
        "commit": subprocess.check_output(["git", "rev-parse", "HEAD"], text=True, cwd=ROOT).strip(),
        "models": {data: {"name": name, "sha256": zoo.entry(name).sha256} for name, data in PAIRS},
        "data": data_digests,
        "seeds": list(range(arguments.seeds)),
        "seconds": seconds,
        "environment": environment(),
        "results": results,
    }
    path = ROOT / "model_cards" / "few_labels.json"
    write_atomically(path, (json.dumps(ledger, indent=2) + "\n").encode())
    print(f"{path.relative_to(ROOT)}; now `make tables`")


def measure(
    model: zoo.PretrainedEncoder, data: Dataset, seeds: int, method: str
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """The rows of a dataset, and the seconds of its steps."""
    assert data.test is not None and data.train.labels is not None and data.test.labels is not None
    x, test_x, seconds = features(model, data)
    y, test_y = data.train.labels, data.test.labels
    prepared, seconds["prepare"] = timed(lambda: few_labels.prepare(x))
    directions = prepared.axes.directions(x, DIRECTIONS)
    draws: dict[str, Callable[[Key, int], Tensor]] = {
        "random": lambda key, n: random.permutation(key, len(x))[:n],
        "suggested": lambda key, n: METHODS[method](directions, n, key=key),
    }
    rows = []
    for labels in LABELS:
        for images, draw in draws.items():
            found: dict[str, list[float]] = {"logistic": [], "spread": [], "fit": []}
            spent: dict[str, list[float]] = {"choose": [], "logistic": [], "spread": []}
            for seed in range(seeds):
                chosen, once = timed(lambda draw=draw, seed=seed, n=labels: draw(random.key(seed), n))
                spent["choose"].append(once)
                scores, chosen_method, times = judge(x, y, chosen, prepared, test_x, test_y)
                for name, accuracy in (*scores.items(), ("fit", scores[chosen_method])):
                    found[name].append(accuracy)
                for name, once in times.items():
                    spent[name].append(once)
            row = {
                "data": data.name,
                "model": model.name,
                "images": images,
                "labels": labels,
                "test_images": len(test_y),
                **{name: spread(values) for name, values in found.items()},
                "seconds": {name: round(sum(values) / len(values), 2) for name, values in spent.items()},
            }
            rows.append(row)
            words = "  ".join(f"{name} {100 * row[name]['mean']:.1f}" for name in found)
            print(f"{data.name}, {labels} labels, {images}: {words}  {row['seconds']}", file=sys.stderr, flush=True)
    return rows, {name: round(value, 1) for name, value in seconds.items()}


def judge(
    x: Tensor, y: Tensor, chosen: Tensor, prepared: few_labels.Prepared, test_x: Tensor, test_y: Tensor
) -> tuple[dict[str, float], str, dict[str, float]]:
    """The test accuracy of each method, the method that `zoo.fit` takes, and the seconds with cross-validation."""
    classes, labels = torch.unique(y[chosen], return_inverse=True)
    key_folds, key_probe = random.split(random.key(0))
    part = few_labels.folds(labels, key_folds)
    heads, seconds = {}, {}
    heads["spread"], seconds["spread"] = timed(lambda: few_labels.spread_heads(prepared, chosen, labels, part))
    heads["logistic"], seconds["logistic"] = timed(
        lambda: few_labels.logistic_heads(x[chosen], labels, part, key_probe)
    )
    right = {
        name: (few_labels.held_out_scores(found, x[chosen], part).argmax(1) == labels)[part >= 0]
        for name, found in heads.items()
    }
    scores = {
        name: (classes[found[-1].scores(test_x).argmax(1)] == test_y).double().mean().item()
        for name, found in heads.items()
    }
    return scores, few_labels.better(right), seconds


def features(model: zoo.PretrainedEncoder, data: Dataset) -> tuple[Tensor, Tensor, dict[str, float]]:
    """The features of the training and the test images, and the seconds that they took when they were computed."""
    assert data.test is not None
    path = ROOT / "runs" / "few_labels" / f"{model.config['sha256'][:12]}-{data.digest[:12]}.safetensors"
    if not path.is_file():
        train, seconds = timed(lambda: model.features(data.train.images))
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(path, {"train": train, "test": model.features(data.test.images)}, {"seconds": seconds})
    kept, about = load_tensors(path)
    return kept["train"], kept["test"], {"features": about["seconds"]}


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function returns, and how many seconds it took."""
    started = time.perf_counter()
    return function(), time.perf_counter() - started


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
