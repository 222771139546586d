"""One thread: small tensors gain nothing from two, and on a busy machine lose much, as they wait for each other."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start

import torch  # noqa: E402

torch.set_num_threads(1)
