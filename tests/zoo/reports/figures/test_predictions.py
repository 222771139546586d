"""The confusion matrix and the grid of predictions: errors can be seen, and are not all there is to see."""

import numpy as np
import pytest
import torch

import zoo
from zoo.reports.figures import confusion_matrix, predictions_grid

RED, WHITE = (214, 39, 40), (255, 255, 255)


def cells(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


def counts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_single_error_among_a_thousand_is_seen(tmp_path, drawn, small):
    names = ("$a", "b_{", "c")  # as they are written, not as mathematics
    confusion = [[999, 1, 0], [0, 900, 100], [0, 250, 750]]
    path = small(confusion_matrix(confusion, names, "title", tmp_path / "deep" / "confusion.png"))
    assert path.read_bytes() == confusion_matrix(confusion, names, "title", tmp_path / "b.png").read_bytes()
    shades = cells(drawn[0])
    assert np.array_equal(shades[0, 2], [1, 1, 1]) and np.array_equal(shades[2, 0], [1, 1, 1])
    single, tenth, quarter = shades[0, 1], shades[1, 2], shades[2, 1]
    for error in (single, tenth, quarter):
        red, green, blue = error
        assert red > green + 0.1 and red > blue + 0.1
    assert 1 - single.mean() > 0.15 and single.mean() > tenth.mean() + 0.1 > quarter.mean() + 0.2
    for right in shades[[0, 1, 2], [0, 1, 2]]:
        assert right[2] > right[0] + 0.2
    assert counts(drawn[0]) == ["999", "1", "0", "0", "900", "100", "0", "250", "750"]


def test_a_class_without_images_or_without_errors_is_drawn(tmp_path, drawn):
    confusion_matrix([[5, 0], [0, 0]], ("a", "b"), "title", tmp_path / "x.png")
    assert (cells(drawn[0]).reshape(4, 3)[1:] == 1).all()
    confusion_matrix([[3]], ("a",), "title", tmp_path / "y.png")


@pytest.mark.parametrize("k", [2, 10, 25, 26, 100])
def test_matrices_of_all_sizes_are_legible(k, tmp_path, drawn, small):
    names = [f"a name too long to be shown {i}" for i in range(k)]
    confusion = torch.full((k, k), 12).fill_diagonal_(9876).tolist()
    path = confusion_matrix(confusion, names, "method-encoder-dataset\nlinear probe", tmp_path / f"{k}.png")
    assert len(counts(drawn[0])) == (k * k if k <= 25 else 0)
    if k <= 10:
        small(path)


def test_counts_that_do_not_fit_the_names_are_refused(tmp_path):
    with pytest.raises(zoo.ZooError, match="expected 2 x 2 counts"):
        confusion_matrix([[1]], ("a", "b"), "title", tmp_path / "c.png")


def grid(figure):
    """The grey value of each image, its words, and whether it is framed, in the order of the grid."""
    shown = [axes for axes in figure.axes if axes.images]
    return [
        (int(axes.images[0].get_array()[0, 0, 0]), axes.get_title(), axes.spines["left"].get_linewidth() > 0)
        for axes in shown
    ]


def images(n):
    return torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 1, 8, 8)


def test_the_surest_errors_come_first_framed_with_their_confidence(tmp_path, drawn, colours, small):
    actual, predicted = ["$a"] * 100, ["$a"] * 100
    confidences = [0.5 + i / 1000 for i in range(100)]
    for i in (7, 30, 60):
        predicted[i], confidences[i] = "_b{", i / 100
    path = small(predictions_grid(images(100), predicted, actual, confidences, "title", tmp_path / "x.png"))
    shown = grid(drawn[0])
    assert shown[:3] == [(i, f"label: $a\n→ _b{{, {i} %", True) for i in (60, 30, 7)] and len(shown) == 16
    right = [value for value, _, framed in shown if not framed]
    assert len(right) == 13 and right == sorted(right) and right[0] == 0 and right[-1] > 85  # evenly spaced
    assert shown[3] == (0, "label: $a\n→ $a, 50 %", False)
    assert "3 of 100 images (3.0 %) are wrong; surest errors first" in drawn[0].get_suptitle()
    assert any(np.abs(np.subtract(colour, RED)).max() < 6 and n > 5000 for colour, n in colours(path).items())


def test_without_errors_nothing_is_red(tmp_path, drawn, colours):
    path = predictions_grid(images(20), ["a"] * 20, ["a"] * 20, [1.0] * 20, "title", tmp_path / "x.png")
    assert all(red == green == blue for red, green, blue in colours(path))
    assert drawn[0].get_suptitle().endswith("0 of 20 images (0.0 %) are wrong")


@pytest.mark.parametrize(
    "n,wrong,errors", [(100, 50, 12), (100, 98, 14), (20, 20, 16), (3, 1, 1), (1, 1, 1), (5, 0, 0)]
)
def test_correct_predictions_have_at_least_a_row_if_there_are_enough(n, wrong, errors, tmp_path, drawn):
    predicted = ["b"] * wrong + ["a"] * (n - wrong)
    predictions_grid(images(n), predicted, ["a"] * n, [0.5] * n, "title", tmp_path / "x.png")
    shown = grid(drawn[0])
    assert len(shown) == min(n, 16) and sum(framed for *_, framed in shown) == errors
    assert len({value for value, *_ in shown}) == len(shown)


def test_the_grid_is_legible_with_long_names_and_small_with_colours(tmp_path, drawn, small):
    noise = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    names = ["golden_retriever"] * 16
    path = predictions_grid(noise, ["T-shirt/top"] * 16, names, [1.0] * 16, "a\nb", tmp_path / "x.png")
    small(path)
    assert grid(drawn[0])[0][1] == "label: golden_ret…\n→ T-shirt/top, 100 %"


def test_a_label_a_prediction_and_a_confidence_per_image_are_needed(tmp_path):
    words = "a confidence per image, got 20, 3 and 20 for 20"
    with pytest.raises(zoo.ZooError, match=words):
        predictions_grid(images(20), ["a"] * 3, ["a"] * 20, [1.0] * 20, "title", tmp_path / "x.png")
