"""From a batch to its views: which key goes where, and which image a view belongs to."""

from functools import partial

import pytest
import torch

from functional import augmentations, random
from functional.base import Batch

VIEWS = augmentations.compose(
    partial(augmentations.random_resized_crop, size=8, flip=0.5),
    augmentations.color_jitter,
    partial(augmentations.normalize, mean=(0.5, 0.4, 0.3), std=0.2),
)


def draw_batch(n=6):
    images = random.randint(random.key(0), (n, 3, 10, 10), 0, 256).to(torch.uint8)
    return Batch(images, torch.arange(n), torch.arange(100, 100 + n))


def test_to_float_scales_bytes_and_nothing_else():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(augmentations.to_float(levels), torch.arange(256).reshape(1, 1, 16, 16) / 255)
    for dtype in (torch.float64, torch.bfloat16):
        images = torch.rand(1, 1, 2, 2).to(dtype)
        assert augmentations.to_float(images) is images


def test_compose_gives_function_i_the_keys_folded_with_i():
    keys, images, seen = random.split(random.key(0), 3), torch.zeros(3, 1, 2, 2), []

    def spy(own_keys, images):
        seen.append(own_keys)
        return images + len(seen)

    assert (augmentations.compose(spy, spy, spy)(keys, images) == 1 + 2 + 3).all()
    assert all(torch.equal(own_keys, random.fold_in(keys, i)) for i, own_keys in enumerate(seen))
    assert augmentations.compose()(keys, images) is images


def test_random_apply_changes_the_chosen_and_no_others():
    keys, images = random.split(random.key(0), 2000), torch.zeros(2000, 1, 1, 1)
    applied = augmentations.random_apply(lambda keys, images: images + 1, p=0.3)(keys, images)
    assert set(applied.unique().tolist()) == {0, 1} and abs(applied.mean() - 0.3) < 0.03
    assert augmentations.random_apply(lambda keys, images: images + 1, p=1.0)(keys, images).min() == 1


def test_random_apply_and_its_function_draw_from_different_keys():
    keys, images = random.split(random.key(0), 500), torch.zeros(500, 1, 1, 1)
    seen = []
    applied = augmentations.random_apply(lambda keys, images: seen.append(keys) or images + 1, p=0.5)(keys, images)
    own_draw = random.bernoulli(seen[0], 0.5)
    assert 0.4 < (own_draw == applied.flatten().bool()).double().mean() < 0.6


def test_view_v_of_an_image_is_drawn_from_its_index_and_v():
    batch, key = draw_batch(), random.key(7)
    first, second, third = augmentations.draw_views(VIEWS, key, batch, n=3)
    for v, view in enumerate((first, second, third)):
        for i in range(len(batch.images)):
            own_key = random.fold_in(random.fold_in(key, int(batch.index[i])), v)
            alone = VIEWS(own_key[None], augmentations.to_float(batch.images[i : i + 1]))
            torch.testing.assert_close(view[i : i + 1], alone, atol=1e-5, rtol=0)
    assert not torch.equal(first, second)


def test_views_follow_their_images_through_any_shuffling():
    batch, key, order = draw_batch(), random.key(7), torch.tensor([4, 1, 5])
    part = Batch(batch.images[order], None, batch.index[order])
    whole = augmentations.draw_views(VIEWS, key, batch)
    for view, shuffled in zip(whole, augmentations.draw_views(VIEWS, key, part), strict=True):
        torch.testing.assert_close(shuffled, view[order], atol=1e-5, rtol=0)


def test_normalize_equals_torchvision():
    from torchvision.transforms.v2 import functional as F

    images, mean, std = torch.rand(2, 3, 4, 4), [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    torch.testing.assert_close(
        augmentations.normalize(None, images, mean=mean, std=std), F.normalize(images, mean, std)
    )


@pytest.mark.parametrize(
    "call,error,words",
    [
        (lambda x: augmentations.to_float(x.long()), TypeError, "expected uint8 in 0..255 or floating point in 0..1"),
        (lambda x: augmentations.to_float(x[0]), ValueError, "rank 4"),
        (
            lambda x: augmentations.normalize(None, x, mean=[0.1, 0.2], std=1.0),
            ValueError,
            "mean: expected a number, or",
        ),
        (lambda x: augmentations.normalize(None, x, mean=0.1, std=[0.0]), ValueError, "std: expected a number above 0"),
        (lambda x: augmentations.random_apply(augmentations.grayscale, p=1.1), ValueError, "p: expected"),
        (lambda x: halved(x), ValueError, "images [2, 3, 4, 4], changed [2, 3, 2, 2]"),
    ],
)
def test_wrong_arguments_are_named(call, error, words):
    with pytest.raises(error) as raised:
        call(torch.zeros(2, 3, 4, 4))
    assert words in str(raised.value)


def halved(images):
    halve = augmentations.random_apply(lambda keys, images: images[..., ::2, ::2], p=0.5)
    return halve(random.split(random.key(0), 2), images)


# --- views of several kinds ------------------------------------------------------------------------------------


def test_views_of_several_sizes_are_numbered_consecutively():
    batch, key = draw_batch(), random.key(7)
    large, small = (partial(augmentations.random_resized_crop, size=size, flip=0.5) for size in (8, 5))
    drawn = augmentations.draw_views((large, large, small, large), key, batch)
    images = augmentations.to_float(batch.images)
    for v, function in enumerate((large, large, small, large)):
        keys = random.fold_in(random.fold_in(key, batch.index), v)
        torch.testing.assert_close(drawn[v], function(keys, images), atol=1e-6, rtol=0)


def test_neighbours_of_one_augmentation_are_drawn_in_one_call():
    calls = []

    def spy(name):
        return lambda keys, images: calls.append((name, len(images))) or images

    a, b = spy("a"), spy("b")
    augmentations.draw_views((a, a, b, b, b, a), random.key(0), draw_batch(4))
    assert calls == [("a", 8), ("b", 12), ("a", 4)]


def test_one_augmentation_twice_equals_the_pair_and_a_later_call_continues_counting():
    batch, key = draw_batch(), random.key(7)
    three = augmentations.draw_views(VIEWS, key, batch, n=3)
    pair = augmentations.draw_views((VIEWS, VIEWS), key, batch)
    later = augmentations.draw_views(VIEWS, key, batch, n=1, first=2)
    for expected, found in zip(three, (*pair, *later), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_a_wrong_number_of_views_is_named():
    with pytest.raises(ValueError, match="expected one augmentation, or one for each of 2 views, got 3"):
        augmentations.per_view((VIEWS, VIEWS, VIEWS), 2)
