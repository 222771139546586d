"""Memory of this process: the most it has held, and what becomes of what it frees."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for its next allocation, until it ends.

    Every activation of a step is freed, and allocated again in the next. glibc gives large blocks back to the system
    each time, which clears every page before it hands it out again: up to half of the time of the views, and a tenth
    or more of a step's. Nothing is done where the allocator is another one (musl, macOS, Windows).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, -1)


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
