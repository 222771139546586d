"""Compare models and runs: the same probe on the same labels, and the differences between their recipes."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.data.datasets import Dataset
from zoo.errors import ZooError
from zoo.evaluation.protocol import evaluate, probe_dataset, spread
from zoo.models.pretrained import PretrainedEncoder
from zoo.training.recipe import Recipe


def compare_probes(
    models: Mapping[str, tuple[PretrainedEncoder, Dataset]],
    *,
    labels_per_class: Sequence[int | str] = (1, 5, 10, "all"),
    draws: int = 5,
    seed: int = 0,
    baselines: Sequence[str] = ("pixels",),
) -> list[dict[str, Any]]:
    """The rows of a table of probes; every model is probed on the same draws of the labels.

    Args:
        models: the models by the names of their rows, each with the data in its own size.
        labels_per_class: as for `evaluate`. Data without labelled test images are cross-validated with all labels.
        draws: as for `evaluate`.
        seed: as for `evaluate`.
        baselines: as for `evaluate`; computed once, with the image size and architecture of the first model.

    Raises:
        ZooError: as in `evaluate` and `probe_dataset`.
    """
    rows = []
    for number, (name, (model, data)) in enumerate(models.items()):
        of_this = () if number else baselines
        if data.test is None or data.test.labels is None:
            found = _cross_validated(model, data, seed, of_this)
        else:
            found = evaluate(model, data, labels_per_class=labels_per_class, draws=draws, seed=seed, baselines=of_this)[
                "results"
            ]
        titles = {"encoder": name, "untrained": f"{name}, untrained"}
        rows += [{**row, "features": titles.get(row["features"], row["features"])} for row in found]
    return [row for row in rows if row["features"] in models] + [row for row in rows if row["features"] not in models]


def recipe_differences(recipes: Mapping[str, Recipe]) -> dict[str, dict[str, Any]]:
    """The fields in which recipes differ, in the order of the fields: `{field: {name: value}}`."""
    plain = {name: recipe.to_dict() for name, recipe in recipes.items()}
    first = next(iter(plain.values()))
    return {
        field: {name: values[field] for name, values in plain.items()}
        for field in first
        if any(values[field] != first[field] for values in plain.values())
    }


def require_distinct(names: Sequence[str]) -> None:
    """Reject names that could not be told apart in a table.

    Raises:
        ZooError: for fewer than two names, or a name that is given twice.
    """
    if len(names) < 2:
        raise ZooError(f"expected two or more runs or models to compare, got {len(names)}")
    places = [os.path.normpath(name) for name in names]  # a shell completes the name of a directory with a slash
    for name, place in zip(names, places, strict=True):
        if (count := places.count(place)) > 1:
            raise ZooError(f"{name}: given {count} times; name each run or model once")


def _cross_validated(
    model: PretrainedEncoder, data: Dataset, seed: int, baselines: Sequence[str]
) -> list[dict[str, Any]]:
    report = probe_dataset(model, data, seed=seed, baselines=baselines)
    n = sum(map(sum, report.confusion))
    same = {"data": data.name, "labels_per_class": "all", "labels": n, "folds": report.folds}
    return [
        {"features": name, **same, "linear": spread([accuracy])}
        for name, accuracy in {"encoder": report.accuracy, **report.baselines}.items()
    ]
