"""The only error messages for bad arrays and numbers: what was expected, what was passed, what to do.

The checks read metadata (rank, shape, dtype) and Python numbers, never the values of a tensor: reading those breaks
`vmap` and `torch.compile`, and on a GPU it waits for the device. Values are checked in `zoo` and in
`functional.probes`. Each check returns None or raises; `name` is the name of the caller's argument.
"""

from collections.abc import Mapping

import torch
from torch import Tensor


def check_rank(name: str, x: Tensor, layout: str) -> None:
    """Require one dimension per word of `layout`, as in `check_rank("images", x, "batch channels height width")`.

    Raises:
        TypeError: if `x` is not a tensor.
        ValueError: if the rank differs.

    Example:
        >>> check_rank("a", torch.zeros(5), "batch dim")
        Traceback (most recent call last):
            ...
        ValueError: a: expected rank 2 [batch, dim], got shape [5]; add the missing dimensions with x[None]
    """
    _check_tensor(name, x)
    words = layout.split()
    missing = len(words) - x.ndim
    if missing:
        hint = (
            f"add the missing dimensions with x[{', '.join(['None'] * missing)}]"
            if missing > 0
            else "reshape it, or index the extra dimension"
        )
        raise ValueError(f"{name}: expected rank {len(words)} [{', '.join(words)}], got shape {list(x.shape)}; {hint}")


def check_same_shape(**tensors: Tensor) -> None:
    """Require equal shapes, as in `check_same_shape(a=a, b=b)`.

    Raises:
        TypeError: if one is not a tensor.
        ValueError: if they differ.

    Example:
        >>> check_same_shape(a=torch.zeros(2, 3), b=torch.zeros(2, 4))
        Traceback (most recent call last):
            ...
        ValueError: expected equal shapes, got a [2, 3], b [2, 4]; row i of each must belong to the same example
    """
    for name, x in tensors.items():
        _check_tensor(name, x)
    if len({tuple(x.shape) for x in tensors.values()}) > 1:
        raise ValueError(
            f"expected equal shapes, got {_shapes(tensors)}; row i of each must belong to the same example"
        )


def check_same_leaf(**leaves: Tensor) -> None:
    """Require leaves of one shape at the same place of two trees, as in `check_same_leaf(params=p, grads=g)`.

    Raises:
        ValueError: if they differ.

    Example:
        >>> check_same_leaf(params=torch.zeros(2), grads=torch.zeros(3, 2))
        Traceback (most recent call last):
            ...
        ValueError: expected leaves of one shape, got params [2], grads [3, 2]; pass trees of the same network
    """
    if len({tuple(x.shape) for x in leaves.values()}) > 1:
        raise ValueError(f"expected leaves of one shape, got {_shapes(leaves)}; pass trees of the same network")


def check_same_length(**tensors: Tensor) -> None:
    """Require equal first dimensions, as in `check_same_length(features=x, labels=y)`.

    Raises:
        TypeError: if one is not a tensor.
        ValueError: if they differ.

    Example:
        >>> check_same_length(features=torch.zeros(3, 2), labels=torch.zeros(2))
        Traceback (most recent call last):
            ...
        ValueError: expected as many of each, got 3 features, 2 labels; row i of each must belong to the same example
    """
    for name, x in tensors.items():
        _check_tensor(name, x)
    if len({x.shape[0] for x in tensors.values()}) > 1:
        lengths = ", ".join(f"{len(x)} {name}" for name, x in tensors.items())
        raise ValueError(f"expected as many of each, got {lengths}; row i of each must belong to the same example")


def check_floating(name: str, x: Tensor) -> None:
    """Require a floating-point dtype.

    Raises:
        TypeError: otherwise.

    Example:
        >>> check_floating("images", torch.zeros(1, dtype=torch.uint8))
        Traceback (most recent call last):
            ...
        TypeError: images: expected floating point, got torch.uint8; convert it with x.float()
    """
    _check_tensor(name, x)
    if not x.is_floating_point():
        raise TypeError(f"{name}: expected floating point, got {x.dtype}; convert it with x.float()")


def check_integer(name: str, x: Tensor) -> None:
    """Require an integer dtype.

    Raises:
        TypeError: otherwise.

    Example:
        >>> check_integer("labels", torch.zeros(1))
        Traceback (most recent call last):
            ...
        TypeError: labels: expected integers, got torch.float32; convert it with x.long()
    """
    _check_tensor(name, x)
    if x.dtype == torch.bool or x.is_floating_point() or x.is_complex():
        raise TypeError(f"{name}: expected integers, got {x.dtype}; convert it with x.long()")


def check_images(images: Tensor) -> None:
    """Require floating-point images `[B, C, H, W]`.

    Raises:
        TypeError: for any other dtype. The message says how to convert uint8.
        ValueError: for any other rank.

    Example:
        >>> check_images(torch.zeros(2, 1, 8, 8))  # passes silently
    """
    check_rank("images", images, "batch channels height width")
    if not images.is_floating_point():
        raise TypeError(
            f"images: expected floating point in 0..1, got {images.dtype}; "
            "convert uint8 with functional.augmentations.to_float(images)"
        )


