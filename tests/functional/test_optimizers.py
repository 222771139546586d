"""Optimizers: 50 steps against torch.optim and lightly's LARS, steps computed by hand, and the contract."""

import math
from functools import partial

import pytest
import torch

from functional import optimizers, random, schedules, tree
from functional.base import Optimizer

STEPS = 50


# In float64, where equal trajectories stay equal to 1e-9: in float32 the loss amplifies the last digit of a step.
def draw(seed, *shape):
    return random.normal(random.key(seed), shape).double()


INPUTS, TARGETS = draw(1, 16, 3), draw(2, 16, 2)


def start():
    """Two layers of a small regression, curved enough that every step matters."""
    return {
        "fc1": {"weight": draw(3, 5, 3), "bias": draw(4, 5)},
        "fc2": {"weight": draw(5, 2, 5), "bias": draw(6, 2)},
    }


def loss(params):
    hidden = torch.tanh(INPUTS @ params["fc1"]["weight"].T + params["fc1"]["bias"])
    return (hidden @ params["fc2"]["weight"].T + params["fc2"]["bias"] - TARGETS).square().mean()


def trained(optimizer, params, steps=STEPS):
    opt_state = optimizer.init(params)
    for _ in range(steps):
        params, opt_state = optimizer.update(torch.func.grad(loss)(params), opt_state, params)
    return params, opt_state


def trained_by_torch(make, params, scheduler=None, clip=None, steps=STEPS):
    params = tree.map(lambda p: p.clone().requires_grad_(), params)
    optimizer = make(tree.leaves(params))
    scheduler = scheduler and scheduler(optimizer)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(params).backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(tree.leaves(params), clip)
        optimizer.step()
        if scheduler:
            scheduler.step()
    return tree.detach(params)


# --- golden: worked by hand ------------------------------------------------------------------------------------


def test_two_steps_of_sgd_with_momentum():
    optimizer, params = optimizers.sgd(0.1, momentum=0.5, weight_decay=0.5), {"w": torch.tensor([2.0])}
    opt_state = optimizer.init(params)
    params, opt_state = optimizer.update({"w": torch.tensor([1.0])}, opt_state, params)  # v = 1 + .5 * 2 = 2
    torch.testing.assert_close(params["w"], torch.tensor([1.8]))
    params, opt_state = optimizer.update({"w": torch.tensor([0.1])}, opt_state, params)  # v = .5 * 2 + .1 + .9 = 2
    torch.testing.assert_close(params["w"], torch.tensor([1.6]))
    assert opt_state.step == 2 and opt_state.step.dtype == torch.int64


def test_a_step_of_lars():
    params = {"weight": torch.tensor([[3.0, 4.0]]), "bias": torch.tensor([1.0])}  # norm of the weight 5
    grads = {"weight": torch.tensor([[0.0, 2.0]]), "bias": torch.tensor([1.0])}  # norm 2
    optimizer = optimizers.lars(0.5, weight_decay=0.1, trust_coefficient=0.02)
    new, opt_state = optimizer.update(grads, optimizer.init(params), params)
    ratio = 0.02 * 5 / (2 + 0.1 * 5)  # .04, times the decayed gradient (.3, 2.4)
    torch.testing.assert_close(opt_state.velocity["weight"], ratio * torch.tensor([[0.3, 2.4]]))
    torch.testing.assert_close(new["weight"], torch.tensor([[3 - 0.5 * 0.012, 4 - 0.5 * 0.096]]))
    torch.testing.assert_close(new["bias"], torch.tensor([0.5]))  # no decay, no adaptation


def test_lars_leaves_zero_and_stays_finite_without_a_gradient():
    params = {"zero": torch.zeros(1, 2), "still": torch.ones(1, 2), "both": torch.zeros(1, 2)}
    grads = {"zero": torch.ones(1, 2), "still": torch.zeros(1, 2), "both": torch.zeros(1, 2)}
    optimizer = optimizers.lars(1.0, weight_decay=0.5, trust_coefficient=0.1)
    new, _ = optimizer.update(grads, optimizer.init(params), params)
    assert new["zero"].tolist() == [[-1.0, -1.0]]
    torch.testing.assert_close(new["still"], torch.full((1, 2), 0.9))  # ratio .1 / .5, times a decay of .5
    assert new["both"].tolist() == [[0.0, 0.0]]
    undecayed = optimizers.lars(1.0, weight_decay=0.0)
    assert undecayed.update(grads, undecayed.init(params), params)[0]["still"].tolist() == [[1.0, 1.0]]


