"""Losses on distances: values computed by hand and by torch, and gradients where distances are 0."""

import pytest
import torch

from functional import losses, random


def rows(seed, shape=(6, 5)):
    return random.normal(random.key(seed), shape)


# --- golden ---------------------------------------------------------------------------------------------------


def test_pairwise_contrastive_by_hand():
    a, b = torch.zeros(4, 2), torch.tensor([[0.3, 0.4], [0.3, 0.4], [3.0, 4.0], [3.0, 4.0]])
    for same in (torch.tensor([1, 0, 1, 0]), torch.tensor([True, False, True, False])):
        value = losses.pairwise_contrastive(a, b, same, margin=2.0)  # d^2, (2 - d)^2, d^2, 0
        torch.testing.assert_close(value, torch.tensor([0.25, 2.25, 25.0, 0.0]))


def test_pairwise_contrastive_pulls_pairs_of_one_class_together():
    a, b = rows(0), rows(1)
    for same, sign in ((1, 1), (0, -1)):
        x = a.clone().requires_grad_()
        value = losses.pairwise_contrastive(x, b, torch.full((6,), same), margin=100.0).sum()
        (gradient,) = torch.autograd.grad(value, x)
        assert (sign * (gradient * (a - b)).sum(1) > 0).all()  # a step down the gradient shortens, or lengthens


def test_triplet_by_hand():
    anchor, positive = torch.zeros(3, 2), torch.tensor([[3.0, 4.0]]).repeat(3, 1)
    negative = torch.tensor([[0.0, 1.0], [0.0, 5.5], [0.0, 7.0]])
    value = losses.triplet(anchor, positive, negative, margin=1.0)
    torch.testing.assert_close(value, torch.tensor([5.0, 0.5, 0.0]))


# --- other libraries ------------------------------------------------------------------------------------------


def test_triplet_equals_torch():
    a, p, n = rows(0), rows(1), rows(2)
    theirs = torch.nn.functional.triplet_margin_loss(a, p, n, margin=0.7, eps=0.0, reduction="none")
    torch.testing.assert_close(losses.triplet(a, p, n, margin=0.7), theirs)


def test_pairwise_contrastive_is_the_square_of_pytorch_metric_learning():
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.losses import ContrastiveLoss

    # Theirs is linear in the distance: max(d, 0) for a pair of one class, max(margin - d, 0) for others.
    linear = ContrastiveLoss(pos_margin=0, neg_margin=4, distance=LpDistance(normalize_embeddings=False))
    for same in (1, 0):
        a, b = rows(0, (1, 5)), rows(1, (1, 5))
        theirs = linear(torch.cat([a, b]), torch.tensor([0, 1 - same]))
        ours = losses.pairwise_contrastive(a, b, torch.tensor([same]), margin=4.0)
        torch.testing.assert_close(ours[0], theirs.square())


# --- property -------------------------------------------------------------------------------------------------


def test_gradients_are_finite_at_distance_0():
    x = rows(0).requires_grad_()
    for value in (
        losses.triplet(x, x.detach(), x.detach(), margin=1.0),
        losses.pairwise_contrastive(x, x.detach(), torch.tensor([0, 1] * 3), margin=1.0),
    ):
        (gradient,) = torch.autograd.grad(value.sum(), x)
        assert value.isfinite().all() and (gradient == 0).all()


def test_half_precision_is_raised_before_the_difference():
    a, b = torch.tensor([[1e4, 1.0]]).bfloat16(), torch.tensor([[-1e4, 0.0]]).bfloat16()
    exact = (a.double() - b.double()).norm()
    value = losses.pairwise_contrastive(a, b, torch.tensor([1]), margin=1.0)
    torch.testing.assert_close(value[0].double(), exact**2, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda a: losses.triplet(a, a, a[:3], margin=1.0), "anchor [6, 5], positive [6, 5], negative [3, 5]"),
        (lambda a: losses.triplet(a, a, a, margin=0.0), "margin: expected a number above 0"),
        (lambda a: losses.pairwise_contrastive(a, a, torch.arange(5), margin=1.0), "6 a, 5 same"),
        (lambda a: losses.pairwise_contrastive(a, a, torch.arange(6)[None], margin=1.0), "same: expected rank 1"),
        (lambda a: losses.pairwise_contrastive(a, a[:, 1:], torch.arange(6), margin=1.0), "a [6, 5], b [6, 4]"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError) as error:
        call(rows(0))
    assert words in str(error.value)
