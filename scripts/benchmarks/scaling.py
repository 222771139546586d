"""How the cost of a step scales: images/s and peak memory by batch size, image side, and number of training images.

Every size runs in a separate process, so that its peak memory is its own. Steps are those of SimCLR in `zoo pretrain`,
eager, float32; there is no peer.
"""

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.measuring import Options, forget_peak, in_child, line, memory_mb, say
from benchmarks.step import RESNET18, S3A, ours
from benchmarks.views import noise
from functional import random
from functional.base import Batch
from zoo.training.batching import batches
from zoo.training.memory import keep_freed_memory

BATCHES = (64, 256, 1024, 4096)
SIDES = (28, 56, 112, 224)
COUNTS = (1_000, 10_000, 100_000, 1_000_000)


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part."""
    quick = options.quick
    sizes: list[tuple[str, dict[str, Any]]] = [
        *((f"s3a, batch {n}", {"batch": n}) for n in (BATCHES if not quick else (8, 16))),
        *((f"ResNet-18, side {n}, batch 64", {"side": n}) for n in (SIDES if not quick else (28,))),
        *((f"s3a, {n:,} training images", {"images": n}) for n in (COUNTS if not quick else (1_000,))),
    ]
    for name, size in sizes:
        found = in_child("scaling.step", options.threads, steps=options.repeats, quick=quick, **size)
        say(f"scaling {name}: {found}")
        yield line(name, "images/s", found["rates"])
        note = f"{found['before']:,.0f} MB before the first step"
        yield line(f"{name}: peak memory", "MB", [found["peak"]], note=note)


def step(
    *, steps: int, quick: bool = False, batch: int | None = None, side: int | None = None, images: int | None = None
) -> dict[str, Any]:
    """The rates of a number of steps after a first one, and the memory of this process in MB, for one size."""
    network = S3A
    if side is not None:  # a network that takes any side, in its form for large images
        network = RESNET18._replace(options={"stem": "imagenet"}, setting=RESNET18.setting._replace(size=side))
        batch = 4 if quick else 64
    size = batch or (8 if quick else 256)
    network = network._replace(setting=network.setting._replace(batch=size))
    data = noise(images or 2 * size, network.setting.channels, network.setting.size)
    keep_freed_memory()  # as `zoo pretrain` does
    run, key = ours(network, "eager float32"), random.key(1)
    forget_peak()
    before = memory_mb()["resident"]
    state, rates, epoch, drawn = run.state, [], 0, iter(())
    for turn in range(steps + 1):
        started = time.perf_counter()
        index = next(drawn, None)
        if index is None:
            drawn = batches(random.key(0), epoch, len(data), size)
            index, epoch = next(drawn), epoch + 1
        state, info = run.step(state, key, Batch(data[index], None, index))
        info["loss"].item()
        rates += [size / (time.perf_counter() - started)] if turn else []
    return {"rates": rates, "peak": memory_mb()["peak"], "before": before}
