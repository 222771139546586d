"""Probes on real features: logistic regression over a grid of strengths, and nearest neighbours, against scikit-learn.

The features are those of an untrained ResNet-18 for the 60,000 + 10,000 images of Fashion-MNIST: 512 columns,
standardised. A solver counts as done where its objective, evaluated in float64 by one and the same function, is within
1e-5 of the least that was found.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.measuring import (
    Check,
    Options,
    alternate,
    best,
    failed,
    forget_peak,
    in_child,
    line,
    memory_mb,
    not_run,
    say,
)
from functional import encoders, probes, random
from functional.augmentations import normalize, to_float
from zoo.datasets import channel_statistics, load_dataset
from zoo.errors import ZooError

STRENGTHS = tuple(10.0**exponent for exponent in (0, -0.5, -1, -1.5, -2, -2.5, -3, -3.5, -4, -4.5))
TOLERANCES = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8)  # of scikit-learn: the first one that is exact enough is timed
EXACT = 1e-5
NEIGHBOURS = 10


class Data(NamedTuple):
    """Features `[N, D]` and labels `[N]`."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part."""
    name = "digits" if options.quick else "fashion_mnist"
    try:
        data = features(name, seed=0)
    except ZooError as error:
        yield not_run("probes", f"no {name}: {error}")
        return
    if options.quick:
        data = Data(data.train_x[:, :32].contiguous(), data.train_y, data.test_x[:, :32].contiguous(), data.test_y)
    yield from _logistic(data, options)
    yield from _knn(data, options)


def features(dataset: str, *, seed: int) -> Data:
    """A dataset through an untrained ResNet-18, standardised by its training features."""
    data = load_dataset(dataset)
    train, test = data.train, data.test
    assert train.labels is not None and test is not None and test.labels is not None  # both datasets have them
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


def knn_peak(path: str, which: str) -> float:
    """How far the memory of a fresh process rises over what it holds with the features loaded, in MB."""
    with np.load(path) as file:
        arrays = Data(*(torch.from_numpy(file[name]) for name in Data._fields))
    contender = _knn_contenders(arrays)[which]
    forget_peak()
    before = memory_mb()["resident"]
    contender()
    return memory_mb()["peak"] - before


def _logistic(data: Data, options: Options) -> Iterator[dict[str, Any]]:
    shape = f"logistic, {len(data.train_x):,} x {data.train_x.shape[1]}, {len(STRENGTHS)} strengths"
    say(shape)
    fit = probes.logistic(data.train_x, data.train_y, strengths=STRENGTHS)
    our_objectives = _objectives(data, fit.weights, fit.bias)
    found: dict[float, Tensor] = {}
    least, excess, enough = our_objectives, {}, []
    for finer in TOLERANCES:  # until a finer one confirms one that is exact enough
        found[finer] = _objectives(data, *_sklearn_path(data, finer))
        least = torch.stack([our_objectives, *found.values()]).amin(0)
        excess = {tolerance: ((each - least) / least).max().item() for tolerance, each in found.items()}
        say(f"scikit-learn's objectives over the least, by tol: {excess}")
        enough = [tolerance for tolerance, each in excess.items() if each <= EXACT]
        if enough and enough[0] != finer:
            break
    our_excess = ((our_objectives - least) / least).max().item()
    checks = [
        Check("logistic: our objective over the least", our_excess, EXACT),
        Check("logistic: scikit-learn's objective over the least", min(excess.values()), EXACT),
    ]
    if reason := failed(checks):
        yield not_run(shape, reason)
        return
    tolerance = enough[0]
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
    """Weights `[S, D, K]` and biases `[S, K]`, from the strongest penalty to the weakest, each from the last."""
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


def _knn(data: Data, options: Options) -> Iterator[dict[str, Any]]:
    shape = f"kNN, {len(data.train_x):,} x {len(data.test_x):,} x {data.train_x.shape[1]}"
    if reason := failed([_same_neighbours(data)]):
        yield not_run(shape, reason)
        return
    runs = alternate(shape, _knn_contenders(data), options.repeats)
    chosen = best(runs, [name for name in runs if name != "ours"])
    yield line(shape, "s", runs["ours"].seconds, peer=chosen, theirs=runs[chosen].seconds, floor=2.0)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "features.npz")
        np.savez(path, **{name: array.numpy() for name, array in data._asdict().items()})
        peaks = {
            name: [in_child("probes.knn_peak", options.threads, path=path, which=name) for _ in range(options.repeats)]
            for name in ("ours", chosen)
        }
    yield line(f"{shape}: memory beyond the features", "MB", peaks["ours"], peer=chosen, theirs=peaks[chosen])


def _knn_contenders(data: Data) -> dict[str, Any]:
    from sklearn.neighbors import KNeighborsClassifier

    def sklearn(jobs: int | None) -> Any:
        model = KNeighborsClassifier(NEIGHBOURS, algorithm="brute", metric="cosine", n_jobs=jobs)
        return model.fit(data.train_x.numpy(), data.train_y.numpy()).predict(data.test_x.numpy())

    return {
        "ours": lambda: probes.knn(data.train_x, data.train_y, data.test_x, k=NEIGHBOURS),
        "scikit-learn KNeighborsClassifier, brute": lambda: sklearn(None),
        "scikit-learn KNeighborsClassifier, brute, n_jobs=-1": lambda: sklearn(-1),
    }


def _same_neighbours(data: Data) -> Check:
    """The share of test rows whose label is not the one that scikit-learn's neighbours vote for, by our rule for ties.

    Neighbours that are equally far to the last bit may be others, so that a few rows in a thousand can differ.
    """
    from sklearn.neighbors import NearestNeighbors

    test_x = data.test_x[:2000]
    index = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute", metric="cosine").fit(data.train_x.numpy())
    nearest = data.train_y[torch.from_numpy(index.kneighbors(test_x.numpy(), return_distance=False))]
    expected = [max(row, key=row.count) for row in nearest.tolist()]  # of equal counts the first, which is the nearest
    found = probes.knn(data.train_x, data.train_y, test_x, k=NEIGHBOURS)
    return Check("kNN: labels that differ", (found != torch.tensor(expected)).float().mean().item(), 0.002)
