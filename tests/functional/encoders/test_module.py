"""Modules of torch, torchvision and timm as encoders: the same numbers, pure, and the module left as it was."""

import pytest
import torch
from torch import nn

from functional import encoders, random, tree


def images(batch=4, size=32):
    return random.normal(random.key(5), (batch, 3, size, size))


def resnet18():
    import torchvision

    module = torchvision.models.resnet18(weights=None)
    module.fc = nn.Identity()
    return module, 512


def test_efficientnet():
    import timm

    return timm.create_model("test_efficientnet", pretrained=False, num_classes=0), None


def everything(module):
    """All that a module shows: its weights, its buffers, and the mode of each part."""
    return {**module.state_dict()}, [part.training for part in module.modules()]
