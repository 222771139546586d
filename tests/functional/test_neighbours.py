"""Neighbours and their graph: loops and scikit-learn as twins, equal rows, and what the approximate search misses."""

import numpy as np
import pytest
import torch

from functional import neighbours, random
from functional.numerics import l2_normalize


def rows(n=90, dim=7, seed=0):
    return random.normal(random.key(seed), (n, dim)).double()


def edges(graph):
    """The weights of a graph as a dense matrix."""
    n = len(graph.starts) - 1
    dense = torch.zeros(n, n, dtype=graph.weights.dtype)
    for i in range(n):
        part = slice(graph.starts[i], graph.starts[i + 1])
        dense[i, graph.columns[part]] = graph.weights[part]
    return dense


def affinities(x, k):
    """W of the docstring, edge by edge."""
    unit = l2_normalize(x)
    squares = 2 - 2 * unit @ unit.T
    n = len(x)
    near = [sorted((j for j in range(n) if j != i), key=lambda j: float(squares[i, j]))[:k] for i in range(n)]
    sigma = [float(squares[i, near[i][-1]]) ** 0.5 for i in range(n)]
    w = torch.zeros(n, n, dtype=x.dtype)
    for i in range(n):
        for j in near[i]:
            w[i, j] = w[j, i] = np.exp(-float(squares[i, j]) / (sigma[i] * sigma[j]))
    return w


def test_the_graph_equals_its_formula():
    x = rows()
    graph, w = neighbours.neighbour_graph(x, k=5), affinities(x, 5)
    degree = w.sum(0)
    torch.testing.assert_close(edges(graph), w / (degree[:, None] * degree).sqrt())
    torch.testing.assert_close(graph.times(x), edges(graph) @ x)
    assert torch.equal(edges(graph), edges(graph).T)


@pytest.mark.parametrize("k", [1, 4, 40])
def test_nearest_equals_scikit_learn(k, monkeypatch):
    from sklearn.neighbors import NearestNeighbors

    x, others = l2_normalize(rows(83)), l2_normalize(rows(30, seed=1))
    theirs = NearestNeighbors(n_neighbors=k, metric="cosine").fit(x.numpy()).kneighbors(others.numpy())[1]
    for at_once in (2**25, 3 * 83):
        monkeypatch.setattr(neighbours, "_SIMILARITIES_AT_ONCE", at_once)
        found = neighbours.nearest(x, others, k=k)
        assert np.array_equal(found.positions, theirs)
        torch.testing.assert_close(found.similarities, (others @ x.T).gather(1, found.positions))
        itself = neighbours.nearest(x, x, k=k, skip=torch.arange(83)).positions
        assert not (itself == torch.arange(83)[:, None]).any()


def test_directions_are_those_of_scikit_learn():
    from sklearn.decomposition import TruncatedSVD

    x = rows(200) @ rows(7, 7, seed=4) + 3
    unit = l2_normalize(x - x.mean(0))
    theirs = l2_normalize(torch.from_numpy(TruncatedSVD(3, algorithm="arpack").fit_transform(unit.numpy())))
    ours = neighbours.directions(x, 3)
    torch.testing.assert_close(ours @ ours.T, theirs @ theirs.T)
    torch.testing.assert_close(neighbours.directions(5 * x - 2, 3).abs(), ours.abs())
    assert neighbours.directions(x, 64).shape == (200, 7)


def test_directions_of_many_rows_are_found_in_some(monkeypatch):
    x = rows(2000) * torch.tensor([5.0, 4, 3, 0.1, 0.1, 0.1, 0.1])
    whole = neighbours.directions(x, 3)
    monkeypatch.setattr(neighbours, "_ROWS_FOR_AXES", 500)
    some = neighbours.directions(x, 3)
    assert ((some @ some.T) - (whole @ whole.T)).abs().max() < 0.02


def test_equal_rows_have_finite_weights():
    x = torch.cat([torch.ones(8, 2), torch.tensor([[1.0, -1.0], [1.0, -1.1]])])
    for graph in (neighbours.neighbour_graph(x, k=3), neighbours.neighbour_graph(torch.zeros(4, 2), k=2)):
        assert graph.weights.isfinite().all() and (graph.weights > 0).any()
    assert neighbours.directions(torch.ones(4, 3)).eq(0).all()


def test_more_neighbours_than_rows_are_all_others():
    assert edges(neighbours.neighbour_graph(rows(4), k=10)).count_nonzero() == 12


def test_the_approximate_search_finds_nearly_all_neighbours():
    """4,000 rows in 20 directions, 8 per cent of the lists; 20 lists of 20 are exact."""
    x = neighbours.directions(random.normal(random.key(0), (4000, 20)) + 2 * random.normal(random.key(1), (4000, 1)))
    exact = neighbours.nearest(x, x, k=10, skip=torch.arange(4000))
    found = neighbours.approximately_nearest(x, k=10, lists=63, searched=16)
    shared = (found.positions[:, :, None] == exact.positions[:, None]).any(2).double().mean()
    assert 0.9 < shared < 1
    assert (found.similarities <= exact.similarities + 1e-6).all()
    everywhere = neighbours.approximately_nearest(x, k=10, lists=20, searched=20)
    torch.testing.assert_close(everywhere.similarities, exact.similarities)
    assert not (found.positions == torch.arange(4000)[:, None]).any()


def test_a_graph_of_many_rows_uses_the_approximate_search(monkeypatch):
    x = neighbours.directions(rows(300).float())
    exact = edges(neighbours.neighbour_graph(x))
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 299)
    monkeypatch.setattr(neighbours, "_SIMILARITIES_AT_ONCE", 50)  # a row or two at a time
    approximate = edges(neighbours.neighbour_graph(x))
    assert (approximate > 0).any(1).all() and torch.equal(approximate, approximate.T)
    assert ((approximate > 0) & (exact > 0)).sum() > 0.9 * (exact > 0).sum()


def test_a_list_with_too_few_rows_leaves_no_edge_to_the_row_itself():
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])
    found = neighbours.approximately_nearest(l2_normalize(x), k=2, lists=2, searched=1)
    graph = neighbours._symmetric(found)
    assert graph.weights.isfinite().all()
    assert edges(graph).diagonal().eq(0).all()


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda x: neighbours.nearest(x, x, k=3, skip=torch.arange(3)), "k: expected 1 <= k <= 2, .* got 3"),
        (lambda x: neighbours.nearest(x, x[:, :1], k=1), r"rows: expected 2 columns, as in x, got shape \[3, 1\]"),
        (lambda x: neighbours.neighbour_graph(x[:1]), "expected 2 rows or more and 1 neighbour or more, got 1 rows"),
        (lambda x: neighbours.neighbour_graph(x / 0), "x: features contain NaN or infinity, first in row 0"),
        (lambda x: neighbours.directions(x, 0), "dim: expected 1 direction or more, got 0"),
        (lambda x: neighbours.directions(x[:0]), "x: expected at least one row, got none"),
    ],
)
def test_rejected_arguments(call, words):
    with pytest.raises(ValueError, match=words):
        call(torch.ones(3, 2))
