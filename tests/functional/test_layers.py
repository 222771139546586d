"""Layers: equal to torch.nn, initial weights, what is drawn, and how layers are combined."""

import math
import re

import pytest
import torch
from torch import nn

from functional import heads, initializers, layers, random, tree


def inputs(*shape, seed=1):
    return random.normal(random.key(seed), shape)


# --- naive twin: torch.nn -------------------------------------------------------------------------------------

TWINS = {
    "linear": (layers.linear(5, 4), nn.Linear(5, 4), (6, 5)),
    "linear without bias, on rows of rows": (layers.linear(5, 4, bias=False), nn.Linear(5, 4, bias=False), (6, 2, 5)),
    "conv": (layers.conv(3, 4, 3), nn.Conv2d(3, 4, 3), (6, 3, 8, 8)),
    "conv with stride": (
        layers.conv(3, 4, 3, stride=2, padding=1, bias=False),
        nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
        (6, 3, 7, 7),
    ),
    "conv of one pixel with stride": (
        layers.conv(3, 4, 1, stride=2),
        nn.Conv2d(3, 4, 1, stride=2),
        (6, 3, 7, 8),
    ),
    "conv_transpose": (
        layers.conv_transpose(3, 4, 3, stride=2, padding=1, output_padding=1),
        nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1),
        (6, 3, 7, 7),
    ),
    "layer_norm": (layers.layer_norm(5), nn.LayerNorm(5), (6, 2, 5)),
    "batch_norm of images": (layers.batch_norm(3), nn.BatchNorm2d(3), (6, 3, 4, 4)),
    "batch_norm of rows": (layers.batch_norm(5, momentum=0.3, eps=1e-3), nn.BatchNorm1d(5, 1e-3, 0.3), (6, 5)),
    "batch_norm without scale": (layers.batch_norm(5, affine=False), nn.BatchNorm1d(5, affine=False), (6, 5)),
    "max_pool": (layers.max_pool(3, stride=2, padding=1), nn.MaxPool2d(3, 2, 1), (6, 3, 7, 7)),
}


@pytest.mark.parametrize("name", TWINS)
def test_layer_equals_torch_nn(name):
    layer, module, shape = TWINS[name]
    params, batch_stats = layer.init(random.key(0))
    own = {n: x for n, x in module.named_buffers() if n != "num_batches_tracked"}
    assert {n: x.shape for n, x in params.items()} == {n: x.shape for n, x in module.named_parameters()}
    torch.testing.assert_close(batch_stats, own)

    params = {n: random.uniform(random.key(i), tuple(x.shape), minval=0.5) for i, (n, x) in enumerate(params.items())}
    module.load_state_dict(params, strict=False)
    close = {"rtol": 1e-6, "atol": 1e-6}
    for step in range(2):
        x = 3 * inputs(*shape, seed=step) + 1
        expected = module.train()(x)
        module.zero_grad()
        expected.sin().mean().backward() if params else None

        def loss(params, x=x, batch_stats=batch_stats):
            outputs, new_stats = layer.apply(params, batch_stats, x, train=True)
            return outputs.sin().mean(), (outputs, new_stats)

        grads, (outputs, batch_stats) = torch.func.grad(loss, has_aux=True)(params)
        torch.testing.assert_close(outputs, expected, **close)
        torch.testing.assert_close(grads, {n: p.grad for n, p in module.named_parameters()}, **close)
        torch.testing.assert_close(batch_stats, own, **close)
    outputs, same = layer.apply(params, batch_stats, x)
    torch.testing.assert_close(outputs, module.eval()(x), **close)
    assert all(same[n] is batch_stats[n] for n in batch_stats)


