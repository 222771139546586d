"""Modules of torch, torchvision and timm as encoders: equal outputs, pure functions, and an unchanged module."""

import copy

import pytest
import torch
from torch import nn

from functional import encoders, random, tree


def images(batch=4, size=32):
    return random.normal(random.key(5), (batch, 3, size, size))


def torchvision_resnet():
    from torchvision.models.resnet import BasicBlock, ResNet

    module = ResNet(BasicBlock, [1, 1, 1, 1])
    module.fc = nn.Identity()
    return module, 512


def timm_efficientnet():
    import timm

    return timm.create_model("test_efficientnet", pretrained=False, num_classes=0), None


def everything(module):
    """The visible state of a module: its tensors, and the mode of each part."""
    return [x.clone() for x in module.state_dict().values()], [part.training for part in module.modules()]


# --- naive twin: the module itself ----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [torchvision_resnet, timm_efficientnet])
def test_module_keeps_its_outputs_and_is_unchanged(make):
    module, feature_dim = make()
    next(module.children()).eval()  # its own mode, which must not change either
    before, twin, close = everything(module), copy.deepcopy(module), {"rtol": 1e-5, "atol": 1e-5}
    encoder = encoders.from_module(module, feature_dim=feature_dim)
    params, batch_stats = encoder.init(random.key(0))
    kept = tree.map(torch.clone, (params, batch_stats))

    torch.testing.assert_close(encoder.apply(params, batch_stats, images())[0], twin.eval()(images()), **close)

    theirs = twin.train()(images())
    theirs.square().mean().backward()

    def loss(params):
        features, new_stats = encoder.apply(params, batch_stats, images(), train=True)
        return features.square().mean(), (features, new_stats)

    grads, (ours, new_stats) = torch.func.grad(loss, has_aux=True)(params)
    assert ours.shape == (4, encoder.feature_dim)
    torch.testing.assert_close(ours, theirs, **close)
    torch.testing.assert_close(tree.flatten(grads), {n: x.grad for n, x in twin.named_parameters()}, **close)
    stats = {n: x for n, x in twin.named_buffers() if not n.endswith("num_batches_tracked")}
    torch.testing.assert_close(tree.flatten(new_stats), stats, **close)

    torch.testing.assert_close((params, batch_stats), kept, rtol=0, atol=0)
    torch.testing.assert_close(encoder.init(random.key(1)), kept, rtol=0, atol=0)
    torch.testing.assert_close(everything(module), before, rtol=0, atol=0)


def test_torchvisions_trees_equal_those_of_our_own_encoder():
    import torchvision

    module = torchvision.models.resnet18(weights=None)
    module.fc = nn.Identity()
    theirs = encoders.from_module(module, feature_dim=512)
    params, batch_stats = theirs.init(random.key(0))
    ours, _ = encoders.resnet18().apply(params, batch_stats, images(2))
    torch.testing.assert_close(ours, theirs.apply(params, batch_stats, images(2))[0], rtol=1e-5, atol=1e-5)


# --- property -------------------------------------------------------------------------------------------------


class Odd(nn.Module):
    """Tied weights, a frozen parameter, an integer buffer, one that is not in the state dict, and no momentum."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.frozen = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.frozen.requires_grad_(False)
        self.norm = nn.BatchNorm1d(3, momentum=None)
        self.register_buffer("calls", torch.tensor(0))
        self.register_buffer("scale", torch.tensor(2.0), persistent=False)

    def forward(self, images):
        if self.training:
            self.calls += 1
        x = self.frozen(images.mean((2, 3)))
        return self.scale * self.norm(self.second(self.first(x)))


def test_tied_frozen_and_integer_leaves():
    module = Odd()
    encoder, twin = encoders.from_module(module), copy.deepcopy(module).train()
    params, batch_stats = encoder.init(random.key(0))
    assert set(tree.flatten(params)) == {"first.weight", "first.bias", "second.bias", "norm.weight", "norm.bias"}
    assert {"frozen.weight", "calls", "scale", "norm.num_batches_tracked"} <= set(tree.flatten(batch_stats))

    for step in range(2):  # the mean over all batches so far needs the counter
        theirs = twin(images() + step)
        ours, batch_stats = encoder.apply(params, batch_stats, images() + step, train=True)
        torch.testing.assert_close(ours, theirs)
    assert batch_stats["calls"] == 2 and module.calls == 0
    torch.testing.assert_close(tree.flatten(batch_stats)["norm.running_var"], twin.norm.running_var)

    def loss(params):
        return encoder.apply(params, batch_stats, images(), train=True)[0].pow(3).sum()

    twin(images()).pow(3).sum().backward()
    torch.testing.assert_close(torch.func.grad(loss)(params)["first"]["weight"], twin.first.weight.grad)


class InPlace(nn.Module):
    """Standardises its inputs in place, and counts its calls in both modes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.linear = nn.Linear(12, 4)

    def forward(self, images):
        self.calls += 1
        return self.linear(images.sub_(0.5).div_(0.5).flatten(1))


