"""Contrastive losses: values computed by hand, loops in float64, other libraries, and mathematical properties."""

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


def test_decoupled_contrastive_of_orthogonal_pairs():
    # The same without the positive in the denominator: log(4 e^0) - 1/t.
    value = losses.decoupled_contrastive(torch.eye(3), 7 * torch.eye(3), temperature=0.5)
    torch.testing.assert_close(value, torch.full((6,), math.log(4) - 2))


def test_info_nce_by_hand():
    # Similarities 1 to the positive, and 0, -1 and .6 to the negatives.
    query, positive = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    negatives = torch.tensor([[0.0, 1.0], [-3.0, 0.0], [3.0, 4.0]])
    e = math.exp
    value = losses.info_nce(query, positive, negatives, temperature=0.5)
    torch.testing.assert_close(value, torch.tensor([-math.log(e(2) / (e(2) + e(0) + e(-2) + e(1.2)))]))


def test_supervised_contrastive_by_hand():
    # Row 0: positives of similarity 1 and 0, one negative of similarity -1. Row 3 is alone.
    z = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    e = math.exp
    value = losses.supervised_contrastive(z, torch.tensor([4, 4, 4, 9]), temperature=0.5)
    torch.testing.assert_close(value[0], torch.tensor(-(2 + 0) / 2 + math.log(e(2) + e(0) + e(-2))))
    assert value[3] == 0


# --- naive twin -----------------------------------------------------------------------------------------------


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def nt_xent_twin(a, b, temperature):
    """Equation 1 of arXiv:2002.05709, term by term."""
    z, n = unit(np.concatenate([a, b])), len(a)
    out = []
    for i in range(2 * n):
        s = [z[i] @ z[k] / temperature for k in range(2 * n)]
        partner = i + n if i < n else i - n
        out.append(-s[partner] + math.log(sum(math.exp(s[k]) for k in range(2 * n) if k != i)))
    return np.array(out)


def decoupled_contrastive_twin(a, b, temperature):
    """Equation 6 of arXiv:2110.06848, term by term."""
    views = unit(a), unit(b)
    out = []
    for own, other in (views, views[::-1]):
        for i in range(len(a)):
            s = [own[i] @ view[k] / temperature for view in views for k in range(len(a)) if k != i]
            out.append(-own[i] @ other[i] / temperature + math.log(sum(map(math.exp, s))))
    return np.array(out)


def info_nce_twin(query, positive, negatives, temperature):
    """Equation 1 of arXiv:1911.05722, term by term."""
    out = []
    for q, p in zip(unit(query), unit(positive), strict=True):
        s = [q @ k / temperature for k in (p, *unit(negatives))]
        out.append(-math.log(math.exp(s[0]) / sum(map(math.exp, s))))
    return np.array(out)


def supervised_contrastive_twin(z, labels, temperature):
    """Equation 2 of arXiv:2004.11362, term by term."""
    z, out = unit(z), []
    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        positives = [k for k in others if labels[k] == labels[i]]
        total = sum(math.exp(z[i] @ z[k] / temperature) for k in others)
        terms = [math.log(math.exp(z[i] @ z[p] / temperature) / total) for p in positives]
        out.append(-sum(terms) / len(positives) if positives else 0.0)
    return np.array(out)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("batch", [1, 2, 6])
def test_losses_equal_their_twins(temperature, batch):
    a, b, c = rows(0, (batch, 5), torch.float64), rows(1, (batch, 5), torch.float64), rows(2, (7, 5), torch.float64)
    labels = torch.tensor([0, 1, 0, 0, 2, 1])[:batch]
    cases = [
        (losses.nt_xent, nt_xent_twin, (a, b)),
        (losses.info_nce, info_nce_twin, (a, b, c)),
        (losses.supervised_contrastive, supervised_contrastive_twin, (a, labels)),
    ]
    if batch > 1:
        cases.append((losses.decoupled_contrastive, decoupled_contrastive_twin, (a, b)))
    for loss, twin, args in cases:
        expected = torch.from_numpy(twin(*(x.numpy() for x in args), temperature))
        torch.testing.assert_close(loss(*args, temperature=temperature), expected)


# --- other libraries ------------------------------------------------------------------------------------------


