"""What the bits of a result depend on beside the recipe: versions, processor, threads."""

import platform
from importlib import metadata
from typing import Any


def environment() -> dict[str, Any]:
    """Versions, processor, instruction set and threads, as plain values.

    Equal environments give equal bits; between others, losses agree to about six digits.
    """
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


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far, in bytes (the resident set; on a GPU, what torch took there).

    Mapped files count as far as they were read. 0 where the platform does not tell (Windows).
    """
    import torch

    if torch.cuda.is_available() and (taken := torch.cuda.max_memory_allocated()):  # 0 for a run on the CPU beside one
        return taken
    try:
        with open("/proc/self/status") as file:  # ru_maxrss would count what the parent held before it started us
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