@pytest.mark.parametrize("train", [True, False])
def test_a_module_that_works_in_place_leaves_the_arguments_alone(train):
    encoder = encoders.from_module(InPlace(), feature_dim=4)
    params, batch_stats = encoder.init(random.key(0))
    x = images(2, 2)
    kept = x.clone()
    features, new_stats = encoder.apply(params, batch_stats, x, train=train)
    assert torch.equal(x, kept) and batch_stats["calls"] == 0 and new_stats["calls"] == train
    assert torch.equal(encoder.apply(params, batch_stats, x, train=train)[0], features)


def test_later_changes_to_the_module_do_not_affect_the_encoder():
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    encoder = encoders.from_module(module)
    before, _ = encoder.apply(*encoder.init(random.key(0)), images(2, 2))
    nn.init.zeros_(module[1].weight)
    assert torch.equal(encoder.apply(*encoder.init(random.key(0)), images(2, 2))[0], before)


def test_vmap_over_parameters_in_evaluation_equals_the_loop():
    encoder = encoders.from_module(torchvision_resnet()[0])
    params, batch_stats = encoder.init(random.key(0))
    several = [tree.map(lambda x, s=s: s * x, params) for s in (1.0, 0.9)]

    def apply(params):
        return encoder.apply(params, batch_stats, images(2))[0]

    torch.testing.assert_close(torch.func.vmap(apply)(tree.stack(several)), torch.stack([apply(p) for p in several]))


def drawing_modules():
    import timm
    import torchvision

    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    return {
        "1 (Dropout2d)": nn.Sequential(block, nn.Dropout2d(0.1)),
        "0 (RReLU)": nn.Sequential(nn.RReLU(), block),
        "0 (StochasticDepth)": nn.Sequential(torchvision.ops.StochasticDepth(0.1, "row"), block),
        "0 (DropPath)": nn.Sequential(timm.layers.DropPath(0.1), block),
        "0 (DropBlock2d)": nn.Sequential(timm.layers.DropBlock2d(0.1), block),
        "0 (PatchDropout)": nn.Sequential(timm.layers.PatchDropout(0.1), block),
        "self_attn (MultiheadAttention)": nn.TransformerEncoderLayer(8, 2, dropout=0.1),
        "module (LSTM)": nn.LSTM(3, 4, num_layers=2, dropout=0.5),
        "module (EfficientNet)": timm.create_model("test_efficientnet", num_classes=0, drop_rate=0.1),
    }


def test_what_draws_is_refused_in_train_mode_by_name():
    for name, module in drawing_modules().items():
        encoder = encoders.from_module(module)
        params, batch_stats = encoder.init(random.key(0))
        with pytest.raises(ValueError, match="would draw") as refusal:
            encoder.apply(params, batch_stats, images(), train=True, key=random.key(0))
        assert name in str(refusal.value)


def test_dropout_of_rate_0_is_allowed():
    encoder = encoders.from_module(nn.Sequential(nn.Dropout(0.0), nn.Flatten()))
    assert torch.equal(encoder.apply({}, {}, images(), train=True)[0], images().flatten(1))


def test_feature_dim_is_inferred_or_passed():
    import timm

    linear = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    assert encoders.from_module(linear).feature_dim == 5
    assert encoders.from_module(linear[:1]).feature_dim == 0
    assert encoders.from_module(linear[:1], feature_dim=12).feature_dim == 12
    # The outputs of this one are not its `num_features`.
    assert encoders.from_module(timm.create_model("mobilenetv3_small_050", num_classes=0)).feature_dim == 1024
    encoder = encoders.from_module(linear, feature_dim=12)
    with pytest.raises(ValueError, match="feature_dim=5"):
        encoder.apply(*encoder.init(random.key(0)), images(2, 2))
    maps = encoders.from_module(nn.Conv2d(3, 4, 3))
    with pytest.raises(ValueError, match="rank 2"):
        maps.apply(*maps.init(random.key(0)), images(2))
    with pytest.raises(TypeError, match="call the class"):
        encoders.from_module(nn.Flatten)
