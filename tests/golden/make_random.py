"""Writes random.json: draws of jax.random that functional.random must reproduce.

    python tests/golden/make_random.py

Needs jax (extra `test`), default configuration, on the CPU. Integers and bit patterns are exact; floats are stored as
the bits of their float32, so that the file says the same on every machine.
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

SEEDS = (0, 1, 42, 2**31 - 1, 2**32 - 1)
SHAPES = ((), (1,), (7,), (3, 5), (2, 1, 9))
COUNTS = (1, 2, 5)
LENGTHS = (0, 1, 2, 10, 97, 1626, 3000)
RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.08, 1.0), (-0.3, 0.1))
INTEGER_RANGES = ((0, 10), (-5, 3), (0, 2**31 - 1), (-(2**31), 2**31 - 1), (7, 8))
PROBABILITIES = (0.0, 0.2, 0.5, 1.0)


def pattern(x):
    """Any 32-bit array as a nested list of unsigned integers."""
    return np.asarray(x).view(np.uint32).tolist()


def draws(seed):
    key = jax.random.key(seed)
    data = jax.random.key_data
    return {
        "key": pattern(data(key)),
        "split": {str(n): pattern(data(jax.random.split(key, n))) for n in COUNTS},
        "fold_in": {str(i): pattern(data(jax.random.fold_in(key, np.uint32(i)))) for i in (0, 1, 77, 2**32 - 1)},
        "bits": [pattern(jax.random.bits(key, shape)) for shape in SHAPES],
        "uniform": [
            [pattern(jax.random.uniform(key, shape, minval=low, maxval=high)) for low, high in RANGES]
            for shape in SHAPES
        ],
        "normal": [pattern(jax.random.normal(key, shape)) for shape in SHAPES],
        "bernoulli": [[np.asarray(jax.random.bernoulli(key, p, (11,))).tolist() for p in PROBABILITIES]],
        "randint": [
            [np.asarray(jax.random.randint(key, shape, low, high)).tolist() for low, high in INTEGER_RANGES]
            for shape in SHAPES
        ],
        # Long permutations by their first and last ten entries and a position-weighted sum.
        "permutation": {str(n): summary(jax.random.permutation(key, jnp.arange(n))) for n in LENGTHS},
    }


def summary(order):
    order = np.asarray(order, np.int64)
    return [order[:10].tolist(), order[-10:].tolist(), int((order * np.arange(len(order))).sum())]


if __name__ == "__main__":
    record = {
        "provenance": f"jax {jax.__version__}, default threefry2x32 (partitionable), CPU; tests/golden/make_random.py",
        "seeds": {str(seed): draws(seed) for seed in SEEDS},
    }
    Path(__file__).with_name("random.json").write_text(json.dumps(record, separators=(",", ":")) + "\n")
