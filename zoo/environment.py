"""What bit-identical results depend on besides the recipe: versions, processor, threads."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_DECIDE_BITS = {  # fields of an environment, and what they are called; runs also record the device
    "torch": "torch",
    "cpu_capability": "",
    "processor": "processor",
    "threads": "threads",
    "accelerator": "accelerator",
    "device": "device",
    "funczoo": "funczoo",
}


def environment() -> dict[str, Any]:
    """Versions, processor, instruction set and threads, as plain values.

    Equal environments give bit-identical results. In different ones the first losses agree to about six digits, and
    the runs drift apart from there.
    """
    import platform
    from importlib import metadata  # slow to import, and `zoo list` needs none of it

    import torch

    packages = ("funczoo", "torch", "numpy", "scikit-learn", "safetensors")
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def last_environment(config: Mapping[str, Any]) -> dict[str, Any]:
    """The environment that a run ended in and its device, by the configuration of its encoder."""
    *_, last = config.get("environments") or [{}]  # earlier versions recorded no device
    return {**config["environment"], "device": last.get("device", "cpu")}


def machine_of(environment: Mapping[str, Any]) -> str:
    """What computed, in words: the GPU, or the processor and its threads.

    Example:
        >>> machine_of({"processor": "Abacus", "threads": 2, "accelerator": "Loom"})
        'Abacus, threads: 2'
        >>> machine_of({"processor": "Abacus", "threads": 2, "accelerator": "Loom", "device": "cuda"})
        'Loom'
    """
    if environment.get("device", "cpu") != "cpu":
        return environment["accelerator"]
    return f"{environment['processor']}, threads: {environment['threads']}"


def what_differs(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What decides the bits and is not the same in two environments, in words; "" if nothing is.

    What only one of them says is left out.

    Example:
        >>> before = {"torch": "2.14.1", "cpu_capability": "AVX2", "threads": 2}
        >>> what_differs(before, {**before, "torch": "2.15.0", "threads": 1, "device": "cpu"})
        'torch 2.14.1 -> 2.15.0, threads 2 -> 1'
    """
    both = [field for field in _DECIDE_BITS if field in before and field in now]
    return ", ".join(
        f"{_DECIDE_BITS[field]} {before[field]} -> {now[field]}".strip()
        for field in both
        if before[field] != now[field]
    )


@contextlib.contextmanager
def using_threads(n: int) -> Iterator[None]:
    """Compute with a number of threads: on another number, torch sums in another order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def wait_passively() -> None:
    """Let idle threads sleep, unless the user's environment says otherwise.

    OpenMP threads wait for each other at the end of every operation, and by default they spin while waiting. When
    other programs are busy, a spinning thread blocks the core that the thread it waits for needs, and small operations
    become many times slower. OpenMP reads the setting when torch loads it; later calls have no effect.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def has_bfloat16(device: str | torch.device = "cpu") -> bool:
    """Whether a device has instructions for bfloat16 that torch uses; without them, float32 is as fast or faster."""
    import torch

    from functional.kernels.half import HAS_BFLOAT16

    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and HAS_BFLOAT16


def _processor() -> str:
    import platform

    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
