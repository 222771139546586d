"""What a recipe's .py file says about its evaluation, besides its variable `recipe`.

    probes = (("mnist_labels_6k", (10, 100, "all")), ("mnist_labels_12k", ("all",)))
    few_labels = {100: {"epochs": 200, "batch_size": 50}, 1_000: {"epochs": 100}}

`probes` names the labels that its encoders are measured with: datasets, and labels per class. The default is 1, 5, 10
and all labels of its own dataset. `few_labels` says how training from scratch on few labels differs from the recipe:
fields for at most this many labels in all (`zoo.evaluation.from_scratch`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.models.code import run_file
from zoo.training.recipe import Recipe, recipe_of

Probes = Sequence[tuple[str, Sequence[int | str]]]
FewLabels = Mapping[int, Mapping[str, Any]]


def read_probes(path: str | Path, recipe: Recipe) -> Probes:
    """The variable `probes` of a recipe's file, or its default.

    Raises:
        ZooError: if there is no such file, or the variable does not have the form above.
    """
    probes = _variables(path).get("probes", ((recipe.dataset, (1, 5, 10, "all")),))
    if not isinstance(probes, Sequence) or not all(map(_is_probe, probes)) or not probes:
        raise ZooError(f"{path}: probes: expected pairs of a dataset and a tuple of labels per class, got {probes!r}")
    return probes


def read_few_labels(path: str | Path) -> FewLabels:
    """The variable `few_labels` of a recipe's file; empty if there is none.

    Raises:
        ZooError: if there is no such file or recipe, or the changes do not fit the recipe.
    """
    variables = _variables(path)
    few_labels = variables.get("few_labels", {})
    for labels, changes in few_labels.items() if isinstance(few_labels, Mapping) else [(few_labels, None)]:
        if type(labels) is not int or labels < 1 or not isinstance(changes, Mapping):
            raise ZooError(f"{path}: few_labels: expected numbers of labels and fields of the recipe, got {few_labels}")
        recipe_of(Path(path), variables).replace(**changes)
    return few_labels


def _variables(path: str | Path) -> Mapping[str, Any]:
    return run_file(path) if Path(path).suffix == ".py" else {}


def _is_probe(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], tuple)
