"""The baseline "the same encoder, trained from scratch on just those labels".

    labels    the same draws as those of `zoo.evaluate` for the same seed
    training  the recipe, with its changes for few labels, on these images and labels alone, from random weights;
              the seed of draw i is draws * seed + i, and that of all labels is the seed itself
    judged    like every encoder: by a probe of its features that is fitted on the same labels, on the test images

The recipe and its changes for few labels are chosen on held-out training images, never on test images.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from functional.base import Key
from zoo.data.datasets import Dataset, Split
from zoo.errors import ZooError
from zoo.evaluation.protocol import draws_of_labels, judge, labelled_splits, result_row
from zoo.evaluation.recipe_files import FewLabels
from zoo.models.code import NO_CODE, Code
from zoo.training.in_memory import train_in_memory
from zoo.training.recipe import Recipe

Fit = Callable[[Recipe, Dataset, Key], Mapping[str, float]]


def train_and_judge(recipe: Recipe, few: Dataset, key: Key, *, code: Code = NO_CODE) -> dict[str, float]:
    """Train a recipe on few labels, and judge the encoder by a probe with the same labels.

    Args:
        recipe: the recipe to train; its dataset is not read.
        few: the labelled images to train on, and labelled test images.
        key: of the labels that the probe holds out.
        code: your own encoders and augmentations (`zoo.models.code`).

    Returns:
        The `SCORES` on the test images.

    Raises:
        ZooError: as in `zoo.training.in_memory.train_in_memory`.
    """
    model = train_in_memory(recipe, few, code=code)
    train, test = ((model.features(images), labels) for images, labels in labelled_splits(few))
    return judge(train, test, key, classes=len(few.classes))[1]


def from_scratch(
    recipe: Recipe,
    data: Dataset,
    *,
    few_labels: FewLabels | None = None,
    labels_per_class: Sequence[int | str] = (1, 5, 10, "all"),
    draws: int = 5,
    seed: int = 0,
    fit: Fit = train_and_judge,
) -> list[dict[str, Any]]:
    """The rows of `zoo.evaluate` for encoders that are trained from scratch on the labels of each draw.

    Args:
        recipe: a recipe of the method `supervised` that starts from random weights.
        data: a dataset with labelled training and test images.
        few_labels: `{100: {"epochs": 200}}`, changes to the recipe for at most this many labels; see `for_labels`.
        labels_per_class: as for `zoo.evaluate`.
        draws: as for `zoo.evaluate`.
        seed: the seed of the draws, and of the training as described above.
        fit: what trains and judges one draw; for example one that remembers what it has found.

    Returns:
        One row per number of labels; its features are called `"from_scratch"`.

    Raises:
        ZooError: for another method or start, and as in `zoo.evaluate` and `train_and_judge`.

    Example:
        >>> import zoo
        >>> recipe = Recipe(
        ...     method="supervised",
        ...     encoder="resnet8",
        ...     dataset="digits",
        ...     views=[("rotate", {"degrees": 15})],
        ...     optimizer="adamw",
        ...     learning_rate=1e-3,
        ...     epochs=1,
        ...     batch_size=256,
        ...     encoder_options={"width": 4},
        ... )
        >>> few_labels = {100: {"epochs": 2, "batch_size": 10}}
        >>> few = {"few_labels": few_labels, "labels_per_class": (1, 2), "draws": 3}
        >>> rows = from_scratch(recipe, zoo.load_dataset("digits"), **few)
        >>> [(row["labels"], len(row["linear"]["values"])) for row in rows]
        [(10, 3), (20, 3)]
    """
    if recipe.method != "supervised":
        raise ZooError(f"recipe: method: expected 'supervised', which learns from labels alone, got {recipe.method!r}")
    if recipe.start != "random":
        raise ZooError(f"recipe: start: expected 'random' to train from scratch, got {recipe.start!r}")
    rows = []
    for count, drawn in draws_of_labels(data, labels_per_class, draws, seed).items():
        own = for_labels(recipe, few_labels or {}, len(drawn[0].positions))
        scores = [
            fit(own.replace(seed=len(drawn) * seed + i), _with_just(data, draw.positions), draw.key)
            for i, draw in enumerate(drawn)
        ]
        rows.append(result_row("from_scratch", data, count, drawn, scores))
    return rows


def for_labels(recipe: Recipe, few_labels: FewLabels, labels: int) -> Recipe:
    """The recipe for a number of labels: changed by the entry with the smallest number that is not below it, if any.

    Raises:
        ZooError: if the changes are no fields of a recipe.
    """
    numbers = [number for number in few_labels if number >= labels]
    return recipe.replace(**few_labels[min(numbers)]) if numbers else recipe


def _with_just(data: Dataset, positions: Tensor) -> Dataset:
    """The dataset with just these training images."""
    (images, labels), _ = labelled_splits(data)
    return data._replace(train=Split(images[positions], labels[positions]))
