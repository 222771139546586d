"""Checks: what passes, and the message for what does not: expected, got, and what to do."""

import re

import pytest
import torch

from functional import checks as c
from functional import random

IMAGES = torch.rand(3, 1, 8, 8)
KEYS = random.split(random.key(0), 3)


def test_valid_arguments_pass():
    c.check_rank("a", IMAGES, "batch channels height width")
    c.check_same_shape(a=IMAGES, b=IMAGES + 1)
    c.check_same_length(images=IMAGES, keys=KEYS)
    c.check_floating("a", IMAGES.bfloat16())
    c.check_integer("a", KEYS)
    c.check_images(IMAGES)
    c.check_channels("images", IMAGES, 1)
    c.check_image_size(IMAGES, 8)
    c.check_keys(KEYS, IMAGES)
    c.check_key(KEYS[0])
    for value in (1e-9, 3, float("inf"), torch.tensor(-1.0)):  # the value of a tensor is not read
        c.check_positive("a", value)
    for value in (0, 1, torch.tensor(-1.0)):
        c.check_between("a", value, 0, 1)
    c.check_fraction("a", 0.0)


@pytest.mark.parametrize(
    "call,error,words",
    [
        (lambda: c.check_rank("a", [1.0], "batch"), TypeError, "a: expected a torch.Tensor, got list"),
        (
            lambda: c.check_rank("a", IMAGES[0, 0], "b c h w"),
            ValueError,
            "[8, 8]; add the missing dimensions with x[None, None]",
        ),
        (
            lambda: c.check_rank("a", IMAGES, "batch dim"),
            ValueError,
            "rank 2 [batch, dim], got shape [3, 1, 8, 8]; reshape",
        ),
        (lambda: c.check_same_shape(a=IMAGES, b=KEYS), ValueError, "got a [3, 1, 8, 8], b [3, 2]; row i"),
        (lambda: c.check_same_shape(a=IMAGES, b=None), TypeError, "b: expected a torch.Tensor, got NoneType"),
        (lambda: c.check_same_length(a=IMAGES, b=[1]), TypeError, "b: expected a torch.Tensor, got list"),
        (lambda: c.check_floating("a", 1.0), TypeError, "a: expected a torch.Tensor, got float"),
        (lambda: c.check_integer("a", 1), TypeError, "a: expected a torch.Tensor, got int"),
        (lambda: c.check_same_length(a=IMAGES, b=KEYS[:2]), ValueError, "got 3 a, 2 b; row i"),
        (lambda: c.check_floating("a", KEYS), TypeError, "got torch.int32; convert it with x.float()"),
        (lambda: c.check_integer("a", IMAGES), TypeError, "got torch.float32; convert it with x.long()"),
        (lambda: c.check_integer("a", IMAGES > 0), TypeError, "got torch.bool"),
        (lambda: c.check_images(IMAGES[0]), ValueError, "rank 4 [batch, channels, height, width], got shape [1, 8, 8]"),
        (
            lambda: c.check_images((255 * IMAGES).byte()),
            TypeError,
            "convert uint8 with functional.augmentations.to_float",
        ),
        (lambda: c.check_channels("images", IMAGES, 3), ValueError, "images: expected 3 channels, got 1"),
        (lambda: c.check_image_size(IMAGES, 28), ValueError, "expected 28 x 28 pixels, got 8 x 8"),
        (lambda: c.check_keys(0, IMAGES), TypeError, "key: expected a tensor, got 0"),
        (
            lambda: c.check_keys(KEYS[0], IMAGES),
            ValueError,
            "[3, 2], got [2]; make them with functional.random.split(key, 3)",
        ),
        (lambda: c.check_key(KEYS.long()), TypeError, "expected int32 lanes, got torch.int64"),
        (lambda: c.check_key(KEYS.view(torch.uint32)), TypeError, "expected int32 lanes, got torch.uint32"),
        (lambda: c.check_key(torch.tensor(3)), ValueError, "expected shape [..., 2], got []"),
        (lambda: c.check_positive("a", 0), ValueError, "a: expected a number above 0, got 0"),
        (lambda: c.check_positive("a", float("nan")), ValueError, "got nan"),
        (lambda: c.check_between("a", 1.5, 0, 1), ValueError, "a: expected a number in 0..1, got 1.5"),
        (lambda: c.check_fraction("momentum", 1), ValueError, "momentum: expected 0 <= momentum < 1, got 1"),
    ],
)
def test_wrong_arguments_are_named(call, error, words):
    with pytest.raises(error, match=re.escape(words)):
        call()
