"""Logistic regression on real features over a grid of strengths, against scikit-learn.

The features are those of an untrained ResNet-18 for the 60,000 + 10,000 images of Fashion-MNIST: 512 columns,
standardised. A solver counts as converged if its objective, evaluated in float64 by the same function for all, is
within 1e-5 of the lowest one found; in its favour, scikit-learn also counts if a finer tolerance improves nothing.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.measuring import (
    Check,
    Options,
    alternate,
    failed,
    line,
    not_run,
    say,
)
from functional import encoders, probes, random
from functional.augmentations import normalize, to_float
from zoo.data.datasets import channel_statistics, load_dataset
from zoo.errors import ZooError

STRENGTHS = tuple(10.0**exponent for exponent in (0, -0.5, -1, -1.5, -2, -2.5, -3, -3.5, -4, -4.5))
TOLERANCES = (1e-5, 1e-6, 1e-7, 1e-8)  # of scikit-learn: the first that is exact enough, or the best possible
EXACT = 1e-5


class Data(NamedTuple):
    """Features `[N, D]` and labels `[N]`."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part."""
    try:
        data = real_features(options)
    except ZooError as error:
        yield not_run("logistic", str(error))
        return
    yield from _logistic(data, options)


def real_features(options: Options) -> Data:
    """The features that probes are timed on; in quick mode, a few columns of few images.

    Raises:
        ZooError: if the dataset is missing.
    """
    data = features("digits" if options.quick else "fashion_mnist", seed=0)
    if options.quick:
        data = Data(data.train_x[:, :32].contiguous(), data.train_y, data.test_x[:, :32].contiguous(), data.test_y)
    return data


def features(dataset: str, *, seed: int) -> Data:
    """The features of a dataset from an untrained ResNet-18, standardised by those of the training images."""
    data = load_dataset(dataset)
    train, test = data.train, data.test
    assert train.labels is not None and test is not None and test.labels is not None  # both datasets have all of these
    mean, std = channel_statistics(train.images)
    encoder = encoders.resnet18(in_channels=train.images.shape[1])
    params, batch_stats = encoder.init(random.key(seed))

    def through(images: Tensor) -> Tensor:
        rows = []
        with torch.no_grad():
            for batch in images.split(500):
                scaled = normalize(None, to_float(batch), mean=mean, std=std)
                rows.append(encoder.apply(params, batch_stats, scaled.contiguous(memory_format=torch.channels_last))[0])
        return torch.cat(rows)

    say(f"features of {dataset}")
    train_x, test_x = probes.standardize(through(train.images), through(test.images))
    return Data(train_x, train.labels, test_x, test.labels)


def _logistic(data: Data, options: Options) -> Iterator[dict[str, Any]]:
    shape = f"logistic, {len(data.train_x):,} x {data.train_x.shape[1]}, {len(STRENGTHS)} strengths"
    say(shape)
    fit = probes.logistic(data.train_x, data.train_y, strengths=STRENGTHS)
    our_objectives = _objectives(data, fit.weights, fit.bias)
    found: dict[float, Tensor] = {}
    least, excess = our_objectives, {}
    for finer in TOLERANCES:  # until a finer tolerance confirms the previous one
        found[finer] = _objectives(data, *_sklearn_path(data, finer))
        least = torch.stack([our_objectives, *found.values()]).amin(0)
        excess = {tolerance: ((each - least) / least).max().item() for tolerance, each in found.items()}
        say(f"scikit-learn's objectives over the least, by tol: {excess}")
        if len(excess) > 1 and list(excess.values())[-2] <= max(EXACT, 1.01 * excess[finer]):
            break
    our_excess = ((our_objectives - least) / least).max().item()
    if reason := failed([Check("logistic: our objective over the least", our_excess, EXACT)]):
        yield not_run(shape, reason)
        return
    tolerance = list(excess)[-2]
    turns = {
        "ours": lambda: probes.logistic(data.train_x, data.train_y, strengths=STRENGTHS),
        "scikit-learn": lambda: _sklearn_path(data, tolerance),
    }
    runs = alternate(shape, turns, options.repeats)
    note = f"objectives over the least: ours {our_excess:.1e}, theirs {excess[tolerance]:.1e}"
    peer = f"scikit-learn LogisticRegression, lbfgs, warm starts, tol {tolerance:g}"
    theirs = runs["scikit-learn"].seconds
    yield line(shape, "s", runs["ours"].seconds, peer=peer, theirs=theirs, floor=5.0, note=note)


def _sklearn_path(data: Data, tolerance: float) -> tuple[Tensor, Tensor]:
    """Weights `[S, D, K]` and biases `[S, K]`, from the strongest penalty to the weakest, each warm-started."""
    from sklearn.linear_model import LogisticRegression

    x, y = data.train_x.numpy(), data.train_y.numpy()
    model = LogisticRegression(tol=tolerance, max_iter=10_000, warm_start=True)
    weights, biases = [], []
    for strength in STRENGTHS:
        model.set_params(C=1 / (len(x) * strength)).fit(x, y)
        weights.append(torch.tensor(model.coef_.T))
        biases.append(torch.tensor(model.intercept_))
    return torch.stack(weights), torch.stack(biases)


def _objectives(data: Data, weights: Tensor, bias: Tensor) -> Tensor:
    """Mean cross-entropy and penalty in float64, `[S]`."""
    x, values = data.train_x.double(), []
    for strength, w, b in zip(STRENGTHS, weights.double(), bias.double(), strict=True):
        loss = torch.nn.functional.cross_entropy(x @ w + b, data.train_y)
        values.append(loss + strength / 2 * w.square().sum())
    return torch.stack(values)
