"""What counts of right answers say: the 95 % interval of an accuracy, and whether two of them can be told apart."""

import math

_Z = 1.959963984540054  # the normal distribution has 95 % of its mass within this many standard deviations


def wilson(right: int, n: int) -> tuple[float, float]:
    r"""The 95 % interval of a share, of which `right` of `n` were seen.

    $$\frac{\hat p + z^2 / 2n \pm z \sqrt{\hat p (1 - \hat p) / n + z^2 / 4n^2}}{1 + z^2 / n}, \qquad z = 1.96$$

    Args:
        right: 0 <= right <= n.
        n: >= 1.

    Example:
        >>> [round(x, 3) for x in wilson(18, 20)]
        [0.699, 0.972]

    References:
        Wilson. Probable inference, the law of succession, and statistical inference. JASA 22, 1927.
    """
    share, z = right / n, _Z
    middle = share + z**2 / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, (middle - half) / (1 + z**2 / n)), min(1.0, (middle + half) / (1 + z**2 / n))


def sign_test(wins: int, losses: int) -> float:
    """The probability of a difference at least as large by chance, between two classifiers on the same images.

    Only images count that one of the two got right and the other did not: McNemar's test, exact and two-sided.

    Args:
        wins: the images that only the first got right.
        losses: the images that only the second got right.

    Example:
        >>> sign_test(7, 1), sign_test(0, 0)
        (0.0703125, 1.0)

    References:
        McNemar. Note on the sampling error of the difference between correlated proportions. Psychometrika 12, 1947.
    """
    n = wins + losses
    tail = sum(math.comb(n, i) for i in range(min(wins, losses) + 1)) / 2**n
    return min(1.0, 2 * tail)
