"""The training step: against a hand-written loop, several seeds at once, and the two ways to a gradient."""

from functools import partial

import pytest
import torch
from torch.nn.functional import cross_entropy

from functional import augmentations, encoders, layers, losses, methods, optimizers, random, training, tree
from functional.base import Batch, Encoder, Method

NET = layers.serial(
    conv=layers.conv(1, 3, 3),
    bn=layers.batch_norm(3),
    relu=layers.relu,
    pool=layers.global_average_pool,
    fc=layers.linear(3, 4),
)
IMAGES = random.uniform(random.key(7), (6, 1, 5, 5))
BATCH = Batch(IMAGES, None, torch.arange(6))
OPTIMIZER = optimizers.sgd(0.1, momentum=0.9)


def contrast(params, state, key, batch):
    """A minimal method: each image against itself with noise."""
    noise = random.normal(random.fold_in(key, batch.index), tuple(batch.images.shape[1:]))
    views = torch.cat([batch.images, batch.images + 0.3 * noise])
    z, batch_stats = NET.apply(params["encoder"], state, views, train=True)
    value = losses.nt_xent(*z.chunk(2), temperature=0.5).mean()
    return value, tree.detach((batch_stats, {"spread": z.std()}))


def contrast_init(key):
    params, batch_stats = NET.init(key)
    return {"encoder": params}, batch_stats


METHOD = Method(contrast_init, contrast)


def close(a, b, **kwargs):
    for name, leaf in tree.flatten(a).items():
        torch.testing.assert_close(leaf, tree.flatten(b)[name], msg=lambda text, name=name: f"{name}: {text}", **kwargs)


# --- naive twin ------------------------------------------------------------------------------------------------


