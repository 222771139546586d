r"""Which rows to label first: those that stand for the most others.

Each function takes features and the number of rows to choose, and returns their positions, the most useful first.
Rows that are labelled already count: what they stand for is not chosen again, so that labels can be added in rounds.

    >>> x = torch.tensor([[0.0], [0.1], [0.2], [5.0], [5.1], [9.0]])
    >>> k_means(x, 2, key=random.key(0))
    tensor([1, 4])
    >>> k_means(x, 1, labelled=torch.tensor([1]), key=random.key(0))
    tensor([4])

Distances are Euclidean: choose among the rows of `functional.neighbours.directions`, where they are those of cosines.
Memory is bounded. The functions read values and do not work under `vmap`.

References:
    Hacohen, Dekel, Weinshall. Active learning on a budget: opposite strategies suit high and low budgets.
    arXiv:2202.02794 (few labels are best spent on typical rows, of all regions).
"""

import math

import torch
from jaxtyping import Int64
from torch import Tensor

from functional import random
from functional.base import Features, Key
from functional.checks import check_integer, check_rank
from functional.clustering import Clusters, lloyd
from functional.numerics import check_features, promote_half

_STARTS = 5  # of k-means: the best is kept
_FEWEST_NEIGHBOURS = 20  # of a typical row, as many as in the paper
_NEIGHBOURHOOD = 3  # in a large cluster, one in three rows is a neighbour
_LARGEST_COMPARED = 2**11  # rows of a cluster that are compared with one another


def k_means(
    features: Features, n: int, *, labelled: Int64[Tensor, " labels"] | None = None, key: Key
) -> Int64[Tensor, " n"]:
    """The row nearest to the centroid of each of the n largest clusters that hold no labelled row.

    K-means makes as many clusters as there will be labels: one for each labelled row, and n more. At least n of them
    hold no labelled row.

    Args:
        features: `[N, D]`.
        n: 1 <= n <= the number of rows without a label.
        labelled: positions of the rows that have a label already.
        key: of the starts of k-means.

    Returns:
        Positions, int64 `[n]`, that of the largest cluster first. With fewer different rows than clusters, the rest
        are the rows that are farthest from all chosen ones.

    Raises:
        TypeError: if the features are not floating point, or `labelled` holds no integers.
        ValueError: if the features are not finite, n is out of range, or a labelled position is not a row's.

    Example:
        >>> k_means(torch.tensor([[0.0], [0.1], [0.2], [5.0]]), 2, key=random.key(0))
        tensor([1, 3])
    """
    features, labelled = _checked(features, n, labelled)
    clusters = _clusters(key, features, n, labelled)
    chosen = [rows[clusters.squares[rows].argmin()] for rows in _uncovered(clusters, len(labelled) + n, labelled)[:n]]
    return _completed(chosen, features, n, labelled)


def typical(
    features: Features, n: int, *, labelled: Int64[Tensor, " labels"] | None = None, key: Key
) -> Int64[Tensor, " n"]:
    r"""The most typical row of each of the n largest clusters that hold no labelled row, after TypiClust.

    The typicality of a row is $1 / \frac{1}{k} \sum_{j} \|x_i - x_j\|_2$ over its k nearest neighbours in its cluster:
    a third of the cluster, and 20 or more if it has them. Clusters are made as in `k_means`. Of a cluster of more than
    2,048 rows, only every second row stands for all, or every third, and so on, until they are 2,048 or fewer.

    Args, Returns, Raises: as in `k_means`.

    Example:
        >>> typical(torch.tensor([[0.0], [0.1], [0.2], [5.0], [5.1]]), 2, key=random.key(0))
        tensor([1, 3])

    References:
        Hacohen, Dekel, Weinshall, arXiv:2202.02794, algorithm 1 and equation 4.

    Note:
        The authors take 20 neighbours, however large the cluster is. Of thousands of rows this finds a dense speck, of
        nearly equal images for instance, and not the middle of what they have in common. They also leave out clusters
        of fewer than 5 rows, make at most 500 clusters, and choose several rows of one cluster where more are asked
        for.
    """
    features, labelled = _checked(features, n, labelled)
    clusters = _clusters(key, features, n, labelled)
    chosen = [_most_typical(rows, features) for rows in _uncovered(clusters, len(labelled) + n, labelled)[:n]]
    return _completed(chosen, features, n, labelled)


