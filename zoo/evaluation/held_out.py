"""Held-out training images: every choice is made on the last tenth of the training images, none on the test images.

The subsets in `zoo.data.names` end before the last tenth, so a model that is trained on one has not seen it.
"""

from zoo.data.datasets import Dataset, Split, load_dataset
from zoo.data.names import SUBSETS, whole_dataset
from zoo.errors import ZooError


def held_out(name: str) -> Dataset:
    """A dataset whose test images are the last tenth of the whole dataset's training images.

    Raises:
        ZooError: for an unknown dataset, or one without labels.

    Example:
        >>> data = held_out("digits")
        >>> len(data.train.images), len(data.test.images)
        (1168, 129)
    """
    given = load_dataset(name) if name in SUBSETS else first_nine_tenths(name)
    images, labels = load_dataset(whole_dataset(name)).train
    if given.train.labels is None or labels is None:
        raise ZooError(f"{name}: has no labels, which a probe needs")
    first = _last_tenth(len(images))
    return given._replace(test=Split(images[first:], labels[first:]))


def first_nine_tenths(name: str) -> Dataset:
    """A dataset without the last tenth of its training images, and without its test images.

    Raises:
        ZooError: for an unknown dataset.
    """
    data = load_dataset(name)
    images, labels = data.train
    first = _last_tenth(len(images))
    return data._replace(train=Split(images[:first], None if labels is None else labels[:first]), test=None)


def _last_tenth(n: int) -> int:
    """The position at which the last tenth of `n` images starts."""
    return n - n // 10
