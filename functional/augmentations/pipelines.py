"""Pipelines of augmentations: from a batch and the key of an epoch to its views."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from functional import random, streams
from functional.augmentations._shared import per_image
from functional.base import Augmentation, Batch, Images, Key, Views
from functional.checks import check_between, check_images, check_keys, check_positive, check_rank, check_same_shape
from functional.kernels import bytes_to_floats


def to_float(images: Tensor) -> Images:
    """Convert uint8 images in 0..255 to float32 in 0..1; floating-point images are unchanged.

    Args:
        images: `[B, C, H, W]`.

    Raises:
        TypeError: for any other dtype.
        ValueError: for any other rank.

    Example:
        >>> to_float(torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8))
        tensor([[[[0.0000, 0.2000, 1.0000]]]])
    """
    check_rank("images", images, "batch channels height width")
    if images.is_floating_point():
        return images
    if images.dtype != torch.uint8:
        raise TypeError(f"images: expected uint8 in 0..255 or floating point in 0..1, got {images.dtype}")
    return bytes_to_floats(images) / 255


def compose(*functions: Augmentation) -> Augmentation:
    """Combine several augmentations into one, applied in order: function i draws with `fold_in(keys, i)`.

    Args:
        functions: each `(keys [B, 2], images) -> images`; set hyperparameters with `functools.partial`.

    Example:
        >>> from functools import partial
        >>> from functional.augmentations import horizontal_flip, rotate
        >>> views = compose(horizontal_flip, partial(rotate, degrees=15.0))
        >>> views(random.split(random.key(0), 4), torch.rand(4, 1, 8, 8)).shape
        torch.Size([4, 1, 8, 8])
    """

    def composed(keys: Key, images: Tensor, /) -> Tensor:
        check_keys(keys, images)
        # The keys of all functions in one call, which costs as much as the keys of one.
        own_keys = random.fold_in(keys[:, None], torch.arange(len(functions), device=keys.device))
        for i, function in enumerate(functions):
            images = function(own_keys[:, i], images)
        return images

    return composed


def random_apply(function: Augmentation, *, p: float) -> Augmentation:
    """The augmentation that applies `function` to each image with probability `p` and leaves the others unchanged.

    Args:
        function: `(keys [B, 2], images) -> images` that keeps the shape. It is computed for all images.
        p: 0..1.

    Raises:
        ValueError: if p is outside 0..1; when called, if `function` changes the shape.

    Example:
        >>> from functools import partial
        >>> from functional.augmentations import rotate
        >>> sometimes = random_apply(partial(rotate, degrees=15.0), p=0.3)
    """
    check_between("p", p, 0, 1)

    def applied(keys: Key, images: Tensor, /) -> Tensor:
        check_keys(keys, images)
        key_choice, key_function = random.split(keys).unbind(-2)
        changed = function(key_function, images)
        check_same_shape(images=images, changed=changed)
        return torch.where(per_image(random.bernoulli(key_choice, p), images), changed, images)

    return applied


def per_view(views: Views, n: int) -> tuple[Augmentation, ...]:
    """The augmentation of each of `n` views, from one for all of them or one for each.

    Args:
        views: an augmentation, or a sequence of n of them.
        n: the number of views that a method takes.

    Raises:
        ValueError: for a sequence of any other length.

    Example:
        >>> from functional.augmentations import horizontal_flip, vertical_flip
        >>> len(per_view(horizontal_flip, 2)), len(per_view((horizontal_flip, vertical_flip), 2))
        (2, 2)
    """
    if isinstance(views, Callable):
        return n * (views,)
    if len(views) != n:
        raise ValueError(f"views: expected one augmentation, or one for each of {n} views, got {len(views)}")
    return tuple(views)


def draw_views(views: Views, key: Key, batch: Batch, n: int = 2, *, first: int = 0) -> list[Tensor]:
    """Random views of every image of a batch.

    View v of an image is drawn with `fold_in(fold_in(key, index), v)`: it depends only on the key, the image's position
    in the dataset and v, not on the batch.

    Args:
        views: an augmentation `(keys [B, 2], images [B, C, H, W]) -> images`, drawn n times; or a sequence of them, one
            per view, whose outputs may differ in size. Neighbours that are the same object are drawn in one call.
        key: of the epoch, `[2]`.
        batch: images as uint8 or floating point, and their positions.
        n: the number of views of one augmentation; a sequence gives one view per entry.
        first: the number of the first view. A second call with the same key needs a different one: equal numbers give
            equal views.

    Returns:
        A list of tensors `[B, C, H', W']`, one per view.

    Example:
        >>> from functools import partial
        >>> from functional.augmentations import gaussian_noise, random_resized_crop
        >>> batch = Batch(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), None, torch.arange(4))
        >>> a, b = draw_views(partial(gaussian_noise, std=0.1), random.key(0), batch)
        >>> a.shape, bool((a == b).any())
        (torch.Size([4, 1, 8, 8]), False)
        >>> large, small = partial(random_resized_crop, size=8), partial(random_resized_crop, size=4)
        >>> [x.shape[-1] for x in draw_views((large, large, small, small, small), random.key(0), batch)]
        [8, 8, 4, 4, 4]
    """
    images, drawn = to_float(batch.images), []
    for function, count in _runs(n * (views,) if isinstance(views, Callable) else views):
        keys = streams.view_keys(key, batch.index, count, first=first + len(drawn))
        # In one call: a compiler sees the views once, and small batches take half the time.
        drawn += function(keys.flatten(0, 1), images.repeat(count, 1, 1, 1)).chunk(count)
    return drawn


def normalize(
    keys: Key | None, images: Images, *, mean: float | Sequence[float], std: float | Sequence[float]
) -> Images:
    """`(images - mean) / std` per channel. Nothing is drawn: it takes keys only so that it can be composed.

    Args:
        keys: `[B, 2]` or None; not used.
        images: `[B, C, H, W]`.
        mean: a number for all channels, or C of them.
        std: like `mean`, above 0.

    Raises:
        ValueError: if there is neither one value nor C, or a standard deviation is not above 0.

    Example:
        >>> normalize(None, torch.ones(1, 1, 1, 2), mean=0.5, std=[0.25])
        tensor([[[[2., 2.]]]])
    """
    check_images(images)
    check_positive("std", std if isinstance(std, int | float) else min(std))
    centre, spread = _per_channel("mean", mean, images), _per_channel("std", std, images)
    return torch.addcmul(-centre / spread, images, 1 / spread)  # in one pass


def _runs(functions: Sequence[Augmentation]) -> list[tuple[Augmentation, int]]:
    """Runs of the same function object, each with its length."""
    runs: list[tuple[Augmentation, int]] = []
    for function in functions:
        if runs and runs[-1][0] is function:
            runs[-1] = (function, runs[-1][1] + 1)
        else:
            runs.append((function, 1))
    return runs


def _per_channel(name: str, values: float | Sequence[float], images: Tensor) -> Tensor:
    values, channels = [values] if isinstance(values, int | float) else list(values), images.shape[1]
    if len(values) not in (1, channels):
        raise ValueError(f"{name}: expected a number, or one for each of {channels} channels, got {len(values)}")
    return torch.tensor(values, dtype=images.dtype, device=images.device)[:, None, None]
