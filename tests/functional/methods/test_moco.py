"""MoCo v2: one whole step against lightly's loss and modules of torch.nn, and its queue."""

import copy

import pytest
import torch
from lightly.loss import NTXentLoss
from torch import nn
from torch.nn.functional import normalize
from twins import (
    ENCODER,
    KEY,
    assert_same,
    double,
    draw_batch,
    encoder_twin,
    gradients,
    head_twin,
    load,
    noisy,
    statistics,
    view_pair,
    weights,
)

from functional import methods, optimizers, queues, random, streams, training, tree


def make(**options):
    options = {"projector": (7, 5), "temperature": 0.2, "momentum": 0.9, "queue_size": 12, "groups": 2, **options}
    return methods.moco(ENCODER, views=noisy, **options)


def started(method):
    """A state as after some training: the target differs from the encoder."""
    params, state = double(method.init(random.key(0)))
    queue = state.queue._replace(rows=normalize(state.queue.rows))  # unit rows in float64, too
    return params, state._replace(target=tree.map(lambda x: 0.9 * x + 0.01, state.target), queue=queue)


def test_a_whole_step_equals_the_equations_in_torch_nn():
    method = make()
    params, state = started(method)
    batch = draw_batch(step=3)
    grads, (value, (new_state, info)) = torch.func.grad_and_value(method.loss, has_aux=True)(params, state, KEY, batch)

    encoder = load(encoder_twin(), params["encoder"], state.batch_stats)
    target = load(encoder_twin(), state.target["encoder"], state.target_stats)
    projector, target_projector = (
        load(head_twin(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 5)), p["projector"]) for p in (params, state.target)
    )
    for slow, fast in ((target, encoder), (target_projector, projector)):
        for a, b in zip(slow.parameters(), fast.parameters(), strict=True):
            a.data = 0.9 * a.data + 0.1 * b.data
    x_q, x_k = view_pair(batch)
    q, stats = in_groups(encoder, x_q)
    order = random.permutation(streams.batch_key(KEY, streams.Stream.SHUFFLE, batch.step), len(x_k))
    with torch.no_grad():
        shuffled, target_stats = in_groups(target, x_k[order])
        k = torch.empty_like(target_projector(shuffled))
        k[order] = normalize(target_projector(shuffled))  # undo the shuffling
    lightlys = NTXentLoss(temperature=0.2, memory_bank_size=(12, 5), gather_distributed=False).double()
    lightlys.memory_bank.bank = state.queue.rows.clone()
    lightlys.memory_bank.bank_ptr = torch.zeros(1, dtype=torch.int64)
    expected = lightlys(projector(q), k)
    expected.backward()

    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=0)
    assert_same(grads["encoder"], gradients(encoder))
    assert_same(grads["projector"], gradients(projector))
    assert_same(new_state.target["encoder"], weights(target))
    assert_same(new_state.target["projector"], weights(target_projector))
    assert_same(new_state.batch_stats, stats)
    assert_same(new_state.target_stats, target_stats)
    torch.testing.assert_close(new_state.queue.rows[:8], k)
    torch.testing.assert_close(new_state.queue.rows[8:], state.queue.rows[8:])
    assert int(new_state.queue.position) == 8 and 0 < info["key_std"] <= 1


def in_groups(net, x):
    """Each half of the batch through a copy of the network that shares its weights; the mean of their statistics."""
    outputs, found = [], []
    for part in x.chunk(2):
        own = copy.deepcopy(net)
        for ours, shared in zip(own.modules(), net.modules(), strict=True):
            ours._parameters = shared._parameters
        outputs.append(own(part))
        found.append(statistics(own))
    return torch.cat(outputs), {name: (found[0][name] + found[1][name]) / 2 for name in found[0]}


def run(method, steps, n=4):
    """The queue's rows that each loss saw, and the keys that each step made."""
    seen, made = [], []
    enqueue = queues.enqueue
    params, state = method.init(random.key(0))
    for step in range(steps):
        batch = draw_batch(n, step)._replace(index=torch.arange(n) + n * step)
        batch = batch._replace(images=random.uniform(random.key(100 + step), (n, 1, 6, 6)))
        seen.append(state.queue.rows)
        _, (state, _) = method.loss(params, state, random.key(step), batch)
        places = (torch.arange(n) + n * step) % len(state.queue.rows)
        made.append(state.queue.rows[places])
    assert queues.enqueue is enqueue
    return seen, made, state


def test_a_positive_is_never_among_the_negatives():
    seen, made, _ = run(make(queue_size=12, groups=1), 6)
    for negatives, keys in zip(seen, made, strict=True):
        assert (negatives @ keys.T).max() < 1 - 1e-6, "a key of this batch is in the queue that the loss compares with"


@pytest.mark.parametrize("size", [12, 10])
def test_the_queue_holds_the_last_keys_in_order_and_wraps_around(size):
    """Also a size that the batch does not divide."""
    _, made, state = run(make(queue_size=size, groups=1), 7)
    newest = torch.cat(made).flip(0)[:size]
    torch.testing.assert_close(queues.newest_first(state.queue), newest)
    assert int(state.queue.filled) == size


def test_the_target_starts_as_a_copy_and_follows_slowly():
    method = make(momentum=0.99)
    optimizer = optimizers.sgd(0.5)
    train_state = training.init(method, optimizer, random.key(0))
    assert_same(train_state.state.target, tree.flatten(train_state.params))
    step = training.make_train_step(method.loss, optimizer)
    batch = draw_batch()._replace(images=draw_batch().images.float())
    first, _ = step(train_state, KEY, batch)
    assert_same(first.state.target, tree.flatten(train_state.params))  # before the first update both are the same
    second, _ = step(first, KEY, batch)
    expected = tree.map(lambda t, p: 0.99 * t + 0.01 * p, first.state.target, first.params)
    torch.testing.assert_close(second.state.target, expected)


def test_groups_that_do_not_divide_the_batch_are_named():
    method = make(groups=3)
    with pytest.raises(ValueError, match="expected a batch divisible into 3 groups, got 8 rows"):
        method.loss(*double(method.init(random.key(0))), KEY, draw_batch())
