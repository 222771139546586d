"""The cost of opening CIFAR-10: time and memory, each time in a new process, against mapping the bare file."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Options, in_child, line, memory_mb, not_run, say
from zoo.data.datasets import Dataset, Split, load_dataset, save_dataset
from zoo.data.downloads import fetch
from zoo.errors import ZooError


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part."""
    with tempfile.TemporaryDirectory() as folder:
        name = "CIFAR-10"
        if options.quick:
            name, path = "100 images", Path(folder) / "tiny.safetensors"
            images = torch.zeros(100, 3, 32, 32, dtype=torch.uint8)
            tiny = Dataset("tiny", Split(images, torch.arange(100) % 2), None, ("a", "b"))
            save_dataset(tiny, path, source="zeros")
        else:
            try:
                path = fetch("cifar10")
            except ZooError as error:
                yield not_run(name, str(error))
                return
        found: dict[str, list[dict[str, float]]] = {"zoo_opens": [], "safetensors_opens": []}
        for turn in range(options.repeats + 1):
            for which, results in found.items():
                result = in_child(f"memory.{which}", options.threads, path=str(path))
                say(f"memory {name}: {which}: {result}")
                results += [result] if turn else []  # the first one reads the file from the disk
    ours, theirs = ({key: [each[key] for each in results] for key in results[0]} for results in found.values())
    peer = "safetensors, mapped"
    yield line(f"opening {name}", "ms", ours["ms"], peer=peer, theirs=theirs["ms"], ceiling=20.0)
    yield line(f"opening {name}: memory of its own", "MB", ours["own"])
    yield line(f"opening {name}: pages of the file that were touched", "MB", ours["mapped"])


def zoo_opens(path: str) -> dict[str, float]:
    """The milliseconds that zoo takes, and the growth of memory in MB."""
    before = memory_mb()
    started = time.perf_counter()
    data = load_dataset(path)
    taken = time.perf_counter() - started
    after = memory_mb()
    assert len(data.train.images)
    return {"ms": 1e3 * taken, "own": after["own"] - before["own"], "mapped": after["mapped"] - before["mapped"]}


def safetensors_opens(path: str) -> dict[str, float]:
    """The same for mapping all arrays of the bare file."""
    from safetensors import safe_open

    before = memory_mb()
    started = time.perf_counter()
    with safe_open(path, framework="pt") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}
    taken = time.perf_counter() - started
    after = memory_mb()
    assert len(arrays["train_images"])
    return {"ms": 1e3 * taken, "own": after["own"] - before["own"], "mapped": after["mapped"] - before["mapped"]}
