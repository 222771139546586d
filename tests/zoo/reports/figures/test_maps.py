"""Maps of features: the same each time, for few images too, every class in its colour and in the legend."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import zoo
from functional import random
from zoo.reports.figures import feature_map, tsne, umap
from zoo.reports.figures._shared import palette

BLUE, ORANGE = (31, 119, 180), (255, 127, 14)


def clusters(n, classes=2, dim=5):
    labels = torch.arange(n) % classes
    return random.normal(random.key(0), (n, dim)) + 10 * torch.eye(max(classes, dim))[labels, :dim], labels


def apart(points, labels):
    """The share of points whose nearest neighbour is of the same class."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(len(points))
    return (labels.numpy()[distances.argmin(1)] == labels.numpy()).mean()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_tsne_keeps_neighbours_and_is_the_same_each_time(dimensions):
    features, labels = clusters(60, classes=3)
    points = tsne(features, dimensions)
    assert points.shape == (60, dimensions) and apart(points, labels) > 0.9
    assert np.array_equal(points, tsne(features, dimensions))


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("n", [3, 4, 7])
@pytest.mark.parametrize("dim", [1, 2, 60])
def test_a_tsne_of_few_images_or_few_features(n, dim, dimensions):
    points = tsne(clusters(n, dim=dim)[0], dimensions)
    assert points.shape == (n, dimensions) and np.isfinite(points).all() and np.ptp(points) > 0


def test_equal_features_lie_on_one_point_of_a_tsne():
    assert np.array_equal(tsne(torch.ones(5, 4)), np.zeros((5, 2)))


def test_too_few_images_are_refused():
    with pytest.raises(zoo.ZooError, match="t-SNE: expected 3 images or more, got 2"):
        tsne(torch.eye(2))
    with pytest.raises(zoo.ZooError, match="UMAP: expected 5 images or more, got 4"):
        umap(torch.eye(4))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_umap_keeps_neighbours_and_is_the_same_each_time(dimensions):
    features, labels = clusters(60, classes=3)
    points = umap(features, dimensions)
    assert points.shape == (60, dimensions) and apart(points, labels) > 0.9
    assert np.array_equal(points, umap(features, dimensions))
    assert np.isfinite(umap(features[:5], dimensions)).all()


def test_without_umap_learn_the_error_says_what_to_install():
    program = (
        "import sys; sys.modules['umap'] = None\nfrom zoo.reports.figures import umap; import torch\numap(torch.eye(9))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "ZooError: UMAP: umap-learn is missing" in result.stderr and "pip install umap-learn" in result.stderr


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_map_shows_every_class_in_its_colour(dimensions, tmp_path, colours, drawn, small):
    features, labels = clusters(40)
    points = np.pad(features[:, :2].numpy(), ((0, 0), (0, dimensions - 2)))
    paths = [feature_map(points, labels, ("$a_{", "_b"), "title", small_path(tmp_path, i)) for i in range(2)]
    assert {BLUE, ORANGE} <= set(colours(small(paths[0])))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["$a_{", "_b"]
    for axes in drawn[0].axes:
        shown = axes.collections[0]
        coordinates = np.ma.getdata(shown._offsets3d if dimensions == 3 else shown.get_offsets().T)
        assert len(np.transpose(coordinates)) == 40


def small_path(folder, i):
    return folder / "deep" / f"{i}.png"


def test_a_full_map_is_small_and_legible_with_long_names(tmp_path, drawn, small):
    noise, centres = random.normal(random.key(0), (2000, 3)), 6 * random.normal(random.key(1), (32, 3))
    names = [f"{i}: a class of a long name" for i in range(32)]
    title = "method-encoder-dataset_of_a_long_name\nt-SNE of 2,000 test images of a/very/long/path/to/some/images.csv"
    for dimensions, n in ((2, 10), (3, 10), (2, 32), (3, 32)):
        labels, path = torch.arange(2000) % n, tmp_path / f"{n}_{dimensions}.png"
        points = (noise + centres[labels]).numpy()[:, :dimensions]
        feature_map(points, labels, names[:n], title, path)
        assert len(drawn[-1].legends[0].get_texts()) == n
        if n == 10:
            small(path)


def test_classes_too_many_to_tell_apart_have_no_legend(tmp_path, drawn):
    labels = torch.arange(100)
    feature_map(np.eye(100)[:, :2], labels, [str(i) for i in range(100)], "title", tmp_path / "x.png")
    assert not drawn[0].legends


def test_dots_are_larger_when_there_are_fewer(tmp_path, drawn):
    counts = (3, 20, 500, 2000, 5000)
    for n in counts:
        feature_map(np.eye(n, 2), torch.arange(n) % 2, ("a", "b"), "title", tmp_path / f"{n}.png")
    sizes = [figure.axes[0].collections[0].get_sizes()[0] for figure in drawn]
    assert sizes[0] == 150 and sizes[3] == sizes[4] == 8
    assert sizes == sorted(sizes, reverse=True) and 15 < sizes[2] < 40


def test_ten_classes_can_be_told_apart():
    chosen = np.array(palette(10))[:, :3]
    distances = np.linalg.norm(chosen[:, None] - chosen[None], axis=2) + 9 * np.eye(10)
    assert distances.min() > 0.25
    assert len({tuple(colour) for colour in palette(32)}) == 32
