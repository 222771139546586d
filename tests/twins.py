"""Shared by the tests of methods: a small encoder, its twin in torch.nn, and the views of both. All in float64."""

from collections import OrderedDict

import torch
from torch import nn

from functional import augmentations, layers, random, tree
from functional.base import Batch, Encoder

NET = layers.serial(
    conv=layers.conv(1, 6, 3), bn=layers.batch_norm(6), relu=layers.relu, pool=layers.global_average_pool
)
ENCODER = Encoder(*NET, feature_dim=6)
KEY = random.key(11)


def noisy(keys, images):
    """A view: the image with noise from its own key."""
    return images + 0.3 * random.normal(keys, tuple(images.shape[1:])).to(images.dtype)


def draw_batch(n=8, step=0):
    images = random.uniform(random.key(5), (n, 1, 6, 6)).double()
    return Batch(images, torch.arange(n) % 3, torch.arange(n), torch.tensor(step))


def double(trees):
    return tree.map(lambda x: x.double() if x.is_floating_point() else x, trees)


def view_pair(batch):
    return augmentations.draw_views(noisy, KEY, batch)


def encoder_twin():
    parts = {"conv": nn.Conv2d(1, 6, 3), "bn": nn.BatchNorm2d(6), "relu": nn.ReLU(), "pool": nn.AdaptiveAvgPool2d(1)}
    return nn.Sequential(OrderedDict(parts, flatten=nn.Flatten())).double()


def head_twin(*parts):
    """Modules by the names that our heads give their parameters."""
    names = {nn.Linear: "linear", nn.BatchNorm1d: "bn", nn.ReLU: "relu"}
    numbers, named = {}, OrderedDict()
    for part in parts:
        if isinstance(part, nn.Linear):
            numbers["now"] = numbers.get("now", 0) + 1
        named[f"{names[type(part)]}{numbers['now']}"] = part
    return nn.Sequential(named).double()


def load(module, params, batch_stats=None):
    """Load all weights of a tree into a twin."""
    flat = {**tree.flatten(params), **tree.flatten(batch_stats or {})}
    left_out = module.load_state_dict(flat, strict=False)
    assert not left_out.unexpected_keys
    assert all("running" in name or "num_batches" in name for name in left_out.missing_keys)
    return module


def gradients(*modules):
    """By name, as torch left them."""
    return {name: p.grad for module in modules for name, p in module.named_parameters()}


def weights(module):
    return {name: p.detach() for name, p in module.named_parameters()}


def statistics(module):
    return {name: b for name, b in module.named_buffers() if "running" in name}


def assert_same(ours, theirs):
    """Compare a tree of ours with flat names of theirs."""
    ours = tree.flatten(ours)
    assert ours.keys() == theirs.keys()
    for name, leaf in ours.items():
        torch.testing.assert_close(
            leaf, theirs[name], rtol=1e-9, atol=1e-11, msg=lambda text, name=name: f"{name}: {text}"
        )
