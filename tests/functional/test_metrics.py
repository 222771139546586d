"""Metrics: scikit-learn's counts, loops in float64, and limits."""

import math

import numpy as np
import pytest
import torch

from functional import metrics, random


def rows(seed, shape=(7, 5), dtype=torch.float32):
    return random.normal(random.key(seed), shape).to(dtype)


def draws(seed, rows=60, classes=5):
    return random.randint(random.key(seed), (rows,), 0, classes)


# --- of predictions -------------------------------------------------------------------------------------------


def test_counts_and_scores_equal_scikit_learn():
    from sklearn import metrics as theirs

    labels, predictions = draws(0), draws(1) % 4  # class 4 is never predicted, class 5 does not occur
    p, y = predictions.numpy(), labels.numpy()
    assert metrics.accuracy(predictions, labels).item() == pytest.approx(theirs.accuracy_score(y, p))
    confusion = metrics.confusion_matrix(predictions, labels, classes=6)
    assert confusion.tolist() == theirs.confusion_matrix(y, p, labels=range(6)).tolist()
    scores = metrics.class_scores(predictions, labels, classes=6)
    expected = theirs.precision_recall_fscore_support(y, p, labels=range(6), zero_division=0)
    for ours, other in zip(scores, expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-6)
    macro = theirs.f1_score(y, p, labels=range(6), average="macro", zero_division=0)
    assert metrics.macro_f1(predictions, labels, classes=6).item() == pytest.approx(macro)


def test_accuracy_of_a_batch_of_predictions():
    labels, predictions = draws(0), torch.stack([draws(0), draws(1), draws(2)])
    each = torch.stack([metrics.accuracy(row, labels) for row in predictions])
    assert each[0] == 1 and torch.equal(metrics.accuracy(predictions, labels), each)


# --- of features ----------------------------------------------------------------------------------------------


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_alignment_and_uniformity_equal_their_loops():
    a, b = rows(0, dtype=torch.float64), rows(1, dtype=torch.float64)
    u, v = unit(a.numpy()), unit(b.numpy())
    for power in (1.0, 2.0):
        loop = sum(np.linalg.norm(x - y) ** power for x, y in zip(u, v, strict=True)) / len(u)
        assert metrics.alignment(a, b, alpha=power).item() == pytest.approx(loop)
    for t in (0.5, 2.0):
        pairs = [math.exp(-t * np.sum((u[i] - u[j]) ** 2)) for i in range(7) for j in range(i)]
        assert metrics.uniformity(a, t=t).item() == pytest.approx(math.log(sum(pairs) / len(pairs)))


def test_effective_rank_and_feature_std_equal_their_loops():
    x = rows(0, dtype=torch.float64)
    sigma = np.linalg.svd(x.numpy(), compute_uv=False)
    entropy = -sum(p * math.log(p) for p in sigma / sigma.sum())
    assert metrics.effective_rank(x).item() == pytest.approx(math.exp(entropy))
    std = unit(x.numpy()).std(axis=0).mean() * math.sqrt(5)
    assert metrics.feature_std(x).item() == pytest.approx(std)


def test_features_that_spread_and_features_that_collapsed():
    spread, point = rows(0, (4000, 16)), torch.ones(50, 1) * rows(1, (1, 16))
    line = torch.linspace(-1, 1, 50)[:, None] * rows(1, (1, 16))
    assert metrics.feature_std(spread) > 0.99 and metrics.effective_rank(spread) > 15.9
    assert metrics.feature_std(point) < 1e-3 and metrics.effective_rank(point) < 1.001
    assert metrics.feature_std(line) > 0.5 and metrics.effective_rank(line) < 1.001
    assert abs(metrics.uniformity(point)) < 1e-5 and metrics.alignment(point, 2 * point) < 1e-12
    assert metrics.uniformity(torch.cat([-line, line])) > metrics.uniformity(spread) > -4


def test_values_stay_finite_for_zeros_and_in_half_precision():
    for x in (torch.zeros(4, 5), torch.cat([torch.zeros(1, 5), rows(0)]), (1e4 * rows(0)).bfloat16(), rows(0, (2, 5))):
        values = (
            metrics.alignment(x, x.flip(0)),
            metrics.uniformity(x),
            metrics.effective_rank(x),
            metrics.feature_std(x),
        )
        assert all(value.isfinite() and value.dtype == torch.float32 for value in values)
    assert metrics.effective_rank(torch.zeros(4, 5)) == 1


def test_the_gradient_of_an_effective_rank_below_the_full_one_is_finite():
    x = torch.diag(torch.tensor([2.0, 1.0, 0.0])).requires_grad_()
    (gradient,) = torch.autograd.grad(metrics.effective_rank(x), x)
    assert gradient[0, 0] < 0 < gradient[1, 1] and gradient.isfinite().all()


def test_vmap_equals_the_loop():
    x, y = rows(0, (3, 7, 5)), rows(1, (3, 7, 5))
    labels, predictions = draws(0).reshape(3, 20), draws(1).reshape(3, 20)
    for function, args in (
        (metrics.alignment, (x, y)),
        (metrics.uniformity, (x,)),
        (metrics.effective_rank, (x,)),
        (metrics.feature_std, (x,)),
        (lambda p, y: metrics.macro_f1(p, y, classes=5), (predictions, labels)),
    ):
        looped = torch.stack([function(*row) for row in zip(*args, strict=True)])
        torch.testing.assert_close(torch.func.vmap(function)(*args), looped)


@pytest.mark.parametrize(
    "call,error,words",
    [
        (
            lambda: metrics.accuracy(rows(0), draws(0, 5)),
            TypeError,
            "predictions: expected integers, got torch.float32",
        ),
        (lambda: metrics.accuracy(draws(0, 6), draws(0, 5)), ValueError, "predictions: expected [..., 5]"),
        (lambda: metrics.macro_f1(draws(0, 6), draws(0, 5), classes=5), ValueError, "predictions [6], labels [5]"),
        (lambda: metrics.confusion_matrix(draws(0), draws(1), classes=2), IndexError, "out of bounds"),
        (lambda: metrics.confusion_matrix(draws(0) - 1, draws(1), classes=5), IndexError, "out of bounds"),
        (lambda: metrics.macro_f1(draws(0), draws(1) - 1, classes=5), IndexError, "out of bounds"),
        (lambda: metrics.alignment(rows(0), rows(0)[:3]), ValueError, "a [7, 5], b [3, 5]"),
        (lambda: metrics.uniformity(rows(0)[:1]), ValueError, "2 rows or more"),
        (lambda: metrics.uniformity(rows(0), t=0.0), ValueError, "t: expected a number above 0"),
        (lambda: metrics.effective_rank(rows(0)[0]), ValueError, "features: expected rank 2"),
    ],
)
def test_wrong_arguments_are_named(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)
