"""Probes: scikit-learn's optima at every strength, values computed by hand, and rejected arguments."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from functional import neighbours, probes, random

STRENGTHS = (1e-4, 1e-2, 1.0)


def blobs(rows, dim, classes, seed=0, dtype=torch.float64):
    """Overlapping classes in correlated columns of very different scales; each class has a row."""
    keys = random.split(random.key(seed), 4)
    y = torch.cat([torch.arange(classes), random.randint(keys[0], (rows - classes,), 0, classes)])
    x = random.normal(keys[1], (classes, dim))[y] + 1.5 * random.normal(keys[2], (rows, dim))
    mix = random.normal(keys[3], (dim, dim)) * torch.logspace(0, -2, dim)
    return (x @ mix + 3).to(dtype), y


def objective(weights, bias, x, y, strength):
    return F.cross_entropy(x @ weights + bias, y) + strength / 2 * weights.square().sum()


# --- golden ---------------------------------------------------------------------------------------------------


def test_knn_votes_and_ties_by_hand():
    degrees = torch.deg2rad(torch.tensor([0.0, 5.0, 10.0, 90.0, 180.0]))
    train_x, train_y = torch.stack([degrees.cos(), degrees.sin()], 1), torch.tensor([3, 1, 1, 0, 2])
    at_1_degree = 9 * torch.tensor([[0.99985, 0.01745]])  # nearest first: classes 3, 1, 1, 0, 2
    for k, label in ((1, 3), (2, 3), (3, 1), (4, 1), (5, 1)):  # k = 2 is a tie, decided by the nearest row
        assert probes.knn(train_x, train_y, at_1_degree, k=k).tolist() == [label]
    assert probes.knn(train_x, train_y, torch.zeros(1, 2), k=5).tolist() == [1]  # 0 to all: still a majority


# --- scikit-learn ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(300, 12, 4), (40, 60, 3), (200, 6, 2)], ids=["usual", "wide", "two classes"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_logistic_equals_scikit_learn(shape, dtype):
    from sklearn.linear_model import LogisticRegression

    x, y = blobs(*shape)
    (x,) = probes.standardize(x)
    fit = probes.logistic(x.to(dtype), y, strengths=STRENGTHS)
    assert fit.converged.all() and fit.weights.dtype == dtype and fit.objective.dtype == torch.float64
    rows, _, classes = shape
    for i, strength in enumerate(STRENGTHS):
        c = (2 if classes == 2 else 1) / (rows * strength)
        theirs = LogisticRegression(C=c, solver="newton-cg", tol=1e-9, max_iter=1000).fit(x.numpy(), y.numpy())
        weights, bias = torch.from_numpy(theirs.coef_.T), torch.from_numpy(theirs.intercept_)
        if classes == 2:
            weights, bias = torch.cat([-weights, weights], 1) / 2, torch.cat([-bias, bias]) / 2
        minimum = objective(weights, bias, x, y, strength)
        torch.testing.assert_close(fit.objective[i], minimum, rtol=1e-6, atol=0)
        own = objective(fit.weights[i].double(), fit.bias[i].double(), x, y, strength)
        torch.testing.assert_close(own, minimum, rtol=1e-6, atol=0)
        assert fit.predict(x)[i].tolist() == theirs.predict(x.numpy()).tolist()
        assert abs(fit.score(x, y)[i] - theirs.score(x.numpy(), y.numpy())) < 1e-6
        log_p = fit.log_probabilities(x)[i].numpy()
        np.testing.assert_allclose(log_p, theirs.predict_log_proba(x.numpy()), rtol=0.02, atol=5e-3)


@pytest.mark.parametrize("shape", [(120, 9, 4), (20, 30, 3)], ids=["tall", "wide"])
def test_ridge_equals_scikit_learn(shape):
    from sklearn.linear_model import Ridge, RidgeClassifier

    x, y = blobs(*shape)
    fit = probes.ridge(x, y, strengths=STRENGTHS)
    for i, strength in enumerate(STRENGTHS):
        theirs = Ridge(alpha=len(x) * strength).fit(x.numpy(), F.one_hot(y).numpy())
        np.testing.assert_allclose(fit.weights[i].T, theirs.coef_, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(fit.bias[i], theirs.intercept_, rtol=1e-6, atol=1e-9)
        classifier = RidgeClassifier(alpha=len(x) * strength).fit(x.numpy(), y.numpy())
        assert fit.predict(x)[i].tolist() == classifier.predict(x.numpy()).tolist()
        assert abs(fit.score(x, y)[i] - classifier.score(x.numpy(), y.numpy())) < 1e-6
    assert probes.ridge(x.bfloat16(), y, strengths=(1.0,)).weights.dtype == torch.float32


@pytest.mark.parametrize("shape", [(120, 9, 4), (20, 30, 3)], ids=["tall", "wide"])
def test_ridge_regression_on_any_targets_equals_scikit_learn(shape, monkeypatch):
    from sklearn.linear_model import Ridge

    x, y = blobs(*shape)
    targets = torch.cat([x[:, :2].square(), F.one_hot(y).double()], 1)
    for at_once in (4096, 7):
        monkeypatch.setattr(probes, "_ROWS_AT_ONCE", at_once)
        fit = probes.ridge_regression(x, targets, strengths=STRENGTHS)
        for i, strength in enumerate(STRENGTHS):
            theirs = Ridge(alpha=len(x) * strength).fit(x.numpy(), targets.numpy())
            np.testing.assert_allclose(fit.weights[i].T, theirs.coef_, rtol=1e-6, atol=1e-9)
            np.testing.assert_allclose(fit.bias[i], theirs.intercept_, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(fit.weights[..., 2:], probes.ridge(x, y, strengths=STRENGTHS).weights)


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_knn_votes_with_the_neighbours_of_scikit_learn(k, monkeypatch):
    from sklearn.neighbors import NearestNeighbors

    (train_x, train_y), (test_x, _) = blobs(80, 7, 4), blobs(30, 7, 4, seed=1)
    nearest = NearestNeighbors(n_neighbors=k, metric="cosine").fit(train_x.numpy()).kneighbors(test_x.numpy())[1]
    votes = train_y[torch.from_numpy(nearest)].tolist()
    expected = [max(row, key=row.count) for row in votes]  # max returns the first of equals
    assert probes.knn(train_x, train_y, test_x, k=k).tolist() == expected
    monkeypatch.setattr(neighbours, "_SIMILARITIES_AT_ONCE", 3 * len(train_x))
    assert probes.knn(train_x, train_y, test_x, k=k).tolist() == expected


def test_standardize_equals_scikit_learn():
    from sklearn.preprocessing import StandardScaler

    train, test = blobs(50, 4, 2)[0], blobs(20, 4, 2, seed=1)[0]
    scaler = StandardScaler().fit(train.numpy())
    for ours, theirs in zip(probes.standardize(train, test), (train, test), strict=True):
        np.testing.assert_allclose(ours, scaler.transform(theirs.numpy()), atol=1e-12)


# --- property -------------------------------------------------------------------------------------------------


def test_a_grid_is_its_strengths_one_by_one():
    x, y = blobs(150, 8, 3)
    grid = probes.logistic(x, y, strengths=STRENGTHS)
    assert torch.equal(grid.weights, probes.logistic(x, y, strengths=STRENGTHS).weights)
    for i, strength in enumerate(STRENGTHS):
        alone = probes.logistic(x, y, strengths=(strength,))
        torch.testing.assert_close(alone.objective[0], grid.objective[i], rtol=1e-7, atol=0)
    assert grid.weights.square().sum((1, 2)).diff().max() < 0  # stronger is shorter


def test_a_class_without_a_row_has_probability_0():
    x, y = blobs(60, 5, 3)
    gap = torch.tensor([0, 2, 5])[y]
    fit, dense = (probes.logistic(x, labels, strengths=STRENGTHS) for labels in (gap, y))
    assert fit.weights.shape == (3, 5, 6) and torch.equal(fit.objective, dense.objective)
    torch.testing.assert_close(fit.log_probabilities(x)[..., [0, 2, 5]], dense.log_probabilities(x))
    assert (fit.log_probabilities(x)[..., [1, 3, 4]] == -torch.inf).all()
    assert set(probes.ridge(x, gap, strengths=STRENGTHS).predict(x).unique().tolist()) <= {0, 2, 5}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_separable_classes_and_weak_strengths_converge(dtype):
    # Odds of e^-20 and less, where the loss of a float32 softmax is 0.
    x = torch.tensor([[-2.0, 0.5], [-1.0, 0.1], [1.0, -0.2], [2.0, 0.3]], dtype=dtype)
    fit = probes.logistic(x, torch.tensor([0, 0, 1, 1]), strengths=(1e-9, 1e6))
    assert fit.converged.all()
    for i, strength in enumerate((1e-9, 1e6)):
        weights, bias = (t[i].double().requires_grad_() for t in (fit.weights, fit.bias))
        value = objective(weights, bias, x.double(), torch.tensor([0, 0, 1, 1]), strength)
        torch.testing.assert_close(value, fit.objective[i], rtol=1e-5, atol=0)
        gradient = torch.cat([g.flatten() for g in torch.autograd.grad(value, (weights, bias))])
        assert gradient.square().sum() / (2 * strength) < 1e-5 * value or gradient.norm() < 1e-9


def test_features_far_from_0_and_of_different_lengths():
    x, y = blobs(200, 6, 3, dtype=torch.float32)
    fit = probes.logistic(x + 1000, y, strengths=(1e-2,))
    torch.testing.assert_close(fit.objective, probes.logistic(x, y, strengths=(1e-2,)).objective, rtol=1e-4, atol=0)


def test_few_iterations_are_enough():
    x, y = blobs(300, 12, 4)  # unscaled: without the principal axes the weakest strength needs over 100
    assert probes.logistic(x, y, strengths=STRENGTHS, max_iterations=30).converged.all()


def test_running_out_of_iterations_is_reported():
    x, y = blobs(100, 8, 3)
    fit = probes.logistic(x, y, strengths=(1e-4, 1e4), max_iterations=4)
    assert fit.converged.tolist() == [False, True]


def test_standardize_leaves_constant_columns_at_0():
    constant = torch.full((1000, 1), 0.1)  # whose mean in float32 is not .1
    for x in probes.standardize(constant, constant[:3] + 1):
        assert (x == 0).all()
    assert probes.standardize(torch.eye(3).bfloat16())[0].dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_labels_of_any_integers(dtype):
    x, y = blobs(30, 4, 3, dtype=torch.float32)
    small = y.to(dtype)
    assert torch.equal(probes.knn(x, small, x, k=3), probes.knn(x, y, x, k=3))
    for probe in (probes.logistic, probes.ridge):
        assert torch.equal(probe(x, small, strengths=(1.0,)).weights, probe(x, y, strengths=(1.0,)).weights)


def test_inputs_stay_as_they_were():
    x, y = blobs(30, 4, 3, dtype=torch.float32)
    kept = x.clone(), y.clone()
    probes.standardize(x, x)
    probes.logistic(x, y, strengths=(1.0,))
    probes.ridge(x, y, strengths=(1.0,))
    probes.knn(x, y, x, k=3)
    assert torch.equal(x, kept[0]) and torch.equal(y, kept[1])


X, Y = torch.eye(4), torch.tensor([0, 1, 0, 1])
HOLE = X.clone().index_put((torch.tensor([2]), torch.tensor([1])), torch.tensor(torch.nan))


@pytest.mark.parametrize(
    "call,error,words",
    [
        (lambda: probes.logistic(X, 0 * Y + 3, strengths=(1.0,)), ValueError, "2 classes, got 4 rows of class 3"),
        (lambda: probes.logistic(X, Y - 1, strengths=(1.0,)), ValueError, "class numbers from 0, got -1"),
        (lambda: probes.logistic(X, Y[:3], strengths=(1.0,)), ValueError, "4 train_x, 3 train_y"),
        (lambda: probes.logistic(HOLE, Y, strengths=(1.0,)), ValueError, "NaN or infinity, first in row 2"),
        (lambda: probes.logistic(X, Y, strengths=(1.0, 0.0)), ValueError, "strengths: expected a number above 0"),
        (lambda: probes.logistic(X, Y, strengths=()), ValueError, "strengths: expected at least one"),
        (lambda: probes.logistic(X, Y.float(), strengths=(1.0,)), TypeError, "train_y: expected integers"),
        (lambda: probes.logistic(X.long(), Y, strengths=(1.0,)), TypeError, "train_x: expected floating point"),
        (lambda: probes.logistic(X, Y, strengths=(1.0,)).predict(X[:, :2]), ValueError, "x: expected 4 features"),
        (lambda: probes.ridge(X, 0 * Y, strengths=(1.0,)), ValueError, "at least 2 classes"),
        (lambda: probes.knn(X, Y, X, k=5), ValueError, "k: expected 1 <= k <= 4, the number of training rows, got 5"),
        (lambda: probes.knn(X, Y, X, k=0), ValueError, "got 0"),
        (lambda: probes.knn(X, Y, HOLE, k=1), ValueError, "test_x: features contain NaN"),
        (lambda: probes.knn(X, Y, X[:, :2], k=1), ValueError, "test_x: expected 4 features"),
        (lambda: probes.knn(X[:0], Y[:0], X, k=1), ValueError, "train_x: expected at least one row"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)


# --- label spreading ------------------------------------------------------------------------------------------


def a_graph(n=120, k=6, seed=0):
    x, y = blobs(n, 8, 3, seed)
    return neighbours.neighbour_graph(x, k=k), x, y


def dense(graph):
    n = len(graph.starts) - 1
    s = torch.zeros(n, n, dtype=graph.weights.dtype)
    s[torch.repeat_interleave(torch.arange(n), graph.starts.diff()), graph.columns] = graph.weights
    return s


@pytest.mark.parametrize("alpha", [0.5, 0.99])
def test_spread_equals_scikit_learn(alpha):
    from sklearn.semi_supervised import LabelSpreading

    graph, x, y = a_graph()
    s = dense(graph)
    # W has the same S as any diagonal scaling of it: with the eigenvector of eigenvalue 1, the square roots of degrees.
    root = torch.linalg.eigh(s).eigenvectors[:, -1].abs()
    w = s * root[:, None] * root
    labelled = torch.tensor([0, 1, 2, 17, 50])
    given = torch.full((len(x),), -1)
    given[labelled] = y[labelled]
    theirs = LabelSpreading(kernel=lambda *_: w.numpy(), alpha=alpha, max_iter=10_000, tol=1e-13)
    theirs = torch.from_numpy(theirs.fit(x.numpy(), given.numpy()).label_distributions_)
    f = torch.linalg.solve(torch.eye(len(x)).double() - alpha * s, F.one_hot(given + 1).double()[:, 1:])
    torch.testing.assert_close(f / f.sum(1, keepdim=True), theirs, rtol=1e-6, atol=1e-9)
    found = probes.spread(graph, labelled, y[labelled], alpha=alpha, tolerance=1e-12)
    torch.testing.assert_close(found.scores, f / f.sum(0))
    assert torch.equal(found.labels, (f / f.sum(0)).argmax(1))


def test_parts_of_labels_add_up(monkeypatch):
    """As many columns at a time as fit, and one at a time."""
    graph, _, y = a_graph()
    labelled = torch.arange(12)
    whole = probes.spread(graph, labelled, y[:12], tolerance=1e-10)
    for at_once in (2**22, 1):
        monkeypatch.setattr(probes, "_SOLVED_AT_ONCE", at_once)
        alone = probes.spread(graph, labelled, labelled, tolerance=1e-10)
        raw = (alone.scores * alone.mass) @ F.one_hot(y[:12]).double()
        torch.testing.assert_close(raw / raw.sum(0), whole.scores)
        torch.testing.assert_close(raw.sum(0), whole.mass)


def test_a_part_without_a_label_gets_none():
    x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    graph = neighbours.neighbour_graph(x, k=1)
    found = probes.spread(graph, torch.tensor([0]), torch.tensor([2]))
    assert found.labels.tolist() == [2, 2, -1, -1] and found.scores.shape == (4, 3)
    torch.testing.assert_close(found.scores.sum(0), torch.tensor([0.0, 0.0, 1.0]))


def test_the_class_with_the_most_labels_has_no_advantage():
    graph, _, y = a_graph(400, k=10)
    few, many = (y == 0).nonzero()[:1, 0], (y == 1).nonzero()[:60, 0]
    labelled = torch.cat([few, many])
    seeds = torch.zeros(400, 2, dtype=torch.float64).index_put((labelled, y[labelled]), torch.ones(61).double())
    unscaled = torch.linalg.solve(torch.eye(400).double() - 0.99 * dense(graph), seeds).argmax(1)
    scaled = probes.spread(graph, labelled, y[labelled]).labels
    assert (unscaled[y == 0] == 0).sum() < 10 and (scaled[y == 0] == 0).sum() > 40


def test_spread_says_when_it_has_not_arrived():
    graph, _, y = a_graph()
    with pytest.raises(RuntimeError, match="no solution in 3 iterations; raise max_iterations, or lower alpha"):
        probes.spread(graph, torch.arange(5), y[:5], max_iterations=3)


@pytest.mark.parametrize(
    "labelled,labels,alpha,words",
    [
        ([0, 0], [0, 1], 0.9, r"labelled: expected positions in 0\.\.119, each once, got \[0, 0\]"),
        ([0, 120], [0, 1], 0.9, r"labelled: expected positions in 0\.\.119, each once, got \[0, 120\]"),
        ([0, 1], [0, -1], 0.9, "labels: expected class numbers from 0, got -1"),
        ([0, 1], [0], 0.9, "expected as many of each"),
        ([], [], 0.9, "labels: expected at least one, got none"),
        ([0, 1], [0, 1], 1.0, "alpha: expected a number between 0 and 1, got 1.0"),
    ],
)
def test_spread_rejects(labelled, labels, alpha, words):
    graph, _, _ = a_graph()
    with pytest.raises(ValueError, match=words):
        probes.spread(graph, torch.tensor(labelled).long(), torch.tensor(labels).long(), alpha=alpha)
