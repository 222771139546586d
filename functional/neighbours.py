r"""Which rows of a feature matrix are near each other: principal directions, nearest rows, the graph of neighbours.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> nearest(x, x, k=1, skip=torch.arange(4)).positions
    tensor([[1],
            [0],
            [3],
            [2]])
    >>> graph = neighbour_graph(directions(x), k=1)
    >>> graph.times(torch.tensor([[1.0], [0.0], [0.0], [0.0]]))[:, 0]
    tensor([0., 1., 0., 0.])

Memory is bounded: similarities are computed for some rows at a time, at most 128 MiB of them. The functions read values
and do not work under `vmap`.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from functional import random
from functional.base import Features
from functional.checks import check_rank
from functional.clustering import lloyd
from functional.kernels import inner_products
from functional.numerics import check_features, l2_normalize, promote_half

EXACT_UP_TO = 100_000  # rows of a graph: beyond, neighbours are searched in the nearest inverted lists only
_SIMILARITIES_AT_ONCE = 2**25  # 128 MiB of float32
_BLOCK = 32  # similarities in a block, of which only the largest is compared at first
_ROWS_AT_ONCE = 4096
_ROWS_FOR_AXES = 2**14
_LISTS_SEARCHED = 16
_ROWS_PER_CENTROID = 64  # from which the centroids of the lists are computed


class Nearest(NamedTuple):
    """The nearest rows, the most similar first.

    Attributes:
        similarities: `[M, k]`, inner products.
        positions: `[M, k]`, int64, where the rows are.
    """

    similarities: Float[Tensor, "rows k"]
    positions: Int64[Tensor, "rows k"]


class Graph(NamedTuple):
    r"""A weighted graph of N rows as the sparse matrix $S = D^{-1/2} W D^{-1/2}$, symmetric, row by row.

    Attributes:
        starts: int64 `[N + 1]`: the edges of row i are those from `starts[i]` to `starts[i + 1]`.
        columns: int64 `[E]`, where the edges lead.
        weights: `[E]`, at least 0.
    """

    starts: Int64[Tensor, " rows_and_one"]
    columns: Int64[Tensor, " edges"]
    weights: Float[Tensor, " edges"]

    def times(self, x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        """$S x$ for `x [N, C]`, in the dtype of `x`."""
        return F.embedding_bag(
            self.columns, x, self.starts, mode="sum", per_sample_weights=self.weights.to(x), include_last_offset=True
        )


class Axes(NamedTuple):
    """The principal directions of features.

    Attributes:
        mean: of the rows, `[D]`.
        columns: `[D, dim]`, orthonormal, the first direction first.
    """

    mean: Float[Tensor, " dim"]
    columns: Float[Tensor, "dim directions"]

    def coordinates(self, x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows directions"]:
        """The centred rows on the directions, `[N, dim]`."""
        return (promote_half(x) - self.mean) @ self.columns

    def directions(self, x: Float[Tensor, "rows dim"], dim: int) -> Float[Tensor, "rows some_directions"]:
        """Rows of unit length on the first `dim` directions, as those of `directions`."""
        parts = promote_half(x).split(_ROWS_AT_ONCE)
        return torch.cat([l2_normalize(l2_normalize(rows - self.mean) @ self.columns[:, :dim]) for rows in parts])


def principal_axes(x: Features, dim: int) -> Axes:
    r"""The principal directions of the centred rows, scaled to unit length.

    Args:
        x: features `[N, D]`, N >= 1.
        dim: the number of directions, >= 1; at most D are there.

    Raises:
        TypeError: if the features are not floating point.
        ValueError: if they are not finite, there are no rows, or `dim` is below 1.

    Example:
        >>> principal_axes(torch.tensor([[2.0, 5.0], [4.0, 5.0]]), 1).columns.abs()
        tensor([[1.],
                [0.]])

    Note:
        The columns are eigenvectors of the second moments of the centred rows at unit length: without the scale, the
        few longest rows would decide. Of more than 16,384 rows, so many are used, evenly spaced.
    """
    check_features("x", x)
    if dim < 1:
        raise ValueError(f"dim: expected 1 direction or more, got {dim}")
    if not len(x):
        raise ValueError("x: expected at least one row, got none")
    x = promote_half(x)
    mean = x.mean(0)
    evenly = torch.linspace(0, len(x) - 1, min(len(x), _ROWS_FOR_AXES), device=x.device).long()
    rows = l2_normalize(x[evenly] - mean)
    vectors = torch.linalg.eigh((rows.T @ rows).double()).eigenvectors
    return Axes(mean, vectors.flip(1)[:, :dim].to(x.dtype))


def directions(x: Features, dim: int = 64) -> Float[Tensor, "batch directions"]:
    r"""Rows of unit length on the principal directions of the centred rows.

    $$z = \frac{u}{\|u\|}, \qquad u = V^\top \frac{x - \mu}{\|x - \mu\|}$$

    with the first directions V of `principal_axes`. Cosine similarities of features depend on where 0 is, and their
    last directions are noise: here the mean is at 0 and only the first directions are left.

    Args:
        x: features `[N, D]`, N >= 1.
        dim: the number of directions, >= 1; at most D are there.

    Returns:
        `[N, min(dim, D)]`, at least float32. A row that equals the mean is 0.

    Raises:
        TypeError, ValueError: as in `principal_axes`.

    Example:
        >>> directions(torch.tensor([[2.0, 5.0], [4.0, 5.0]]), dim=1).abs()
        tensor([[1.],
                [1.]])
    """
    return principal_axes(x, dim).directions(x, dim)


def nearest(
    x: Features, rows: Float[Tensor, "rows dim"], *, k: int, skip: Int64[Tensor, " rows"] | None = None
) -> Nearest:
    """For each row, the k rows of `x` with the largest inner products, exactly.

    They lie in the k blocks of rows with the largest maxima, which one pass finds; only those are sorted.

    Args:
        x: `[N, D]`.
        rows: `[M, D]`.
        k: 1 <= k <= N.
        skip: `[M]`, a position in `x` that is not a neighbour of the row: itself.

    Raises:
        ValueError: if the dimensions differ, or k is out of range.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        >>> nearest(x, x[:1], k=2).positions
        tensor([[0, 2]])

    Note:
        Which of several equally similar rows are among the k is up to `torch.topk`.
    """
    check_rank("x", x, "rows dim")
    check_rank("rows", rows, "rows dim")
    if rows.shape[1] != x.shape[1]:
        raise ValueError(f"rows: expected {x.shape[1]} columns, as in x, got shape {list(rows.shape)}")
    others = len(x) - (skip is not None)
    if not 1 <= k <= others:
        raise ValueError(f"k: expected 1 <= k <= {others}, the number of rows that can be neighbours, got {k}")
    at_once = max(1, _SIMILARITIES_AT_ONCE // len(x))
    at_once = at_once // 64 * 64 or at_once  # fastest in whole blocks of rows
    skipped = [None] * -(-len(rows) // at_once) if skip is None else skip.split(at_once)
    found = [_nearest(x, some, k, these) for some, these in zip(rows.split(at_once), skipped, strict=True)]
    return Nearest(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def neighbour_graph(x: Features, *, k: int = 10) -> Graph:
    r"""The symmetric graph of the k nearest neighbours by cosine, with weights that adapt to the density of each row.

    $$W_{ij} = \exp\left(-\frac{d_{ij}^2}{\sigma_i \sigma_j}\right), \qquad d_{ij}^2 = 2 - 2 \cos(x_i, x_j)$$

    if j is among the k nearest rows of i, or i among those of j; 0 otherwise. $\sigma_i$ is the distance of row i to
    its k-th neighbour.

    Args:
        x: features `[N, D]`, N >= 2, best those of `directions`. Their norms do not matter.
        k: >= 1; at most N - 1 are there.

    Returns:
        The `Graph`, normalised by the degrees.

    Raises:
        TypeError: if the features are not floating point.
        ValueError: if they are not finite, or there are fewer than 2 rows, or k is below 1.

    Example:
        >>> neighbour_graph(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]), k=1).columns
        tensor([1, 0, 3, 2])

    References:
        Zelnik-Manor, Perona. Self-tuning spectral clustering. NeurIPS 2004, equation 2.

    Note:
        Up to 100,000 rows, the neighbours are the nearest. Beyond that, they are searched in inverted lists: k-means
        divides the rows, and each row is compared with the members of the 16 lists whose centroids are nearest to it.
    """
    check_features("x", x)
    if len(x) < 2 or k < 1:
        raise ValueError(f"expected 2 rows or more and 1 neighbour or more, got {len(x)} rows, k {k}")
    unit, k = l2_normalize(x), min(k, len(x) - 1)
    itself = torch.arange(len(x), device=x.device)
    exact = len(x) <= EXACT_UP_TO
    found = nearest(unit, unit, k=k, skip=itself) if exact else approximately_nearest(unit, k=k)
    return _symmetric(found)


def approximately_nearest(x: Features, *, k: int, lists: int | None = None, searched: int = _LISTS_SEARCHED) -> Nearest:
    """The k nearest other rows of each row, searched only in the inverted lists that are nearest to it.

    Args:
        x: `[N, D]`, rows of unit length.
        k: 1 <= k < N.
        lists: how many lists k-means divides the rows into; about the square root of N by default.
        searched: in how many lists a row is compared with the members; more are slower and miss less.

    Returns:
        As `nearest`. A row that finds fewer than k others has itself, with similarity minus infinity, in their place.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [0.6, 0.8]])
        >>> approximately_nearest(x, k=1, lists=2, searched=2).positions[:, 0]
        tensor([1, 3, 3, 1])

    References:
        Jegou, Douze, Schmid. Product quantization for nearest neighbor search. PAMI 2011, section 4 (inverted lists).
    """
    n = len(x)
    lists = min(n, lists or max(1, round(n**0.5)))
    sample = x[random.permutation(random.key(0, x.device), n)[: lists * _ROWS_PER_CENTROID]]
    centroids = l2_normalize(lloyd(random.key(1, x.device), sample, lists, iterations=10).centroids)
    chosen = nearest(centroids, x, k=min(searched, lists)).positions
    own = chosen[:, 0]
    members = own.argsort(stable=True).split(own.bincount(minlength=lists).tolist())
    visitors = chosen.flatten().argsort(stable=True).split(chosen.flatten().bincount(minlength=lists).tolist())
    similarities = x.new_full((n, k), -torch.inf)
    positions = torch.arange(n, device=x.device)[:, None].repeat(1, k)
    for inside, visits in zip(members, visitors, strict=True):
        at_once = max(1, _SIMILARITIES_AT_ONCE // max(1, len(inside)))
        for rows in (visits // chosen.shape[1]).split(at_once) if len(inside) else ():
            found = inner_products(x[rows], x[inside])
            found.masked_fill_(rows[:, None] == inside, -torch.inf)
            both = torch.cat([similarities[rows], found], 1)
            similarities[rows], order = both.topk(k, dim=1)
            where = torch.cat([positions[rows], inside.expand(len(rows), -1)], 1)
            positions[rows] = where.gather(1, order)
    return Nearest(similarities, positions)


def _nearest(x: Tensor, rows: Tensor, k: int, skip: Tensor | None) -> tuple[Tensor, Tensor]:
    similarities = inner_products(x, rows)
    if skip is not None:
        similarities[skip, torch.arange(len(rows), device=rows.device)] = -torch.inf
    if rest := -len(x) % _BLOCK:
        similarities = F.pad(similarities, (0, 0, 0, rest), value=-torch.inf)
    blocks = similarities.unflatten(0, (-1, _BLOCK))
    best = blocks.amax(1).T.topk(min(k, len(blocks)), dim=1).indices
    candidates = blocks[best, :, torch.arange(len(rows), device=rows.device)[:, None]].flatten(1)  # [m, blocks * 32]
    values, position = candidates.topk(k, dim=1)
    return values, best.gather(1, position // _BLOCK) * _BLOCK + position % _BLOCK


def _symmetric(found: Nearest) -> Graph:
    """The normalised graph of the edges to neighbours and back."""
    n = len(found.positions)
    squares = (2 - 2 * found.similarities).clamp_min(0)
    there = squares.isfinite()  # the approximate search may find fewer than k neighbours
    sigma = torch.where(there, squares, 0).amax(1).sqrt()
    rows = torch.arange(n, device=sigma.device)[:, None].expand_as(found.positions)[there]
    columns, squares = found.positions[there], squares[there]
    # Rows that are equal are at distance 0 of each other: their weight is 1, whatever sigma.
    weights = torch.exp(-squares / (sigma[rows] * sigma[columns]).clamp_min(torch.finfo(sigma.dtype).tiny))
    pair = torch.minimum(rows, columns) * n + torch.maximum(rows, columns)
    pairs, where = torch.unique(pair, return_inverse=True)
    # Both ends of an edge may have found it, with another last digit: the result is symmetric to the bit.
    weights = weights.new_zeros(len(pairs)).scatter_reduce(0, where, weights, "amax")
    rows, columns, weights = torch.cat([pairs // n, pairs % n]), torch.cat([pairs % n, pairs // n]), weights.repeat(2)
    order = rows.argsort(stable=True)
    rows, columns, weights = rows[order], columns[order], weights[order]
    starts = torch.cat([rows.new_zeros(1), rows.bincount(minlength=n).cumsum(0)])
    degree = weights.new_zeros(n).index_add(0, rows, weights)
    scale = degree.clamp_min(torch.finfo(degree.dtype).tiny).rsqrt()
    return Graph(starts, columns, weights * (scale[rows] * scale[columns]))
