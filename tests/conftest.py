"""One thread: small tensors gain nothing from two, and on a busy machine lose much, as they wait for each other."""

import os

import torch

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start
