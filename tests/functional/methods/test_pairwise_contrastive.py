"""Pairwise contrastive loss: one whole step beside loops and modules of torch.nn, and which pairs are drawn."""

import itertools

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

from functional import augmentations, layers, methods, optimizers, random, streams, training
from functional.base import Batch, Encoder


def drawn(batch):
    """The partner of each image, by a loop."""
    keys = streams.image_keys(KEY, streams.Stream.SAMPLES, batch.index)[0]
    partners = []
    for i, own in enumerate(keys):
        numbers = {j: float(random.uniform(random.fold_in(own, int(batch.index[j])))) for j in range(len(keys))}
        partners.append(max((j for j in numbers if j != i), key=lambda j: numbers[j]))
    return partners


@pytest.mark.parametrize("all_pairs", [True, False])
def test_a_whole_step_equals_torch_nn(all_pairs):
    method = methods.pairwise_contrastive(ENCODER, views=noisy, margin=0.2, projector=(7, 5), all_pairs=all_pairs)
    params, state = double(method.init(random.key(0)))
    batch = draw_batch()
    grads, (value, (new_state, info)) = torch.func.grad_and_value(method.loss, has_aux=True)(params, state, KEY, batch)

    encoder = load(encoder_twin(), params["encoder"], state.batch_stats)
    projector = load(head_twin(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 5)), params["projector"])
    (view,) = augmentations.draw_views(noisy, KEY, batch, 1)
    z = projector(encoder(view))
    expected, same = 0, []
    pairs = list(itertools.combinations(range(len(z)), 2) if all_pairs else enumerate(drawn(batch)))
    for i, j in pairs:
        d = (z[i] - z[j]).norm()
        same.append(bool(batch.labels[i] == batch.labels[j]))
        expected = expected + (d**2 if same[-1] else (0.2 - d).clamp_min(0) ** 2) / len(pairs)
    assert 0 < sum(same) < len(same)
    expected.backward()

    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=0)
    assert_same(grads["encoder"], gradients(encoder))
    assert_same(grads["projector"], gradients(projector))
    assert_same(new_state.batch_stats, statistics(encoder))
    torch.testing.assert_close(info["same_share"].item(), sum(same) / len(same))
    unit = nn.functional.normalize(z.detach())
    torch.testing.assert_close(info["embedding_std"], 5**0.5 * unit.std(0, correction=0).mean())


def test_images_of_many_classes_that_are_all_alike_cost_the_margin_of_1():
    method = methods.pairwise_contrastive(ENCODER, views=lambda keys, images: images)
    batch = draw_batch()._replace(images=torch.ones(8, 1, 6, 6, dtype=torch.float64), labels=torch.arange(8))
    value, _ = method.loss(*double(method.init(random.key(0))), KEY, batch)
    assert value == 1


def test_training_brings_a_class_together_and_classes_apart():
    """Published code has the opposite sign."""
    method = methods.pairwise_contrastive(ENCODER, views=lambda keys, images: images)
    optimizer = optimizers.adam(0.01)
    step = training.make_train_step(method.loss, optimizer)
    state = training.init(method, optimizer, random.key(0))
    labels = torch.arange(12) % 2
    images = random.uniform(random.key(1), (12, 1, 6, 6)) * 0.2 + labels[:, None, None, None] * 0.2
    for i in range(30):
        state, _ = step(state, random.key(i), Batch(images, labels, torch.arange(12)))
    z, _ = ENCODER.apply(*method.encoder(state.params, state.state), images, train=True)
    distances = torch.cdist(z, z)
    same = labels[:, None] == labels
    assert distances[same].max() < distances[~same].min()


def test_every_other_image_is_drawn_equally_often_and_none_is_its_own_partner():
    plain = Encoder(*layers.serial(flatten=layers.flatten), feature_dim=6)
    method = methods.pairwise_contrastive(plain, views=lambda keys, images: images, all_pairs=False)
    images, met = torch.eye(6).reshape(6, 1, 1, 6), []

    def noted(a, b, same, *, margin):
        met.append((a.argmax(1), b.argmax(1)))
        return 0 * a.sum(1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("functional.losses.pairwise_contrastive", noted)
        for seed in range(600):
            order = random.permutation(random.key(seed % 2), 6)  # no order of the batch may matter
            batch = Batch(images[order], order, order)
            method.loss({"encoder": {}}, method.init(random.key(0))[1], random.key(seed // 2), batch)
    pairs = torch.zeros(6, 6)
    for (a, b), (c, d) in zip(met[::2], met[1::2], strict=True):
        assert set(zip(a.tolist(), b.tolist(), strict=True)) == set(zip(c.tolist(), d.tolist(), strict=True))
        pairs[a, b] += 1 / 300
    assert (pairs.diagonal() == 0).all()
    assert (pairs[~torch.eye(6, dtype=torch.bool)] - 1 / 5).abs().max() < 0.1  # four standard deviations


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="margin: expected a number above 0, got 0"):
        methods.pairwise_contrastive(ENCODER, views=noisy, margin=0)
    with pytest.raises(ValueError, match="one for each of 1 views, got 2"):
        methods.pairwise_contrastive(ENCODER, views=(noisy, noisy))
    method = methods.pairwise_contrastive(ENCODER, views=noisy)
    assert method.labelled
    with pytest.raises(ValueError, match="pairwise_contrastive: expected labels, got none"):
        method.loss(*double(method.init(random.key(0))), KEY, draw_batch()._replace(labels=None))
    with pytest.raises(ValueError, match="pairwise_contrastive: expected 2 images or more, got 1"):
        method.loss(*double(method.init(random.key(0))), KEY, draw_batch(1))
