"""What `scripts/benchmark.py` measures, a file per topic: each has `measure(options)`, which gives its lines."""
