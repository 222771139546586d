"""Loss curves. Losses that are always positive are on a logarithmic axis, as is usual where they fall a long way."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullLocator

from zoo.errors import ZooError
from zoo.reports.figures._shared import add_legend, new_figure, palette, shorten, write

_DOTTED = 30  # epochs below which each has a dot


def loss_curve(lines: Sequence[Mapping[str, float]], title: str, path: str | Path) -> Path:
    """Plot the loss and the effective rank of the features over the epochs of a run, as PNG.

    Raises:
        ZooError: if there are no metrics yet.
    """
    if not lines:
        raise ZooError("no metrics to plot: the run has not finished an epoch")
    epochs = [line["epoch"] for line in lines]
    figure = new_figure(4, title)
    loss = figure.subplots()
    loss.plot(epochs, [line["loss"] for line in lines], color="tab:blue", marker="." if len(lines) < _DOTTED else "")
    _scale_axes(loss, [line["loss"] for line in lines])
    loss.yaxis.label.set_color("tab:blue")
    rank, ranks = loss.twinx(), [line["effective_rank"] for line in lines]
    rank.plot(epochs, ranks, color="tab:orange", linestyle="--")
    rank.set_ylabel("effective rank of the features", color="tab:orange", fontsize=11)
    rank.set_ylim(0, 1.05 * max(ranks))
    return write(figure, path)


def loss_curves(runs: Mapping[str, Sequence[Mapping[str, float]]], path: str | Path) -> Path:
    """Plot the losses of several runs over the epochs in one figure with a legend, as PNG.

    Args:
        runs: their metrics, by the names in the legend.
        path: the path of the PNG.

    Raises:
        ZooError: if there are no runs, or one has no metrics yet.
    """
    if not runs:
        raise ZooError("no runs to plot; expected one or more")
    figure = new_figure(4.5, "")
    axes = figure.subplots()
    curves = []
    for colour, (name, metrics) in zip(palette(len(runs)), runs.items(), strict=True):
        if not metrics:
            raise ZooError(f"{name}: no metrics to plot: the run has not finished an epoch")
        epochs, losses = [line["epoch"] for line in metrics], [line["loss"] for line in metrics]
        curves += axes.plot(epochs, losses, color=colour, marker="." if len(metrics) < _DOTTED else "")
    _scale_axes(axes, [line["loss"] for metrics in runs.values() for line in metrics])
    add_legend(figure, curves, [shorten(name, 60) for name in runs], "outside upper center")
    return write(figure, path)


def _scale_axes(axes: Axes, losses: Sequence[float]) -> None:
    """Whole epochs, and a logarithmic scale for positive losses with as many plain numbers as its length can take."""
    axes.set_xlabel("epoch", fontsize=11)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if not axes.dataLim.width:
        axes.set_xlim(0, 2)  # around the first epoch
    if min(losses) <= 0:
        axes.set_ylabel("loss", fontsize=11)
        return
    axes.set_ylabel("loss (logarithmic scale)", fontsize=11)
    axes.set_yscale("log")
    decades = math.log10(max(losses) / min(losses))
    axes.yaxis.set_major_locator(MaxNLocator(6) if decades < 1 else LogLocator(subs=(1, 2, 5) if decades < 3 else (1,)))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%.4g"))
    axes.yaxis.set_minor_locator(NullLocator())
