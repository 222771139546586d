"""The parts of `scripts/benchmark.py`, one file each: `measure(options)` yields the lines of the part."""
