"""Crops, flips and maps: equal to torchvision at the same parameters, and the distributions of the draws."""

import math

import pytest
import torch

from functional import augmentations, random


def draw(*shape):
    return random.uniform(random.key(sum(shape)), shape)


def assert_close(ours, theirs, atol=1e-5):
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


# --- golden ---------------------------------------------------------------------------------------------------


def test_a_box_resized_to_its_own_size_is_cut_out():
    images, boxes = draw(2, 3, 10, 12), torch.tensor([[1, 2, 5, 7], [5, 5, 5, 7]])
    for interpolation in ("bilinear", "bicubic"):
        cut = augmentations.crop_resize(images, boxes, size=(5, 7), interpolation=interpolation)
        assert_close(cut, torch.stack([images[0, :, 1:6, 2:9], images[1, :, 5:10, 5:12]]), atol=1e-6)


def test_halving_is_the_antialiased_triangle():
    # Weights 1, 3, 3, 1 of 8, those over the edge left out: the first of two is (3 * 0 + 3 * 0 + 1 * 1) / 7.
    step = torch.tensor([[[[0.0, 0.0, 1.0, 1.0]] * 4]])
    halved = augmentations.crop_resize(step, torch.tensor([[0, 0, 4, 4]]), size=2)
    assert_close(halved, torch.tensor([1 / 7, 6 / 7]).expand(1, 1, 2, 2), atol=1e-6)


def test_a_quarter_turn_is_rot90():
    images = draw(2, 3, 9, 9)
    turned = augmentations.apply_rotation(images, torch.tensor([90.0, -90.0]))
    assert_close(turned, torch.stack([images[0].rot90(1, (-2, -1)), images[1].rot90(-1, (-2, -1))]))


# --- torchvision ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(8, 8), (32, 20), (61, 64)])
def test_crop_resize_equals_torchvision(interpolation, size):
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    images, keys = draw(12, 3, 32, 40), random.split(random.key(3), 12)
    boxes, flip = augmentations.sample_crops(keys, 32, 40), random.bernoulli(keys)
    ours = augmentations.crop_resize(images, boxes, size=size, interpolation=interpolation, flip=flip)
    for image, box, mirrored, got in zip(images, boxes.tolist(), flip, ours, strict=True):
        want = F.resized_crop(image, *box, list(size), InterpolationMode(interpolation), antialias=True)
        assert_close(got, want.flip(-1) if mirrored else want)


def test_rotation_equals_torchvision():
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    images, angle = draw(7, 3, 17, 24), torch.tensor([0.0, 15.0, -15.0, 44.4, 90.0, 180.0, -133.0])
    theirs = [F.rotate(x, a, InterpolationMode.BILINEAR) for x, a in zip(images, angle.tolist(), strict=True)]
    assert_close(augmentations.apply_rotation(images, angle), torch.stack(theirs))


def test_elastic_equals_torchvision():
    from torchvision.transforms.v2 import functional as F

    images, keys = draw(6, 3, 17, 24), random.split(random.key(0), 6)
    moves = augmentations.sample_elastic(keys, std=2.0, grid=4)
    assert moves.shape == (6, 2, 4, 4)
    dense = torch.nn.functional.interpolate(moves, (17, 24), mode="bicubic", align_corners=True)
    displacements = (dense / torch.tensor([24 / 2, 17 / 2])[:, None, None]).movedim(1, -1)
    theirs = [F.elastic(x, d[None]) for x, d in zip(images, displacements, strict=True)]
    assert_close(augmentations.apply_elastic(images, moves), torch.stack(theirs))
    assert torch.equal(augmentations.elastic(keys, images, std=2.0, grid=4), augmentations.apply_elastic(images, moves))


def test_elastic_moves_are_normal_with_the_given_spread_and_0_moves_nothing():
    keys, images = random.split(random.key(1), 2000), draw(3, 1, 28, 28)
    moves = augmentations.sample_elastic(keys, std=1.5)
    assert abs(moves.mean()) < 0.03 and abs(moves.std() - 1.5) < 0.03
    assert_close(augmentations.elastic(keys[:3], images, std=0.0), images)


def test_affine_equals_torchvision():
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    images, keys = draw(12, 3, 17, 24), random.split(random.key(0), 12)
    ranges = {"degrees": 90.0, "translate": (0.3, 0.2), "scale": (0.5, 1.5), "shear": (30.0, 20.0)}
    drawn = augmentations.sample_affine(keys, 17, 24, **ranges)
    theirs = [
        F.affine(x, *parameters, interpolation=InterpolationMode.BILINEAR)
        for x, *parameters in zip(images, *(parameter.tolist() for parameter in drawn), strict=True)
    ]
    assert_close(augmentations.apply_affine(images, augmentations.affine_matrices(*drawn)), torch.stack(theirs))
    assert torch.equal(
        augmentations.affine(keys, images, **ranges),
        augmentations.apply_affine(images, augmentations.affine_matrices(*drawn)),
    )


