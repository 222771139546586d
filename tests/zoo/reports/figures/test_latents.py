"""The plane of latents: two latents themselves, or the principal components of more; each image at its place."""

import numpy as np
import pytest
import torch

import zoo
from functional import random
from zoo.reports.figures import LatentPlane, latent_plane, latent_scatter

WIDE = torch.tensor([[3.0, 4.0, 0.0, 0.0], [-4.0, 3.0, 0.0, 0.0]]) / 5  # two directions in four dimensions


@pytest.fixture
def latents():
    """Latents with a standard deviation of 5 along the first direction, 2 along the second, little along others."""
    draws = random.normal(random.key(0), (500, 2))
    draws = (draws - draws.mean(0)) / draws.std(0) * torch.tensor([5.0, 2.0])
    return draws @ WIDE + 0.01 * random.normal(random.key(1), (500, 4)) + torch.tensor([1.0, 2.0, 3.0, 4.0])


def test_more_than_two_latents_are_seen_along_their_principal_components(latents):
    plane = LatentPlane.of(latents)
    assert "first principal component" in plane.axis_labels[0] and "standard deviations" in plane.axis_labels[1]
    torch.testing.assert_close(plane.origin, latents.mean(0))
    lengths = torch.linalg.vector_norm(plane.directions, dim=1)
    torch.testing.assert_close(lengths, torch.tensor([5.0, 2.0]), rtol=0.01, atol=0)
    alike = (plane.directions / lengths[:, None] * WIDE).sum(1)
    assert (alike.abs() > 0.99).all()
    coordinates = plane.coordinates(latents)
    torch.testing.assert_close(coordinates.std(0), torch.ones(2))
    torch.testing.assert_close(coordinates.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    flipped = LatentPlane.of(latents.flip(0)).coordinates(latents)
    torch.testing.assert_close(flipped, coordinates, atol=1e-4, rtol=0)  # a sign that does not depend on the order


def test_two_latents_are_the_plane_themselves(latents):
    two = latents[:, :2]
    plane = LatentPlane.of(two)
    assert plane.axis_labels == ("latent 1", "latent 2") and torch.equal(plane.coordinates(two), two)
    for axis, (low, high) in enumerate(plane.limits):
        inside = (two[:, axis] >= low) & (two[:, axis] <= high)
        assert 0.97 < inside.float().mean() < 0.99


def test_points_run_row_by_row_from_the_upper_left_corner(latents):
    for chosen in (latents, latents[:, :2]):
        plane = LatentPlane.of(chosen)
        (left, right), (bottom, top) = plane.limits
        points = plane.coordinates(plane.points()).unflatten(0, (10, 10))
        corners = points[[0, 0, 9, 9], [0, 9, 0, 9]]
        expected = torch.tensor([[left, top], [right, top], [left, bottom], [right, bottom]])
        torch.testing.assert_close(corners, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(2, 4), (9, 1)])
def test_too_few_images_or_latents_are_refused(shape):
    with pytest.raises(zoo.ZooError, match=f"3 images and 2 latents or more, got {shape[0]} and {shape[1]}"):
        LatentPlane.of(torch.zeros(shape))


def test_equal_latents_are_one_point():
    latents = torch.ones(5, 3)
    assert not LatentPlane.of(latents).coordinates(latents).any()


def test_each_image_is_where_its_latents_are(latents, tmp_path, drawn, small):
    plane = LatentPlane.of(latents)
    images = torch.linspace(0, 1, 100)[:, None, None, None].expand(100, 1, 6, 6)
    small(latent_plane(images, plane, "$a_{", tmp_path / "deep" / "x.png"))
    (axes,) = drawn[0].axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == plane.axis_labels
    (picture,) = axes.images
    left, right, bottom, top = picture.get_extent()
    for i, (x, y) in enumerate(plane.coordinates(plane.points()).tolist()):
        column, row = 60 * (x - left) / (right - left), 60 * (top - y) / (top - bottom)
        assert picture.get_array()[int(row), int(column), 0] == round(255 * images[i].max().item())
    with pytest.raises(zoo.ZooError, match="expected 100 images, one per point, got 4"):
        latent_plane(images[:4], plane, "title", tmp_path / "x.png")


def test_the_scatter_shows_classes_in_the_plane(latents, tmp_path, drawn, small):
    labels = torch.arange(500) % 2
    small(latent_scatter(latents, labels, ("a", "b"), "title", tmp_path / "x.png"))
    (axes,) = drawn[0].axes
    plane = LatentPlane.of(latents)
    np.testing.assert_allclose(axes.collections[0].get_offsets(), plane.coordinates(latents), atol=1e-5)
    assert (axes.get_xlabel(), axes.get_ylabel()) == plane.axis_labels
    assert len(axes.get_xticks()) > 2 and len(drawn[0].legends[0].get_texts()) == 2
