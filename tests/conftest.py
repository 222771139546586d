"""One thread: small tensors gain nothing from two, and on a busy machine lose much, as they wait for each other."""

import torch

torch.set_num_threads(1)