# --- naive twin: torch.optim and lightly -----------------------------------------------------------------------

TORCH = {
    "sgd": (optimizers.sgd(0.1), torch.optim.SGD, {"lr": 0.1}),
    "sgd, momentum": (optimizers.sgd(0.1, momentum=0.9), torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "sgd, nesterov, decay": (
        optimizers.sgd(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    ),
    "adam": (optimizers.adam(0.01), torch.optim.Adam, {"lr": 0.01}),
    "adam, decay": (
        optimizers.adam(0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1),
        torch.optim.Adam,
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1},
    ),
    "adamw": (optimizers.adamw(0.01), torch.optim.AdamW, {"lr": 0.01}),
}


@pytest.mark.parametrize("name", TORCH)
def test_50_steps_equal_those_of_torch(name):
    optimizer, peer, kwargs = TORCH[name]
    theirs = trained_by_torch(lambda leaves: peer(leaves, **kwargs), start())
    torch.testing.assert_close(trained(optimizer, start())[0], theirs, rtol=1e-9, atol=1e-9)


def test_50_steps_on_a_schedule_equal_those_of_torch():
    def scheduler(optimizer):
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)

    theirs = trained_by_torch(lambda leaves: torch.optim.SGD(leaves, lr=0.2, momentum=0.9), start(), scheduler)
    ours, _ = trained(optimizers.sgd(schedules.cosine(0.2, STEPS), momentum=0.9), start())
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_50_clipped_steps_equal_those_of_torch():
    theirs = trained_by_torch(lambda leaves: torch.optim.SGD(leaves, lr=0.2), start(), clip=0.3)
    ours, _ = trained(optimizers.clip_by_global_norm(optimizers.sgd(0.2), 0.3), start())
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)  # torch adds 1e-6 to the norm


def test_50_steps_of_lars_equal_those_of_lightly():
    from lightly.utils.lars import LARS

    def peer(leaves):
        weights, biases = [p for p in leaves if p.ndim > 1], [p for p in leaves if p.ndim == 1]
        groups = [{"params": weights, "weight_decay": 0.01}, {"params": biases, "weight_decay": 0.0}]
        return LARS(groups, lr=0.5, momentum=0.9, trust_coefficient=0.02, eps=0)

    ours, _ = trained(optimizers.lars(0.5, weight_decay=0.01, trust_coefficient=0.02), start())
    torch.testing.assert_close(ours, trained_by_torch(peer, start()), rtol=1e-9, atol=1e-9)


# --- property --------------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": optimizers.sgd(0.1),
    "sgd, nesterov": optimizers.sgd(0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": optimizers.adam(0.1, weight_decay=0.1),
    "adamw": optimizers.adamw(schedules.cosine(0.1, 9), mask=optimizers.exclude_bias_and_norm),
    "lars": optimizers.lars(0.1),
    "clipped": optimizers.clip_by_global_norm(optimizers.sgd(lambda step: 0.1, momentum=0.9), 0.1),
}
each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


@each_optimizer
def test_inputs_stay_and_no_two_leaves_share_memory(name):
    optimizer, params = OPTIMIZERS[name], start()
    grads, opt_state = torch.func.grad(loss)(params), optimizer.init(params)
    given = (grads, opt_state, params)
    kept = tree.map(torch.clone, given)
    new = optimizer.update(*given)
    assert all(torch.equal(a, b) for a, b in zip(tree.leaves(given), tree.leaves(kept), strict=True))
    addresses = [leaf.untyped_storage().data_ptr() for leaf in tree.leaves((given, new))]
    assert len(set(addresses)) == len(addresses)


@each_optimizer
def test_vmap_equals_the_loop(name):
    optimizer = OPTIMIZERS[name]

    def two_steps(params):
        return trained(optimizer, params, steps=2)

    many = [tree.map(lambda p, i=i: p + i, start()) for i in range(3)]
    batched = torch.func.vmap(two_steps)(tree.stack(many))
    torch.testing.assert_close(batched, tree.stack([two_steps(params) for params in many]), rtol=1e-9, atol=1e-9)


@each_optimizer
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_dtypes_are_kept_and_sums_are_at_least_float32(name, dtype):
    optimizer = OPTIMIZERS[name]
    params = {"w": torch.ones(2, 2, dtype=dtype), "scalar": torch.ones((), dtype=dtype)}
    first = optimizer.init(params)
    new, second = optimizer.update(params, first, params)
    assert {p.dtype for p in tree.leaves(new)} == {dtype}
    for opt_state in (first, second):
        sums = {leaf.dtype for leaf in tree.leaves(opt_state) if leaf.is_floating_point()}
        assert sums <= {torch.promote_types(dtype, torch.float32)}


