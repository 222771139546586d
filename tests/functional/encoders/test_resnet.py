"""Residual networks: torchvision's names and outputs in both directions, reduced precision, and clear errors.

Networks are compared in float64: in float32 the two use kernels that differ by more than 1e-5 on some processors.
"""

import pytest
import torch
import torchvision
from torchvision.models.resnet import BasicBlock

from functional import encoders, random, tree

FEATURES = {"resnet18": 512, "resnet34": 512, "resnet50": 2048}
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def images(batch=4, channels=3, size=32):
    return random.normal(random.key(5), (batch, channels, size, size))


def peer(name, stem):
    """torchvision's network without its classifier."""
    return without_classifier(getattr(torchvision.models, name)(weights=None), stem)


def without_classifier(model, stem):
    """The same with our stem, and with random numbers where batch norm starts at 0 and 1."""
    model.fc = torch.nn.Identity()
    if stem != "imagenet":
        kernel, stride = {"cifar": (3, 1), "strided": (4, 2)}[stem]
        model.conv1 = torch.nn.Conv2d(3, 64, kernel, stride, padding=1, bias=False)
        model.maxpool = torch.nn.Identity()
    generator = torch.Generator().manual_seed(0)
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            for leaf in (part.weight, part.bias, part.running_mean, part.running_var):
                leaf.data.uniform_(0.5, 1, generator=generator)
    return model.double()


def trees(model):
    """Its weights as ours: `(params, batch_stats)`."""
    params = {name: x.detach().clone() for name, x in model.named_parameters()}
    stats = {name: x.clone() for name, x in model.named_buffers() if not name.endswith("num_batches_tracked")}
    return tree.unflatten(params), tree.unflatten(stats)


def assert_one_step_equals(encoder, params, batch_stats, model, x):
    """Evaluation, then one train step: outputs, gradients in the parameters, running statistics."""
    with torch.no_grad():
        torch.testing.assert_close(encoder.apply(params, batch_stats, x)[0], model.eval()(x), **CLOSE)

    theirs = model.train()(x)
    weights = random.normal(random.key(6), tuple(theirs.shape)).double() / theirs.numel()
    (theirs * weights).sum().backward()

    def loss(params):
        features, new_stats = encoder.apply(params, batch_stats, x, train=True)
        return (features * weights).sum(), (features, new_stats)

    grads, (ours, new_stats) = torch.func.grad(loss, has_aux=True)(params)
    torch.testing.assert_close(ours, theirs, **CLOSE)
    torch.testing.assert_close(tree.flatten(grads), {n: x.grad for n, x in model.named_parameters()}, **CLOSE)
    torch.testing.assert_close(tree.flatten(new_stats), tree.flatten(trees(model)[1]), **CLOSE)


# --- naive twin: torchvision ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stem,size", [("cifar", 16), ("imagenet", 32)])
def test_resnet18_equals_torchvisions(stem, size):
    model = peer("resnet18", stem)
    assert_one_step_equals(encoders.resnet18(stem=stem), *trees(model), model, images(size=size).double())


@pytest.mark.parametrize("name", ["resnet34", "resnet50"])
def test_deeper_resnets_evaluate_as_torchvisions(name):
    model = peer(name, "imagenet").eval()
    with torch.no_grad():
        ours, _ = getattr(encoders, name)().apply(*trees(model), images(2).double())
        torch.testing.assert_close(ours, model(images(2).double()), **CLOSE)


@pytest.mark.parametrize("name", FEATURES)
def test_names_and_shapes_equal_torchvisions(name, monkeypatch):
    monkeypatch.setattr(
        "functional.initializers.kaiming_normal", lambda key, shape: torch.empty(shape)
    )  # saves seconds
    encoder = getattr(encoders, name)()
    params, batch_stats = encoder.init(random.key(0))
    model = getattr(torchvision.models, name)(weights=None)
    report = model.load_state_dict({**tree.flatten(params), **tree.flatten(batch_stats)}, strict=False)
    assert not report.unexpected_keys and encoder.feature_dim == FEATURES[name]
    assert all(n.startswith("fc.") or n.endswith("num_batches_tracked") for n in report.missing_keys)


def test_our_weights_give_our_features_in_torchvision():
    encoder = encoders.resnet18(stem="cifar")
    params, batch_stats = tree.map(torch.Tensor.double, encoder.init(random.key(0)))
    model, x = peer("resnet18", "cifar").eval(), images(size=16).double()
    model.load_state_dict({**tree.flatten(params), **tree.flatten(batch_stats)}, strict=False)
    torch.testing.assert_close(encoder.apply(params, batch_stats, x)[0], model(x), **CLOSE)


@pytest.mark.parametrize("stem", ["cifar", "strided"])
def test_resnet8_equals_torchvisions_with_one_block_in_three_stages(stem):
    encoder, model = encoders.resnet8(width=64, stem=stem), torchvision.models.ResNet(BasicBlock, [1, 1, 1, 1])
    model.layer4 = torch.nn.Identity()
    model = without_classifier(model, stem)
    x = images(size=16).double()
    assert_one_step_equals(encoder, *trees(model), model, x)

    params, batch_stats = tree.map(torch.Tensor.double, encoder.init(random.key(0)))
    model.load_state_dict({**tree.flatten(params), **tree.flatten(batch_stats)}, strict=False)
    with torch.no_grad():
        torch.testing.assert_close(encoder.apply(params, batch_stats, x)[0], model.eval()(x), **CLOSE)


