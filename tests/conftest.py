"""One thread: small tensors gain nothing from two, and on a busy machine lose much, as they wait for each other."""

import os

import pytest
import torch

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start


@pytest.fixture(autouse=True)
def one_thread():
    """Start every test with one thread, whatever the test before it left: bits depend on the number."""
    torch.set_num_threads(1)
