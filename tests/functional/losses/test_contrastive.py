"""Contrastive losses: worked values, a loop in float64, other libraries, and what the mathematics promises."""

import math

import numpy as np
import pytest
import torch

from functional import losses, random


def rows(seed, shape=(6, 5), dtype=torch.float32):
    return random.normal(random.key(seed), shape).to(dtype)


# --- golden ---------------------------------------------------------------------------------------------------


def test_nt_xent_of_orthogonal_pairs():
    # Each row: positive similarity 1, four negatives of similarity 0, so -log(e^(1/t) / (e^(1/t) + 4 e^0)).
    value = losses.nt_xent(torch.eye(3), 7 * torch.eye(3), temperature=0.5)
    torch.testing.assert_close(value, torch.full((6,), math.log(1 + 4 * math.exp(-2))))


# --- naive twin -----------------------------------------------------------------------------------------------


def nt_xent_twin(a, b, temperature):
    """Equation 1 of arXiv:2002.05709, a term at a time."""
    z = np.concatenate([a, b])
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    n, out = len(a), []
    for i in range(2 * n):
        s = [z[i] @ z[k] / temperature for k in range(2 * n)]
        partner = i + n if i < n else i - n
        out.append(-s[partner] + math.log(sum(math.exp(s[k]) for k in range(2 * n) if k != i)))
    return np.array(out)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("batch", [1, 2, 6])
def test_nt_xent_equals_its_twin(temperature, batch):
    a, b = (rows(seed, (batch, 5), torch.float64) for seed in (0, 1))
    ours = losses.nt_xent(a, b, temperature=temperature)
    torch.testing.assert_close(ours, torch.from_numpy(nt_xent_twin(a.numpy(), b.numpy(), temperature)))


def test_nt_xent_equals_lightly():
    from lightly.loss import NTXentLoss

    a, b = rows(0), rows(1)
    torch.testing.assert_close(losses.nt_xent(a, b, temperature=0.3).mean(), NTXentLoss(temperature=0.3)(a, b))


# --- property -------------------------------------------------------------------------------------------------


def test_nt_xent_does_not_see_lengths_or_the_order_of_views():
    a, b = rows(0), rows(1)
    value = losses.nt_xent(a, b, temperature=0.2)
    torch.testing.assert_close(losses.nt_xent(3 * a, 0.1 * b, temperature=0.2), value)
    torch.testing.assert_close(losses.nt_xent(b, a, temperature=0.2), value.roll(len(a)))


def test_nt_xent_falls_when_views_agree():
    a, b = rows(0), rows(1)
    losses_on_the_way = [losses.nt_xent(a, (1 - t) * b + t * a, temperature=0.5).mean() for t in (0.0, 0.5, 1.0)]
    assert losses_on_the_way == sorted(losses_on_the_way, reverse=True)


HARD_ROWS = {
    "identical": torch.ones(4, 5),
    "one zero row": torch.cat([torch.zeros(1, 5), rows(0, (3, 5))]),
    "all zero rows": torch.zeros(4, 5),
    "batch of 2": rows(0, (2, 5)),
    "bfloat16 of size 1e4": (1e4 * rows(0, (4, 5))).bfloat16(),
}


@pytest.mark.parametrize("case", HARD_ROWS)
def test_nt_xent_and_its_gradient_stay_finite(case):
    a = HARD_ROWS[case].clone().requires_grad_()
    value = losses.nt_xent(a, HARD_ROWS[case].flip(0), temperature=0.01)
    (gradient,) = torch.autograd.grad(value.mean(), a)
    assert value.isfinite().all() and value.dtype == torch.float32
    assert gradient.isfinite().all() and gradient.abs().max() < 1e4


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda a: losses.nt_xent(a, a[:, :3], temperature=0.5), "a [6, 5], b [6, 3]"),
        (lambda a: losses.nt_xent(a[0], a[0], temperature=0.5), "expected rank 2 [batch, dim], got shape [5]"),
        (lambda a: losses.nt_xent(a, a, temperature=0.0), "temperature: expected a number above 0, got 0.0"),
        (lambda a: losses.nt_xent(a, a, temperature=float("nan")), "temperature"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError) as error:
        call(rows(0))
    assert words in str(error.value)
