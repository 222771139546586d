"""The cost of starting: the command, the imports, and loading a model."""

import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

import zoo
from benchmarks.measuring import Check, Options, alternate, failed, line, not_run, python
from functional import encoders, random
from zoo.environment import environment
from zoo.models.pretrained import PretrainedEncoder


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part."""
    yield from _command(options)
    yield from _imports(options)
    yield from _loading(options)


def _command(options: Options) -> Iterator[dict[str, Any]]:
    program = "import sys\nfrom zoo.commands import main\n"
    program += "try: main(['list'])\nfinally: print('torch' in sys.modules)"
    imported = python(program, threads=options.threads).splitlines()[-1] != "False"
    if reason := failed([Check("`zoo list` imports torch", float(imported), 0)]):
        yield not_run("zoo list", reason)
        return
    command = str(Path(sys.executable).with_name("zoo"))
    variables = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    turns = {
        "zoo list": lambda: subprocess.run([command, "list"], check=True, capture_output=True, env=variables),
        "python": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True, env=variables),
    }
    runs = alternate("start-up", turns, options.repeats)
    ours, bare = (runs[name].seconds for name in ("zoo list", "python"))
    note = f"imports no torch; Python alone {statistics.median(bare):.3f} s"
    yield line("`zoo list`", "s", ours, ceiling=0.3, note=note)


def _imports(options: Options) -> Iterator[dict[str, Any]]:
    for package, ceiling in (("functional", 50.0), ("zoo", 20.0)):
        program = (
            "import time; start = time.perf_counter(); import torch; middle = time.perf_counter(); "
            f"import {package}; print(middle - start, time.perf_counter() - middle)"
        )
        taken = []
        for _ in range(options.repeats + 1):  # the first one reads the files from the disk
            taken.append([1e3 * float(x) for x in python(program, threads=options.threads).split()])
        torch_ms, ours_ms = zip(*taken[1:], strict=True)
        note = f"torch itself {statistics.median(torch_ms):,.0f} ms"
        yield line(f"`import {package}` after `import torch`", "ms", ours_ms, ceiling=ceiling, note=note)


def _loading(options: Options) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "encoder"
        zoo.save(_untrained(), directory)
        path = directory / "model.safetensors"

        def bare() -> None:
            hashlib.sha256(path.read_bytes()).hexdigest()
            load_file(path)

        runs = alternate("loading", {"zoo.load": lambda: zoo.load(directory), "bare": bare}, options.repeats)
    ours, theirs = ([1e3 * seconds for seconds in runs[name].seconds] for name in ("zoo.load", "bare"))
    yield line("`zoo.load` of a ResNet-18", "ms", ours, peer="safetensors and SHA-256", theirs=theirs, floor=0.5)


def _untrained() -> PretrainedEncoder:
    """An untrained ResNet-18."""
    encoder = encoders.resnet18(in_channels=3, stem="cifar")
    params, batch_stats = encoder.init(random.key(0))
    recipe = zoo.Recipe(
        method="simclr",
        encoder="resnet18",
        dataset="noise",
        views=(),
        optimizer="sgd",
        learning_rate=1.0,
        epochs=1,
        batch_size=2,
    )
    config = {
        "name": recipe.name,
        "architecture": {"encoder": "resnet18", "in_channels": 3, "options": {"stem": "cifar"}},
        "input_shape": [3, 32, 32],
        "feature_dim": encoder.feature_dim,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "recipe": recipe.to_dict(),
        "dataset": {"name": "noise", "images": 0, "digest": ""},
        "training": {"steps": 0, "seconds": 0.0, "peak_memory_bytes": 0, "loss": 0.0},
        "environment": environment(),
    }
    return PretrainedEncoder(encoder, params, batch_stats, config)