@pytest.mark.parametrize("height,width", [(10, 51), (51, 11)])
def test_where_no_box_fits_the_central_one_equals_torchvisions(height, width):
    from torchvision.transforms import RandomResizedCrop

    ranges = {"scale": (1.0, 1.0), "ratio": (0.7, 1.4)}
    theirs = RandomResizedCrop.get_params(torch.zeros(1, height, width), *ranges.values())
    ours = augmentations.sample_crops(random.split(random.key(0), 3), height, width, **ranges)
    assert ours.tolist() == [list(theirs)] * 3


@pytest.mark.parametrize("height,width,ratio", [(28, 1, (3.0, 4.0)), (1, 28, (0.1, 0.3))])
def test_a_box_has_a_pixel_even_where_its_ratio_leaves_none(height, width, ratio):
    keys = random.split(random.key(0), 4)
    assert (augmentations.sample_crops(keys, height, width, ratio=ratio)[:, 2:] >= 1).all()
    images = torch.ones(4, 1, height, width)
    assert (augmentations.random_resized_crop(keys, images, size=4, ratio=ratio) == 1).all()


def test_boxes_have_torchvisions_distribution():
    from torchvision.transforms import RandomResizedCrop

    height, width, ranges = 32, 48, {"scale": (0.2, 1.0), "ratio": (3 / 4, 4 / 3)}
    ours = augmentations.sample_crops(random.split(random.key(0), 20_000), height, width, **ranges).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = torch.zeros(1, height, width)
        theirs = [RandomResizedCrop.get_params(image, *ranges.values()) for _ in range(3000)]
    theirs = torch.tensor(theirs, dtype=torch.float64)
    for quantile in (0.1, 0.5, 0.9):  # of top, left, height, width: to a pixel
        assert (ours.quantile(quantile, dim=0) - theirs.quantile(quantile, dim=0)).abs().max() <= 1
    areas = [(boxes[:, 2] * boxes[:, 3] / (height * width)) for boxes in (ours, theirs)]
    assert abs(areas[0].mean() - areas[1].mean()) < 0.015


# --- property -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("height,width,scale", [(8, 8, (0.08, 1.0)), (224, 100, (0.3, 0.5)), (20, 24, (0.8, 1.0))])
def test_boxes_lie_in_the_image_and_have_the_requested_area_and_ratio(height, width, scale):
    boxes = augmentations.sample_crops(random.split(random.key(1), 4000), height, width, scale=scale)
    top, left, box_height, box_width = boxes.unbind(1)
    assert boxes.dtype == torch.int64 and (boxes[:, :2] >= 0).all() and (boxes[:, 2:] >= 1).all()
    assert (top + box_height <= height).all() and (left + box_width <= width).all()
    # A side rounds by at most half a pixel.
    least = (box_height - 0.5) * (box_width - 0.5) / (height * width)
    most = (box_height + 0.5) * (box_width + 0.5) / (height * width)
    assert (most >= scale[0]).all() and (least <= scale[1]).all()
    assert ((box_width + 0.5) / (box_height - 0.5) >= 3 / 4).all()
    assert ((box_width - 0.5) / (box_height + 0.5) <= 4 / 3).all()


def test_areas_are_uniform_ratios_log_uniform_and_places_uniform():
    keys = random.split(random.key(2), 4000)
    boxes = augmentations.sample_crops(keys, 5000, 5000, scale=(0.02, 0.2), ratio=(0.25, 4.0))  # all of them fit
    top, left, height, width = (boxes / 5000).unbind(1)
    at = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9])
    uniforms = ((height * width - 0.02) / 0.18, (width / height).log() / math.log(16) + 0.5)
    for uniform in (*uniforms, top / (1 - height), left / (1 - width)):
        assert (uniform.quantile(at) - at).abs().max() < 0.03
    close = augmentations.sample_crops(keys, 8, 8, scale=(49 / 64, 49 / 64), ratio=(1.0, 1.0))  # 7 x 7: two places
    assert (close[:, :2].double().mean(0) - 0.5).abs().max() < 0.03 and close[:, :2].max() == 1


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_flips_are_as_frequent_as_requested(p):
    keys, images = random.split(random.key(0), 3000), torch.tensor([[[[0.0, 1.0]]]]).expand(3000, -1, -1, -1)
    for flipped in (
        augmentations.horizontal_flip(keys, images, p=p),
        augmentations.vertical_flip(keys, images.mT, p=p).mT,
        augmentations.random_resized_crop(keys, images, size=(1, 2), scale=(1.0, 1.0), ratio=(2.0, 2.0), flip=p),
    ):
        assert abs(flipped[..., 0].mean() - p) < (0.03 if 0 < p < 1 else 1e-9)


