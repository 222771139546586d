"""Selection: regions by size, rounds that go on where labels are, determined by the key, odd inputs."""

import pytest
import torch

from functional import random, selection

METHODS = (selection.k_means, selection.typical, selection.k_center)
CLUSTERED = METHODS[:2]
every = pytest.mark.parametrize("select", METHODS, ids=lambda f: f.__name__)
clustered = pytest.mark.parametrize("select", CLUSTERED, ids=lambda f: f.__name__)


def regions(sizes=(50, 30, 20, 10), seed=0):
    """Far apart regions of given sizes, and the region of each row."""
    keys = random.split(random.key(seed), 2)
    y = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    y = y[random.permutation(keys[0], len(y))]
    return 20 * torch.eye(len(sizes), 4)[y] + random.normal(keys[1], (len(y), 4)), y


@clustered
def test_one_row_of_each_region_the_largest_region_first(select):
    x, y = regions()
    assert y[select(x, 4, key=random.key(0))].tolist() == [0, 1, 2, 3]


def test_k_center_covers_the_regions_too():
    x, y = regions()
    assert sorted(y[selection.k_center(x, 4, key=random.key(0))].tolist()) == [0, 1, 2, 3]


@every
def test_labels_that_exist_count(select):
    x, y = regions()
    labelled = torch.stack([(y == 0).nonzero()[0, 0], (y == 2).nonzero()[0, 0]])
    chosen = select(x, 2, labelled=labelled, key=random.key(0))
    assert sorted(y[chosen].tolist()) == [1, 3]
    again = select(x, 2, labelled=torch.cat([labelled, labelled]), key=random.key(0))
    assert torch.equal(chosen, again)  # a position twice is one label


@every
def test_rounds_never_choose_a_row_twice(select):
    x, _ = regions((12, 8), seed=3)
    labelled = torch.zeros(0, dtype=torch.int64)
    for i in range(4):
        labelled = torch.cat([labelled, select(x, 5, labelled=labelled, key=random.key(i))])
    assert sorted(labelled.tolist()) == list(range(20))


def test_the_k_means_row_is_the_one_nearest_to_the_mean():
    x, y = regions()
    for chosen in selection.k_means(x, 4, key=random.key(1)).tolist():
        members = (y == y[chosen]).nonzero()[:, 0]
        assert chosen == members[(x[members] - x[members].mean(0)).norm(dim=1).argmin()]


@pytest.mark.parametrize("select", [selection.k_means, selection.typical])
def test_features_far_from_the_origin_are_chosen_as_near_it(select):
    x, _ = regions()
    near = (x + 1e5) - 1e5  # rounded as the moved ones are
    assert torch.equal(select(near + 1e5, 4, key=random.key(0)), select(near, 4, key=random.key(0)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("compared", [2**11, 30])
def test_the_typical_row_has_the_nearest_neighbours(monkeypatch, compared, seed):
    monkeypatch.setattr(selection, "_LARGEST_COMPARED", compared)
    x, y = regions((200, 50, 30, 10), seed)
    expected = []
    for region in range(4):
        members = (y == region).nonzero()[:, 0].tolist()
        members = members[:: -(-len(members) // compared)]
        count = max(20, len(members) // 3)
        near = {i: sorted(float((x[i] - x[j]).norm()) for j in members if j != i)[:count] for i in members}
        expected.append(min(members, key=lambda i: sum(near[i])))
    assert selection.typical(x, 4, key=random.key(0)).tolist() == expected


def test_k_center_equals_its_loop():
    x, _ = regions()
    chosen = [7]
    for _ in range(6):
        distances = [min(float((row - x[i]).norm()) for i in chosen) for row in x]
        chosen.append(max(range(len(x)), key=distances.__getitem__))
    assert selection.k_center(x, 6, labelled=torch.tensor([7]), key=random.key(0)).tolist() == chosen[1:]


@every
def test_equal_rows_are_chosen_once_each(select):
    x = torch.tensor([[0.0]] * 5 + [[1.0]] * 3)
    chosen = select(x, 6, labelled=torch.tensor([0]), key=random.key(0))
    assert chosen.dtype == torch.int64 and len(chosen.unique()) == 6 and 0 not in chosen
    assert x[chosen[0]] == 1  # what is not covered yet comes first


@every
def test_all_rows_and_one_row(select):
    x, _ = regions((4, 3))
    assert sorted(select(x, 7, key=random.key(0)).tolist()) == list(range(7))
    assert len(select(x, 1, key=random.key(0))) == 1
    assert select(x[:1], 1, key=random.key(0)).tolist() == [0]


@every
@pytest.mark.parametrize(
    "changes,words",
    [
        ({"n": 0}, "n: expected 1 <= n <= 6, the number of rows without a label, got 0"),
        ({"n": 7}, "n: expected 1 <= n <= 6, the number of rows without a label, got 7"),
        ({"labelled": torch.tensor([7])}, r"labelled: expected positions in 0\.\.6, got 7 to 7"),
        ({"labelled": torch.tensor([-1])}, r"labelled: expected positions in 0\.\.6, got -1 to -1"),
        ({"features": torch.full((7, 2), torch.nan)}, "features: features contain NaN or infinity, first in row 0"),
    ],
)
def test_rejected_arguments(select, changes, words):
    given = {"features": torch.ones(7, 2), "n": 2, "labelled": torch.tensor([3]), **changes}
    with pytest.raises(ValueError, match=words):
        select(given["features"], given["n"], labelled=given["labelled"], key=random.key(0))
