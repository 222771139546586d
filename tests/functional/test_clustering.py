"""K-means: a fixed point of Lloyd's iterations, as good as scikit-learn's, and odd numbers of rows."""

import pytest
import torch

from functional import clustering, random


def blobs(rows=600, dim=5, centres=6, seed=0):
    keys = random.split(random.key(seed), 3)
    y = random.randint(keys[0], (rows,), 0, centres)
    return 6 * random.normal(keys[1], (centres, dim))[y] + random.normal(keys[2], (rows, dim)), y


def test_each_row_belongs_to_the_nearest_centroid_and_centroids_are_means():
    x, _ = blobs()
    found = clustering.lloyd(random.key(3), x, 6, tolerance=0.0)
    distances = torch.cdist(x, found.centroids)
    assert torch.equal(found.members, distances.argmin(1))
    torch.testing.assert_close(found.squares, distances.amin(1).square(), rtol=1e-3, atol=1e-3)
    means = torch.stack([x[found.members == i].mean(0) for i in range(6)])
    torch.testing.assert_close(found.centroids, means, rtol=1e-4, atol=1e-4)


def test_as_good_as_scikit_learn_where_clusters_are_clear():
    from sklearn.cluster import KMeans

    x, _ = blobs()
    ours = min(clustering.lloyd(random.key(seed), x, 6).squares.sum().item() for seed in range(5))
    theirs = KMeans(6, n_init=5, random_state=0).fit(x.numpy()).inertia_
    assert ours <= 1.001 * theirs


@pytest.mark.parametrize("offset", [3e3, 1e5])
def test_features_far_from_the_origin_have_the_same_clusters(offset):
    x, y = blobs()
    near = (x + offset) - offset  # rounded as the moved ones are
    found, expected = (clustering.lloyd(random.key(3), moved, 6) for moved in (near + offset, near))
    assert torch.equal(found.members, expected.members)
    torch.testing.assert_close(found.squares, expected.squares, rtol=0.05, atol=0.01)
    torch.testing.assert_close(found.centroids, expected.centroids + offset, rtol=1e-6, atol=0.01)


def test_k_means_plus_plus_starts_far_apart():
    """Three far points, of which one stands for 98 rows: drawn evenly, the two others would hardly ever start."""
    x = torch.cat([torch.zeros(98, 1), torch.tensor([[100.0], [200.0]])])
    for seed in range(5):
        assert sorted(clustering.lloyd(random.key(seed), x, 3, iterations=0).centroids[:, 0].tolist()) == [0, 100, 200]


def test_parts_of_rows_give_the_same_clusters(monkeypatch):
    x, _ = blobs(rows=101)
    whole = clustering.lloyd(random.key(0), x, 4)
    monkeypatch.setattr(clustering, "_DISTANCES_AT_ONCE", 4 * 7)
    torch.testing.assert_close(clustering.lloyd(random.key(0), x, 4), whole)


@pytest.mark.parametrize("k", [1, 3, 4])
def test_fewer_different_rows_than_clusters(k):
    x = torch.tensor([[1.0], [1.0], [1.0], [2.0]])
    found = clustering.lloyd(random.key(0), x, k)
    assert found.centroids.isfinite().all() and found.squares.sum() == (0 if k > 1 else 0.75)


@pytest.mark.parametrize("k", [0, 4])
def test_a_number_of_clusters_out_of_range(k):
    with pytest.raises(ValueError, match="expected 1 <= k <= 3, the number of rows, got"):
        clustering.lloyd(random.key(0), torch.zeros(3, 2), k)


@pytest.mark.parametrize(
    "x,first,words",
    [
        (torch.tensor([[0.0], [torch.nan], [1.0]]), None, "x: features contain NaN or infinity, first in row 1"),
        (torch.zeros(3, 2), torch.zeros(3, 2), "first: expected at most 2 rows of 2 numbers, got shape [3, 2]"),
        (torch.zeros(3, 2), torch.zeros(1, 3), "first: expected at most 2 rows of 2 numbers, got shape [1, 3]"),
        (torch.zeros(3, 2), torch.zeros(2), "first: expected rank 2"),
    ],
)
def test_wrong_arguments_are_named(x, first, words):
    with pytest.raises(ValueError) as error:
        clustering.lloyd(random.key(0), x, 2, first=first)
    assert words in str(error.value)
