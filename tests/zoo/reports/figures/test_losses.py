"""Loss curves: they show the data, on whole epochs, on a logarithmic axis where they can."""

import numpy as np
import pytest

import zoo
from zoo.reports.figures import loss_curve, loss_curves

LINES = [{"epoch": i + 1, "loss": 3.0 / (i + 1), "effective_rank": 4.0 + i} for i in range(3)]
BLUE, ORANGE = (31, 119, 180), (255, 127, 14)  # of matplotlib's default cycle


def lines(losses):
    return [{"epoch": i + 1, "loss": loss, "effective_rank": 2.0} for i, loss in enumerate(losses)]


def test_the_loss_curve_shows_loss_and_rank(tmp_path, colours, drawn, small):
    path = small(loss_curve(LINES, "$a_{", tmp_path / "deep" / "loss.png"))  # as it is written, not as mathematics
    assert {BLUE, ORANGE} <= set(colours(path))
    loss, rank = drawn[0].axes
    assert loss.lines[0].get_xydata().tolist() == [[1, 3], [2, 1.5], [3, 1]]
    assert rank.lines[0].get_ydata().tolist() == [4, 5, 6] and rank.get_ylim()[0] == 0
    with pytest.raises(zoo.ZooError, match="has not finished an epoch"):
        loss_curve([], "title", tmp_path / "loss.png")


def test_the_loss_curves_show_every_run_under_its_name(tmp_path, colours, drawn, small):
    runs = {"$a_{": LINES, "_" + "b" * 90: LINES[:2]}
    path = small(loss_curves(runs, tmp_path / "deep" / "losses.png"))
    assert {BLUE, ORANGE} <= set(colours(path))
    names = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert names == ["$a_{", "_" + "b" * 58 + "…"]
    with pytest.raises(zoo.ZooError, match="^new: no metrics to plot"):
        loss_curves({"a": LINES, "new": []}, tmp_path / "x.png")
    with pytest.raises(zoo.ZooError, match="no runs to plot"):
        loss_curves({}, tmp_path / "x.png")


def test_a_rank_that_hardly_changes_stays_clear_of_the_frame(tmp_path, drawn):
    ranks = (171.0, 170.0, 175.0)
    loss_curve([line | {"effective_rank": r} for line, r in zip(LINES, ranks, strict=True)], "", tmp_path / "x.png")
    assert drawn[0].axes[1].get_ylim()[1] >= 1.04 * 175


@pytest.mark.parametrize("epochs", [1, 2, 3, 7])
def test_epochs_on_the_axis_are_whole(epochs, tmp_path, drawn):
    loss_curve(lines([1.0] * epochs), "title", tmp_path / "x.png")
    loss_curves({"a": lines([1.0] * epochs), "b": lines([1.0])}, tmp_path / "x.png")
    assert len(drawn) == 2
    for figure in drawn:
        assert all(tick == round(tick) for tick in figure.axes[0].get_xticks())


@pytest.mark.parametrize("low,high", [(4.8, 5.2), (0.026, 0.13), (0.001, 1.0), (1e-9, 10.0)])
def test_positive_losses_are_on_a_logarithmic_axis_with_numbers_on_it(low, high, tmp_path, drawn):
    losses = np.geomspace(high, low, 20).tolist()
    loss_curve(lines(losses), "title", tmp_path / "one.png")
    loss_curves({"a": lines(losses), "b": lines(losses[:5])}, tmp_path / "two.png")
    for figure in drawn:
        axes = figure.axes[0]
        labels = [tick.get_text() for tick in axes.get_yticklabels()]
        seen = [label for label, y in zip(labels, axes.get_yticks(), strict=True) if low <= y <= high]
        assert axes.get_yscale() == "log" and "logarithmic" in axes.get_ylabel()
        assert 2 <= len(seen) <= 12 and len(set(seen)) == len(seen)
        assert all(low * 0.999 <= float(label) <= high * 1.001 for label in seen)


@pytest.mark.parametrize("losses", [[1.0, 0.0], [-0.5, -0.9], [0.5, -0.5]])
def test_other_losses_are_on_a_linear_axis(losses, tmp_path, drawn):
    loss_curve(lines(losses), "title", tmp_path / "one.png")
    loss_curves({"a": lines([1.0, 2.0]), "b": lines(losses)}, tmp_path / "two.png")
    assert [figure.axes[0].get_yscale() for figure in drawn] == ["linear", "linear"]
    assert drawn[0].axes[0].get_ylabel() == "loss"
