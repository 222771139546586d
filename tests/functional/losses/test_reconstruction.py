"""Losses of a decoder: torch's values per image, and extreme logits."""

import math

import pytest
import torch
import torch.nn.functional as F

from functional import losses, random


def images(seed, shape=(3, 2, 4, 4)):
    return random.uniform(random.key(seed), shape)


@pytest.mark.parametrize("shape", [(3, 2, 4, 4), (5, 7), (4,), (0, 2, 4, 4)])
def test_values_equal_torch_for_each_image(shape):
    logits, target = 4 * images(0, shape) - 2, images(1, shape)
    squares, entropies = losses.mean_squared_error(logits, target), losses.binary_cross_entropy(logits, target)
    for i in range(len(target)):
        torch.testing.assert_close(squares[i], F.mse_loss(logits[i], target[i]))
        torch.testing.assert_close(entropies[i], F.binary_cross_entropy(logits[i].sigmoid(), target[i]))


def test_extreme_logits_keep_their_loss_and_gradient():
    logits = torch.tensor([[1000.0], [-1000.0], [1000.0], [-1000.0]], requires_grad=True)
    value = losses.binary_cross_entropy(logits, torch.tensor([[1.0], [1.0], [0.0], [0.0]]))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert value.tolist() == [0.0, 1000.0, 1000.0, 0.0]
    assert gradient.flatten().tolist() == [0.0, -1.0, 1.0, 0.0]


def test_the_minimum_is_0_or_the_entropy_of_grey():
    grey = torch.full((1, 1, 2, 2), 0.25)
    assert losses.mean_squared_error(grey, grey) == 0
    logit = torch.full_like(grey, math.log(0.25 / 0.75))
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    torch.testing.assert_close(losses.binary_cross_entropy(logit, grey), torch.tensor([entropy]))


@pytest.mark.parametrize("loss", [losses.mean_squared_error, losses.binary_cross_entropy])
def test_wrong_arguments_are_named(loss):
    with pytest.raises(ValueError, match=r"\[3, 2, 4, 4\], target \[3, 1, 4, 4\]"):
        loss(images(0), images(1)[:, :1])
    with pytest.raises(TypeError, match="target: expected floating point, got torch.uint8"):
        loss(images(0), (255 * images(1)).to(torch.uint8))