def test_nt_xent_and_decoupled_contrastive_equal_lightly():
    from lightly.loss import DCLLoss, NTXentLoss

    a, b = rows(0), rows(1)
    torch.testing.assert_close(losses.nt_xent(a, b, temperature=0.3).mean(), NTXentLoss(temperature=0.3)(a, b))
    ours = losses.decoupled_contrastive(a, b, temperature=0.3).mean()
    torch.testing.assert_close(ours, DCLLoss(temperature=0.3)(a, b))


def test_supervised_contrastive_equals_pytorch_metric_learning():
    from pytorch_metric_learning.losses import SupConLoss

    z, labels = rows(0, (8, 5)), torch.tensor([0, 1, 0, 2, 1, 0, 3, 2])  # row 6 is alone, and not in their mean
    ours = losses.supervised_contrastive(z, labels, temperature=0.3)
    torch.testing.assert_close(ours.sum() / 7, SupConLoss(temperature=0.3)(z, labels))


# --- property -------------------------------------------------------------------------------------------------


def test_nt_xent_ignores_norms_and_the_order_of_views():
    a, b = rows(0), rows(1)
    value = losses.nt_xent(a, b, temperature=0.2)
    torch.testing.assert_close(losses.nt_xent(3 * a, 0.1 * b, temperature=0.2), value)
    torch.testing.assert_close(losses.nt_xent(b, a, temperature=0.2), value.roll(len(a)))


def test_nt_xent_falls_when_views_agree():
    a, b = rows(0), rows(1)
    losses_on_the_way = [losses.nt_xent(a, (1 - t) * b + t * a, temperature=0.5).mean() for t in (0.0, 0.5, 1.0)]
    assert losses_on_the_way == sorted(losses_on_the_way, reverse=True)


def test_the_four_losses_are_one_family():
    a, b = rows(0), rows(1)
    nt_xent = losses.nt_xent(a, b, temperature=0.3)
    others = torch.cat([a[1:], b[1:]])
    torch.testing.assert_close(losses.info_nce(a[:1], b[:1], others, temperature=0.3), nt_xent[:1])
    labels = torch.arange(6).repeat(2)
    torch.testing.assert_close(losses.supervised_contrastive(torch.cat([a, b]), labels, temperature=0.3), nt_xent)
    # exp(nt_xent) = 1 + exp(decoupled), since the positive is the one term that they do not share
    decoupled = losses.decoupled_contrastive(a, b, temperature=0.3)
    torch.testing.assert_close(nt_xent, torch.nn.functional.softplus(decoupled))


HARD_ROWS = {
    "identical": torch.ones(4, 5),
    "one zero row": torch.cat([torch.zeros(1, 5), rows(0, (3, 5))]),
    "all zero rows": torch.zeros(4, 5),
    "batch of 2": rows(0, (2, 5)),
    "bfloat16 of size 1e4": (1e4 * rows(0, (4, 5))).bfloat16(),
}
LOSSES = {
    "nt_xent": losses.nt_xent,
    "decoupled_contrastive": losses.decoupled_contrastive,
    "info_nce": lambda a, b, temperature: losses.info_nce(a, b, b, temperature=temperature),
    "supervised_contrastive": lambda a, b, temperature: losses.supervised_contrastive(
        torch.cat([a, b]), torch.arange(2 * len(a)) // 3, temperature=temperature
    ),
}


@pytest.mark.parametrize("case", HARD_ROWS)
@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_stay_finite(name, case):
    a = HARD_ROWS[case].clone().requires_grad_()
    value = LOSSES[name](a, HARD_ROWS[case].flip(0), temperature=0.01)
    (gradient,) = torch.autograd.grad(value.mean(), a)
    assert value.isfinite().all() and value.dtype == torch.float32
    assert gradient.isfinite().all() and gradient.abs().max() < 1e4


def test_supervised_contrastive_of_rows_that_are_alone():
    for batch in (1, 4):
        z = rows(0, (batch, 5)).requires_grad_()
        value = losses.supervised_contrastive(z, torch.arange(batch), temperature=0.01)
        (gradient,) = torch.autograd.grad(value.sum(), z)
        assert (value == 0).all() and (gradient == 0).all()


