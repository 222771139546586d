"""Colours and tones: equal to torchvision at the same parameters, random order as a loop, and what is drawn."""

from itertools import permutations

import pytest
import torch

from functional import augmentations, random

ADJUSTMENTS = {
    "brightness": (0.0, 0.6, 1.0, 1.7),
    "contrast": (0.0, 0.6, 1.0, 1.7),
    "saturation": (0.0, 0.6, 1.0, 1.7),
    "hue": (-0.5, -0.1, 0.0, 0.3),
}


def draw(*shape):
    """Images of 256 levels that include grey, black, white and pure colours: the corners of HSV."""
    images = random.randint(random.key(sum(shape)), shape, 0, 256).float() / 255
    if shape[1] == 3:
        images[:, :, 0, :8] = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3).T
        images[:, :, 1] = images[:, :1, 1]
    return images


def torchvisions(name):
    from torchvision.transforms.v2 import functional as F

    return getattr(F, f"adjust_{name}")


def assert_close(ours, theirs, atol=1e-5):
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


# --- torchvision ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ADJUSTMENTS)
def test_adjustments_equal_torchvision(name, channels):
    images, factors = draw(4, channels, 9, 11), ADJUSTMENTS[name]
    ours = getattr(augmentations, f"adjust_{name}")(images, torch.tensor(factors))
    assert_close(ours, torch.stack([torchvisions(name)(x, f) for x, f in zip(images, factors, strict=True)]))


@pytest.mark.parametrize("channels", [1, 3])
def test_random_order_equals_torchvisions_functions_in_that_order(channels):
    images, order = draw(24, channels, 9, 11), torch.tensor(list(permutations(range(4))))
    factors, _ = augmentations.sample_color_jitter(random.split(random.key(2), 24), contrast=0.9, hue=0.5, p=1.0)
    ours = augmentations.apply_color_jitter(images, factors, order)
    for image, own_factors, own_order, got in zip(images, factors.tolist(), order.tolist(), ours, strict=True):
        for i in own_order:
            image = torchvisions(list(ADJUSTMENTS)[i])(image, own_factors[i])
        assert_close(got, image)


@pytest.mark.parametrize("channels", [1, 3])
def test_tones_equal_torchvision(channels):
    from torchvision.transforms.v2 import functional as F

    images = draw(3, channels, 32, 40)
    images[0] = 0.25 + images[0].div(4).mul(255).floor() / 255  # low contrast
    images[1, 0] = 0.5  # constant
    assert_close(augmentations.apply_solarize(images, threshold=0.7), F.solarize(images, 0.7), atol=1e-7)
    assert_close(augmentations.autocontrast(images), F.autocontrast(images), atol=1e-6)
    for bits in (1, 3, 8):
        assert_close(augmentations.apply_posterize(images, bits=bits), F.posterize(images, bits), atol=1e-7)


@pytest.mark.parametrize("side", [8, 32, 64])
def test_equalize_equals_torchvision(side):
    from torchvision.transforms.v2 import functional as F

    images = draw(4, 3, side, side)
    images[0] = 0.2 + images[0].div(3).mul(255).floor() / 255
    images[1] = (images[1] > 0.9).float()
    images[2, 0] = 0.0
    levels = images.mul(255).round().div(255)
    assert_close(augmentations.equalize(levels), F.equalize(levels), atol=1e-6)


def test_luma_and_grayscale_equal_torchvision():
    from torchvision.transforms.v2 import functional as F

    images, keys = draw(6, 3, 9, 11), random.split(random.key(0), 6)
    assert_close(augmentations.luma(images), F.rgb_to_grayscale(images), atol=1e-6)
    gray = F.rgb_to_grayscale(images, num_output_channels=3)
    chosen = random.bernoulli(keys, 0.5)[:, None, None, None]
    assert_close(augmentations.grayscale(keys, images, p=0.5), torch.where(chosen, gray, images), atol=1e-6)


# --- property -------------------------------------------------------------------------------------------------


def test_amounts_fill_their_ranges_and_all_orders_occur():
    keys = random.split(random.key(0), 5000)
    factors, order = augmentations.sample_color_jitter(keys, brightness=1.5, contrast=0.2, hue=0.1)
    assert (factors.amax(0) - torch.tensor([2.5, 1.2, 1.4, 0.1])).abs().max() < 0.01
    assert (factors.amin(0) - torch.tensor([0.0, 0.8, 0.6, -0.1])).abs().max() < 0.01
    unchanged = (factors == torch.tensor([1.0, 1.0, 1.0, 0.0])).all(1).double().mean()
    assert abs(unchanged - 0.2) < 0.02
    frequencies = torch.unique(order, dim=0, return_counts=True)[1] / len(keys)
    assert len(frequencies) == 24 and (frequencies - 1 / 24).abs().max() < 0.01


def test_an_image_that_is_not_chosen_is_unchanged():
    images, keys = draw(6, 3, 9, 11), random.split(random.key(0), 6)
    assert_close(augmentations.color_jitter(keys, images, p=0.0), images, atol=1e-6)
    assert torch.equal(augmentations.grayscale(keys, images, p=0.0), images)
    assert torch.equal(augmentations.solarize(keys, images, p=0.0), images)
    assert torch.equal(augmentations.posterize(keys, images, bits=1, p=0.0), images)
    everything = augmentations.solarize(keys, images, p=1.0)
    assert torch.equal(everything, augmentations.apply_solarize(images))


def test_a_hue_turned_and_turned_back_and_its_gradient():
    images, shift = draw(4, 3, 9, 11).double(), torch.tensor([0.1, -0.4, 0.5, 0.25])
    turned = augmentations.adjust_hue(images, shift)
    assert_close(augmentations.adjust_hue(turned, -shift), images, atol=1e-6)
    assert_close(turned.amax(1), images.amax(1), atol=1e-12)
    inner = images[:, :, 4:6, :3].clone().requires_grad_()  # no ties, where the largest channel is not unique
    assert torch.autograd.gradcheck(lambda x: augmentations.adjust_hue(x, shift), inner)


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda keys, x: augmentations.color_jitter(keys, x, brightness=-0.1), "brightness"),
        (lambda keys, x: augmentations.color_jitter(keys, x, hue=0.6), "hue: expected a number in 0..0.5"),
        (
            lambda keys, x: augmentations.color_jitter(keys, x[:, :2]),
            "expected 1 or 3 channels, got shape [4, 2, 8, 8]",
        ),
        (lambda keys, x: augmentations.adjust_hue(x, torch.zeros(3)), "shift: expected one per image, [4], got [3]"),
        (lambda keys, x: augmentations.solarize(keys, x, threshold=2.0), "threshold"),
        (lambda keys, x: augmentations.posterize(keys, x, bits=0), "bits: expected a number in 1..8"),
        (lambda keys, x: augmentations.grayscale(keys, x, p=-1.0), "p: expected"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError) as error:
        call(random.split(random.key(0), 4), torch.zeros(4, 3, 8, 8))
    assert words in str(error.value)


def test_a_number_is_not_a_factor_per_image():
    with pytest.raises(TypeError, match="torch.full"):
        augmentations.adjust_brightness(torch.zeros(4, 3, 8, 8), 0.5)
