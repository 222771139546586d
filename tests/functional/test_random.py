"""Keys and draws: equal to jax.random and Random123 bit for bit, in batches as in loops."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from functional import random
from functional.kernels import threefry

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "random.json").read_text())["seeds"]
SHAPES = ((), (1,), (7,), (3, 5), (2, 1, 9))
RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.08, 1.0), (-0.3, 0.1))
INTEGER_RANGES = ((0, 10), (-5, 3), (0, 2**31 - 1), (-(2**31), 2**31 - 1), (7, 8))
PROBABILITIES = (0.0, 0.2, 0.5, 1.0)
seeds = pytest.mark.parametrize("seed", GOLDEN)


def pattern(x):
    return x.view(torch.int32).numpy().view(np.uint32).tolist()


# --- golden: jax.random, written by tests/golden/make_random.py ----------------------------------------------


@seeds
def test_keys_equal_jax(seed):
    golden, key = GOLDEN[seed], random.key(int(seed))
    assert pattern(key) == golden["key"]
    for n, want in golden["split"].items():
        assert pattern(random.split(key, int(n))) == want
    for data, want in golden["fold_in"].items():
        assert pattern(random.fold_in(key, int(data))) == want
        assert pattern(random.fold_in(key, torch.tensor(int(data)))) == want


@seeds
def test_draws_equal_jax(seed):
    golden, key = GOLDEN[seed], random.key(int(seed))
    for i, shape in enumerate(SHAPES):
        assert pattern(random.bits(key, shape)) == golden["bits"][i]
        for (low, high), want in zip(RANGES, golden["uniform"][i], strict=True):
            assert pattern(random.uniform(key, shape, minval=low, maxval=high)) == want, (shape, low, high)
        for (low, high), want in zip(INTEGER_RANGES, golden["randint"][i], strict=True):
            assert random.randint(key, shape, low, high).tolist() == want, (shape, low, high)
    for p, want in zip(PROBABILITIES, golden["bernoulli"][0], strict=True):
        assert random.bernoulli(key, p, (11,)).tolist() == want


@seeds
def test_permutation_equals_jax(seed):
    for n, (first, last, weighted) in GOLDEN[seed]["permutation"].items():
        order = random.permutation(random.key(int(seed)), int(n))
        assert order.shape == (int(n),)
        assert order[:10].tolist() == first and order[-10:].tolist() == last
        assert int((order * torch.arange(int(n))).sum()) == weighted


@seeds
def test_normal_is_within_4_ulp_of_jax(seed):
    for shape, want in zip(SHAPES, GOLDEN[seed]["normal"], strict=True):
        ours = random.normal(random.key(int(seed)), shape)
        theirs = torch.from_numpy(np.array(want, np.uint32).view(np.float32).reshape(shape))
        ulps = (ours.view(torch.int32).long() - theirs.view(torch.int32).long()).abs()
        assert ulps.max() <= 4


def test_normal_is_within_4_ulp_of_jax_on_a_large_draw():
    jax = pytest.importorskip("jax")
    theirs = np.array(jax.random.normal(jax.random.key(3), (200_000,)))
    ours = random.normal(random.key(3), (200_000,)).numpy()
    assert np.abs(ours.view(np.int32).astype(np.int64) - theirs.view(np.int32)).max() <= 4


# --- naive twin: a batch of keys is the loop ------------------------------------------------------------------

SAMPLERS = {
    "bits": lambda key: random.bits(key, (3, 4)),
    "uniform": lambda key: random.uniform(key, (5,), minval=-2.0),
    "normal": lambda key: random.normal(key, (2, 3)),
    "bernoulli": lambda key: random.bernoulli(key, 0.3, (6,)),
    "randint": lambda key: random.randint(key, (4,), -3, 9),
    "permutation": lambda key: random.permutation(key, 8),
    "split": lambda key: random.split(key, 3),
    "fold_in": lambda key: random.fold_in(key, 7),
}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("batch", [(6,), (2, 3)])
def test_a_batch_of_keys_equals_the_loop_and_vmap(name, batch):
    draw = SAMPLERS[name]
    keys = random.split(random.key(9), 6).reshape(*batch, 2)
    kept = keys.clone()
    looped = torch.stack([draw(key) for key in keys.reshape(-1, 2)])
    assert torch.equal(draw(keys), looped.reshape(*batch, *looped.shape[1:]))
    assert torch.equal(torch.func.vmap(draw)(keys.reshape(-1, 2)), looped)
    assert torch.equal(keys, kept)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_draw_without_numbers_has_their_shape_and_dtype(name):
    draw, keys = SAMPLERS[name], random.split(random.key(9), 6)
    drawn, shapes = draw(keys), draw(keys.to("meta"))
    assert shapes.is_meta and (shapes.shape, shapes.dtype) == (drawn.shape, drawn.dtype)


def test_draws_larger_than_a_block_equal_their_parts():
    n = threefry._BLOCK + 3
    keys = random.split(random.key(2), n)
    assert torch.equal(keys[-1], random.fold_in(random.key(2), n - 1))
    folded = random.fold_in(keys, torch.arange(n))
    assert torch.equal(folded[-1], random.fold_in(keys[-1], n - 1))
    assert torch.equal(random.fold_in(keys[:, None], torch.arange(2))[-1], random.split(keys[-1]))
    assert torch.equal(random.fold_in(random.key(2), torch.arange(n)[:, None])[-1, 0], keys[-1])
    assert torch.equal(random.bits(keys[:2], (n,)), torch.stack([random.bits(key, (n,)) for key in keys[:2]]))
    assert torch.equal(random.bits(random.key(3), (2, n)).flatten()[:n], random.bits(random.key(3), (n,)))


def test_fold_in_broadcasts_keys_against_data():
    keys, data = random.split(random.key(1), 3), torch.arange(4)
    grid = random.fold_in(keys[:, None], data)
    assert grid.shape == (3, 4, 2)
    assert torch.equal(grid[2, 1], random.fold_in(keys[2], 1))


# --- property -------------------------------------------------------------------------------------------------


def test_moments_and_ranges():
    u, z = random.uniform(random.key(5), (100_000,)), random.normal(random.key(6), (100_000,))
    assert 0 <= u.min() and u.max() < 1 and abs(u.mean() - 0.5) < 0.005
    assert abs(z.mean()) < 0.01 and abs(z.std() - 1) < 0.01
    assert random.permutation(random.key(0), 1000).sort().values.tolist() == list(range(1000))


def test_seeds_above_32_bits_keep_their_high_lane():
    assert random.key(2**32 + 5).tolist() == [1, 5]
    assert random.key(2**63 - 1).tolist() == [2**31 - 1, -1]


@pytest.mark.parametrize(
    "call,error,words",
    [
        (lambda: random.key(-1), ValueError, "0 <= seed"),
        (lambda: random.key(True), TypeError, "an int"),
        (lambda: random.key(torch.tensor(0)), TypeError, "fold_in"),
        (lambda: random.split(0), TypeError, "random.key(seed)"),
        (lambda: random.bits(torch.zeros(2), (3,)), TypeError, "int32"),
        (lambda: random.uniform(torch.zeros(3, dtype=torch.int32), (3,)), ValueError, "[..., 2]"),
        (lambda: random.fold_in(random.key(0), -1), ValueError, "2**32"),
        (lambda: random.fold_in(random.key(0), 1.5), TypeError, "integer"),
        (lambda: random.randint(random.key(0), (), 3, 3), ValueError, "minval < maxval"),
        (lambda: random.bits(random.key(0), (2**16, 2**16)), ValueError, "in parts"),
    ],
)
def test_wrong_arguments_are_named(call, error, words):
    with pytest.raises(error, match=re.escape(words)):
        call()


# --- nothing else draws ---------------------------------------------------------------------------------------

DRAWING = {"rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "bernoulli", "normal"}
DRAWING |= {"multinomial", "poisson", "manual_seed", "seed", "Generator", "dropout", "dropout1d", "dropout2d", "rrelu"}
DRAWING |= {"alpha_dropout", "feature_alpha_dropout", "gumbel_softmax", "fork_rng", "set_rng_state", "get_rng_state"}
FUNCTIONAL = Path(random.__file__).parent


@pytest.mark.parametrize("path", sorted(FUNCTIONAL.rglob("*.py")), ids=lambda path: str(path.relative_to(FUNCTIONAL)))
def test_functional_never_uses_the_generators_of_torch_numpy_or_python(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & {"random", "numpy", "numpy.random"}, node.lineno
        if isinstance(node, ast.ImportFrom):
            assert node.module not in ("random", "numpy", "numpy.random", "torch.random"), node.lineno
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else getattr(node.value, "attr", "")
            assert not (owner in ("torch", "F", "functional", "init") and node.attr in DRAWING), node.lineno
            in_place_draw = node.attr.endswith("_") and node.attr[:-1] in {
                "random", "uniform", "normal", "bernoulli", "exponential", "cauchy", "log_normal", "geometric",
            }  # fmt: skip
            assert not in_place_draw, node.lineno
