"""The names of datasets: which there are, their classes, and where the dataset cache has them.

The dataset cache is `$FUNCZOO_DATA`, else `$XDG_CACHE_HOME/funczoo/datasets`, else `~/.cache/funczoo/datasets`.
"""

import os
from pathlib import Path

from zoo.errors import ZooError, unknown

NAMES = ("digits", "mnist", "fashion_mnist", "cifar10")
SUBSETS = {  # name -> (dataset, start, stop) of its training images; their labels and the whole test split are kept
    "mnist_24k": ("mnist", 0, 24_000),
    "mnist_54k": ("mnist", 0, 54_000),
    "mnist_labels_6k": ("mnist", 24_000, 30_000),
    "mnist_labels_12k": ("mnist", 24_000, 36_000),
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
    """The dataset that a subset is a part of; any other name or path as it is."""
    return SUBSETS[name][0] if name in SUBSETS else name


def cache_path(name: str) -> Path:
    """Where the dataset cache has a dataset, or would have it.

    Raises:
        ZooError: for a name that is never cached: it is not known, or digits.
    """
    if name == "digits":
        raise ZooError("digits comes with scikit-learn; it is not in the dataset cache")
    if name not in CLASSES:
        raise unknown("dataset in the cache", name, CLASSES)
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    directory = os.environ.get("FUNCZOO_DATA") or f"{home}/funczoo/datasets"
    return Path(directory).expanduser() / f"{name}.safetensors"
