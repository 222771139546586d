"""Figures: they show the data, are the same each time, and give a clear error if there is nothing to draw."""

import pytest
import torch
from PIL import Image

import zoo
from functional import random
from zoo.reports import figures
from zoo.reports.figures import confusion_matrix, feature_map, loss_curve, loss_curves, predictions_grid

LINES = [{"epoch": i + 1, "loss": 3.0 / (i + 1), "effective_rank": 4.0 + i} for i in range(3)]
BLUE, ORANGE, RED = (31, 119, 180), (255, 127, 14), (214, 39, 40)  # of matplotlib's default cycle


def colours(path):
    picture = Image.open(path).convert("RGB")
    return {colour for _, colour in picture.getcolors(maxcolors=2**24)}


def test_the_loss_curve_shows_loss_and_rank(tmp_path):
    assert {BLUE, ORANGE} <= colours(loss_curve(LINES, "title", tmp_path / "deep" / "loss.png"))
    with pytest.raises(zoo.ZooError, match="has not finished an epoch"):
        loss_curve([], "title", tmp_path / "loss.png")


def test_the_loss_curves_show_every_run_under_its_name(tmp_path):
    runs = {"$a_{": LINES, "b" * 90: LINES[:2]}  # names as they are written, not as mathematics
    path = loss_curves(runs, tmp_path / "deep" / "losses.png")
    assert {BLUE, ORANGE} <= colours(path)
    assert ORANGE not in colours(loss_curves({"a": LINES}, tmp_path / "one.png"))
    with pytest.raises(zoo.ZooError, match="^new: no metrics to plot"):
        loss_curves({"a": LINES, "new": []}, tmp_path / "x.png")
    with pytest.raises(zoo.ZooError, match="no runs to plot"):
        loss_curves({}, tmp_path / "x.png")


@pytest.mark.parametrize("epochs", [2, 3, 7])
def test_epochs_on_the_axis_are_whole(epochs, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "_write", lambda figure, path: drawn.append(figure))
    lines = [{"epoch": i + 1, "loss": 1.0, "effective_rank": 2.0} for i in range(epochs)]
    loss_curve(lines, "title", tmp_path / "x.png")
    loss_curves({"a": lines, "b": lines[:1]}, tmp_path / "x.png")
    assert len(drawn) == 2
    for figure in drawn:
        assert all(tick == round(tick) for tick in figure.axes[0].get_xticks())


def test_the_feature_map_shows_every_class_and_is_the_same_each_time(tmp_path):
    labels = torch.arange(40) % 2
    features = random.normal(random.key(0), (40, 5)) + 10 * labels[:, None]
    paths = [feature_map(features, labels, ("a", "b"), "title", tmp_path / f"{i}.png") for i in range(2)]
    assert {BLUE, ORANGE} <= colours(paths[0])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with pytest.raises(zoo.ZooError, match="expected 3 images or more, got 2"):
        feature_map(features[:2], labels[:2], ("a", "b"), "title", tmp_path / "few.png")


def test_the_confusion_matrix_is_darker_where_more_of_a_class_went(tmp_path):
    names = ("$a", "b_{")  # as it is written, not as mathematics
    path = confusion_matrix([[30, 10], [0, 40]], names, "title", tmp_path / "deep" / "confusion.png")
    assert path.read_bytes() == confusion_matrix([[30, 10], [0, 40]], names, "title", tmp_path / "b.png").read_bytes()
    darkest, empty = (8, 48, 107), (247, 251, 255)  # the ends of matplotlib's Blues
    assert {darkest, empty} <= colours(path)
    even = confusion_matrix([[20, 20], [20, 20]], names, "title", tmp_path / "even.png")
    assert not {darkest, empty} & colours(even)
    with pytest.raises(zoo.ZooError, match="expected 2 x 2 counts"):
        confusion_matrix([[1]], names, "title", tmp_path / "c.png")


def test_a_wrong_prediction_is_red(tmp_path):
    images = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 3, 8, 8)
    right = ["$a"] * 20
    wrong = right[:-5] + ["b"] * 5
    assert RED not in colours(predictions_grid(images, right, right, tmp_path / "right.png"))
    assert RED in colours(predictions_grid(images, wrong, right, tmp_path / "wrong.png"))
    shown = colours(predictions_grid(images, right, right, tmp_path / "right.png"))
    assert sum((grey, grey, grey) in shown for grey in range(20)) >= 16  # as many of the images
    few = colours(predictions_grid(images[:3] + 100, right[:3], right[:3], tmp_path / "few.png"))
    assert {(100, 100, 100), (101, 101, 101), (102, 102, 102)} <= few
    with pytest.raises(zoo.ZooError, match="a label and a prediction per image, got 20 and 3 for 20"):
        predictions_grid(images, right[:3], right, tmp_path / "x.png")