def test_angles_and_shifts_fill_their_ranges():
    angle, shift, zoom, shear = augmentations.sample_affine(
        random.split(random.key(0), 4000),
        20,
        40,
        degrees=10.0,
        translate=(0.1, 0.25),
        scale=(0.5, 2.0),
        shear=(3.0, 0.0),
    )
    assert -10 <= angle.min() < -9.9 and 9.9 < angle.max() <= 10
    assert shift.amin(0).tolist() == [-4, -5] and shift.amax(0).tolist() == [4, 5]
    assert 0.5 <= zoom.min() < 0.51 and 1.99 < zoom.max() <= 2
    assert 2.9 < shear[:, 0].max() <= 3 and (shear[:, 1] == 0).all()


def test_cutout_is_a_square_cut_off_at_the_edges():
    keys, ones = random.split(random.key(0), 500), torch.ones(500, 2, 9, 12)
    black = augmentations.cutout(keys, ones, size=4) == 0
    rows, columns = black.any(-1).sum(-1), black.any(-2).sum(-1)
    assert torch.equal(black.sum((-2, -1)), rows * columns) and torch.equal(black[:, 0], black[:, 1])
    assert rows.min() == columns.min() == 2 and rows.max() == columns.max() == 4
    kept = (augmentations.cutout(keys, ones, size=4, p=0.3) == 1).all((1, 2, 3))
    assert abs(kept.double().mean() - 0.7) < 0.06


def test_interpolation_has_the_right_gradient():
    images, keys = draw(2, 1, 5, 6).double().requires_grad_(), random.split(random.key(0), 2)
    boxes, angle = torch.tensor([[0, 1, 4, 3], [1, 0, 2, 6]]), random.uniform(keys, minval=-40.0, maxval=40.0)
    for interpolation in ("bilinear", "bicubic"):
        assert torch.autograd.gradcheck(
            lambda x, i=interpolation: augmentations.crop_resize(x, boxes, size=4, interpolation=i), images
        )
    assert torch.autograd.gradcheck(lambda x: augmentations.apply_rotation(x, angle), images)


@pytest.mark.parametrize(
    "call,words",
    [
        (lambda keys, x: augmentations.random_resized_crop(keys, x, size=4, scale=(0.5, 0.2)), "scale: expected (low"),
        (
            lambda keys, x: augmentations.random_resized_crop(keys, x, size=4, scale=(0.5, 1.2)),
            "scale: expected a number in",
        ),
        (lambda keys, x: augmentations.random_resized_crop(keys, x, size=4, ratio=(0.0, 1.0)), "ratio: expected (low"),
        (lambda keys, x: augmentations.random_resized_crop(keys, x, size=0), "size: expected"),
        (
            lambda keys, x: augmentations.random_resized_crop(keys, x, size=4, interpolation="cubic"),
            "bilinear, bicubic",
        ),
        (
            lambda keys, x: augmentations.crop_resize(x, torch.zeros(3, 4).long(), size=4),
            "boxes: expected one per image, [4, 4]",
        ),
        (lambda keys, x: augmentations.horizontal_flip(keys, x, p=1.5), "p: expected a number in 0..1"),
        (lambda keys, x: augmentations.horizontal_flip(keys, x[0]), "images: expected rank 4"),
        (lambda keys, x: augmentations.rotate(keys, x, degrees=-1.0), "degrees: expected a number in 0..180"),
        (lambda keys, x: augmentations.apply_rotation(x, torch.zeros(4, 1)), "angle: expected one per image, [4]"),
        (lambda keys, x: augmentations.affine(keys, x, degrees=0.0, translate=(0.0, 2.0)), "translate"),
        (lambda keys, x: augmentations.affine(keys, x, degrees=0.0, scale=(0.0, 1.0)), "scale"),
        (lambda keys, x: augmentations.elastic(keys, x, std=-1.0), "std"),
        (lambda keys, x: augmentations.elastic(keys, x, std=1.0, grid=1), "grid"),
        (lambda keys, x: augmentations.cutout(keys, x, size=0), "size: expected a number above 0"),
    ],
)
def test_wrong_arguments_are_named(call, words):
    with pytest.raises(ValueError) as error:
        call(random.split(random.key(0), 4), torch.zeros(4, 1, 8, 8))
    assert words in str(error.value)