def check_channels(name: str, x: Tensor, channels: int) -> None:
    """Require `channels` along dimension 1, as in `check_channels("images", images, 3)`.

    Raises:
        ValueError: otherwise.

    Example:
        >>> import torch
        >>> check_channels("images", torch.zeros(2, 1, 28, 28), 3)
        Traceback (most recent call last):
            ...
        ValueError: images: expected 3 channels, got 1 (shape [2, 1, 28, 28]); convert them, or build the network for 1
    """
    got = x.shape[1] if x.ndim > 1 else 0
    if got != channels:
        raise ValueError(
            f"{name}: expected {channels} channels, got {got} (shape {list(x.shape)}); "
            f"convert them, or build the network for {got}"
        )


def check_image_size(images: Tensor, size: int) -> None:
    """Require images `[B, C, size, size]`.

    Raises:
        ValueError: for any other height or width.

    Example:
        >>> check_image_size(torch.zeros(2, 1, 8, 8), 8)  # passes silently
    """
    height, width = images.shape[-2:]
    if (height, width) != (size, size):
        raise ValueError(
            f"images: expected {size} x {size} pixels, got {height} x {width}; resize them, or build a network for them"
        )


def check_keys(keys: Tensor, images: Tensor) -> None:
    """Require one key per image: int32 `[B, 2]` for `B` images.

    Raises:
        TypeError: if the keys are not int32.
        ValueError: if the numbers of keys and images differ.

    Example:
        >>> check_keys(torch.zeros(2, 2, dtype=torch.int32), torch.zeros(2, 1, 8, 8))  # passes silently
    """
    check_key(keys)
    if keys.shape != (len(images), 2):
        raise ValueError(
            f"keys: expected one key per image [{len(images)}, 2], got {list(keys.shape)}; "
            f"make them with functional.random.split(key, {len(images)})"
        )


def check_per_image(name: str, x: Tensor, images: Tensor, shape: tuple[int, ...] = ()) -> None:
    """Require one parameter of `shape` per image, as in `check_per_image("boxes", boxes, images, (4,))`.

    Raises:
        TypeError: if `x` is not a tensor.
        ValueError: if it is not `[B, *shape]` for `B` images.

    Example:
        >>> check_per_image("angle", torch.zeros(2), torch.zeros(2, 1, 8, 8))  # passes silently
    """
    expected = [len(images), *shape]
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: expected a tensor {expected}, got {type(x).__name__}; repeat it with torch.full")
    if list(x.shape) != expected:
        raise ValueError(f"{name}: expected one per image, {expected}, got {list(x.shape)}")


def check_interval(name: str, interval: tuple[float, float]) -> None:
    """Require `(low, high)` with 0 < low <= high.

    Raises:
        ValueError: otherwise.

    Example:
        >>> check_interval("scale", (0.08, 1.0))  # passes silently
    """
    if not 0 < interval[0] <= interval[1]:
        raise ValueError(f"{name}: expected (low, high) with 0 < low <= high, got {interval}")


def check_key(key: Tensor) -> None:
    """Require keys as `functional.random` makes them: int32 `[..., 2]`.

    Raises:
        TypeError: if the dtype is not int32 (for example, for a seed or an old-style array).
        ValueError: if the last dimension is not 2.

    Example:
        >>> check_key(torch.zeros(2, dtype=torch.int32))  # passes silently
    """
    if not isinstance(key, Tensor):
        raise TypeError(f"key: expected a tensor, got {key!r}; make a key with functional.random.key(seed)")
    if key.ndim == 0 or key.shape[-1] != 2:
        raise ValueError(f"key: expected shape [..., 2], got {list(key.shape)}; make one with functional.random.key")
    if key.dtype != torch.int32:
        raise TypeError(f"key: expected int32 lanes, got {key.dtype}; make a key with functional.random.key(seed)")


def check_positive(name: str, value: object) -> None:
    """Require a number above 0. A tensor passes: its value is not read.

    Raises:
        ValueError: if the number is 0, negative or NaN.

    Example:
        >>> check_positive("temperature", 0.0)
        Traceback (most recent call last):
            ...
        ValueError: temperature: expected a number above 0, got 0.0
    """
    if isinstance(value, int | float) and not value > 0:
        raise ValueError(f"{name}: expected a number above 0, got {value}")


def check_between(name: str, value: object, low: float, high: float) -> None:
    """Require `low <= value <= high`. A tensor passes: its value is not read.

    Raises:
        ValueError: if the number is out of range.

    Example:
        >>> check_between("p", 1.5, 0, 1)
        Traceback (most recent call last):
            ...
        ValueError: p: expected a number in 0..1, got 1.5
    """
    if isinstance(value, int | float) and not low <= value <= high:
        raise ValueError(f"{name}: expected a number in {low:g}..{high:g}, got {value}")


def check_fraction(name: str, value: object) -> None:
    """Require `0 <= value < 1`, as for a momentum. A tensor passes: its value is not read.

    Raises:
        ValueError: if the number is out of range.

    Example:
        >>> check_fraction("momentum", 1.0)
        Traceback (most recent call last):
            ...
        ValueError: momentum: expected 0 <= momentum < 1, got 1.0
    """
    if isinstance(value, int | float) and not 0 <= value < 1:
        raise ValueError(f"{name}: expected 0 <= {name} < 1, got {value}")


def _shapes(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {list(x.shape)}" for name, x in tensors.items())


def _check_tensor(name: str, x: object) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, got {type(x).__name__}; convert it with torch.as_tensor")
