"""Rotation prediction: one whole step beside modules of torch.nn and the authors' rotations, written with numpy."""

import numpy as np
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

from functional import augmentations, methods, random, streams, tree


def rotated(image, r):
    """`rotate_img` of the authors' code, for an image `[C, H, W]`."""
    image = image.numpy().transpose(1, 2, 0)
    turns = {
        0: lambda: image,
        1: lambda: np.flipud(np.transpose(image, (1, 0, 2))),
        2: lambda: np.fliplr(np.flipud(image)),
        3: lambda: np.transpose(np.flipud(image), (1, 0, 2)),
    }
    return torch.from_numpy(turns[r]().copy().transpose(2, 0, 1))


@pytest.mark.parametrize("all_rotations", [True, False])
def test_a_whole_step_equals_torch_nn(all_rotations):
    method = methods.rotation(ENCODER, views=noisy, head=(7,), all_rotations=all_rotations)
    params, state = double(method.init(random.key(3)))
    params = {**params, "head": tree.map(lambda x: 30 * x, params["head"])}  # so that logits differ
    batch = draw_batch()
    grads, (value, (new_state, info)) = torch.func.grad_and_value(method.loss, has_aux=True)(params, state, KEY, batch)

    encoder = load(encoder_twin(), params["encoder"], state.batch_stats)
    head = load(head_twin(nn.Linear(6, 7), nn.ReLU(), nn.Linear(7, 4)), params["head"])
    (view,) = augmentations.draw_views(noisy, KEY, batch, 1)
    if all_rotations:
        pairs = [(image, r) for image in view for r in range(4)]  # in another order
    else:
        keys = streams.image_keys(KEY, streams.Stream.SAMPLES, batch.index)[0]
        pairs = [(image, int(random.randint(own, (), 0, 4))) for image, own in zip(view, keys, strict=True)]
        assert len({r for _, r in pairs}) > 1
    r = torch.tensor([r for _, r in pairs])
    logits = head(encoder(torch.stack([rotated(*pair) for pair in pairs])))
    expected = nn.CrossEntropyLoss()(logits, r)
    expected.backward()

    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=0)
    assert_same(grads["encoder"], gradients(encoder))
    assert_same(grads["head"], gradients(head))
    assert_same(new_state.batch_stats, statistics(encoder))
    assert info["accuracy"] == (logits.argmax(1) == r).double().mean() != (logits.argmin(1) == r).double().mean()


@pytest.mark.parametrize("options,copies", [({}, 4), ({"all_rotations": False}, 1)])
def test_the_four_rotations_are_equally_frequent(options, copies):
    """From the images that the encoder sees: one bright corner says how far each was rotated."""
    seen = []

    def apply(params, batch_stats, images, /, *, train=False, key=None):
        seen.append(images)
        return ENCODER.apply(params, batch_stats, images, train=train)

    method = methods.rotation(ENCODER._replace(apply=apply), views=lambda keys, images: images, **options)
    images = torch.zeros(4000, 1, 6, 6)
    images[:, :, 0, 0] = 1
    batch = draw_batch()._replace(images=images, index=torch.arange(4000), labels=None)
    method.loss(*method.init(random.key(0)), KEY, batch)
    corners = seen[0][:, 0, [0, -1, -1, 0], [0, 0, -1, -1]]  # counter-clockwise from the upper left
    assert len(corners) == 4000 * copies and (corners.sum(1) == 1).all()
    assert (corners.mean(0) - 1 / 4).abs().max() < 0.025  # more than three standard deviations


def test_images_that_are_not_square_are_named():
    method = methods.rotation(ENCODER, views=noisy)
    batch = draw_batch()._replace(images=draw_batch().images[:, :, :5])
    with pytest.raises(ValueError, match="rotation: expected square images, got 5 x 6 pixels"):
        method.loss(*double(method.init(random.key(0))), KEY, batch)


def test_two_views_are_refused():
    with pytest.raises(ValueError, match="one for each of 1 views, got 2"):
        methods.rotation(ENCODER, views=(noisy, noisy))
