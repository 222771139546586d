"""Held-out training images: the last tenth, and never a test image."""

import pytest
import torch

import zoo
from zoo.data.datasets import save_dataset
from zoo.data.names import SUBSETS
from zoo.evaluation.held_out import first_nine_tenths, held_out

TRAINING_IMAGES = {"mnist": 60_000, "fashion_mnist": 60_000, "cifar10": 50_000}


def test_the_last_tenth_is_held_out_of_the_training_images(digits):
    data = held_out("digits")
    assert torch.equal(torch.cat([data.train.images, data.test.images]), digits.train.images)
    assert torch.equal(torch.cat([data.train.labels, data.test.labels]), digits.train.labels)
    assert len(data.test.images) == 129  # of 1,297
    part = first_nine_tenths("digits")
    assert torch.equal(part.train.images, data.train.images) and part.test is None


@pytest.mark.parametrize("name", SUBSETS)
def test_every_subset_ends_before_the_last_tenth(name):
    whole, _, stop = SUBSETS[name]
    assert stop <= TRAINING_IMAGES[whole] * 9 // 10


def test_data_without_labels_are_named(digits, tmp_path):
    unlabelled = digits._replace(train=digits.train._replace(labels=None), test=None, classes=())
    save_dataset(unlabelled, tmp_path / "images.safetensors", source="a test")
    assert first_nine_tenths(tmp_path / "images.safetensors").train.labels is None
    with pytest.raises(zoo.ZooError, match="images.safetensors: has no labels, which a probe needs"):
        held_out(str(tmp_path / "images.safetensors"))