@pytest.mark.parametrize("make", [optimizers.sgd, optimizers.adam, optimizers.adamw])
def test_a_mask_keeps_decay_from_biases(make):
    params = start()
    still = tree.map(torch.zeros_like, params)
    optimizer = make(0.1, weight_decay=0.5, mask=optimizers.exclude_bias_and_norm)
    new, _ = optimizer.update(still, optimizer.init(params), params)
    assert torch.equal(new["fc1"]["bias"], params["fc1"]["bias"])
    assert not torch.equal(new["fc1"]["weight"], params["fc1"]["weight"])


def test_small_gradients_are_not_clipped():
    optimizer, params = optimizers.clip_by_global_norm(optimizers.sgd(1.0), 1.0), {"w": torch.zeros(2)}
    opt_state = optimizer.init(params)
    small, large = torch.tensor([0.3, 0.4]), torch.tensor([30.0, 40.0])
    assert torch.equal(optimizer.update({"w": small}, opt_state, params)[0]["w"], -small)
    torch.testing.assert_close(optimizer.update({"w": large}, opt_state, params)[0]["w"], -torch.tensor([0.6, 0.8]))
    assert optimizer.update({"w": torch.zeros(2)}, opt_state, params)[0]["w"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["adamw", "lars"])
def test_update_is_one_graph_that_serves_every_step(name):
    from torch._dynamo.testing import CompileCounter

    optimizer, params, counter = OPTIMIZERS[name], start(), CompileCounter()
    grads, opt_state = torch.func.grad(loss)(params), optimizer.init(params)
    update = torch.compile(optimizer.update, backend=counter, fullgraph=True)
    for _ in range(3):
        ours = optimizer.update(grads, opt_state, params)
        params, opt_state = update(grads, opt_state, params)
        torch.testing.assert_close((params, opt_state), ours)
    assert counter.frame_count == 1


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda: optimizers.sgd(-0.1), "value: expected a number in 0..inf, got -0.1"),
        (lambda: optimizers.sgd(0.1, momentum=1.0), "momentum: expected 0 <= momentum < 1, got 1.0"),
        (lambda: optimizers.sgd(0.1, nesterov=True), "nesterov: expected a momentum above 0"),
        (lambda: optimizers.sgd(0.1, weight_decay=-1.0), "weight_decay"),
        (lambda: optimizers.adam(0.1, betas=(0.9, 1.0)), "betas"),
        (lambda: optimizers.adam(0.1, eps=0.0), "eps"),
        (lambda: optimizers.adamw(0.1, weight_decay=-1.0), "weight_decay"),
        (lambda: optimizers.lars(0.1, trust_coefficient=0.0), "trust_coefficient"),
        (lambda: optimizers.clip_by_global_norm(optimizers.sgd(0.1), 0.0), "max_norm"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError) as error:
        call()
    assert words in str(error.value)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_gradient_of_another_shape_is_named(name):
    optimizer, params = OPTIMIZERS[name], {"w": torch.ones(2)}
    with pytest.raises(ValueError, match=r"got params \[2\], grads \[3, 2\]; pass trees of the same network"):
        optimizer.update({"w": torch.ones(3, 2)}, optimizer.init(params), params)


# --- groups, freezing, projections -----------------------------------------------------------------------------

NESTED = {"encoder": {"fc": {"weight": torch.ones(2, 2), "bias": torch.ones(2)}}, "head": {"weight": torch.ones(1, 2)}}


def test_groups_move_as_each_optimizer_alone_and_keep_the_order():
    fast, slow = optimizers.adamw(0.1, weight_decay=0.5), optimizers.sgd(0.01, momentum=0.9)
    grouped = optimizers.grouped(("head.*", fast), ("*", slow))
    params, opt_state = NESTED, grouped.init(NESTED)
    head, head_state = {"head": NESTED["head"]}, fast.init({"head": NESTED["head"]})
    rest, rest_state = {"encoder": NESTED["encoder"]}, slow.init({"encoder": NESTED["encoder"]})
    for _ in range(3):
        grads = tree.map(lambda p: p.square() + 0.1, params)
        head, head_state = fast.update({"head": grads["head"]}, head_state, head)
        rest, rest_state = slow.update({"encoder": grads["encoder"]}, rest_state, rest)
        params, opt_state = grouped.update(grads, opt_state, params)
    torch.testing.assert_close(params, {**rest, **head}, rtol=0, atol=0)
    assert list(tree.flatten(params)) == list(tree.flatten(NESTED))


