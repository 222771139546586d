"""Trees: round trips through names, and arithmetic over leaves."""

import re
from typing import NamedTuple

import pytest
import torch

from functional import tree


class State(NamedTuple):
    stats: dict
    pair: tuple


def example():
    return State({"layer1": {"0": {"weight": torch.ones(2)}}, "empty": {}}, (torch.zeros(1), torch.tensor(3)))


def test_names_are_paths_joined_by_dots():
    assert list(tree.flatten(example())) == ["stats.layer1.0.weight", "pair.0", "pair.1"]


def test_names_survive_a_round_trip():
    nested = {"layer1": {"0": {"conv1": {"weight": torch.ones(2)}}}, "bias": torch.zeros(1)}
    back = tree.unflatten(tree.flatten(nested))
    assert tree.flatten(back).keys() == tree.flatten(nested).keys()
    assert back["layer1"]["0"]["conv1"]["weight"] is nested["layer1"]["0"]["conv1"]["weight"]
    state = example()
    shuffled = dict(reversed(tree.flatten(state).items()))
    back = tree.unflatten_like(state, shuffled)
    assert isinstance(back, State) and back.stats["empty"] == {}
    assert back.pair[0] is state.pair[0] and back.pair[1] is state.pair[1]


def test_map_and_leaves_reach_every_leaf_of_several_trees():
    doubled = tree.map(torch.add, example(), example())
    assert isinstance(doubled, State)
    assert [leaf.tolist() for leaf in tree.leaves(doubled)] == [[2.0, 2.0], [0.0], 6]


def test_norm_is_that_of_all_leaves_together():
    leaves = {
        "a": torch.tensor([1.0, 2.0]),
        "b": {"c": torch.tensor([[4.0]], dtype=torch.bfloat16), "d": torch.tensor(2)},
    }
    assert tree.norm(leaves) == 5 and tree.norm(leaves).dtype == torch.float32
    assert tree.norm({"a": torch.ones(1), "b": torch.ones(1, dtype=torch.float64)}).dtype == torch.float64
    assert tree.norm({}) == 0
    sixteens = {"a": torch.full((400,), 300.0, dtype=torch.float16)}  # the square of 300 overflows float16
    assert tree.norm(sixteens) == 6000


def test_stack_is_what_vmap_maps_over():
    trees = [{"a": torch.full((2,), float(i))} for i in range(3)]
    sums = torch.func.vmap(lambda t: t["a"].sum())(tree.stack(trees))
    assert sums.tolist() == [0.0, 2.0, 4.0]


def test_detach_cuts_the_graph_and_leaves_the_argument():
    weight = torch.ones(1, requires_grad=True)
    assert not tree.detach({"a": 2 * weight})["a"].requires_grad and weight.requires_grad


@pytest.mark.parametrize(
    "call,error,words",
    [
        (
            lambda: tree.flatten({"a.b": torch.ones(1)}),
            ValueError,
            "'a.b': the names in a tree are strings without dots",
        ),
        (lambda: tree.flatten({0: torch.ones(1)}), ValueError, "0: the names in a tree are strings"),
        (
            lambda: tree.flatten({"a": {"b": None}}),
            TypeError,
            "a.b: expected a tensor, a dict or a tuple, got NoneType",
        ),
        (lambda: tree.unflatten({"a": torch.ones(1), "a.b": torch.ones(1)}), ValueError, "'a' is already a tensor"),
        (lambda: tree.unflatten({"a.b": torch.ones(1), "a": torch.ones(1)}), ValueError, "a: is already a branch"),
        (lambda: tree.unflatten_like({"a": torch.ones(1)}, {"b": torch.ones(1)}), ValueError, "missing a, unknown b"),
        (
            lambda: tree.unflatten_like({"a": torch.ones(1)}, {"a": torch.ones(2)}),
            ValueError,
            "float32 [1], got torch.float32 [2]",
        ),
        (
            lambda: tree.unflatten_like({"a": torch.ones(1)}, {"a": torch.tensor([1])}),
            ValueError,
            "got torch.int64 [1]",
        ),
        (lambda: tree.unflatten_like({}, {name: torch.ones(1) for name in "dcba"}), ValueError, "unknown a, b, c, ..."),
    ],
)
def test_wrong_trees_are_named(call, error, words):
    with pytest.raises(error, match=re.escape(words)):
        call()
