"""Solvers: closed-form minima and those of scikit-learn, problems in a batch as alone, and searches that fail."""

import itertools
import math
import re

import pytest
import torch
import torch.nn.functional as F

from functional import random, solvers


def quadratics(scales, centres):
    """`1 + (w - c)' diag(scale) (w - c) / 2`, and its point at 0, of scales and centres `[S, K, D]`."""

    def point(weights, kept):
        scales, centres = kept
        error = weights - centres
        return solvers.Point(weights, 1 + (scales * error.square()).sum((1, 2)) / 2, scales * error, kept)

    def along(point, direction):
        scales, centres = point.kept

        def at(t):
            error = point.weights + t[:, None, None] * direction - centres
            return ((scales * error * direction).sum((1, 2)),)

        return at

    def arrive(old, change, found):
        return point(old.weights + change, old.kept)

    def precondition(point):
        return lambda v: v

    return solvers.Objective(along, arrive, precondition), point(torch.zeros_like(centres), (scales, centres))


def problems(s=4, k=2, d=5, dtype=torch.float64):
    scales = torch.logspace(-1, 1, k * d, dtype=dtype).reshape(1, k, d).expand(s, k, d).clone()
    scales[0] = 1  # one step is enough, and the other problems continue without it
    return scales, random.normal(random.key(0), (s, k, d)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_minima_of_quadratics_are_their_centres(dtype):
    scales, centres = problems(dtype=dtype)
    minimum = solvers.lbfgs(*quadratics(scales, centres))
    assert minimum.converged.all() and minimum.weights.dtype == dtype
    torch.testing.assert_close(minimum.value, torch.ones(4, dtype=dtype), rtol=1e-6, atol=0)
    torch.testing.assert_close(minimum.weights, centres, rtol=0, atol=2e-3)


def test_a_batch_is_its_problems_one_by_one():
    scales, centres = problems()
    together = solvers.lbfgs(*quadratics(scales, centres))
    for i in range(len(centres)):
        alone = solvers.lbfgs(*quadratics(scales[i : i + 1], centres[i : i + 1]))
        torch.testing.assert_close(alone.weights[0], together.weights[i])


def test_problems_that_run_out_of_iterations_have_not_converged():
    minimum = solvers.lbfgs(*quadratics(*problems()), max_iterations=2)
    assert minimum.converged.tolist() == [True, False, False, False]
    tight, loose = (solvers.lbfgs(*quadratics(*problems()), tolerance=t).value.max() for t in (1e-10, 1e-1))
    assert 1 <= tight < 1 + 1e-9 < loose


def test_a_line_search_without_a_way_down_returns_0():
    t, (slope, *_) = solvers.line_search(lambda t: (torch.where(t > 0, 5.0, -1.0),), -torch.ones(1), torch.ones(1))
    assert t.tolist() == [0.0] and slope.tolist() == [-1.0]
    t, _ = solvers.line_search(lambda t: (t - torch.tensor([0.01, 300.0]),), -torch.tensor([0.01, 300]), torch.ones(2))
    torch.testing.assert_close(t, torch.tensor([0.01, 300.0]), rtol=0.5, atol=0)


def test_a_problem_stopped_by_rounding_is_given_up(monkeypatch):
    searches = []
    monkeypatch.setattr(solvers, "line_search", lambda at, slope, t: searches.append(t) or (0 * t, at(0 * t)))
    assert not solvers.lbfgs(*quadratics(*problems())).converged.any() and len(searches) == 1


def bends(x):
    """Three numbers, one of them from both inputs, `[B, 2] -> [B, 3]`."""
    return torch.stack([x[:, 0] ** 3, x[:, 1].sin(), x.prod(1)], dim=1)


def test_levenberg_marquardt_finds_scipys_minimum_of_every_row():
    from scipy.optimize import least_squares

    targets = bends(random.normal(random.key(0), (6, 2))).double() + 0.1 * random.normal(random.key(1), (6, 3)).double()
    start = random.normal(random.key(2), (6, 2)).double()
    found = solvers.levenberg_marquardt(bends, start, targets, steps=200)
    for x, x_0, y in zip(found, start, targets, strict=True):
        theirs = least_squares(lambda x, y=y: (bends(torch.tensor(x)[None])[0] - y).numpy(), x_0.numpy(), method="lm")
        assert (bends(x[None])[0] - y).square().sum() / 2 <= theirs.cost + 1e-9


def test_levenberg_marquardt_makes_no_row_worse_and_treats_each_alone():
    start, targets = random.normal(random.key(3), (40, 2)), random.normal(random.key(4), (40, 3))
    errors = [
        (bends(solvers.levenberg_marquardt(bends, start, targets, steps=steps)) - targets).square().sum(1)
        for steps in (0, 1, 2, 5)
    ]
    assert torch.equal(errors[0], (bends(start) - targets).square().sum(1))
    assert all((later <= before).all() for before, later in itertools.pairwise(errors))
    assert (errors[1] == errors[0]).any() and (errors[1] < errors[0]).any(), "some first steps are refused"
    alone = solvers.levenberg_marquardt(bends, start[:1], targets[:1])
    torch.testing.assert_close(alone, solvers.levenberg_marquardt(bends, start, targets)[:1])


def test_levenberg_marquardt_stays_where_nothing_depends_on_the_inputs():
    start = torch.ones(2, 2)
    assert torch.equal(solvers.levenberg_marquardt(torch.zeros_like, start, torch.ones(2, 2)), start)


def test_levenberg_marquardt_refuses_other_shapes():
    with pytest.raises(ValueError, match="start: expected rank 2"):
        solvers.levenberg_marquardt(bends, torch.ones(2), torch.ones(1, 3))
    with pytest.raises(ValueError, match=r"outputs \[2, 3\], targets \[2, 4\]"):
        solvers.levenberg_marquardt(bends, torch.ones(2, 2), torch.ones(2, 4))
    with pytest.raises(ValueError, match="steps"):
        solvers.levenberg_marquardt(bends, torch.ones(2, 2), torch.ones(2, 3), steps=-1)


@pytest.mark.parametrize("shape", [(90, 5, 3), (20, 40, 3)], ids=["tall", "wide"])
def test_logistic_regression_has_no_gradient_left(shape):
    rows, dim, classes = shape
    x = random.normal(random.key(0), (rows, dim)).double() + 3
    y = torch.arange(rows) % classes
    strengths = torch.tensor([1e-2, 1.0])
    found = solvers.logistic_regression(x, y, strengths=strengths)
    assert found.converged.all() and found.weights.shape == (2, classes, dim)
    torch.testing.assert_close(found.bias.sum(1), torch.zeros(2).double(), rtol=0, atol=1e-9)
    for i, strength in enumerate(strengths):
        weights, bias = (t[i].clone().requires_grad_() for t in (found.weights, found.bias))
        value = F.cross_entropy(x @ weights.T + bias, y) + strength / 2 * weights.square().sum()
        torch.testing.assert_close(value, found.objective[i])
        gradients = torch.autograd.grad(value, (weights, bias))
        assert all(gradient.abs().max() < 1e-3 * strength.sqrt() for gradient in gradients)


def test_losses_of_extreme_logits_are_exact():
    logits = torch.tensor([[1000.0, 0.0], [0.0, 30.0]])[None]  # [S, K, N]
    loss, residual = solvers._loss_and_residual(logits, torch.tensor([0, 1]))
    tiny = math.exp(-30)  # where 1 - p is 0 in float32
    torch.testing.assert_close(loss, torch.tensor([tiny / 2]).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(residual, torch.tensor([[[0.0, tiny], [0.0, -tiny]]]), rtol=1e-6, atol=0)
    loss, residual = solvers._loss_and_residual(logits, torch.tensor([1, 0]))
    torch.testing.assert_close(loss, torch.tensor([(1000 + 30) / 2]).double())
    torch.testing.assert_close(residual, torch.tensor([[[1.0, -1.0], [-1.0, 1.0]]]))


def lbfgs_of_rows():
    objective, start = quadratics(torch.ones(1, 2, 2), torch.ones(1, 2, 2))
    return solvers.lbfgs(objective, start._replace(weights=torch.ones(1, 2)))


X, Y, S = torch.eye(3), torch.tensor([0, 1, 1]), torch.ones(1)


@pytest.mark.parametrize(
    "call,error,words",
    [
        (lambda: solvers.logistic_regression(X[0], Y, strengths=S), ValueError, "x: expected"),
        (lambda: solvers.logistic_regression(X, Y[:2], strengths=S), ValueError, "3 x, 2 y"),
        (lambda: solvers.logistic_regression(X, Y, strengths=S[0]), ValueError, "strengths: expected"),
        (lambda: solvers.logistic_regression(X.long(), Y, strengths=S), TypeError, "x: expected floating point"),
        (lambda: solvers.logistic_regression(X, Y.float(), strengths=S), TypeError, "y: expected integers"),
        (lbfgs_of_rows, ValueError, "start.weights: expected"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(call, error, words):
    with pytest.raises(error, match=re.escape(words)):
        call()
