"""Nearest neighbours among real features, against scikit-learn: time, and memory beyond the features."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

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
)
from benchmarks.probes import Data, real_features
from functional import probes
from zoo.errors import ZooError

NEIGHBOURS = 10


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part."""
    try:
        data = real_features(options)
    except ZooError as error:
        yield not_run("kNN", str(error))
        return
    yield from _knn(data, options)


def knn_peak(path: str, which: str) -> float:
    """How much the memory of a new process grows beyond that with the features loaded, in MB."""
    with np.load(path) as file:
        arrays = Data(*(torch.from_numpy(file[name]) for name in Data._fields))
    contender = _knn_contenders(arrays)[which]
    forget_peak()
    before = memory_mb()["resident"]
    contender()
    return memory_mb()["peak"] - before


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
            name: [
                in_child("neighbours.knn_peak", options.threads, path=path, which=name) for _ in range(options.repeats)
            ]
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
    """The share of test rows whose label differs from the vote of scikit-learn's neighbours under our rule for ties.

    The choice among neighbours at exactly equal distance may differ, so that a few rows in a thousand can differ.
    """
    from sklearn.neighbors import NearestNeighbors

    test_x = data.test_x[:2000]
    index = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute", metric="cosine").fit(data.train_x.numpy())
    nearest = data.train_y[torch.from_numpy(index.kneighbors(test_x.numpy(), return_distance=False))]
    expected = [max(row, key=row.count) for row in nearest.tolist()]  # of equal counts the first, which is the nearest
    found = probes.knn(data.train_x, data.train_y, test_x, k=NEIGHBOURS)
    return Check("kNN: labels that differ", (found != torch.tensor(expected)).float().mean().item(), 0.002)
