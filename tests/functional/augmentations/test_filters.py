"""Blur, sharpness and noise: equal to torchvision at the same parameters, and the moments of the draws."""

import pytest
import torch

from functional import augmentations, random


def draw(*shape):
    return random.uniform(random.key(sum(shape)), shape)


@pytest.mark.parametrize("kernel_size", [1, 3, 9])
def test_blur_equals_torchvision(kernel_size):
    from torchvision.transforms.v2 import functional as F

    images, sigma = draw(4, 3, 8, 13), torch.tensor([0.1, 0.7, 1.5, 4.0])
    ours = augmentations.apply_blur(images, sigma, kernel_size=kernel_size)
    theirs = [F.gaussian_blur(x, [kernel_size] * 2, [s] * 2) for x, s in zip(images, sigma.tolist(), strict=True)]
    torch.testing.assert_close(ours, torch.stack(theirs), atol=1e-5, rtol=0)


@pytest.mark.parametrize("side,kernel_size", [(8, 3), (32, 3), (96, 9), (224, 23)])
def test_the_default_kernel_is_a_tenth_of_the_side(side, kernel_size):
    keys, images = random.split(random.key(0), 2), draw(2, 1, side, side)
    wide = {"sigma": (5.0, 9.0), "p": 1.0}
    default = augmentations.gaussian_blur(keys, images, **wide)
    assert torch.equal(default, augmentations.gaussian_blur(keys, images, kernel_size=kernel_size, **wide))
    assert not torch.equal(default, augmentations.gaussian_blur(keys, images, kernel_size=kernel_size + 2, **wide))


def test_sigma_zero_is_no_blur_at_all():
    images = draw(3, 3, 8, 8)
    assert torch.equal(augmentations.apply_blur(images, torch.zeros(3), kernel_size=5), images)


def test_widths_fill_their_range():
    sigma = augmentations.sample_blur(random.split(random.key(0), 4000), sigma=(0.5, 1.5), p=0.3)
    blurred = sigma[sigma > 0]
    assert abs(len(blurred) / 4000 - 0.3) < 0.03
    assert 0.5 <= blurred.min() < 0.51 and 1.49 < blurred.max() < 1.5 and abs(blurred.mean() - 1) < 0.02


def test_sharpness_equals_torchvision():
    from torchvision.transforms.v2 import functional as F

    images, factor = draw(4, 3, 9, 7), torch.tensor([0.0, 0.5, 1.0, 2.0])
    theirs = torch.stack([F.adjust_sharpness(x, f) for x, f in zip(images, factor.tolist(), strict=True)])
    torch.testing.assert_close(augmentations.adjust_sharpness(images, factor), theirs, atol=1e-5, rtol=0)


def test_sharpness_needs_three_pixels():
    with pytest.raises(ValueError, match="expected at least 3 x 3 pixels, got 2 x 8"):
        augmentations.adjust_sharpness(torch.zeros(1, 1, 2, 8), torch.ones(1))


def test_noise_is_normal_independent_and_not_clamped():
    keys, images = random.split(random.key(0), 64), torch.full((64, 3, 16, 16), 0.1)
    noise = augmentations.gaussian_noise(keys, images, std=0.3) - images
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 0.3) < 0.01
    assert abs((noise[:, 0] * noise[:, 1]).mean()) < 0.002 and (noise < -0.1).any()
    untouched = (augmentations.gaussian_noise(keys, images, std=0.3, p=0.5) == images).all((1, 2, 3))
    assert 16 < untouched.sum() < 48


def test_blur_has_the_right_gradient():
    images, sigma = draw(2, 1, 5, 6).double().requires_grad_(), torch.tensor([0.4, 1.3])
    assert torch.autograd.gradcheck(lambda x: augmentations.apply_blur(x, sigma, kernel_size=5), images)


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda keys, x: augmentations.gaussian_blur(keys, x, kernel_size=4), "kernel_size: expected an odd number"),
        (lambda keys, x: augmentations.gaussian_blur(keys, x, kernel_size=17), "below twice the side of 8 x 9 images"),
        (lambda keys, x: augmentations.gaussian_blur(keys, x, sigma=(0.0, 1.0)), "sigma: expected (low, high)"),
        (lambda keys, x: augmentations.gaussian_blur(keys, x, p=2.0), "p: expected"),
        (lambda keys, x: augmentations.gaussian_noise(keys, x, std=-1.0), "std: expected"),
        (
            lambda keys, x: augmentations.apply_blur(x, torch.ones(3), kernel_size=3),
            "sigma: expected one per image, [4]",
        ),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError) as error:
        call(random.split(random.key(0), 4), torch.zeros(4, 1, 8, 9))
    assert words in str(error.value)
