"""Rows of images: each row under its name, the same images in a column."""

import numpy as np
import pytest
import torch

import zoo
from zoo.reports.figures import denoising_pairs, reconstructions


def grey(value, n=3, channels=1):
    return torch.full((n, channels, 8, 8), value)


def rows(figure):
    """The names of the rows with the first column of the picture."""
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    picture = np.asarray(axes.images[0].get_array())
    middles = [int(y) for y in axes.get_yticks()]
    return {name: picture[y, 4].tolist() for name, y in zip(names, middles, strict=True)}


def test_a_row_for_each_epoch_below_the_originals(tmp_path, drawn, small):
    decoded = {f"epoch {i + 1}": grey(i / 10) for i in range(10)}
    small(reconstructions(torch.full((3, 1, 8, 8), 255, dtype=torch.uint8), decoded, "$a_{", tmp_path / "d" / "x.png"))
    assert rows(drawn[0]) == {
        "original": [255] * 3,
        **{f"epoch {i + 1}": [round(25.5 * i)] * 3 for i in range(10)},
    }


def test_of_many_epochs_the_first_ones_and_the_last_are_shown(tmp_path, drawn, small):
    decoded = {f"epoch {i + 1}": grey(i / 30) for i in range(30)}
    reconstructions(grey(1.0), decoded, "title", tmp_path / "x.png")
    shown = [int(name.removeprefix("epoch ")) for name in rows(drawn[0]) if name != "original"]
    assert shown[:3] == [1, 2, 3] and shown[-1] == 30 and 8 <= len(shown) <= 10
    assert shown == sorted(set(shown)) and max(np.diff(shown)) == shown[-1] - shown[-2]
    small(tmp_path / "x.png")


def test_denoising_shows_noisy_denoised_and_clean(tmp_path, drawn, colours):
    red = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None].expand(20, 3, 8, 8)
    path = denoising_pairs(grey(0.2, 20, 3), grey(0.4, 20, 3), red, "title", tmp_path / "x.png")
    assert rows(drawn[0]) == {"noisy": [51] * 3, "denoised": [102] * 3, "clean": [255, 0, 0]}
    assert drawn[0].axes[0].images[0].get_array().shape[1] == 10 * 10  # ten images and their gaps
    assert {(51, 51, 51), (102, 102, 102), (255, 0, 0)} <= set(colours(path))


def test_rows_that_do_not_match_are_refused(tmp_path):
    with pytest.raises(zoo.ZooError, match=r"'original': \[3, 1, 8, 8\], 'epoch 1': \[2, 1, 8, 8\]"):
        reconstructions(grey(0.0), {"epoch 1": grey(0.0, 2)}, "title", tmp_path / "x.png")
    with pytest.raises(zoo.ZooError, match="expected one row or more"):
        reconstructions(grey(0.0), {}, "title", tmp_path / "x.png")
    with pytest.raises(zoo.ZooError, match="images of the same size"):
        denoising_pairs(grey(0.0), grey(0.0), grey(0.0, 4), "title", tmp_path / "x.png")
