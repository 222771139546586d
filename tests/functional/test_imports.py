"""Imports run one way: functional <- zoo <- scripts, and within functional and zoo down one list each."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_IMPORT = {
    "functional": {"functional", "torch", "jaxtyping"} | sys.stdlib_module_names,
    "zoo": {"functional", "zoo"},
    "scripts": {"functional", "zoo", "scripts"},
}
# A file imports only what stands before it. A folder stands as one, and its files may import each other.
ORDER = {
    "functional": (
        *("base", "checks", "tree", "numerics", "kernels", "random", "streams", "collectives", "initializers"),
        *("layers", "encoders", "heads", "augmentations", "losses", "metrics", "schedules", "optimizers"),
        *("averaging", "queues"),
        *("methods", "training", "solvers", "clustering", "neighbours", "selection", "probes"),
    ),
    "zoo": ("errors", "environment", "files", "data", "reports", "models", "training", "evaluation", "commands"),
}
# What one file alone may touch: a private module of torch, and the class that holds state.
RESERVED = {
    "functional/tree.py": ("torch.utils._pytree", "_pytree"),
    "functional/encoders/module.py": ("torch.nn.Module", "nn.Module"),
}


def imports(source):
    """The dotted names that a source imports, at its top or inside its functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ("." * node.level + f"{node.module}.{alias.name}" for alias in node.names)


def mentions(source):
    """Its dotted names in use, such as `torch.nn.Module`."""
    return (ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute))


def faults(path, source):
    """What is wrong with the imports of the file at `path`, relative to the root, that holds `source`."""
    package, position = path.removesuffix(".py").split("/")[:2]
    for name in imports(source):
        top, inner = (*name.split("."), "")[:2]
        ours = top in {"functional", "zoo", "scripts", "tests", ""}  # "" of a relative import
        if top not in MAY_IMPORT[package] and (ours or package == "functional"):
            yield f"{package} imports {name}"
        elif package == top in ORDER and position not in ("__init__", "__main__", inner):
            if inner not in ORDER[package][: ORDER[package].index(position)]:
                yield f"{position} imports {name}, which does not stand before it"
    if package == "functional":
        for file, names in RESERVED.items():
            if path != file and set(names) & {*imports(source), *mentions(source)}:
                yield f"{names[0]} belongs to {file}"


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_run_one_way(package):
    for file in sorted((ROOT / package).rglob("*.py")):
        path = file.relative_to(ROOT).as_posix()
        assert list(faults(path, file.read_text())) == [], path


@pytest.mark.parametrize(
    "path,source,fault",
    [
        ("functional/tree.py", "from functional import random", "tree imports functional.random, which does not stand"),
        (
            "functional/losses/triplet.py",
            "from functional.metrics import accuracy",
            "losses imports functional.metrics",
        ),
        ("functional/losses/triplet.py", "def f():\n    import zoo", "functional imports zoo"),
        ("functional/losses/triplet.py", "from . import contrastive", "functional imports .None.contrastive"),
        ("functional/layers.py", "import functional", "layers imports functional, which"),
        ("functional/layers.py", "import numpy as np", "functional imports numpy"),
        (
            "functional/layers.py",
            "from torch.utils import _pytree",
            "torch.utils._pytree belongs to functional/tree.py",
        ),
        ("functional/layers.py", "import torch\ntorch.utils._pytree.tree_map", "torch.utils._pytree belongs"),
        ("functional/layers.py", "import torch\nclass Linear(torch.nn.Module): ...", "torch.nn.Module belongs"),
        (
            "functional/layers.py",
            "from torch.nn import Module",
            "torch.nn.Module belongs to functional/encoders/module",
        ),
        ("zoo/reports/cards.py", "import scripts.make_tables", "zoo imports scripts.make_tables"),
        ("zoo/reports/cards.py", "from tests.contract import table", "zoo imports tests.contract.table"),
        (
            "zoo/reports/cards.py",
            "from zoo.models.loading import load",
            "reports imports zoo.models.loading.load, which",
        ),
        (
            "zoo/models/loading.py",
            "def f():\n    from zoo.training import loop",
            "models imports zoo.training.loop, which",
        ),
        ("zoo/files.py", "from zoo.data.images import read_image", "files imports zoo.data.images.read_image, which"),
        ("zoo/evaluation/protocol.py", "import zoo", "evaluation imports zoo, which does not stand before it"),
    ],
)
def test_a_wrong_arrow_is_found(path, source, fault):
    (found,) = faults(path, source)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    "path,source",
    [
        (
            "functional/losses/__init__.py",
            "from functional.losses import contrastive\nimport math, torch.nn.functional",
        ),
        ("functional/encoders/module.py", "from torch import nn\nclass M(nn.Module): ..."),
        ("functional/__init__.py", "from functional import training as training"),
        ("zoo/reports/cards.py", "import numpy, functional.random"),
        ("zoo/reports/cards.py", "from zoo.reports.tables import results_table\nfrom zoo.data.names import SUBSETS"),
        ("zoo/commands/training.py", "def f():\n    from zoo.training.loop import pretrain"),
        ("zoo/__init__.py", "from zoo.training.loop import pretrain as pretrain"),
        ("zoo/__main__.py", "from zoo.commands import main"),
        ("scripts/recipes/simclr.py", "import zoo"),
    ],
)
def test_a_right_arrow_passes(path, source):
    assert list(faults(path, source)) == []


def test_the_package_loads_without_torchs_compiler_which_takes_seconds():
    program = "import sys, functional.augmentations, functional.methods; print('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"
