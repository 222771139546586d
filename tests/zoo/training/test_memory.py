"""After `keep_freed_memory`, a process keeps what it frees: counted in pages that the system had to clear again."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from zoo.training.memory import keep_freed_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "kept":
    keep_freed_memory()
for turn in range(20):
    if turn == 10:  # the first few may find no free block that is large enough
        before = faults()
    torch.ones(2**24)  # 64 MB: more than glibc ever learns to keep by itself
print((faults() - before) / 10)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators than glibc's are not changed")
def test_freed_memory_is_kept_and_not_cleared_again():
    def faults_per_allocation(what: str) -> float:
        done = subprocess.run([sys.executable, "-c", PROGRAM, what], capture_output=True, text=True, check=True)
        return float(done.stdout)

    assert faults_per_allocation("given back") > 2**24 * 4 / 2**21  # a page at least each 2 MB, where pages are huge
    assert faults_per_allocation("kept") < 1
