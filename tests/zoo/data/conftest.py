"""MNIST and CIFAR-10 themselves, for the tests that need it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.data.names import cache_path

UNPACK = Path(__file__).parents[4] / "shared" / "datasets" / "unpack.py"


@pytest.fixture(scope="session")
def unpack():
    """The program that writes the real datasets. It is skipped on a machine without them, but fails in CI."""
    if not UNPACK.is_file():
        reason = 'run from the project\'s root: python ../shared/datasets/unpack.py "$FUNCZOO_DATA"'
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    return UNPACK


@pytest.fixture(scope="session")
def real_mnist(request, tmp_path_factory):
    """The path of MNIST: in the dataset cache, or unpacked into it, or else in a temporary folder."""
    return _real("mnist", request, tmp_path_factory)


@pytest.fixture(scope="session")
def real_cifar10(request, tmp_path_factory):
    """The path of CIFAR-10, likewise."""
    return _real("cifar10", request, tmp_path_factory)


def _real(name, request, tmp_path_factory):
    if cache_path(name).is_file():
        return cache_path(name)
    folder = os.environ.get("FUNCZOO_DATA") or str(tmp_path_factory.mktemp("datasets"))
    subprocess.run([sys.executable, request.getfixturevalue("unpack"), folder, name], check=True)
    return Path(folder) / f"{name}.safetensors"