def test_steps_equal_a_loop_with_modules():
    """Three steps of supervised learning against nn.Module, backward and torch.optim."""
    labels = torch.tensor([0, 1, 2, 3, 0, 1])

    def loss(params, state, key, batch):
        logits, state = NET.apply(params, state, batch.images, train=True)
        return cross_entropy(logits, batch.labels), (tree.detach(state), {})

    train_state = training.init(Method(NET.init, loss), OPTIMIZER, random.key(0))
    module = torch.nn.Sequential()
    for name, layer in (
        ("conv", torch.nn.Conv2d(1, 3, 3)),
        ("bn", torch.nn.BatchNorm2d(3)),
        ("relu", torch.nn.ReLU()),
        ("pool", torch.nn.AdaptiveAvgPool2d(1)),
        ("flatten", torch.nn.Flatten()),
        ("fc", torch.nn.Linear(3, 4)),
    ):
        module.add_module(name, layer)
    module.load_state_dict(tree.flatten(train_state.params), strict=False)
    peer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    step = training.make_train_step(loss, OPTIMIZER)
    for _ in range(3):
        train_state, info = step(train_state, random.key(1), Batch(IMAGES, labels, torch.arange(6)))
        peer.zero_grad()
        value = cross_entropy(module(IMAGES), labels)
        value.backward()
        torch.testing.assert_close(info["loss"], value.detach())
        torch.testing.assert_close(
            info["grad_norm"], torch.nn.utils.get_total_norm(p.grad for p in module.parameters())
        )
        peer.step()
    ours = {**tree.flatten(train_state.params), **tree.flatten(train_state.state)}
    theirs = {name: x for name, x in module.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert ours.keys() == theirs.keys() and train_state.step == 3
    close(tree.unflatten(ours), tree.unflatten(theirs))


# --- property --------------------------------------------------------------------------------------------------


SIMCLR = methods.simclr(
    encoders.resnet8(1, width=4),
    views=partial(augmentations.random_resized_crop, size=8, scale=(0.2, 1.0)),
    projector=(8, 4),
)


@pytest.mark.parametrize("method", [METHOD, SIMCLR], ids=["by hand", "simclr"])
def test_several_seeds_under_vmap_equal_as_many_runs(method):
    step = training.make_train_step(method.loss, OPTIMIZER)
    batch = Batch(random.uniform(random.key(7), (6, 1, 9, 9)), None, torch.arange(6))

    def two_steps(key, key_epoch):
        train_state = training.init(method, OPTIMIZER, key)
        for _ in range(2):
            train_state, info = step(train_state, key_epoch, batch)
        return train_state, info

    keys, keys_epoch = random.split(random.key(0), 4), random.split(random.key(1), 4)
    runs = [two_steps(*pair) for pair in zip(keys, keys_epoch, strict=True)]
    close(torch.func.vmap(two_steps)(keys, keys_epoch), tree.stack(runs), rtol=1e-5, atol=1e-5)


def test_a_step_is_pure_and_carries_no_graph():
    step = training.make_train_step(METHOD.loss, OPTIMIZER)
    before = training.init(METHOD, OPTIMIZER, random.key(0))
    kept = tree.map(torch.clone, before)
    tree.map(lambda p: p.requires_grad_(), before.params)  # also for parameters that require a gradient
    after, info = step(before, random.key(1), BATCH)
    again, _ = step(before, random.key(1), BATCH)
    other, _ = step(before, random.key(2), BATCH)
    assert not any(leaf.requires_grad for leaf in tree.leaves((after, info)))
    assert set(info) == {"spread", "loss", "grad_norm"} and all(value.ndim == 0 for value in info.values())
    close(before, kept, rtol=0, atol=0)
    close(after, again, rtol=0, atol=0)
    assert not torch.equal(after.params["encoder"]["conv"]["weight"], other.params["encoder"]["conv"]["weight"])
    assert after.step == 1 and before.step == 0


def test_the_first_parameters_are_projected():
    method = METHOD._replace(project=lambda params: tree.map(lambda p: p.clamp(-0.01, 0.01), params))
    params, _ = method.init(random.key(0))
    assert max(p.abs().max() for p in tree.leaves(params)) > 0.01
    state = training.init(method, OPTIMIZER, random.key(0))
    assert max(p.abs().max() for p in tree.leaves(state.params)) <= 0.01


def test_both_ways_to_a_gradient_keep_one_contract(monkeypatch):
    """The code path for compiled losses without the compiler, which the slow test below covers."""
    monkeypatch.setattr(torch, "compile", lambda function: function)

    def loss(params, x):
        return (params["a"] * x).square().sum(), {"twice": 2 * params["a"], "x": x}

    params, x = {"unused": torch.ones(3), "a": torch.tensor([1.0, -2.0])}, torch.tensor([3.0, 4.0])
    for compile in (False, True):
        (value, aux), grads = training.value_and_grad(loss, compile=compile)(params, x)
        assert value == 9 + 64 and aux["twice"].tolist() == [2.0, -4.0]
        assert grads["a"].tolist() == [18.0, -64.0] and grads["unused"].tolist() == [0.0, 0.0, 0.0]
        assert not any(leaf.requires_grad for leaf in tree.leaves((value, aux, grads, params)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        partial(methods.simclr, projector=(4,), temperature=0.5),
        partial(methods.byol, projector=(8, 4), predictor=8, momentum=0.9),
        partial(methods.moco, projector=(8, 4), queue_size=12, groups=2, momentum=0.9),
    ],
    ids=["simclr", "byol", "moco"],
)
def test_compiled_steps_equal_eager_ones(make):
    """Two steps: what a step returns must not make the compiler start again, or mean something else."""
    net = layers.serial(
        conv=layers.conv(1, 8, 3, stride=2, padding=1), bn=layers.batch_norm(8), pool=layers.global_average_pool
    )
    method = make(Encoder(*net, feature_dim=8), views=partial(augmentations.random_resized_crop, size=8))
    optimizer = optimizers.sgd(0.1)
    batch = Batch(random.uniform(random.key(1), (8, 1, 8, 8)), None, torch.arange(8))

    def two_steps(compile):
        step = training.make_train_step(method.loss, optimizer, compile=compile)
        state = training.init(method, optimizer, random.key(0))
        for _ in range(2):
            state, info = step(state, random.key(2), batch)
        return tree.flatten((state, info))

    torch.testing.assert_close(two_steps(True), two_steps(False), rtol=1e-3, atol=1e-4)


# --- the clock, and names in the info --------------------------------------------------------------------------


def test_the_loss_sees_the_number_of_updates_made():
    def loss(params, state, key, batch):
        return params["w"].square().sum(), (state, {"step": batch.step.float()})

    optimizer = optimizers.sgd(0.1)
    method = Method(lambda key: ({"w": torch.ones(1)}, {}), loss)
    state, step = training.init(method, optimizer, random.key(0)), training.make_train_step(loss, optimizer)
    for expected in range(3):
        state, info = step(state, random.key(1), BATCH)
        assert info["step"] == expected
    assert Batch(IMAGES, None, torch.arange(6)).step == 0


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
def test_an_info_with_a_reserved_name_is_refused(name):
    def loss(params, state, key, batch):
        return params["w"].square().sum(), (state, {name: torch.zeros(())})

    method = Method(lambda key: ({"w": torch.ones(1)}, {}), loss)
    step = training.make_train_step(loss, OPTIMIZER)
    with pytest.raises(ValueError, match=f"info: {name} belongs to the training step"):
        step(training.init(method, OPTIMIZER, random.key(0)), random.key(1), BATCH)
