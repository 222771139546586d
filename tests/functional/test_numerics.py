"""Promotion and normalisation, in their delicate cases."""

import pytest
import torch
from torch.nn.functional import normalize

from functional import random
from functional.numerics import l2_normalize, promote_half


@pytest.mark.parametrize(
    "dtype,expected",
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_precision_is_promoted_and_the_rest_is_kept(dtype, expected):
    x = random.normal(random.key(0), (4, 3)).to(dtype)
    assert promote_half(x).dtype == l2_normalize(x).dtype == expected


def test_rows_come_to_length_1_as_in_torch():
    x = random.normal(random.key(0), (2, 5, 3))
    torch.testing.assert_close(l2_normalize(x), normalize(x, dim=-1))
    torch.testing.assert_close(torch.func.vmap(l2_normalize)(x), l2_normalize(x))
    half = torch.tensor([[3e4, 4e4]], dtype=torch.float16)  # the squares overflow float16
    torch.testing.assert_close(l2_normalize(half), torch.tensor([[0.6, 0.8]]), rtol=1e-3, atol=0)


def test_a_zero_row_stays_zero_with_gradient_1():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(l2_normalize(x).sum(), x)
    assert l2_normalize(x)[0].tolist() == [0.0, 0.0] and gradient[0].tolist() == [1.0, 1.0]
    torch.testing.assert_close(gradient[1], torch.tensor([0.2 - 1.4 * 3 / 25, 0.2 - 1.4 * 4 / 25]))


def test_gradient_equals_finite_differences():
    x = random.normal(random.key(1), (3, 4)).double().requires_grad_()
    assert torch.autograd.gradcheck(l2_normalize, x)
