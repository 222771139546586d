"""The contract of every augmentation: a view depends on its own key and image, nothing is mutated, vmap is a loop."""

from functools import partial

import pytest
import torch

from functional import augmentations, random

AUGMENTATIONS = {
    "random_resized_crop": partial(augmentations.random_resized_crop, size=(12, 9), flip=0.5),
    "random_resized_crop, bicubic": partial(augmentations.random_resized_crop, size=24, interpolation="bicubic"),
    "horizontal_flip": augmentations.horizontal_flip,
    "vertical_flip": augmentations.vertical_flip,
    "rotate": partial(augmentations.rotate, degrees=30.0),
    "affine": partial(augmentations.affine, degrees=20.0, translate=(0.2, 0.1), scale=(0.8, 1.2), shear=(10.0, 5.0)),
    "elastic": partial(augmentations.elastic, std=1.5),
    "cutout": partial(augmentations.cutout, size=5),
    "color_jitter": augmentations.color_jitter,
    "grayscale": partial(augmentations.grayscale, p=0.5),
    "solarize": partial(augmentations.solarize, p=0.5),
    "posterize": partial(augmentations.posterize, bits=3),
    "gaussian_blur": augmentations.gaussian_blur,
    "gaussian_noise": partial(augmentations.gaussian_noise, std=0.1),
    "rand_augment": partial(augmentations.rand_augment, n_ops=3),
    "normalize": partial(augmentations.normalize, mean=0.4, std=0.2),
    "random_apply": augmentations.random_apply(partial(augmentations.rotate, degrees=30.0), p=0.5),
    "compose": augmentations.compose(
        partial(augmentations.random_resized_crop, size=16, flip=0.5),
        augmentations.color_jitter,
        augmentations.grayscale,
        augmentations.gaussian_blur,
        augmentations.solarize,
    ),
}
every = pytest.mark.parametrize("name", AUGMENTATIONS)


def draw(batch, channels=3, height=20, width=14, dtype=torch.float32):
    """Keys, and images of 256 levels, as in a file."""
    key_images, key = random.split(random.key(batch + channels + height))
    images = random.randint(key_images, (batch, channels, height, width), 0, 256).to(dtype) / 255
    return random.split(key, batch), images


@every
@pytest.mark.parametrize("channels,height,width", [(3, 20, 14), (1, 8, 8)])
def test_an_image_does_not_depend_on_its_batch(name, channels, height, width):
    function, (keys, images) = AUGMENTATIONS[name], draw(9, channels, height, width)
    changed, order = function(keys, images), torch.tensor([5, 8, 0, 7])
    torch.testing.assert_close(function(keys[order], images[order]), changed[order], atol=1e-6, rtol=0)
    torch.testing.assert_close(function(keys[3:4], images[3:4]), changed[3:4], atol=1e-6, rtol=0)


@every
def test_same_key_same_image_and_other_key_other_image(name):
    function, (keys, images) = AUGMENTATIONS[name], draw(9)
    kept = keys.clone(), images.clone()
    changed = function(keys, images)
    assert torch.equal(function(keys, images), changed)
    assert torch.equal(keys, kept[0]) and torch.equal(images, kept[1])
    if name != "normalize":
        assert not torch.equal(function(random.fold_in(keys, 1), images), changed)
    assert changed.isfinite().all()


@every
def test_no_images_are_no_images(name):
    assert AUGMENTATIONS[name](*draw(0)).shape[:2] == (0, 3)


@every
def test_vmap_equals_the_loop(name):
    function, (keys, images) = AUGMENTATIONS[name], draw(6)
    keys, images = keys.unflatten(0, (2, 3)), images.unflatten(0, (2, 3))
    looped = torch.stack([function(k, x) for k, x in zip(keys, images, strict=True)])
    torch.testing.assert_close(torch.func.vmap(function)(keys, images), looped, atol=1e-6, rtol=0)


@every
def test_the_dtype_is_kept(name):
    function, (keys, images) = AUGMENTATIONS[name], draw(4, dtype=torch.float64)
    changed = function(keys, images)
    assert changed.dtype == torch.float64
    assert function(keys, images.bfloat16()).dtype == torch.bfloat16
    assert (function(keys, images.float()) - changed).abs().mean() < 1e-5  # a few pixels may round to another level


@every
def test_grey_images_stay_grey_and_small(name):
    for side in (8, 28):
        keys, images = draw(4, 1, side, side)
        assert AUGMENTATIONS[name](keys, images).shape[:2] == (4, 1)


@pytest.mark.parametrize("name", sorted(set(AUGMENTATIONS) - {"posterize", "rand_augment"}))
def test_a_gradient_reaches_the_pixels(name):
    keys, images = draw(4)
    (gradient,) = torch.autograd.grad(AUGMENTATIONS[name](keys, images.requires_grad_()).square().sum(), images)
    assert gradient.isfinite().all() and (gradient != 0).flatten(1).any(1).all()


@pytest.mark.parametrize("name", ["random_resized_crop", "affine", "color_jitter", "gaussian_blur"])
def test_large_images_do_not_depend_on_their_batch(name):
    keys, images = draw(3, 3, 224, 224)
    function = AUGMENTATIONS[name]
    torch.testing.assert_close(function(keys[1:2], images[1:2]), function(keys, images)[1:2], atol=1e-6, rtol=0)


@every
def test_too_few_keys_and_bytes_are_refused(name):
    keys, images = draw(4)
    with pytest.raises(TypeError, match="to_float"):
        AUGMENTATIONS[name](keys, (images * 255).to(torch.uint8))
    if name != "normalize":
        with pytest.raises(ValueError, match=r"one key per image \[4, 2\]"):
            AUGMENTATIONS[name](keys[:3], images)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiled_simclr_views_equal_eager_ones():
    keys, images = draw(4, 3, 16, 16)
    # The whole pipeline is captured in one graph; what the draws select is compiled to machine code. (The cipher of
    # the keys takes the compiler minutes.)
    captured = torch.compile(AUGMENTATIONS["compose"], backend="eager", fullgraph=True)
    torch.testing.assert_close(captured(keys, images), AUGMENTATIONS["compose"](keys, images), atol=1e-6, rtol=0)

    def apply(images, boxes, mirrored, factors, order, gray, sigma):
        images = augmentations.crop_resize(images, boxes, size=12, flip=mirrored)
        images = augmentations.apply_color_jitter(images, factors, order)
        images = torch.where(gray[:, None, None, None], augmentations.luma(images), images)
        return augmentations.apply_blur(images, sigma, kernel_size=3)

    chosen = torch.tensor([True, False, True, False])
    jitter, sigma = augmentations.sample_color_jitter(keys), augmentations.sample_blur(keys)
    drawn = (augmentations.sample_crops(keys, 16, 16), chosen, *jitter, ~chosen, sigma)
    compiled = torch.compile(apply, fullgraph=True)
    torch.testing.assert_close(compiled(images, *drawn), apply(images, *drawn), atol=1e-5, rtol=0)
