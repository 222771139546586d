r"""Metrics of predictions and features: no parameters, no state, no randomness.

For predictions: `accuracy`, `confusion_matrix`, `class_scores`, `macro_f1`. For features: `alignment` of positive
pairs, `uniformity` on the sphere, and two indicators of collapse. `feature_std` is near 0 when every image has the same
features and near 1 when they spread in all directions; `effective_rank` is near 1 when they lie on a line and at most
D. A network can collapse to a line, with `feature_std` above 0, so look at both.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from functional.base import Features
from functional.checks import check_integer, check_positive, check_rank, check_same_shape
from functional.numerics import l2_normalize, promote_half


def accuracy(predictions: Int[Tensor, "*batch rows"], labels: Int[Tensor, " rows"]) -> Float[Tensor, "*batch"]:
    """The fraction of predictions that are correct.

    Args:
        predictions: integer labels `[..., N]`, such as `scores.argmax(-1)`.
        labels: the true labels, `[N]`.

    Returns:
        `[...]`, float32 in 0..1.

    Raises:
        TypeError: if predictions or labels are not integers.
        ValueError: if the numbers of predictions and labels differ.

    Example:
        >>> accuracy(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2]))
        tensor(0.7500)
    """
    check_rank("labels", labels, "rows")
    check_integer("predictions", predictions)
    check_integer("labels", labels)
    if predictions.shape[-1:] != labels.shape:
        raise ValueError(
            f"predictions: expected [..., {len(labels)}] for labels [{len(labels)}], got {list(predictions.shape)}; "
            "row i of each must belong to the same example"
        )
    return (predictions == labels).float().mean(-1)


def confusion_matrix(
    predictions: Int[Tensor, " rows"], labels: Int[Tensor, " rows"], *, classes: int
) -> Int64[Tensor, "classes classes"]:
    """How often each class was predicted as each: row = true class, column = predicted class.

    Args:
        predictions: integer labels `[N]`.
        labels: the true labels, `[N]`.
        classes: K; predictions and labels are in 0..K - 1.

    Returns:
        Counts `[K, K]`.

    Raises:
        TypeError: if predictions or labels are not integers.
        ValueError: if the numbers of predictions and labels differ.
        IndexError: if a class number is outside 0..K - 1.

    Example:
        >>> confusion_matrix(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2]), classes=3)
        tensor([[1, 0, 0],
                [0, 1, 0],
                [0, 1, 1]])
    """
    check_rank("labels", labels, "rows")
    check_integer("predictions", predictions)
    check_integer("labels", labels)
    check_same_shape(predictions=predictions, labels=labels)
    # An index below 0 would count from the end; K is out of range.
    rows, columns = (torch.where(x < 0, classes, x.long()) for x in (labels, predictions))
    counts = torch.zeros(classes, classes, dtype=torch.int64, device=labels.device)
    return counts.index_put((rows, columns), torch.ones_like(rows), accumulate=True)


class ClassScores(NamedTuple):
    """Scores of each class, `[K]`: what `class_scores` returns."""

    precision: Float[Tensor, " classes"]  # of the rows predicted as the class, the fraction that are
    recall: Float[Tensor, " classes"]  # of the rows of the class, the fraction predicted as such
    f1: Float[Tensor, " classes"]  # the harmonic mean of the two
    support: Int64[Tensor, " classes"]  # the number of rows of the class


def class_scores(predictions: Int[Tensor, " rows"], labels: Int[Tensor, " rows"], *, classes: int) -> ClassScores:
    """Precision, recall and F1 of each class; 0 where the denominator is 0.

    Args, Raises: as `confusion_matrix`.

    Example:
        >>> class_scores(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2]), classes=3).f1
        tensor([1.0000, 0.6667, 0.6667])
    """
    counts = confusion_matrix(predictions, labels, classes=classes)
    support = counts.sum(1)
    right, predicted, actual = counts.diagonal().float(), counts.sum(0).float(), support.float()
    return ClassScores(
        right / predicted.clamp_min(1),
        right / actual.clamp_min(1),
        2 * right / (predicted + actual).clamp_min(1),
        support,
    )


def macro_f1(predictions: Int[Tensor, " rows"], labels: Int[Tensor, " rows"], *, classes: int) -> Float[Tensor, ""]:
    """The mean of the F1 of all K classes, each with equal weight however rare it is.

    Args, Raises: as `confusion_matrix`.

    Example:
        >>> macro_f1(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 2, 2]), classes=3)
        tensor(0.7778)

    Note:
        A class with neither predictions nor labels counts as 0. scikit-learn's `f1_score(average="macro")` leaves it
        out unless it is named in `labels`.
    """
    return class_scores(predictions, labels, classes=classes).f1.mean()


def alignment(a: Features, b: Features, *, alpha: float = 2.0) -> Float[Tensor, ""]:
    r"""How far apart the two views of an image lie on the unit sphere, on average: 0 when they agree.

    $$\frac{1}{B} \sum_{i=1}^{B} \|a_i - b_i\|_2^\alpha$$

    Args:
        a: one view of each image, `[B, D]`; normalised here.
        b: the other view of each, row by row.
        alpha: the exponent, above 0.

    Returns:
        A scalar in 0..$2^\alpha$, in at least float32.

    Raises:
        ValueError: if the shapes differ, the rank is not 2, or alpha is not above 0.

    Example:
        >>> alignment(torch.tensor([[1.0, 0.0]]), torch.tensor([[-3.0, 0.0]]))
        tensor(4.)

    References:
        Wang, Isola. Understanding contrastive representation learning through alignment and uniformity on the
        hypersphere. arXiv:2005.10242, section 4.1.1.
    """
    check_rank("a", a, "batch dim")
    check_same_shape(a=a, b=b)
    check_positive("alpha", alpha)
    return torch.linalg.vector_norm(l2_normalize(a) - l2_normalize(b), dim=1).pow(alpha).mean()


def uniformity(features: Features, *, t: float = 2.0) -> Float[Tensor, ""]:
    r"""How evenly features cover the unit sphere: 0 when all are equal, lower when they are more even.

    $$\log \frac{1}{B (B - 1)} \sum_{i \ne j} \exp(-t \, \|z_i - z_j\|_2^2)$$

    Args:
        features: `[B, D]`, B >= 2; normalised here.
        t: the sharpness of the Gaussian kernel, above 0.

    Returns:
        A scalar in $-4t$..0, in at least float32. Features spread evenly in many dimensions come near $-2t$.

    Raises:
        ValueError: if the rank is not 2, there are fewer than 2 rows, or t is not above 0.

    Example:
        >>> uniformity(torch.eye(4))  # every pair at squared distance 2
        tensor(-4.)

    References:
        Wang, Isola. arXiv:2005.10242, section 4.1.2. For a pair of views they take the mean of both views' values.
    """
    check_rank("features", features, "batch dim")
    check_positive("t", t)
    if len(features) < 2:
        raise ValueError(f"features: expected 2 rows or more, got shape {list(features.shape)}")
    z = l2_normalize(features)
    squares = z.square().sum(1)
    distances = (squares[:, None] + squares - 2 * z @ z.T).clamp_min(0)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    kernel = (-t * distances).masked_fill(itself, -torch.inf).flatten()
    return torch.logsumexp(kernel, 0) - math.log(len(z) * (len(z) - 1))


def effective_rank(features: Features) -> Float[Tensor, ""]:
    r"""How many dimensions the features use: the exponential of the entropy of their singular values.

    $$\exp \Bigl( -\sum_k p_k \log p_k \Bigr), \qquad p_k = \sigma_k / \textstyle\sum_l \sigma_l$$

    Args:
        features: `[N, D]`, neither centred nor normalised here; subtract the mean first to leave it out.

    Returns:
        A scalar in 1..min(N, D), in at least float32; 1 for a matrix of zeros.

    Raises:
        ValueError: if the rank of the tensor is not 2.

    Example:
        >>> effective_rank(torch.diag(torch.tensor([1.0, 1.0, 0.0])))
        tensor(2.)

    References:
        Roy, Vetterli. The effective rank: a measure of effective dimensionality. EUSIPCO 2007, definition 1.
        Garrido, Balestriero, Najman, LeCun. RankMe. arXiv:2210.02885: it predicts accuracy without labels.

    Note:
        RankMe adds 1e-7 to every p; here 0 log 0 is 0, as in the 2007 paper.
    """
    check_rank("features", features, "rows dim")
    sigma = torch.linalg.svdvals(promote_half(features))
    total = sigma.sum()
    p = sigma / torch.where(total > 0, total, 1)
    # The logarithm of 1 in place of that of 0, whose gradient is NaN.
    return torch.exp(-(p * torch.where(p > 0, p, 1).log()).sum())


def feature_std(features: Features) -> Float[Tensor, ""]:
    r"""The spread of normalised features per dimension: 0 when all are equal, 1 when they point in all directions.

    $$\sqrt D \cdot \frac{1}{D} \sum_{j=1}^{D} \mathrm{std}_i(z_{ij}), \qquad z_i = x_i / \|x_i\|_2$$

    Args:
        features: `[N, D]`.

    Returns:
        A scalar in 0..1, in at least float32.

    Raises:
        ValueError: if the rank is not 2.

    Example:
        >>> feature_std(torch.tensor([[1.0], [-1.0]])), feature_std(torch.ones(2, 8))
        (tensor(1.), tensor(0.))

    References:
        Chen, He. Exploring simple Siamese representation learning. arXiv:2011.10566, section 4.1.

    Note:
        The paper plots it without $\sqrt D$: $1 / \sqrt D$ there is 1 here. Features that are never negative, as after
        a ReLU, stay below 1.
    """
    check_rank("features", features, "rows dim")
    z = l2_normalize(features)
    return z.std(0, correction=0).mean() * z.shape[1] ** 0.5