# --- initial weights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer,module",
    [
        (layers.linear(50, 400), nn.Linear(50, 400)),
        (layers.conv(6, 200, 3), nn.Conv2d(6, 200, 3)),
        (layers.conv_transpose(200, 6, 3), nn.ConvTranspose2d(200, 6, 3)),
    ],
)
def test_weights_and_biases_are_initialised_as_in_torch(layer, module):
    """Uniform up to the same bound, for weight and bias."""
    bound = 1 / math.sqrt(module.weight[0].numel())
    for name, ours in layer.init(random.key(0))[0].items():
        for weights in (ours, module.get_parameter(name).detach()):
            assert weights.abs().max() <= bound
            if weights.numel() > 100:
                assert weights.abs().max() > 0.97 * bound
                assert weights.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_kaiming_normal_has_the_variance_of_fan_out():
    weight = initializers.kaiming_normal(random.key(0), (64, 16, 3, 3))
    assert weight.std() == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.03) and abs(weight.mean()) < 0.003


def test_initializers_keep_dtype_and_device_of_the_key():
    for start in (initializers.zeros, initializers.ones, initializers.kaiming_normal, initializers.torch_uniform):
        weight = start(random.key(0), (2, 3), torch.float64)
        assert weight.dtype == torch.float64 and weight.shape == (2, 3)
        assert start(random.key(0, device="meta"), (2, 3)).device.type == "meta"


