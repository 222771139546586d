"""The quality of clusters found without labels: k-means and Gaussian mixtures, on features and on pixels.

As many clusters as there are classes are fitted on the training images without their labels. The test images are
assigned to these clusters, and the clusters are compared with the classes:

    accuracy    under the best one-to-one matching of clusters and classes (Hungarian method); the matching is chosen
                on the test labels, as is common practice, which makes the accuracy an upper bound
    nmi         normalised mutual information, by the arithmetic mean of the two entropies
    ari         adjusted Rand index: 1 for equal partitions, 0 on average for random ones

K-means runs on the raw features and keeps the best of 10 starts. A mixture of Gaussians with full covariances has more
parameters than a few thousand images can determine. Its covariances are therefore diagonal, on the first principal
components (at most 50), where features are uncorrelated over all images and constant pixels are gone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from zoo.data.datasets import Dataset
from zoo.errors import ZooError
from zoo.evaluation.protocol import BASELINES, features_by_name, spread
from zoo.models.pretrained import PretrainedEncoder

SCORES = ("accuracy", "nmi", "ari")
_STARTS: Any = 10  # scikit-learn's annotation is str only
_COMPONENTS = 50


def cluster(
    model: PretrainedEncoder,
    data: Dataset,
    *,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    seed: int = 0,
    baselines: Sequence[str] = BASELINES,
) -> dict[str, Any]:
    """Accuracy, NMI and ARI of clusters on the test images, for the encoder and its baselines.

    Args:
        model: the encoder.
        data: a dataset with labelled test images; labels of training images are ignored.
        seeds: the seeds of the clusterings, one fit of each kind per seed.
        seed: the seed of the untrained encoder.
        baselines: any of `"pixels"` and `"untrained"`.

    Returns:
        A record of plain values. `record["results"]` has one row per kind of features and method; for each score, the
        row has the values over the seeds, their mean and their standard deviation.

    Raises:
        ZooError: if there are no labelled test images, no seeds, or fewer training images than classes.
    """
    if data.test is None or data.test.labels is None:
        raise ZooError(
            f"{data.name}: has no labelled test images, on which clusters are compared with classes; put some images "
            "into a folder test beside a folder train, or name them in a column split"
        )
    clusters = len(data.classes)
    if len(data.train.images) < clusters:
        raise ZooError(f"{data.name}: expected {clusters} or more training images, one per class")
    if not seeds:
        raise ZooError("seeds: expected one or more, got none")
    sources = features_by_name(model, baselines, seed)
    rows = []
    with tqdm(total=len(sources) * len(METHODS) * len(seeds), unit=" fits", delay=2, disable=None) as bar:
        for source, features in sources.items():
            train_x, test_x = (features(images).numpy() for images in (data.train.images, data.test.images))
            for method, assign in METHODS.items():
                bar.set_description(f"{method}, {source}")
                scores = []
                for s in seeds:
                    scores.append(agreement(assign(train_x, test_x, clusters, s), data.test.labels))
                    bar.update()
                columns = {score: spread([values[score] for values in scores]) for score in SCORES}
                rows.append({"features": source, "method": method, **columns})
    return {
        "model": model.name,
        "dataset": data.name,
        "dataset_digest": data.digest,
        "train_images": len(data.train.images),
        "test_images": len(data.test.labels),
        "clusters": clusters,
        "seeds": list(seeds),
        "seed": seed,
        "results": rows,
    }


def agreement(clusters: Sequence[int] | np.ndarray, labels: Sequence[int] | np.ndarray | Tensor) -> dict[str, float]:
    """The agreement of clusters with classes: `{"accuracy", "nmi", "ari"}`, independent of the cluster numbering.

    Args:
        clusters: the cluster of each image, a number from 0.
        labels: the class of each image, a number from 0.

    Example:
        >>> agreement([1, 1, 0, 0], [0, 0, 1, 1])
        {'accuracy': 1.0, 'nmi': 1.0, 'ari': 1.0}
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    clusters, labels = np.asarray(clusters), np.asarray(labels)
    side = 1 + int(max(clusters.max(), labels.max()))
    counts = np.zeros((side, side), dtype=np.int64)
    np.add.at(counts, (clusters, labels), 1)
    matched = counts[linear_sum_assignment(counts, maximize=True)].sum()
    return {
        "accuracy": float(matched / len(labels)),
        "nmi": float(normalized_mutual_info_score(labels, clusters)),
        "ari": float(adjusted_rand_score(labels, clusters)),
    }


def k_means(train_x: np.ndarray, test_x: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """The cluster of each test row `[M]`, by the k-means centres of the training rows."""
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(clusters, n_init=_STARTS, random_state=seed).fit(train_x).predict(test_x))


def gaussian_mixture(train_x: np.ndarray, test_x: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """The most likely component of each test row `[M]`, in a diagonal mixture on principal components."""
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    components = PCA(min(_COMPONENTS, *train_x.shape), svd_solver="full").fit(train_x)
    train, test = (components.transform(x).astype(np.float64) for x in (train_x, test_x))
    scale = train[:, 0].std() or 1.0  # scikit-learn adds 1e-6 to variances: make that small
    mixture = GaussianMixture(clusters, covariance_type="diag", max_iter=1000, random_state=seed)
    return mixture.fit(train / scale).predict(test / scale)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]] = {
    "k-means": k_means,
    "Gaussian mixture": gaussian_mixture,
}
