"""Clusters: their agreement with classes has known values, and they are found without labels."""

import itertools

import numpy as np
import pytest
import torch

import zoo
from zoo.data.datasets import Split
from zoo.evaluation.clustering import METHODS, agreement, cluster


def test_agreement_is_the_best_of_all_matchings():
    rng = np.random.default_rng(0)
    clusters, labels = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    best = max(np.mean(np.array(names)[clusters] == labels) for names in itertools.permutations(range(4)))
    assert agreement(clusters, labels)["accuracy"] == best


def test_agreement_of_a_partition_derived_by_hand():
    # Clusters {0, 1, 2}, {3} of classes {0, 1}, {2, 3}. Entropies: h = -(3 ln(3/4) + ln(1/4)) / 4 and ln 2; mutual
    # information: h - ln(2) / 2, as the first class lies in one cluster and the second is split in half.
    scores = agreement([0, 0, 0, 1], [0, 0, 1, 1])
    h, ln2 = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25)), np.log(2)
    assert scores["accuracy"] == 0.75
    assert scores["nmi"] == pytest.approx((h - ln2 / 2) / ((h + ln2) / 2))
    assert scores["ari"] == pytest.approx(0.0)  # 1 pair together in both, 3 and 2 in each, of 6: as many as by chance


def test_empty_and_surplus_clusters_are_matched_with_nothing():
    assert agreement([2, 2, 2, 2], [0, 0, 0, 1])["accuracy"] == 0.75
    assert agreement([0, 1, 2, 3], [0, 0, 1, 1])["accuracy"] == 0.5


@pytest.mark.parametrize("method", METHODS)
def test_blobs_are_found_and_a_seed_gives_the_same(method):
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    x = (rng.normal(size=(300, 20)) + 12 * np.eye(20)[labels]).astype(np.float32)
    found = METHODS[method](x[:200], x[200:], 3, 0)
    assert agreement(found, labels[200:])["accuracy"] == 1
    assert np.array_equal(found, METHODS[method](x[:200], x[200:], 3, 0))


def test_the_record_has_each_features_method_and_seed_and_no_training_label_matters(model, digits):
    record = cluster(model, digits, seeds=(0, 1))
    assert [(row["features"], row["method"]) for row in record["results"]] == [
        (source, method) for source in ("encoder", "pixels", "untrained") for method in METHODS
    ]
    assert (record["clusters"], record["train_images"], record["test_images"]) == (10, 1297, 500)
    pixels = next(row for row in record["results"] if (row["features"], row["method"]) == ("pixels", "k-means"))
    assert len(pixels["nmi"]["values"]) == 2 and 0.6 < pixels["accuracy"]["mean"] < 0.9
    shuffled = digits._replace(train=Split(digits.train.images, torch.zeros_like(digits.train.labels)))
    again = cluster(model, shuffled, seeds=(0, 1))
    assert again["results"] == record["results"]


def test_what_cannot_be_clustered_is_named(model, digits):
    with pytest.raises(zoo.ZooError, match="has no labelled test images, on which"):
        cluster(model, digits._replace(test=None))
    with pytest.raises(zoo.ZooError, match="expected 10 or more training images"):
        cluster(model, digits._replace(train=Split(digits.train.images[:9], None)))
    with pytest.raises(zoo.ZooError, match="seeds: expected one or more"):
        cluster(model, digits, seeds=())
    with pytest.raises(zoo.ZooError, match="did you mean 'pixels'"):
        cluster(model, digits, baselines=("pixel",))