@pytest.mark.parametrize(
    "call,error,words",
    [
        (lambda a: losses.nt_xent(a, a[:, :3], temperature=0.5), ValueError, "a [6, 5], b [6, 3]"),
        (lambda a: losses.nt_xent(a[0], a[0], temperature=0.5), ValueError, "rank 2 [batch, dim], got shape [5]"),
        (lambda a: losses.nt_xent(a, a, temperature=0.0), ValueError, "temperature: expected a number above 0"),
        (lambda a: losses.nt_xent(a, a, temperature=float("nan")), ValueError, "temperature"),
        (lambda a: losses.decoupled_contrastive(a[:1], a[:1], temperature=0.5), ValueError, "2 images or more"),
        (lambda a: losses.decoupled_contrastive(a, a[:3], temperature=0.5), ValueError, "a [6, 5], b [3, 5]"),
        (lambda a: losses.info_nce(a, a[:3], a, temperature=0.5), ValueError, "query [6, 5], positive [3, 5]"),
        (lambda a: losses.info_nce(a, a, a[:, :3], temperature=0.5), ValueError, "negatives: expected [K, 5]"),
        (lambda a: losses.info_nce(a, a, a[0], temperature=0.5), ValueError, "negatives: expected rank 2"),
        (lambda a: losses.supervised_contrastive(a, torch.arange(5), temperature=1.0), ValueError, "6 z, 5 labels"),
        (lambda a: losses.supervised_contrastive(a, a[:, 0], temperature=1.0), TypeError, "labels: expected integers"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(call, error, words):
    with pytest.raises(error) as raised:
        call(rows(0))
    assert words in str(raised.value)


# --- golden: the losses of MoCo, MoCo v3 and BYOL ---------------------------------------------------------------


def golden_rows(n, d, s):
    """`sin(s k^2)` for k = 1 to n d, row by row: numbers that anyone can write down again."""
    k = torch.arange(1, n * d + 1, dtype=torch.float64)
    return torch.sin(s * k * k).reshape(n, d)


Z1 = golden_rows(8, 4, 0.37)
Z2 = Z1 + 0.5 * golden_rows(8, 4, 0.91)
U1 = golden_rows(6, 5, 0.37)
U2 = U1 + 0.5 * golden_rows(6, 5, 0.91)
BANK = torch.nn.functional.normalize(golden_rows(5, 4, 0.53))


@pytest.mark.parametrize(
    "value,expected",
    [
        # solo-learn (git 9187ea3), mocov2plus_loss_func: query z1, key z2, queue of 5 rows, temperature .2
        (lambda: losses.info_nce(Z1, Z2, BANK, temperature=0.2).mean(), 0.4466247784),
        # solo-learn, mocov3_loss_func, with the factor 2 T of the authors, temperature .2
        (lambda: losses.mocov3(Z1, Z2, temperature=0.2).mean(), 0.2289060879),
        (lambda: losses.mocov3(Z2, Z1, temperature=0.2).mean(), 0.2178632358),
        # lightly 1.6.0, NegativeCosineSimilarity
        (lambda: losses.negative_cosine(Z1, Z2).mean(), -0.8670112930),
        (lambda: losses.negative_cosine(U1, U2).mean(), -0.8744168099),
        # solo-learn, byol_loss_func: |n(p) - n(z)|^2, one direction of BYOL
        (lambda: (2 + 2 * losses.negative_cosine(Z1, Z2)).mean(), 0.2659774140),
    ],
    ids=["moco", "moco_v3", "moco_v3 back", "negative_cosine", "negative_cosine 6x5", "byol"],
)
def test_golden_values_of_other_implementations(value, expected):
    assert float(value()) == pytest.approx(expected, rel=1e-8, abs=1e-9)


def test_mocov3_equals_the_cross_entropy_of_the_authors_and_its_bounds():
    q, k = torch.nn.functional.normalize(Z1), torch.nn.functional.normalize(Z2)
    logits = q @ k.T / 0.3
    expected = 2 * 0.3 * torch.nn.functional.cross_entropy(logits, torch.arange(8), reduction="none")
    torch.testing.assert_close(losses.mocov3(Z1, Z2, temperature=0.3), expected)
    alike = torch.ones(5, 3, dtype=torch.float64)
    torch.testing.assert_close(
        losses.mocov3(alike, alike, temperature=0.5), torch.full((5,), math.log(5), dtype=torch.float64)
    )
    with pytest.raises(ValueError, match="temperature: expected a number above 0"):
        losses.mocov3(Z1, Z2, temperature=0.0)
