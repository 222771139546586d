"""MoCo v3: one whole step against the authors' equations written with torch.nn."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize
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

from functional import methods, random, schedules, tree

MOMENTUM = schedules.cosine(0.9, 10, final=1.0)
METHOD = methods.moco_v3(ENCODER, views=noisy, projector=(7, 5), predictor=4, temperature=0.2, momentum=MOMENTUM)


def projector_twin():
    last = nn.BatchNorm1d(5, affine=False)
    return head_twin(nn.Linear(6, 7, bias=False), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 5, bias=False), last)


def contrastive(q, k, temperature):
    """The loss of the authors' builder, for one process."""
    logits = normalize(q) @ normalize(k).T / temperature
    return cross_entropy(logits, torch.arange(len(q))) * (2 * temperature)


def test_a_whole_step_equals_the_equations_in_torch_nn():
    params, state = double(METHOD.init(random.key(0)))
    state = state._replace(target=tree.map(lambda x: 0.9 * x + 0.01, state.target))
    batch = draw_batch(step=3)
    grads, (value, (new_state, info)) = torch.func.grad_and_value(METHOD.loss, has_aux=True)(params, state, KEY, batch)

    encoder = load(encoder_twin(), params["encoder"], state.batch_stats)
    target = load(encoder_twin(), state.target["encoder"], state.target_stats)
    projector, target_projector = (load(projector_twin(), p["projector"]) for p in (params, state.target))
    predictor = head_twin(nn.Linear(5, 4, bias=False), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 5, bias=False))
    load(predictor, params["predictor"])
    tau = MOMENTUM(3).item()  # of the current step
    for slow, fast in ((target, encoder), (target_projector, projector)):
        for a, b in zip(slow.parameters(), fast.parameters(), strict=True):
            a.data = tau * a.data + (1 - tau) * b.data
    x_1, x_2 = view_pair(batch)
    q_1, q_2 = (predictor(projector(encoder(x))) for x in (x_1, x_2))
    with torch.no_grad():
        k_1, k_2 = (target_projector(target(x)) for x in (x_1, x_2))
    expected = contrastive(q_1, k_2, 0.2) + contrastive(q_2, k_1, 0.2)
    expected.backward()

    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=0)
    assert_same(grads["encoder"], gradients(encoder))
    assert_same(grads["projector"], gradients(projector))
    assert_same(grads["predictor"], gradients(predictor))
    assert_same(new_state.target["encoder"], weights(target))
    assert_same(new_state.target["projector"], weights(target_projector))
    assert_same(new_state.batch_stats, statistics(encoder))
    assert_same(new_state.target_stats, statistics(target))
    assert 0 < info["key_std"] <= 1


def test_the_target_starts_as_a_separate_copy():
    params, state = METHOD.init(random.key(0))
    assert_same(state.target, tree.flatten({name: params[name] for name in ("encoder", "projector")}))
    shared = {x.data_ptr() for x in tree.leaves(params)} & {x.data_ptr() for x in tree.leaves(state.target)}
    assert not shared, "memory that two trees share makes torch.compile start again"
