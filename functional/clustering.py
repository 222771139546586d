r"""K-means: rows divided into clusters, each around its centroid.

>>> x = torch.tensor([[0.0], [1.0], [9.0], [11.0]])
>>> lloyd(random.key(0), x, 2).centroids.sort(0).values
tensor([[ 0.5000],
        [10.0000]])
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from functional import random
from functional.base import Features, Key
from functional.checks import check_rank
from functional.kernels import inner_products
from functional.numerics import check_features, promote_half

_DISTANCES_AT_ONCE = 2**24  # 64 MiB of float32


class Clusters(NamedTuple):
    """Clusters of N rows.

    Attributes:
        centroids: `[k, D]`.
        members: `[N]`, the cluster of each row.
        squares: `[N]`, the squared distance of each row to its centroid.
    """

    centroids: Float[Tensor, "clusters dim"]
    members: Int64[Tensor, " rows"]
    squares: Float[Tensor, " rows"]


def lloyd(
    key: Key,
    x: Features,
    k: int,
    *,
    first: Float[Tensor, "first dim"] | None = None,
    iterations: int = 100,
    tolerance: float = 1e-4,
) -> Clusters:
    r"""Clusters that make $\sum_i \|x_i - c_{m_i}\|_2^2$ small, by Lloyd's iterations from the start of k-means++.

    Args:
        key: of the start.
        x: features `[N, D]`.
        k: the number of clusters, 1 <= k <= N.
        first: `[L, D]`, L <= k, where the first L centroids start; the others are drawn as far from these.
        iterations: at most.
        tolerance: the iterations stop when the sum changes by less than this share of it.

    Returns:
        `Clusters` in at least float32. With fewer than k different rows, some clusters are empty.

    Raises:
        TypeError: if the features are not floating point.
        ValueError: if the features are not finite, k is out of range, or `first` is not `[L, D]` with L <= k.

    Example:
        >>> lloyd(random.key(0), torch.tensor([[0.0], [1.0], [9.0]]), 2, first=torch.tensor([[9.0]])).members
        tensor([1, 1, 0])

    References:
        Lloyd. Least squares quantization in PCM. IEEE Transactions on Information Theory 28, 1982.
        Arthur, Vassilvitskii. k-means++: the advantages of careful seeding. SODA 2007, section 2.2.

    Note:
        scikit-learn draws each centroid of the start from 2 + log k candidates (greedy k-means++), and moves the
        centroid of an empty cluster to the row that is farthest from its own; here it stays where it is.
    """
    check_features("x", x)
    if not 1 <= k <= len(x):
        raise ValueError(f"k: expected 1 <= k <= {len(x)}, the number of rows, got {k}")
    x = promote_half(x)
    first = x[:0] if first is None else first.to(x)
    check_rank("first", first, "first dim")
    if len(first) > k or first.shape[1] != x.shape[1]:
        raise ValueError(f"first: expected at most {k} rows of {x.shape[1]} numbers, got shape {list(first.shape)}")
    # The distances are differences of products, in which a common offset of all rows would drown them.
    centre = x.mean(0)
    x, first = x - centre, first - centre
    centroids = _start(key, x, k, first)
    clusters = _assigned(x, centroids)
    for _ in range(iterations):
        before = clusters.squares.sum(dtype=torch.float64)
        clusters = _assigned(x, _means(x, clusters))
        if before - clusters.squares.sum(dtype=torch.float64) <= tolerance * before:
            break
    return clusters._replace(centroids=clusters.centroids + centre)


def _start(key: Key, x: Tensor, k: int, first: Tensor) -> Tensor:
    """`k` centroids: the first, then rows drawn with a probability that grows with the squared distance to these."""
    chosen = list(first)
    squares = _assigned(x, first).squares if chosen else x.new_ones(len(x))
    for i in range(len(chosen), k):
        cumulated = squares.cumsum(0, dtype=torch.float64)
        # All distances are 0 where there are fewer different rows than centroids: any row will do.
        drawn = torch.searchsorted(cumulated, random.uniform(random.fold_in(key, i)).double() * cumulated[-1])
        chosen.append(x[drawn.clamp_max(len(x) - 1)])
        to_new = (x - chosen[-1]).square().sum(1)
        squares = to_new if len(chosen) == 1 else torch.minimum(squares, to_new)
    return torch.stack(chosen)


def _assigned(x: Tensor, centroids: Tensor) -> Clusters:
    """The clusters of given centroids."""
    half = centroids.square().sum(1) / 2
    members = []
    for rows in x.split(max(1, _DISTANCES_AT_ONCE // len(centroids))):
        members.append((inner_products(rows, centroids) - half).argmax(1))
    members = torch.cat(members)
    squares = torch.cat(
        [(rows - centroids[own]).square().sum(1) for rows, own in zip(x.split(4096), members.split(4096), strict=True)]
    )
    return Clusters(centroids, members, squares)


def _means(x: Tensor, clusters: Clusters) -> Tensor:
    """The mean of the rows of each cluster; the centroid of an empty one."""
    centroids, members, _ = clusters
    counts = members.bincount(minlength=len(centroids))
    starts = counts.cumsum(0) - counts
    means = F.embedding_bag(members.argsort(stable=True), x, starts, mode="mean")
    return torch.where(counts[:, None] > 0, means, centroids)