@pytest.mark.parametrize(
    "groups,words",
    [
        ((("hed.*", optimizers.sgd(0.1)), ("*", optimizers.sgd(0.1))), "'hed.*' matches no parameter"),
        ((("head.*", optimizers.sgd(0.1)),), "no pattern matches encoder.fc.weight, encoder.fc.bias"),
    ],
)
def test_an_empty_group_and_a_parameter_without_a_group_are_named(groups, words):
    with pytest.raises(ValueError) as raised:
        optimizers.grouped(*groups).init(NESTED)
    assert words in str(raised.value)


@pytest.mark.parametrize("make", [partial(optimizers.sgd, momentum=0.9, weight_decay=0.1), optimizers.adamw])
def test_frozen_parameters_do_not_move_and_then_start_afresh(make):
    schedule = schedules.linear(0.1, 0.0, 10)
    frozen = optimizers.freeze(make(schedules.shift(schedule, 2)), 2)
    params, opt_state = NESTED, frozen.init(NESTED)
    started = tree.map(torch.clone, opt_state.inner)
    for step in range(2):
        params, opt_state = frozen.update(tree.map(torch.ones_like, params), opt_state, params)
        assert all(torch.equal(a, b) for a, b in zip(tree.leaves(params), tree.leaves(NESTED), strict=True))
        assert all(torch.equal(a, b) for a, b in zip(tree.leaves(opt_state.inner), tree.leaves(started), strict=True))
        assert opt_state.step == step + 1
    twin = make(lambda k: schedule(k + 2))
    expected, _ = twin.update(tree.map(torch.ones_like, params), twin.init(params), params)
    torch.testing.assert_close(frozen.update(tree.map(torch.ones_like, params), opt_state, params)[0], expected)


def test_permanently_frozen_parameters_never_move():
    frozen = optimizers.freeze(optimizers.sgd(0.1), math.inf)
    params, opt_state = NESTED, frozen.init(NESTED)
    for _ in range(3):
        params, opt_state = frozen.update(NESTED, opt_state, params)
    assert all(torch.equal(a, b) for a, b in zip(tree.leaves(params), tree.leaves(NESTED), strict=True))


@pytest.mark.parametrize("make", [optimizers.sgd, optimizers.adam, optimizers.adamw, optimizers.lars])
def test_a_weight_decay_on_a_schedule_is_that_of_the_step(make):
    scheduled = make(0.1, weight_decay=schedules.linear(0.4, 0.0, 4))
    params, opt_state = NESTED, scheduled.init(NESTED)
    expected = NESTED
    for weight_decay in (0.4, 0.3, 0.2):
        grads = tree.map(lambda p: p.square() + 0.1, params)
        expected, _ = make(0.1, weight_decay=weight_decay).update(grads, opt_state, params)
        params, opt_state = scheduled.update(grads, opt_state, params)
        torch.testing.assert_close(params, expected)


def test_each_leaf_is_clipped_by_its_own_norm_as_dino_does():
    grads = {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([0.3, 0.4]), "c": torch.zeros(2)}
    seen = []
    spy = Optimizer(lambda params: (), lambda grads, state, params: (seen.append(grads), state))
    optimizers.clip_by_norm(spy, 3.0).update(grads, (), grads)
    expected = {"a": torch.tensor([1.8, 2.4]), "b": grads["b"], "c": grads["c"]}
    torch.testing.assert_close(seen[0], expected)


def test_a_projection_leaves_frozen_parameters_their_bits_and_maps_the_others():

    def unit(params):
        return tree.map(lambda p: p / p.norm(), params)

    frozen = optimizers.grouped(("head.*", optimizers.freeze(optimizers.sgd(0.1), 1)), ("*", optimizers.sgd(0.1)))
    projected = optimizers.project(frozen, unit)
    params, opt_state = NESTED, projected.init(NESTED)
    grads = tree.map(torch.ones_like, NESTED)
    params, opt_state = projected.update(grads, opt_state, params)
    assert torch.equal(params["head"]["weight"], NESTED["head"]["weight"])
    torch.testing.assert_close(params["encoder"]["fc"]["weight"].norm(), torch.tensor(1.0))
    params, opt_state = projected.update(grads, opt_state, params)
    torch.testing.assert_close(params["head"]["weight"].norm(), torch.tensor(1.0))
