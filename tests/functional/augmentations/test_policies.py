"""RandAugment: each operation equals torchvision's, and all are equally frequent."""

import pytest
import torch

from functional import augmentations, random

# In the order of our list, by torchvision's names.
OPERATIONS = ["Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast"]
OPERATIONS += ["Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"]


def torchvisions(image, operation, sign, magnitude):
    from torchvision.transforms import InterpolationMode, v2

    policy = v2.RandAugment(interpolation=InterpolationMode.BILINEAR)
    strengths, signed = policy._AUGMENTATION_SPACE[operation]
    strengths = strengths(31, *image.shape[-2:])
    strength = 0.0 if strengths is None else float(strengths[magnitude]) * (sign if signed else 1)
    fill = policy._fill
    return policy._apply_image_or_video_transform(image, operation, strength, InterpolationMode.BILINEAR, fill)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("magnitude", [0, 13, 30])
def test_every_operation_equals_torchvisions(magnitude, channels):
    images = random.randint(random.key(1), (28, channels, 33, 40), 0, 256).float() / 255
    operations, signs = torch.arange(28) // 2, torch.tensor([1.0, -1.0]).repeat(14)
    ours = augmentations.apply_rand_augment(images, operations[:, None], signs[:, None], magnitude=magnitude)
    for image, i, sign, got in zip(images, operations.tolist(), signs.tolist(), ours, strict=True):
        want = torchvisions(image, OPERATIONS[i], sign, magnitude)
        torch.testing.assert_close(got, want, atol=1e-5, rtol=0, msg=OPERATIONS[i])


def test_operations_follow_each_other():
    images = random.uniform(random.key(0), (4, 3, 16, 16))
    operations, signs = augmentations.sample_rand_augment(random.split(random.key(1), 4), n_ops=3)
    step_by_step = images
    for i in range(3):
        step_by_step = augmentations.apply_rand_augment(step_by_step, operations[:, i : i + 1], signs[:, i : i + 1])
    assert torch.equal(augmentations.apply_rand_augment(images, operations, signs), step_by_step)


def test_operations_and_signs_are_equally_frequent():
    operations, signs = augmentations.sample_rand_augment(random.split(random.key(0), 5000), n_ops=2)
    frequencies = operations.flatten().bincount(minlength=14) / operations.numel()
    assert operations.shape == (5000, 2) and (frequencies - 1 / 14).abs().max() < 0.01
    assert signs.unique().tolist() == [-1, 1] and abs(signs.mean()) < 0.03
    assert abs((operations[:, 0] == operations[:, 1]).double().mean() - 1 / 14) < 0.015


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda keys, x: augmentations.rand_augment(keys, x, n_ops=0), "n_ops"),
        (lambda keys, x: augmentations.rand_augment(keys, x, magnitude=31), "magnitude: expected a number in 0..30"),
        (lambda keys, x: augmentations.rand_augment(keys, x.expand(-1, 4, -1, -1)), "1 or 3 channels"),
        (lambda keys, x: augmentations.apply_rand_augment(x, torch.zeros(3, 2).long(), torch.ones(3, 2)), "operations"),
        (lambda keys, x: augmentations.apply_rand_augment(x, torch.zeros(4, 2).long(), torch.ones(4, 1)), "signs"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError) as error:
        call(random.split(random.key(0), 4), torch.zeros(4, 1, 8, 8))
    assert words in str(error.value)
