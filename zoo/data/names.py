"""The named datasets, their classes, and their paths in the dataset cache.

The dataset cache is `$FUNCZOO_DATA`, else `$XDG_CACHE_HOME/funczoo/datasets`, else `~/.cache/funczoo/datasets`.
"""

import os
from pathlib import Path

from zoo.errors import ZooError, unknown
from zoo.files import expanded

NAMES = ("digits", "mnist", "fashion_mnist", "cifar10")
SUBSETS = {  # name -> (dataset, start, stop) of its training images; their labels and the whole test split are kept
    "mnist_24k": ("mnist", 0, 24_000),
    "mnist_48k": ("mnist", 0, 48_000),
    "mnist_54k": ("mnist", 0, 54_000),
    "mnist_labels_6k": ("mnist", 24_000, 30_000),
    "mnist_labels_12k": ("mnist", 24_000, 36_000),
    "fashion_mnist_labels_1k": ("fashion_mnist", 0, 1_000),
    "cifar10_40k": ("cifar10", 0, 40_000),
    "cifar10_labels_20k": ("cifar10", 0, 20_000),
}
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}


def whole_dataset(name: str) -> str:
    """The dataset that a subset belongs to; any other name or path is returned unchanged."""
    return SUBSETS[name][0] if name in SUBSETS else name


def cache_path(name: str) -> Path:
    """The path of a dataset in the dataset cache, whether or not the file exists.

    Raises:
        ZooError: for a name that is never cached: an unknown one, or digits.
    """
    if name == "digits":
        raise ZooError("digits comes with scikit-learn; it is not in the dataset cache")
    if name not in CLASSES:
        raise unknown("dataset in the cache", name, CLASSES)
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    directory = os.environ.get("FUNCZOO_DATA") or f"{home}/funczoo/datasets"
    return expanded(directory) / f"{name}.safetensors"