# --- batch norm -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_of_bfloat16_keeps_float32_statistics(affine):
    layer, x = layers.batch_norm(4, affine=affine), 8 + inputs(64, 4, 3, 3)
    params, batch_stats = layer.init(random.key(0))
    for train in (True, False):
        ours, new_stats = layer.apply(params, batch_stats, x.bfloat16(), train=train)
        exact, exact_stats = layer.apply(params, batch_stats, x.bfloat16().float(), train=train)
        assert ours.dtype == torch.bfloat16 and new_stats["running_var"].dtype == torch.float32
        torch.testing.assert_close(new_stats, exact_stats, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(ours.float(), exact, rtol=1e-2, atol=1e-2)


def test_batch_norm_is_float64_throughout_in_float64():
    layer = layers.batch_norm(4)
    params, batch_stats = tree.map(torch.Tensor.double, layer.init(random.key(0)))
    x = inputs(8, 4).double()
    outputs, new_stats = layer.apply(params, batch_stats, x, train=True)
    torch.testing.assert_close(outputs.mean(0), torch.zeros(4).double(), rtol=0, atol=1e-14)
    torch.testing.assert_close(new_stats["running_var"], 0.9 + 0.1 * x.var(0), rtol=1e-14, atol=0)


def test_running_statistics_carry_no_gradient():
    layer = layers.batch_norm(4)
    x = inputs(8, 4).requires_grad_()
    _, new_stats = layer.apply(*layer.init(random.key(0)), x, train=True)
    assert not any(stat.requires_grad for stat in new_stats.values())


# --- dropout --------------------------------------------------------------------------------------------------


def test_dropout_keeps_the_mean_and_drops_the_rate():
    ones = torch.ones(100, 200)
    outputs, _ = layers.dropout(0.3).apply({}, {}, ones, train=True, key=random.key(0))
    assert set(outputs.unique().tolist()) == {0.0, (ones / 0.7)[0, 0].item()}
    assert (outputs == 0).float().mean() == pytest.approx(0.3, abs=0.01)
    assert outputs.mean() == pytest.approx(1, abs=0.01)


def test_dropout_of_a_row_depends_on_its_key_alone():
    dropout, x, keys = layers.dropout(0.5), inputs(6, 3, 4), random.split(random.key(0), 6)
    outputs, _ = dropout.apply({}, {}, x, train=True, key=keys)
    order = torch.tensor([4, 0])
    assert torch.equal(dropout.apply({}, {}, x[order], train=True, key=keys[order])[0], outputs[order])
    assert torch.equal(dropout.apply({}, {}, x[4], train=True, key=keys[4])[0], outputs[4])

    net = layers.serial(linear=layers.linear(4, 5), dropout=dropout, again=dropout)  # splits the keys row by row
    params, _ = net.init(random.key(1))
    outputs, _ = net.apply(params, {}, x, train=True, key=keys)
    torch.testing.assert_close(net.apply(params, {}, x[order], train=True, key=keys[order])[0], outputs[order])
    assert (outputs == 0).float().mean() > 0.6  # the two layers draw different masks


def test_dropout_is_the_identity_in_evaluation_and_at_rate_0():
    x = inputs(6, 4)
    assert layers.dropout(0.9).apply({}, {}, x)[0] is x
    assert layers.dropout(0.0).apply({}, {}, x, train=True)[0] is x
    assert torch.equal(layers.dropout(1.0).apply({}, {}, x, train=True, key=random.key(0))[0], torch.zeros(6, 4))


# --- combining layers -----------------------------------------------------------------------------------------


def small_net():
    return layers.serial(
        conv=layers.conv(1, 3, 3),
        bn=layers.batch_norm(3),
        relu=layers.relu,
        head=layers.serial(pool=layers.global_average_pool, **{"0": layers.linear(3, 4), "1": layers.linear(4, 4)}),
    )


def test_serial_names_what_has_parameters_and_nothing_else():
    params, batch_stats = small_net().init(random.key(0))
    assert list(tree.flatten(params)) == [
        *("conv.weight", "conv.bias", "bn.weight", "bn.bias"),
        *("head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias"),
    ]
    assert list(tree.flatten(batch_stats)) == ["bn.running_mean", "bn.running_var"]
    torch.testing.assert_close(tree.unflatten(tree.flatten(params)), params)  # no empty dicts
    _, new_stats = small_net().apply(params, batch_stats, inputs(2, 1, 5, 5), train=True)
    assert tree.map(lambda x: x.shape, new_stats) == tree.map(lambda x: x.shape, batch_stats)


def test_serial_is_composition_and_its_layers_start_differently():
    first, second = layers.linear(4, 4), layers.linear(4, 4)
    net, x = layers.serial(a=first, b=second), inputs(3, 4)
    params, _ = net.init(random.key(0))
    assert not torch.equal(params["a"]["weight"], params["b"]["weight"])
    by_hand = second.apply(params["b"], {}, first.apply(params["a"], {}, x)[0])[0]
    assert torch.equal(net.apply(params, {}, x)[0], by_hand)


def test_serial_of_nothing_is_the_identity():
    empty, x = layers.serial(), inputs(2, 3)
    assert empty.init(random.key(0)) == ({}, {})
    assert empty.apply({}, {}, x, train=True, key=random.key(0))[0] is x


def test_vmap_over_parameters_equals_the_loop():
    net, x = small_net(), inputs(4, 1, 6, 6)
    several = [net.init(key) for key in random.split(random.key(0), 3)]

    def apply(params, batch_stats):
        return net.apply(params, batch_stats, x, train=True)

    looped = tree.stack([apply(*one) for one in several])
    torch.testing.assert_close(torch.func.vmap(apply)(*tree.stack(several)), looped, rtol=1e-5, atol=1e-6)


def test_arguments_are_unchanged():
    net = layers.serial(net=small_net(), dropout=layers.dropout(0.5))
    trees = *net.init(random.key(0)), inputs(4, 1, 6, 6), random.key(1)
    kept = tree.map(torch.clone, trees)
    params, batch_stats, x, key = trees
    net.apply(params, batch_stats, x, train=True, key=key)
    torch.testing.assert_close(trees, kept, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    "layer,shape",
    [(layers.batch_norm(3), (8, 3)), (heads.fourier_decoder(4, size=4, hidden=8), (8, 4))],
    ids=["batch_norm", "fourier_decoder"],
)
def test_cast_layers_agree_in_both_modes(layer, shape, train, dtype):
    params, stats = layer.init(random.key(0))
    x = inputs(*shape)
    outputs, _ = layers.cast(layer, dtype).apply(params, stats, x, train=train)
    torch.testing.assert_close(outputs.float(), layer.apply(params, stats, x, train=train)[0], rtol=0.1, atol=0.1)


def test_cast_casts_inputs_and_promotes_outputs():
    layer = layers.linear(4, 3)
    params, _ = layer.init(random.key(0))
    x = inputs(5, 4)
    low = {name: leaf.bfloat16() for name, leaf in params.items()}
    by_hand = layer.apply(low, {}, x.bfloat16())[0].float()
    torch.testing.assert_close(layers.cast(layer, torch.bfloat16).apply(params, {}, x)[0], by_hand, rtol=0, atol=0)
    assert layers.cast(layer, torch.float64).apply(params, {}, x)[0].dtype == torch.float64
    assert layers.cast(layer, None) is layer
    dropped, _ = layers.cast(layers.dropout(0.5), torch.bfloat16).apply({}, {}, x, train=True, key=random.key(0))
    assert (dropped == 0).any() and dropped.dtype == torch.float32  # the key reaches the layer


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda: layers.linear(0, 3), "in_features: expected a number above 0, got 0"),
        (lambda: layers.dropout(1.5), "rate: expected a number in 0..1, got 1.5"),
        (lambda: layers.dropout(0.5).apply({}, {}, inputs(2, 3), train=True), "pass key="),
        (
            lambda: run(layers.dropout(0.5), inputs(2, 3), key=random.split(random.key(0), 3)),
            "one key per image [2, 2]",
        ),
        (lambda: run(layers.batch_norm(3), inputs(4, 2)), "inputs: expected 3 channels, got 2"),
        (lambda: run(layers.batch_norm(3), inputs(1, 3)), "one value per channel (inputs [1, 3])"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        call()


def run(layer, x, key=None):
    return layer.apply(*layer.init(random.key(0)), x, train=True, key=key)


# --- groups of a batch -----------------------------------------------------------------------------------------


def test_a_split_batch_is_normalised_group_by_group():
    layer = layers.batch_norm(3)
    params, stats = layer.init(random.key(0))
    x = random.normal(random.key(1), (6, 3))
    outputs, new_stats = layers.split_batch(layer, 3).apply(params, stats, x, train=True)
    parts = [layer.apply(params, stats, part, train=True) for part in x.chunk(3)]
    torch.testing.assert_close(outputs, torch.cat([part for part, _ in parts]))
    for name in stats:
        torch.testing.assert_close(new_stats[name], torch.stack([s[name] for _, s in parts]).mean(0))
    whole = layers.split_batch(layer, 3).apply(params, new_stats, x)[0]
    torch.testing.assert_close(whole, layer.apply(params, new_stats, x)[0])


def test_a_counter_of_batches_counts_once_for_all_groups():
    counting = layers.Layer(lambda key, /: ({}, {}), lambda p, s, x, /, **_: (x, {"batches": s["batches"] + 1}))
    counted = layers.split_batch(counting, 2).apply({}, {"batches": torch.tensor(3)}, torch.ones(4, 1), train=True)[1]
    assert counted["batches"] == 4 and counted["batches"].dtype == torch.int64


def test_groups_that_do_not_divide_the_batch_are_named():
    with pytest.raises(ValueError, match="expected a batch divisible into 4 groups, got 6 rows"):
        layers.split_batch(layers.batch_norm(3), 4).apply({}, {}, torch.zeros(6, 3), train=True)


def test_groups_of_a_layer_that_draws_have_their_own_keys():
    layer = layers.split_batch(layers.dropout(0.5), 2)
    twice = layer.apply({}, {}, torch.ones(8, 50), train=True, key=random.key(0))[0].chunk(2)
    assert not torch.equal(*twice)
    keys = random.split(random.key(0), 8)
    own = layer.apply({}, {}, torch.ones(8, 50), train=True, key=keys)[0]
    torch.testing.assert_close(own, layers.dropout(0.5).apply({}, {}, torch.ones(8, 50), train=True, key=keys)[0])


def test_a_batch_norm_without_running_statistics_equals_torchs():
    layer, module = layers.batch_norm(3, track_running_stats=False), torch.nn.BatchNorm1d(3, track_running_stats=False)
    params, stats = layer.init(random.key(0))
    x = random.normal(random.key(1), (6, 3))
    assert stats == {}
    for train in (True, False):
        outputs, new_stats = layer.apply(params, stats, x, train=train)
        torch.testing.assert_close(outputs, module.train(train)(x))
        assert new_stats == {}
