"""The supervised baseline: one whole step against modules of torch.nn, and missing labels."""

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

from functional import augmentations, layers, methods, random

CLASSIFIERS = {
    (): nn.Linear(6, 3),
    (7,): head_twin(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 3)),
    (7, 5): head_twin(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3)),
}


@pytest.mark.parametrize("head", CLASSIFIERS)
def test_a_whole_step_equals_torch_nn(head):
    method = methods.supervised(ENCODER, views=noisy, classes=3, head=head, label_smoothing=0.1)
    params, state = double(method.init(random.key(0)))
    batch = draw_batch()
    grads, (value, (new_state, info)) = torch.func.grad_and_value(method.loss, has_aux=True)(params, state, KEY, batch)
    encoder = load(encoder_twin(), params["encoder"], state.batch_stats)
    classifier = load(CLASSIFIERS[head].double(), params["classifier"])
    (view,) = augmentations.draw_views(noisy, KEY, batch, 1)
    logits = classifier(encoder(view))
    expected = nn.CrossEntropyLoss(label_smoothing=0.1)(logits, batch.labels)
    expected.backward()
    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=0)
    assert_same(grads["encoder"], gradients(encoder))
    assert_same(grads["classifier"], gradients(classifier))
    assert_same(new_state.batch_stats, statistics(encoder))
    assert info["accuracy"] == (logits.argmax(1) == batch.labels).double().mean()


def test_the_weights_of_the_linear_classifier_are_those_of_its_layer():
    """Runs and released recipes without a head keep their bits."""
    params, _ = methods.supervised(ENCODER, views=noisy, classes=3).init(random.key(4))
    _, key_classifier = random.split(random.key(4))
    expected = layers.linear(6, 3).init(key_classifier)[0]
    assert params["classifier"].keys() == expected.keys()
    assert all(torch.equal(params["classifier"][name], expected[name]) for name in expected)


def test_missing_labels_are_refused():
    method = methods.supervised(ENCODER, views=noisy, classes=3)
    with pytest.raises(ValueError, match="supervised: expected labels, got none"):
        method.loss(*double(method.init(random.key(0))), KEY, draw_batch()._replace(labels=None))


def test_a_width_of_0_is_refused():
    with pytest.raises(ValueError, match="out_features: expected a number above 0, got 0"):
        methods.supervised(ENCODER, views=noisy, classes=3, head=(0,))


def test_two_views_are_refused():
    with pytest.raises(ValueError, match="one for each of 1 views, got 2"):
        methods.supervised(ENCODER, views=(noisy, noisy), classes=3)
