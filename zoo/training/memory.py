"""Memory of this process: its peak, and whether it keeps what it frees."""

import ctypes

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
