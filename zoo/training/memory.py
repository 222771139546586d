"""Memory of this process: its peak, whether it keeps what it frees, and that it does not ask for all there is."""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for reuse, until it ends.

    Every activation of a step is freed and allocated again in the next step. By default, glibc returns large blocks to
    the system, which clears every page before it hands the page out again. That takes up to half of the time of the
    views, and a tenth or more of that of a step. With other allocators (musl, macOS, Windows) this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, -1)


@contextlib.contextmanager
def within_memory() -> Iterator[None]:
    """Let allocations fail that would take this process beyond the memory of the machine, or of its container.

    Linux grants any amount at first, and kills a process that then uses it: no message, no traceback. Only what the CPU
    computes in is limited; elsewhere than on Linux this does nothing.

    Raises:
        MemoryError: if an allocation fails.
    """
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    known = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([_memory_bytes(), *known]), hard))
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch's and numpy's
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise MemoryError(
            f"needs more than the {_memory_bytes() / 1e9:.0f} GB of memory here; make the network, the images or the "
            "batch smaller"
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def peak_memory_bytes() -> int:
    """The peak memory of this process so far, in bytes (the resident set; on a GPU, what torch allocated there).

    Mapped files count as far as they were read. 0 if the platform does not report it (Windows).
    """
    import torch

    if torch.cuda.is_available() and (taken := torch.cuda.max_memory_allocated()):  # 0 for a run on the CPU
        return taken
    try:
        with open("/proc/self/status") as file:  # ru_maxrss would count the parent's memory before the fork
            return 1024 * next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


def _memory_bytes() -> int:
    """The memory of the machine, or of the container that this process is in."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # none, or "max"
        return machine
