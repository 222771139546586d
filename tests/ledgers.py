"""Small made-up ledgers, with the fields that tables and cards read."""

from zoo.evaluation.protocol import spread

OPTIONS = {"width": 32}
LABELS = {10: 100, 100: 1_000, "all": 60_000}


def row(features, data, count, values, labels=None):
    """A row of results; macro-F1 is .1 below the accuracy, and that of the neighbours .2."""
    below = {"linear": 0.0, "macro_f1": 0.1, "knn": 0.2}
    scores = {score: spread([value - less for value in values]) for score, less in below.items()}
    about = {"labels": labels or LABELS[count], "test_images": 10_000}
    return {"features": features, "data": data, "labels_per_class": count, **about, **scores}


def ledger(name, results, *, options=None, minutes=(8.0,), epochs=9, dataset="mnist", **more):
    method, encoder, _ = name.split("-")
    recipe = {"method": method, "encoder": encoder, "encoder_options": OPTIONS if options is None else options}
    return {
        "model": name,
        "command": f"python scripts/release.py scripts/recipes/{name.replace('-', '_')}.py",
        "draws": 2,
        "seeds": [0, 1],
        "training_seconds": [60 * value for value in minutes],
        "environment": {"processor": "a processor", "threads": 2},
        "recipe": {**recipe, "dataset": dataset, "epochs": epochs},
        "results": results,
        **more,
    }


def of_method(method, accuracy, data="mnist", *, seeds=2, options=None, **more):
    """A model's ledger: 10 labels per class (two draws per seed) and all, with the baselines of a release."""
    results = [
        row(features, data, count, [level + number / 500 for number in range(n)])
        for features, level, own in (("encoder", accuracy, seeds), ("pixels", 0.7, 1), ("untrained", 0.6, seeds))
        for count, n in ((10, 2 * own), ("all", own))
    ]
    return ledger(f"{method}-resnet8-{data}", results, options=options, dataset=data, **more)


def from_scratch(name, rows, *, options=None, dataset="mnist"):
    """A ledger of `scripts/from_scratch.py`."""
    command = f"python scripts/from_scratch.py scripts/recipes/{name.replace('-', '_')}.py --seeds 1 --draws 2"
    few_labels = {"10": {"epochs": 1000}}
    return {**ledger(name, rows, options=options, dataset=dataset), "command": command, "few_labels": few_labels}
