"""BYOL: one whole step against lightly's loss and modules of torch.nn, and what its parts are for."""

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from torch import nn
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

from functional import methods, optimizers, random, schedules, training, tree

MOMENTUM = schedules.cosine(0.9, 10, final=1.0)
METHOD = methods.byol(ENCODER, views=noisy, projector=(7, 5), predictor=4, momentum=MOMENTUM)


def projector_twin():
    return head_twin(nn.Linear(6, 7, bias=False), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 5, bias=False))


@pytest.mark.parametrize("step", [0, 3])
def test_a_whole_step_equals_the_equations_in_torch_nn(step):
    params, state = double(METHOD.init(random.key(0)))
    batch = draw_batch(step=step)
    grads, (value, (new_state, info)) = torch.func.grad_and_value(METHOD.loss, has_aux=True)(params, state, KEY, batch)

    encoder, target = (
        load(encoder_twin(), p["encoder"], s)
        for p, s in ((params, state.batch_stats), (state.target, state.target_stats))
    )
    projector, target_projector = (load(projector_twin(), p["projector"]) for p in (params, state.target))
    predictor = head_twin(nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 5, bias=False))
    load(predictor, params["predictor"])
    if step:  # the papers' update after step - 1
        tau = MOMENTUM(step - 1).item()
        for slow, fast in ((target, encoder), (target_projector, projector)):
            for a, b in zip(slow.parameters(), fast.parameters(), strict=True):
                a.data = tau * a.data + (1 - tau) * b.data
    x_1, x_2 = view_pair(batch)
    p_1, p_2 = (predictor(projector(encoder(x))) for x in (x_1, x_2))
    with torch.no_grad():
        z_1, z_2 = (target_projector(target(x)) for x in (x_1, x_2))
    lightlys = NegativeCosineSimilarity()
    expected = 4 + 2 * (lightlys(p_1, z_2) + lightlys(p_2, z_1))  # |n(p) - n(z)|^2 = 2 - 2 cos
    expected.backward()

    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=0)
    assert_same(grads["encoder"], gradients(encoder))
    assert_same(grads["projector"], gradients(projector))
    assert_same(grads["predictor"], gradients(predictor))
    assert_same(new_state.target["encoder"], weights(target))
    assert_same(new_state.target["projector"], weights(target_projector))
    assert_same(new_state.batch_stats, statistics(encoder))
    assert_same(new_state.target_stats, statistics(target))
    torch.testing.assert_close(info["target_cosine"], 1 - expected.detach() / 4)


def test_the_target_starts_elsewhere_and_receives_no_gradient():
    params, state = METHOD.init(random.key(0))
    started, own = tree.flatten(state.target["encoder"]), tree.flatten(params["encoder"])
    assert not any(torch.equal(started[name], own[name]) for name in started if name.endswith("conv.weight"))
    still = methods.byol(ENCODER, views=noisy, projector=(7, 5), predictor=4, momentum=1.0)
    optimizer = optimizers.sgd(1.0)
    train_state = training.init(still, optimizer, random.key(0))
    step = training.make_train_step(still.loss, optimizer)
    for _ in range(2):
        train_state, _ = step(train_state, KEY, draw_batch()._replace(images=draw_batch().images.float()))
    assert_same(train_state.state.target, tree.flatten(state.target))


def test_values_out_of_range_are_named():
    with pytest.raises(ValueError, match="momentum: expected a number in 0..1, got 1.1"):
        methods.byol(ENCODER, views=noisy, momentum=1.1)
    with pytest.raises(ValueError, match="views: expected one augmentation, or one for each of 2"):
        methods.byol(ENCODER, views=(noisy,))
