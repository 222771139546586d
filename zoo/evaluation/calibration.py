"""Temperatures: one number by which scores are divided, so that probabilities are as sure as they are right."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_TEMPERATURES = torch.logspace(-3, 1.5, 181, dtype=torch.float64)
_BINS = 10
_PRIOR_STD = 0.5  # of the logarithm of a temperature, before any label is seen
ENOUGH_LABELS = 100  # held-out labels from which a calibration is worth its figures


class Calibration(NamedTuple):
    """A temperature, and how good the probabilities of labels are that it was not fitted to.

    Attributes:
        temperature: by which scores are divided.
        log_loss: the mean of minus the logarithm of the probability of the right class, in nats; None without labels.
        ece: the expected calibration error: how far the mean probability of 10 bins is from their accuracy.
        labels: on how many labels; few say little.
    """

    temperature: float
    log_loss: float | None
    ece: float | None
    labels: int


def calibrate(
    scores: Float[Tensor, "rows classes"], labels: Int64[Tensor, " rows"], *, usual: float = 1.0
) -> Calibration:
    r"""The most probable temperature, of a grid, after the labels and what is usual.

    $$\min_T \; -\sum_i \log \mathrm{softmax}(s_i / T)_{y_i} + \frac{(\log T - \log T_0)^2}{2 \cdot 0.5^2}$$

    Without labels it is the usual one, with many their own. A few labels, all right, say that every probability should
    be 1; the second term knows better. Log loss and error are those of each label under the temperature that is fitted
    to all others.

    Args:
        scores: `[N, K]`, of rows that the classifier was not fitted to.
        labels: their classes, `[N]`.
        usual: $T_0$, the temperature that such scores need usually.

    Example:
        >>> scores = torch.tensor([[8.0, 0.0], [8.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
        >>> found = calibrate(scores, torch.tensor([0, 0, 1, 1]), usual=5.0)  # sure, and wrong once in four
        >>> round(found.temperature), found.labels
        (6, 4)

    References:
        Guo, Pleiss, Sun, Weinberger. On calibration of modern neural networks. arXiv:1706.04599, section 4.2.
    """
    prior = (_TEMPERATURES / usual).log().square() / (2 * _PRIOR_STD**2)
    if not len(labels):
        return Calibration(float(_TEMPERATURES[prior.argmin()]), None, None, 0)
    logs = torch.stack([(scores.double() / t).log_softmax(1) for t in _TEMPERATURES])  # [T, N, K]
    losses = -logs.gather(2, labels.expand(len(_TEMPERATURES), -1)[..., None])[..., 0]  # [T, N]
    total = losses.sum(1) + prior
    others, rows = (total[:, None] - losses).argmin(0), torch.arange(len(labels))
    return Calibration(
        float(_TEMPERATURES[total.argmin()]),
        float(losses[others, rows].mean()),
        calibration_error(logs[others, rows].exp(), labels),
        len(labels),
    )


def calibration_error(probabilities: Float[Tensor, "rows classes"], labels: Int64[Tensor, " rows"]) -> float:
    """The expected calibration error, 0 to 1, over 10 bins of equal width of the largest probability.

    Example:
        >>> calibration_error(torch.tensor([[0.75, 0.25]] * 4), torch.tensor([0, 0, 0, 1]))
        0.0

    References:
        Naeini, Cooper, Hauskrecht. Obtaining well calibrated probabilities using Bayesian binning. AAAI 2015.
    """
    sure, predicted = probabilities.double().max(1)
    gap = sure - (predicted == labels).double()
    bins = (sure * _BINS).ceil().long().clamp(1, _BINS) - 1
    return float(torch.zeros(_BINS, dtype=torch.float64).index_add(0, bins, gap).abs().sum() / len(labels))
