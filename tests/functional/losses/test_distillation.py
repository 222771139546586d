"""Losses against a second network's output."""

import pytest
import torch

from functional import losses, random


def rows(seed, shape=(6, 5)):
    return random.normal(random.key(seed), shape)


def test_negative_cosine_by_hand():
    prediction = torch.tensor([[3.0, 4.0], [3.0, 4.0], [3.0, 4.0], [0.0, 0.0]])
    target = torch.tensor([[1.0, 0.0], [6.0, 8.0], [-4.0, 3.0], [1.0, 0.0]])
    torch.testing.assert_close(losses.negative_cosine(prediction, target), torch.tensor([-0.6, -1.0, 0.0, 0.0]))


def test_negative_cosine_equals_lightly():
    from lightly.loss import NegativeCosineSimilarity

    p, z = rows(0), rows(1)
    torch.testing.assert_close(losses.negative_cosine(p, z).mean(), NegativeCosineSimilarity()(p, z))


def test_the_loss_of_byol_is_2_plus_twice_it():
    p, z = rows(0), rows(1)
    unit = torch.nn.functional.normalize
    torch.testing.assert_close(2 + 2 * losses.negative_cosine(p, z), (unit(p) - unit(z)).square().sum(1))


def test_it_does_not_detach():
    p, z = rows(0).requires_grad_(), rows(1).requires_grad_()
    for gradient in torch.autograd.grad(losses.negative_cosine(p, z).sum(), (p, z)):
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("x", [torch.zeros(4, 5), (1e4 * rows(0)).bfloat16(), torch.ones(2, 5)])
def test_values_and_gradients_stay_finite(x):
    p = x.clone().requires_grad_()
    value = losses.negative_cosine(p, x.flip(0))
    (gradient,) = torch.autograd.grad(value.mean(), p)
    assert value.isfinite().all() and value.dtype == torch.float32
    assert gradient.isfinite().all() and gradient.abs().max() < 1e4


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"prediction \[6, 5\], target \[6, 3\]"):
        losses.negative_cosine(rows(0), rows(1)[:, :3])