def test_feature_dim_widens_the_last_maps_before_their_mean():
    encoder = encoders.resnet8(width=8, feature_dim=48)
    params, batch_stats = encoder.init(random.key(0))
    features, _ = encoder.apply(params, batch_stats, images())
    assert features.shape == (4, encoder.feature_dim) == (4, 48)

    narrow = encoders.resnet8(width=8)
    weights = {name: leaf for name, leaf in params.items() if name != "widen"}
    stats = {name: leaf for name, leaf in batch_stats.items() if name != "widen"}
    pixel = images(size=1)  # one position in the last maps, so that their mean is the maps themselves
    maps = narrow.apply(weights, stats, pixel)[0]
    expected = torch.relu(maps @ params["widen"]["conv"]["weight"][:, :, 0, 0].T / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(encoder.apply(params, batch_stats, pixel)[0], expected, rtol=1e-5, atol=1e-6)


def test_a_grid_keeps_where_things_are():
    encoder, whole = encoders.resnet8(width=8, feature_dim=48, grid=2), encoders.resnet8(width=8, feature_dim=12)
    params, batch_stats = encoder.init(random.key(0))
    x = images(size=32)  # 8 x 8 positions before the means
    features, _ = encoder.apply(params, batch_stats, x)
    assert features.shape == (4, encoder.feature_dim) == (4, 48)
    cells = features.view(4, 12, 4)
    assert (cells[..., 0] - cells[..., 3]).abs().max() > 0.01
    torch.testing.assert_close(cells.mean(-1), whole.apply(params, batch_stats, x)[0])
    assert encoders.resnet8(width=8, grid=3).feature_dim == 8 * 4 * 9


def test_a_grid_must_divide_the_features():
    with pytest.raises(ValueError, match="multiple of 4, the cells of the grid, got 50"):
        encoders.resnet8(feature_dim=50, grid=2)


def test_images_too_small_for_the_grid_are_named():
    encoder = encoders.resnet8(width=8, grid=4)
    with pytest.raises(ValueError, match="grid of 4 x 4 cells: expected at least as many positions, got 2 x 2"):
        encoder.apply(*encoder.init(random.key(0)), images(size=8))


# --- property -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels,size", [(1, 8), (3, 32)])
def test_resnet8_accepts_8_to_32_pixels(channels, size):
    encoder = encoders.resnet8(channels)
    features, _ = encoder.apply(*encoder.init(random.key(0)), images(2, channels, size))
    assert features.shape == (2, encoder.feature_dim) == (2, 128)
    assert features.isfinite().all() and features.std() > 0.01


def test_compute_dtype_casts_only_inside():
    full, half = encoders.resnet8(width=16), encoders.resnet8(width=16, compute_dtype=torch.bfloat16)
    params, batch_stats = full.init(random.key(0))
    leaves = tree.leaves((params, batch_stats))
    kept = [x.clone() for x in leaves]
    for train in (False, True):

        def loss(params, encoder, train=train):
            features, new_stats = encoder.apply(params, batch_stats, images(8), train=train)
            return features.square().sum(), (features, new_stats)

        grads, (features, new_stats) = torch.func.grad(loss, has_aux=True)(params, half)
        assert {x.dtype for x in tree.leaves((grads, features, new_stats))} == {torch.float32}
        exact, exact_stats = loss(params, full)[1]
        assert torch.equal(features, features.bfloat16().float())  # computed in bfloat16 to the end
        assert torch.cosine_similarity(features, exact).min() > 0.999
        torch.testing.assert_close(new_stats, exact_stats, rtol=2e-2, atol=2e-2)
    assert all(torch.equal(a, b) for a, b in zip(leaves, kept, strict=True))


def test_vmap_over_parameters_equals_the_loop():
    encoder, x = encoders.resnet8(width=4), images(size=8)
    several = [encoder.init(key) for key in random.split(random.key(0), 3)]
    params, batch_stats = tree.stack(several)

    def apply(params, batch_stats):
        return encoder.apply(params, batch_stats, x, train=True)

    torch.testing.assert_close(
        torch.func.vmap(apply)(params, batch_stats), tree.stack([apply(p, s) for p, s in several]), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    "call,error,words",
    [
        (lambda: encoders.resnet18(stem="tiny"), ValueError, "expected 'cifar' or 'strided' (for images of about 32"),
        (lambda: encoders.resnet8().apply({}, {}, images(channels=1)), ValueError, "expected 3 channels, got 1"),
        (lambda: encoders.resnet8().apply({}, {}, images()[0]), ValueError, "rank 4"),
        (lambda: encoders.resnet8().apply({}, {}, images().to(torch.uint8)), TypeError, "floating point"),
    ],
)
def test_wrong_arguments_are_named(call, error, words):
    with pytest.raises(error) as refusal:
        call()
    assert words in str(refusal.value)
