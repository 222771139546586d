"""Index batches: every image at most once per epoch, from (key, epoch) alone."""

import pytest
import torch

import zoo
from functional import random
from zoo.training.batching import batches, steps_per_epoch


def test_an_epoch_is_a_permutation_cut_into_full_batches():
    epoch = list(batches(random.key(0), 3, 100, 32))
    assert [len(batch) for batch in epoch] == [32, 32, 32] and steps_per_epoch(100, 32) == 3
    assert len(torch.cat(epoch).unique()) == 96


def test_batches_depend_on_key_and_epoch_alone():
    again = torch.cat(list(batches(random.key(0), 3, 100, 25)))
    assert torch.equal(again, torch.cat(list(batches(random.key(0), 3, 100, 50))))
    assert not torch.equal(again, torch.cat(list(batches(random.key(0), 4, 100, 50))))
    assert not torch.equal(again, torch.cat(list(batches(random.key(1), 3, 100, 50))))


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(zoo.ZooError, match="batch_size: expected at most 10"):
        steps_per_epoch(10, 11)
