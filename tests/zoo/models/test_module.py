"""An encoder as a module: its state dict is torchvision's, and so are the features."""

import pytest
import torch
from torch import nn
from torchvision import models

from functional import augmentations, random, tree
from zoo.models.architectures import build_encoder
from zoo.models.pretrained import PretrainedEncoder

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def drawn(name, size, **options):
    """An encoder whose statistics are not those of a fresh one, so that each of them counts."""
    encoder = build_encoder(name, 3, options)
    params, batch_stats = encoder.init(random.key(0))
    flat = tree.flatten(batch_stats)
    keys = random.split(random.key(1), len(flat))
    drawn = {name: random.uniform(key, tuple(x.shape)) for key, (name, x) in zip(keys, flat.items(), strict=True)}
    flat = {name: x / 10 - 0.05 if name.endswith("mean") else x + 0.5 for name, x in drawn.items()}
    config = {"name": f"simclr-{name}-noise", "input_shape": [3, size, size], "mean": MEAN, "std": STD}
    return PretrainedEncoder(encoder, params, tree.unflatten(flat), config)


@pytest.mark.parametrize("stem,size", [("imagenet", 96), ("cifar", 32)])
@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_the_state_dict_is_torchvisions_and_so_are_the_features(name, stem, size):
    model = drawn(name, size, stem=stem)
    theirs = getattr(models, name)()
    if stem == "cifar":
        theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    theirs.fc = nn.Identity()
    found = theirs.load_state_dict(model.to_module().state_dict(), strict=False)
    # torch does not list the counters of batches: it sets them to 0 for a state dict without a version.
    assert found.unexpected_keys == [] == [key for key in found.missing_keys if "num_batches_tracked" not in key]

    images = random.randint(random.key(2), (2, 3, size, size), 0, 256).to(torch.uint8)
    normalised = augmentations.normalize(None, augmentations.to_float(images), mean=MEAN, std=STD)
    with torch.no_grad():
        features = theirs.eval()(normalised)
    assert features.std(0).median() > 0.01  # or the comparison would say nothing
    torch.testing.assert_close(model.features(images), features, rtol=1e-5, atol=1e-5)
    assert torch.equal(model.to_module()(images).detach(), model.features(images))


def test_a_state_dict_of_torchvision_loads_into_the_module():
    theirs = models.resnet18()
    module = drawn("resnet18", 64).to_module()
    own = {name: x for name, x in theirs.state_dict().items() if name in module.state_dict()}
    module.load_state_dict(own)
    assert torch.equal(module.state_dict()["layer4.1.conv2.weight"], theirs.layer4[1].conv2.weight)


def test_the_module_learns_as_any_module_does(model):
    module = model.to_module().train()
    before = {name: x.clone() for name, x in module.state_dict().items()}
    images = random.randint(random.key(3), (8, *model.input_shape), 0, 256).to(torch.uint8)
    module(images).square().sum().backward()
    torch.optim.SGD(module.parameters(), lr=0.1).step()
    assert all(not torch.equal(x, before[name]) for name, x in module.state_dict().items())
    assert torch.equal(model.params["conv1"]["weight"], before["conv1.weight"])
