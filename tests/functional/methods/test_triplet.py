"""Triplet loss: one whole step beside loops and modules of torch.nn, and which triplets are drawn."""

import pytest
import torch
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
)

from functional import augmentations, layers, methods, random, streams
from functional.base import Batch, Encoder


def drawn(batch):
    """The triplets `(anchor, positive, negative)` of a batch, by a loop over its images."""
    keys = streams.image_keys(KEY, streams.Stream.SAMPLES, batch.index)[0]
    triplets = []
    for i, own in enumerate(keys):
        numbers = [float(random.uniform(random.fold_in(own, int(j)))) for j in batch.index]
        positives = [j for j in range(len(keys)) if j != i and batch.labels[j] == batch.labels[i]]
        negatives = [j for j in range(len(keys)) if batch.labels[j] != batch.labels[i]]
        if positives and negatives:
            triplets.append((i, *(max(some, key=lambda j: numbers[j]) for some in (positives, negatives))))
    return triplets


def semi_hard(triplets, z, labels):
    """The same triplets with the nearest negative that is farther than the positive, by a loop."""
    found = []
    for i, p, _ in triplets:
        d = [float((z[i] - other).norm()) for other in z]
        farther = [j for j in range(len(z)) if labels[j] != labels[i] and d[j] > d[p]]
        found.append((i, p, min(farther, key=lambda j: d[j])))
    return found


@pytest.mark.parametrize("negatives", ["uniform", "semi_hard"])
def test_a_whole_step_equals_torch_nn(negatives):
    method = methods.triplet(ENCODER, views=noisy, margin=0.03, projector=(7, 5), negatives=negatives)
    params, state = double(method.init(random.key(0)))
    batch = draw_batch()._replace(labels=torch.tensor([0, 1, 0, 1, 2, 0, 1, 1]))  # one image is alone in its class
    grads, (value, (new_state, info)) = torch.func.grad_and_value(method.loss, has_aux=True)(params, state, KEY, batch)

    encoder = load(encoder_twin(), params["encoder"], state.batch_stats)
    projector = load(head_twin(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 5)), params["projector"])
    (view,) = augmentations.draw_views(noisy, KEY, batch, 1)
    z = projector(encoder(view))
    triplets = drawn(batch)
    assert len(triplets) == 7
    if negatives == "semi_hard":
        triplets = semi_hard(triplets, z.detach(), batch.labels)
        assert triplets != drawn(batch)
    values = torch.stack([(z[i] - z[p]).norm() - (z[i] - z[n]).norm() + 0.03 for i, p, n in triplets]).clamp_min(0)
    values.mean().backward()

    torch.testing.assert_close(value, values.detach().mean(), rtol=1e-9, atol=0)
    assert_same(grads["encoder"], gradients(encoder))
    assert_same(grads["projector"], gradients(projector))
    assert_same(new_state.batch_stats, statistics(encoder))
    active = (values > 0).double().mean()
    torch.testing.assert_close(info["active"], active)
    assert 0 < active < 1
    unit = nn.functional.normalize(z.detach())
    torch.testing.assert_close(info["embedding_std"], 5**0.5 * unit.std(0, correction=0).mean())


def test_images_that_are_all_alike_cost_the_margin_of_10():
    method = methods.triplet(ENCODER, views=lambda keys, images: images)
    batch = draw_batch()._replace(images=torch.ones(8, 1, 6, 6, dtype=torch.float64))
    value, _ = method.loss(*double(method.init(random.key(0))), KEY, batch)
    assert value == 10


# --- which triplets ---------------------------------------------------------------------------------------------

LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 1, 2])
PLAIN = Encoder(*layers.serial(flatten=layers.flatten), feature_dim=8)


def triplets_of(labels, keys=1, order=None, negatives="uniform"):
    """Anchor, positive and negative of every triplet: image i is 1 at pixel i alone."""
    order = torch.arange(len(labels)) if order is None else order
    method = methods.triplet(PLAIN, views=lambda keys, images: images, margin=100.0, negatives=negatives)
    found = []
    for seed in range(keys):
        images = torch.eye(8).reshape(8, 1, 1, 8)[order]
        batch = Batch(images, labels[order], order)
        taken = []

        def noted(anchor, positive, negative, *, margin, taken=taken):
            taken.append(torch.stack([anchor.argmax(1), positive.argmax(1), negative.argmax(1)], dim=1))
            return 0 * anchor.sum(1)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("functional.losses.triplet", noted)
            method.loss({"encoder": {}}, method.init(random.key(0))[1], random.key(seed), batch)
        found.append(taken[0])
    return torch.cat(found)


def test_candidates_are_drawn_equally_often_and_the_anchor_never():
    i, p, n = triplets_of(LABELS, keys=600).unbind(1)
    for anchor in range(7):
        for chosen, candidates in (
            (p[i == anchor], [j for j in range(8) if j != anchor and LABELS[j] == LABELS[anchor]]),
            (n[i == anchor], [j for j in range(8) if LABELS[j] != LABELS[anchor]]),
        ):
            counts = torch.bincount(chosen, minlength=8)[candidates]
            assert counts.sum() == 600
            assert (counts / 600 - 1 / len(candidates)).abs().max() < 0.08  # four standard deviations


def test_negatives_are_drawn_where_none_is_farther_than_the_positive():
    assert torch.equal(triplets_of(LABELS, negatives="semi_hard"), triplets_of(LABELS))  # all are equally far apart


def test_the_order_of_the_batch_does_not_matter():
    order = random.permutation(random.key(9), 8)
    straight, shuffled = triplets_of(LABELS), triplets_of(LABELS, order=order)
    whole = [i for i in range(8) if LABELS[i] != 2]  # image 7 has no positive
    assert {tuple(t) for t in straight[whole].tolist()} <= {tuple(t) for t in shuffled.tolist()}


@pytest.mark.parametrize("labels", [torch.arange(8), torch.zeros(8, dtype=torch.int64)], ids=["all alone", "one class"])
def test_a_batch_without_triplets_has_loss_and_gradient_0(labels):
    method = methods.triplet(ENCODER, views=noisy)
    params, state = double(method.init(random.key(0)))
    batch = draw_batch()._replace(labels=labels)
    grads, (value, (_, info)) = torch.func.grad_and_value(method.loss, has_aux=True)(params, state, KEY, batch)
    assert value == 0 and info["active"] == 0
    assert all((leaf == 0).all() for leaf in torch.utils._pytree.tree_leaves(grads))


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="margin: expected a number above 0, got 0"):
        methods.triplet(ENCODER, views=noisy, margin=0)
    with pytest.raises(ValueError, match="negatives: expected 'uniform' or 'semi_hard', got 'hard'"):
        methods.triplet(ENCODER, views=noisy, negatives="hard")
    with pytest.raises(ValueError, match="one for each of 1 views, got 2"):
        methods.triplet(ENCODER, views=(noisy, noisy))
    method = methods.triplet(ENCODER, views=noisy)
    assert method.labelled
    with pytest.raises(ValueError, match="triplet: expected labels, got none"):
        method.loss(*double(method.init(random.key(0))), KEY, draw_batch()._replace(labels=None))