def k_center(
    features: Features, n: int, *, labelled: Int64[Tensor, " labels"] | None = None, key: Key
) -> Int64[Tensor, " n"]:
    """The row that is farthest from all labelled and chosen ones, again and again (k-center greedy).

    It covers everything, outliers first: better with many labels than with few.

    Args:
        features, n, labelled: as in `k_means`.
        key: of the first row, which is drawn if there is no label.

    Returns, Raises: as in `k_means`, the farthest first.

    Example:
        >>> k_center(torch.tensor([[0.0], [0.1], [5.0], [9.0]]), 2, labelled=torch.tensor([0]), key=random.key(0))
        tensor([3, 2])

    References:
        Gonzalez. Clustering to minimize the maximum intercluster distance. Theoretical Computer Science 38, 1985.
        Sener, Savarese. Active learning for convolutional neural networks: a core-set approach. arXiv:1708.00489,
        algorithm 1.
    """
    features, labelled = _checked(features, n, labelled)
    chosen = [] if len(labelled) else [random.randint(key, (), 0, len(features))]
    return _completed(chosen, features, n, labelled)


def _checked(features: Tensor, n: int, labelled: Tensor | None) -> tuple[Tensor, Tensor]:
    check_features("features", features)
    given = torch.zeros(0, dtype=torch.int64, device=features.device) if labelled is None else labelled
    check_rank("labelled", given, "labels")
    check_integer("labelled", given)
    given = given.long().unique()
    if len(given) and not 0 <= int(given[0]) <= int(given[-1]) < len(features):
        raise ValueError(
            f"labelled: expected positions in 0..{len(features) - 1}, got {int(given[0])} to {int(given[-1])}"
        )
    left = len(features) - len(given)
    if not 1 <= n <= left:
        raise ValueError(f"n: expected 1 <= n <= {left}, the number of rows without a label, got {n}")
    return promote_half(features), given


def _clusters(key: Key, features: Tensor, n: int, labelled: Tensor) -> Clusters:
    """The best clusters of several starts, which differ only where nothing is labelled."""
    first, k = features[labelled], len(labelled) + n
    starts = (lloyd(random.fold_in(key, i), features, k, first=first) for i in range(_STARTS))
    return min(starts, key=lambda clusters: float(clusters.squares.sum(dtype=torch.float64)))


def _uncovered(clusters: Clusters, k: int, labelled: Tensor) -> list[Tensor]:
    """The rows of each cluster without a labelled row, the largest cluster first; none of an empty cluster."""
    counts = clusters.members.bincount(minlength=k)
    counts[clusters.members[labelled]] = 0
    order = counts.argsort(descending=True, stable=True)
    return [(clusters.members == i).nonzero()[:, 0] for i in order[counts[order] > 0].tolist()]


def _most_typical(rows: Tensor, features: Tensor) -> Tensor:
    """Of the rows of a cluster, the one of least mean distance to its neighbours."""
    compared = rows[:: math.ceil(len(rows) / _LARGEST_COMPARED)]
    x = features[compared]
    x = x - x.mean(0)  # distances are computed from products, in which a common offset would drown them
    k = min(max(_FEWEST_NEIGHBOURS, len(x) // _NEIGHBOURHOOD), len(x) - 1)
    near = torch.cdist(x, x).topk(k + 1, largest=False).values  # a row itself is among them
    return compared[near.sum(1).argmin()]


def _completed(chosen: list[Tensor], features: Tensor, n: int, labelled: Tensor) -> Tensor:
    """The chosen rows, and the rows farthest from these and the labelled ones until there are n."""
    if len(chosen) == n:
        return torch.stack(chosen)
    squares = features.new_full((len(features),), torch.inf)
    for row in [*labelled, *chosen]:
        squares = _nearer(squares, features, row)
    while len(chosen) < n:
        chosen.append(squares.argmax())
        squares = _nearer(squares, features, chosen[-1])
    return torch.stack(chosen)


def _nearer(squares: Tensor, features: Tensor, row: Tensor) -> Tensor:
    """Squared distances to the nearest chosen row; -1 for the chosen rows themselves."""
    squares = torch.minimum(squares, (features - features[row]).square().sum(1))
    squares[row] = -1
    return squares
