"""Figures: real pictures of the data, the same each time, and a clear word where there is nothing to draw."""

import pytest
import torch
from PIL import Image

import zoo
from functional import random
from zoo.figures import feature_map, loss_curve

LINES = [{"epoch": i + 1, "loss": 3.0 / (i + 1), "effective_rank": 4.0 + i} for i in range(3)]
BLUE, ORANGE = (31, 119, 180), (255, 127, 14)  # of matplotlib's default cycle


def colours(path):
    picture = Image.open(path).convert("RGB")
    return {colour for _, colour in picture.getcolors(maxcolors=2**24)}


def test_the_loss_curve_shows_loss_and_rank(tmp_path):
    assert {BLUE, ORANGE} <= colours(loss_curve(LINES, "title", tmp_path / "deep" / "loss.png"))
    with pytest.raises(zoo.ZooError, match="has not finished an epoch"):
        loss_curve([], "title", tmp_path / "loss.png")


def test_the_feature_map_shows_every_class_and_is_the_same_each_time(tmp_path):
    labels = torch.arange(40) % 2
    features = random.normal(random.key(0), (40, 5)) + 10 * labels[:, None]
    paths = [feature_map(features, labels, ("a", "b"), "title", tmp_path / f"{i}.png") for i in range(2)]
    assert {BLUE, ORANGE} <= colours(paths[0])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with pytest.raises(zoo.ZooError, match="expected 3 images or more, got 2"):
        feature_map(features[:2], labels[:2], ("a", "b"), "title", tmp_path / "few.png")
