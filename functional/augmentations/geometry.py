r"""Geometry: crops, flips, rotations, affine maps, elastic deformations, and cutout.

A crop is resized and flipped by two small matrices per image: $R X C^\top$, where row i of $R$ holds the weights of the
source rows in output row i, and $C$ does the same for columns. The boxes of a batch may all differ, and the crops are
two batched matrix products. If no crop can shrink, only two pixels contribute to each row of the matrices, and crops
are sampled at one location per pixel instead, as rotations are.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from functional import random
from functional.augmentations._shared import per_image
from functional.base import Images, Key
from functional.checks import check_between, check_images, check_interval, check_keys, check_per_image, check_positive
from functional.kernels import bilinear_sample

_TRIES = 10  # boxes drawn before the central crop is taken, as in torchvision


def random_resized_crop(
    keys: Key,
    images: Images,
    *,
    size: int | tuple[int, int],
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: str = "bilinear",
    flip: float = 0.0,
) -> Float[Tensor, "batch channels new_height new_width"]:
    """Crop a random box of each image, resize it, and mirror it with probability `flip`.

    Args:
        keys: `[B, 2]`.
        images: `[B, C, H, W]`.
        size: of the result, a side or (height, width).
        scale: the smallest and largest area of the box, as fractions of the image's; 0 < low <= high <= 1.
        ratio: the smallest and largest width over height of the box, above 0.
        interpolation: "bilinear" or "bicubic".
        flip: probability of a left-right flip, 0..1. It costs nothing here, while `horizontal_flip` is another pass.

    Returns:
        `[B, C, height, width]`.

    Raises:
        ValueError: for an empty range, an unknown interpolation, or keys that do not match the images.

    Example:
        >>> keys = random.split(random.key(0), 8)
        >>> random_resized_crop(keys, torch.rand(8, 3, 32, 32), size=24, flip=0.5).shape
        torch.Size([8, 3, 24, 24])

    References:
        Szegedy et al. Going deeper with convolutions. arXiv:1409.4842, section 6 (areas 8 to 100 %, ratios 3/4 to 4/3).
    """
    check_images(images)
    check_keys(keys, images)
    check_between("flip", flip, 0, 1)
    key_box, key_flip = random.split(keys).unbind(-2)
    boxes = sample_crops(key_box, images.shape[-2], images.shape[-1], scale=scale, ratio=ratio)
    mirrored = random.bernoulli(key_flip, flip) if flip > 0 else None
    return crop_resize(images, boxes, size=size, interpolation=interpolation, flip=mirrored)


def sample_crops(
    keys: Key,
    height: int,
    width: int,
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Int64[Tensor, "batch 4"]:
    """Draw one box inside an image of `height` x `width` per key: (top, left, height, width), whole pixels.

    The area is uniform in `scale`, the ratio log-uniform in `ratio`, and the position uniform. The first of ten draws
    that fits the image is used; if none does, the largest central box of an allowed ratio. This is the distribution of
    torchvision's `RandomResizedCrop`.

    Args:
        keys: `[B, 2]`.
        height: of the images, in pixels.
        width: of the images, in pixels.
        scale: as in `random_resized_crop`.
        ratio: as in `random_resized_crop`.

    Returns:
        int64 `[B, 4]`.

    Example:
        >>> sample_crops(random.split(random.key(0), 2), 32, 32)
        tensor([[ 4,  3, 16, 16],
                [ 3,  8, 10,  9]])
    """
    check_interval("scale", scale)
    check_between("scale", scale[1], 0, 1)
    check_interval("ratio", ratio)
    # In float64, so that the last bit (of exp, compiled or on another device) does not decide how a side is rounded.
    area, aspect, position = random.uniform(keys, (2 * _TRIES + 2,)).double().split([_TRIES, _TRIES, 2], dim=-1)
    area = height * width * (scale[0] + (scale[1] - scale[0]) * area)
    aspect = ratio[0] * (ratio[1] / ratio[0]) ** aspect
    tries = torch.stack([(area / aspect).sqrt(), (area * aspect).sqrt()], dim=-1).round()  # [B, tries, 2]

    whole = torch.tensor([height, width], device=keys.device)
    central = torch.tensor(_central_crop(height, width, ratio), dtype=tries.dtype, device=keys.device)
    fits = ((tries > 0) & (tries <= whole)).all(-1)
    any_fits, first = fits.any(-1, keepdim=True), fits.int().argmax(-1)
    sides = torch.where(any_fits, tries.gather(-2, first[:, None, None].expand(-1, 1, 2))[:, 0], central)
    corner = torch.where(any_fits, position * (whole - sides + 1), (whole - sides) / 2).floor()
    return torch.cat([corner, sides], dim=-1).long()


def crop_resize(
    images: Images,
    boxes: Int64[Tensor, "batch 4"],
    *,
    size: int | tuple[int, int],
    interpolation: str = "bilinear",
    flip: Bool[Tensor, " batch"] | None = None,
) -> Float[Tensor, "batch channels new_height new_width"]:
    """Crop the given box of each image, resize it with antialiasing, and mirror it left to right where `flip` is true.

    Args:
        images: `[B, C, H, W]`.
        boxes: (top, left, height, width) inside the image, `[B, 4]`.
        size: of the result, a side or (height, width).
        interpolation: "bilinear" (a triangle) or "bicubic" (Keys's kernel with a = -1/2).
        flip: bool `[B]`, or None for no flip.

    Returns:
        `[B, C, height, width]`.

    Raises:
        ValueError: if the numbers of boxes and images differ, or the interpolation is unknown.

    Note:
        Bicubic values overshoot 0..1 by up to about .2 near edges and are not clamped, as in torchvision for floats;
        PIL, and torchvision for uint8, clamp them.

    Example:
        >>> image = torch.tensor([[[[0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]]]])
        >>> crop_resize(image, torch.tensor([[0, 1, 2, 2]]), size=2, flip=torch.tensor([True]))
        tensor([[[[0., 1.],
                  [1., 0.]]]])

    References:
        Keys. Cubic convolution interpolation for digital image processing. IEEE TASSP 1981, equation 15.
    """
    check_images(images)
    check_per_image("boxes", boxes, images, (4,))
    if interpolation not in _KERNELS:
        raise ValueError(f"interpolation: expected one of {', '.join(_KERNELS)}, got {interpolation!r}")
    kernel = _KERNELS[interpolation]
    new_height, new_width = (size, size) if isinstance(size, int) else size
    check_positive("size", min(new_height, new_width))
    top, left, height, width = boxes.to(torch.promote_types(images.dtype, torch.float32)).unbind(-1)
    if interpolation == "bilinear" and new_height >= images.shape[-2] and new_width >= images.shape[-1]:
        y = _magnifying(top, height, images.shape[-2], new_height)[:, :, None].expand(-1, -1, new_width)
        x = _magnifying(left, width, images.shape[-1], new_width, reverse=flip)[:, None, :].expand_as(y)
        return bilinear_sample(images, torch.stack([x, y], dim=1))
    rows = _resizing(top, height, images.shape[-2], new_height, kernel)
    columns = _resizing(left, width, images.shape[-1], new_width, kernel, reverse=flip)
    halfway = images.flatten(1, 2) @ columns.to(images.dtype).mT
    return rows.to(images.dtype)[:, None] @ halfway.unflatten(1, images.shape[1:3])


def horizontal_flip(keys: Key, images: Images, *, p: float = 0.5) -> Images:
    """Flip left and right where `random.bernoulli(keys, p)` is true.

    Args:
        keys: `[B, 2]`.
        images: `[B, C, H, W]`.
        p: probability, 0..1.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> horizontal_flip(random.split(random.key(0), 1), torch.tensor([[[[0.0, 1.0]]]]), p=1.0)
        tensor([[[[1., 0.]]]])
    """
    return _flip(keys, images, p, -1)


def vertical_flip(keys: Key, images: Images, *, p: float = 0.5) -> Images:
    """Flip top and bottom where `random.bernoulli(keys, p)` is true; otherwise as `horizontal_flip`.

    Example:
        >>> vertical_flip(random.split(random.key(0), 1), torch.tensor([[[[0.0], [1.0]]]]), p=1.0).flatten()
        tensor([1., 0.])
    """
    return _flip(keys, images, p, -2)


def rotate(keys: Key, images: Images, *, degrees: float) -> Images:
    """Rotate about the centre by an angle uniform in -degrees..degrees, black outside the image.

    The angles are `random.uniform(keys, minval=-degrees, maxval=degrees)`, applied by `apply_rotation`.

    Args:
        keys: `[B, 2]`.
        images: `[B, C, H, W]`.
        degrees: the largest angle, 0..180.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> rotate(random.split(random.key(0), 8), torch.rand(8, 1, 28, 28), degrees=15.0).shape
        torch.Size([8, 1, 28, 28])
    """
    check_images(images)
    check_keys(keys, images)
    check_between("degrees", degrees, 0, 180)
    return apply_rotation(images, random.uniform(keys, minval=-degrees, maxval=degrees))


def apply_rotation(images: Images, angle: Float[Tensor, " batch"]) -> Images:
    """Rotate image i counter-clockwise about its centre by `angle[i]` degrees: bilinear, black outside.

    Args:
        images: `[B, C, H, W]`.
        angle: degrees, `[B]`.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> apply_rotation(torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]]), torch.tensor([90.0])).round(decimals=5)
        tensor([[[[1., 0.],
                  [0., 0.]]]])
    """
    check_images(images)
    check_per_image("angle", angle, images)
    nothing = torch.zeros_like(angle)[:, None].expand(-1, 2)
    return apply_affine(images, affine_matrices(-angle, nothing, torch.ones_like(angle), nothing))


def affine(
    keys: Key,
    images: Images,
    *,
    degrees: float,
    translate: tuple[float, float] = (0.0, 0.0),
    scale: tuple[float, float] = (1.0, 1.0),
    shear: tuple[float, float] = (0.0, 0.0),
) -> Images:
    """Rotate, scale, shear and shift at random, black outside the image.

    Args:
        keys: `[B, 2]`.
        images: `[B, C, H, W]`.
        degrees: the largest angle, 0..180.
        translate: the largest shifts (x, y) as fractions of the width and of the height, 0..1.
        scale: the range of the zoom, above 0.
        shear: the largest shears (x, y) in degrees, 0..89.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> keys = random.split(random.key(0), 8)
        >>> affine(keys, torch.rand(8, 1, 28, 28), degrees=10.0, translate=(0.1, 0.1), scale=(0.9, 1.1)).shape
        torch.Size([8, 1, 28, 28])
    """
    check_images(images)
    check_keys(keys, images)
    height, width = images.shape[-2:]
    drawn = sample_affine(keys, height, width, degrees=degrees, translate=translate, scale=scale, shear=shear)
    return apply_affine(images, affine_matrices(*drawn))


def sample_affine(
    keys: Key,
    height: int,
    width: int,
    *,
    degrees: float,
    translate: tuple[float, float] = (0.0, 0.0),
    scale: tuple[float, float] = (1.0, 1.0),
    shear: tuple[float, float] = (0.0, 0.0),
) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch 2"], Float[Tensor, " batch"], Float[Tensor, "batch 2"]]:
    """Draw the arguments of `affine_matrices`, each uniform in its range: angle, translation, scale, shear.

    Translations are whole pixels, as in torchvision's `RandomAffine`, so a shift alone does not blur.

    Args:
        keys: `[B, 2]`.
        height: of the images, in pixels.
        width: of the images, in pixels.
        degrees: as in `affine`, like the arguments below.
        translate: (x, y).
        scale: (low, high).
        shear: (x, y).

    Returns:
        Degrees `[B]`, pixels (x, y) `[B, 2]`, zoom `[B]`, degrees (x, y) `[B, 2]`.

    Example:
        >>> angle, shift, zoom, shear = sample_affine(random.key(0)[None], 28, 28, degrees=0.0, translate=(0.2, 0.2))
        >>> shift
        tensor([[ 5., -2.]])
    """
    check_between("degrees", degrees, 0, 180)
    check_interval("scale", scale)
    for name, (x, y), most in (("translate", translate, 1), ("shear", shear, 89)):
        check_between(name, x, 0, most)
        check_between(name, y, 0, most)
    unit = random.uniform(keys, (6,))
    limits = [degrees, width * translate[0], height * translate[1], *shear]
    most = torch.tensor(limits, dtype=unit.dtype, device=unit.device)
    angle, shift, tilt = ((2 * unit[:, :5] - 1) * most).split([1, 2, 2], dim=-1)
    return angle[:, 0], shift.round(), scale[0] + (scale[1] - scale[0]) * unit[:, 5], tilt


def affine_matrices(
    angle: Float[Tensor, " batch"],
    translate: Float[Tensor, "batch 2"],
    scale: Float[Tensor, " batch"],
    shear: Float[Tensor, "batch 2"],
) -> Float[Tensor, "batch 2 3"]:
    r"""The matrices that map a pixel of the result to its source location in the image.

    The map from image to result is $x \mapsto s \, R(\alpha) Y(\beta_y) X(\beta_x) \, x + t$ about the centre, in
    pixels, with $X$ and $Y$ the shears along x and y; the matrices are those of its inverse.

    Args:
        angle: $\alpha$ in degrees, clockwise on the screen, `[B]`.
        translate: $t$ in pixels, (x, y), `[B, 2]`.
        scale: $s$ > 0, `[B]`.
        shear: $\beta$ in degrees, (x, y), `[B, 2]`.

    Returns:
        float64 `[B, 2, 3]`, for `apply_affine`: an error of one float32 step in an angle changes the pixels of a large
        image by more than 1e-6.

    Note:
        The conventions are those of torchvision's `affine`. In both libraries `rotate` turns the other way.

    Example:
        >>> zero, one = torch.zeros(1), torch.ones(1)
        >>> affine_matrices(zero, torch.tensor([[3.0, -1.0]]), one, torch.zeros(1, 2)).float() + 0.0
        tensor([[[ 1.,  0., -3.],
                 [ 0.,  1.,  1.]]])
    """
    angle, (shear_x, shear_y) = angle.double().deg2rad(), shear.double().deg2rad().unbind(-1)
    a = torch.cos(angle - shear_y) / torch.cos(shear_y)
    b = -a * torch.tan(shear_x) - torch.sin(angle)
    c = torch.sin(angle - shear_y) / torch.cos(shear_y)
    d = -c * torch.tan(shear_x) + torch.cos(angle)  # ad - bc = 1
    inverse = torch.stack([d, -b, -c, a], dim=-1).unflatten(-1, (2, 2)) / scale.double()[:, None, None]
    return torch.cat([inverse, -inverse @ translate.double()[:, :, None]], dim=-1)


def apply_affine(images: Images, matrices: Float[Tensor, "batch 2 3"]) -> Images:
    """Sample image i at the locations given by `matrices[i]`: bilinear, black outside.

    Args:
        images: `[B, C, H, W]`.
        matrices: from a pixel of the result, (x, y, 1), to a location in the image, (x, y): in pixels, from the centre.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> shift = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])
        >>> apply_affine(torch.tensor([[[[1.0, 2.0, 3.0]]]]), shift)
        tensor([[[[2., 3., 0.]]]])
    """
    check_images(images)
    check_per_image("matrices", matrices, images, (2, 3))
    height, width = images.shape[-2:]
    dtype = torch.promote_types(images.dtype, torch.float32)
    x = torch.arange(width, dtype=dtype, device=images.device) - (width - 1) / 2
    y = torch.arange(height, dtype=dtype, device=images.device)[:, None] - (height - 1) / 2
    sides = torch.tensor([width / 2, height / 2], device=images.device)[:, None]
    # Written out, because the order of summation in a matrix product could change.
    by_x, by_y, constant = (matrices / sides).to(dtype)[..., None, None].unbind(2)
    return bilinear_sample(images, by_x * x + (by_y * y + constant))


def elastic(keys: Key, images: Images, *, std: float, grid: int = 3) -> Images:
    """Deform at random and smoothly, as if printed on rubber: each point of a coarse grid moves, the rest follows.

    Args:
        keys: `[B, 2]`.
        images: `[B, C, H, W]`.
        std: standard deviation of the moves in pixels, at least 0.
        grid: points of the grid along a side, 2 or more; the outer ones are on the edges.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> keys = random.split(random.key(0), 8)
        >>> elastic(keys, torch.rand(8, 1, 28, 28), std=2.0).shape
        torch.Size([8, 1, 28, 28])

    References:
        Simard, Steinkraus, Platt. Best practices for convolutional neural networks applied to visual document
        analysis. ICDAR 2003, section 2. Ronneberger, Fischer, Brox. U-Net. arXiv:1505.04597, section 3.1: the grid,
        the normal distribution, and bicubic interpolation.
    """
    check_images(images)
    check_keys(keys, images)
    return apply_elastic(images, sample_elastic(keys, std=std, grid=grid))


def sample_elastic(keys: Key, *, std: float, grid: int = 3) -> Float[Tensor, "batch 2 grid grid"]:
    """Draw the moves (x, y) in pixels of the points of a grid: `std * random.normal(keys, (2, grid, grid))`.

    Args:
        keys: `[B, 2]`.
        std: as in `elastic`.
        grid: as in `elastic`.

    Returns:
        `[B, 2, grid, grid]`.

    Example:
        >>> sample_elastic(random.split(random.key(0), 4), std=2.0).shape
        torch.Size([4, 2, 3, 3])
    """
    check_between("std", std, 0, torch.inf)
    check_between("grid", grid, 2, torch.inf)
    return std * random.normal(keys, (2, grid, grid))


def apply_elastic(images: Images, moves: Float[Tensor, "batch 2 rows columns"]) -> Images:
    """Sample each pixel of image i from where `moves[i]`, interpolated by cubics, leads: bilinear, black outside.

    Args:
        images: `[B, C, H, W]`.
        moves: (x, y) in pixels from a pixel of the result to its source, at points of a grid over the whole image.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> to_the_right = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
        >>> apply_elastic(torch.tensor([[[[1.0, 2.0, 3.0]]]]), to_the_right)
        tensor([[[[2., 3., 0.]]]])
    """
    check_images(images)
    check_per_image("moves", moves, images, (2, *moves.shape[2:]))
    height, width = images.shape[-2:]
    dtype = torch.promote_types(images.dtype, torch.float32)
    moves = moves.to(dtype)
    rows, columns = (_cubic_weights(n, side, moves) for n, side in zip(moves.shape[2:], (height, width), strict=True))
    dense = rows @ moves @ columns.mT  # two products; a compiler makes the interpolation itself ten times slower
    x = torch.arange(width, dtype=dtype, device=images.device) - (width - 1) / 2
    y = torch.arange(height, dtype=dtype, device=images.device)[:, None] - (height - 1) / 2
    sides = torch.tensor([width / 2, height / 2], dtype=dtype, device=images.device)[:, None, None]
    return bilinear_sample(images, (dense + torch.stack(torch.broadcast_tensors(x, y))) / sides)


def _cubic_weights(n: int, length: int, like: Tensor) -> Float[Tensor, "length n"]:
    """The matrix that interpolates n values by cubics at `length` places, from the first value to the last."""
    unit = torch.eye(n, dtype=like.dtype, device=like.device)
    return F.interpolate(unit[None, None], (length, n), mode="bicubic", align_corners=True)[0, 0]


def cutout(keys: Key, images: Images, *, size: int, p: float = 1.0) -> Images:
    """Set a square at a random position to black; it may extend past the edge.

    Args:
        keys: `[B, 2]`.
        images: `[B, C, H, W]`.
        size: the square's side in pixels, above 0; 16 in the paper for CIFAR-10.
        p: probability, 0..1.

    Returns:
        `[B, C, H, W]`.

    Note:
        The paper's square is the mean colour: compose `cutout` after `normalize` for that. The authors' code makes a
        square with an odd side one pixel smaller.

    Example:
        >>> cutout(random.split(random.key(0), 1), torch.ones(1, 1, 8, 8), size=3).sum()
        tensor(55.)

    References:
        DeVries, Taylor. Improved regularization of convolutional neural networks with cutout. arXiv:1708.04552.
    """
    check_images(images)
    check_keys(keys, images)
    return erase(images, sample_cutout(keys, images.shape[-2], images.shape[-1], size=size, p=p))


def sample_cutout(keys: Key, height: int, width: int, *, size: int, p: float = 1.0) -> Int64[Tensor, "batch 4"]:
    """Draw a square per key, (top, left, height, width), its centre uniform over the image; side 0 for no square.

    Example:
        >>> sample_cutout(random.split(random.key(0), 2), 32, 32, size=16)
        tensor([[18, -3, 16, 16],
                [-8, -8, 16, 16]])
    """
    check_positive("size", size)
    check_between("p", p, 0, 1)
    unit = random.uniform(keys, (3,))
    centre = (unit[:, :2] * torch.tensor([height, width], device=keys.device)).long()
    side = torch.where(unit[:, 2:] < p, size, 0).expand(-1, 2)
    return torch.cat([centre - size // 2, side], dim=-1)


def erase(images: Images, boxes: Int64[Tensor, "batch 4"]) -> Images:
    """Set the given box of each image to 0.

    Args:
        images: `[B, C, H, W]`.
        boxes: (top, left, height, width), `[B, 4]`; parts outside the image are ignored.

    Returns:
        `[B, C, H, W]`.

    Example:
        >>> erase(torch.ones(1, 1, 2, 3), torch.tensor([[0, 1, 1, 9]]))
        tensor([[[[1., 0., 0.],
                  [1., 1., 1.]]]])
    """
    check_images(images)
    check_per_image("boxes", boxes, images, (4,))
    top, left, height, width = boxes[:, :, None].unbind(1)
    y = torch.arange(images.shape[-2], device=images.device)
    x = torch.arange(images.shape[-1], device=images.device)
    in_rows, in_columns = (y >= top) & (y < top + height), (x >= left) & (x < left + width)
    return torch.where(in_rows[:, None, :, None] & in_columns[:, None, None, :], 0, images)


def _flip(keys: Key, images: Images, p: float, dim: int) -> Images:
    check_images(images)
    check_keys(keys, images)
    check_between("p", p, 0, 1)
    return torch.where(per_image(random.bernoulli(keys, p), images), images.flip(dim), images)


def _central_crop(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """The largest box of an allowed ratio of width to height, (height, width), of one pixel at least."""
    if width / height < ratio[0]:
        return max(1, round(width / ratio[0])), width
    if width / height > ratio[1]:
        return height, max(1, round(height * ratio[1]))
    return height, width


def _resizing(
    start: Tensor,
    length: Tensor,
    size_in: int,
    size_out: int,
    kernel: Callable[[Tensor], Tensor],
    reverse: Tensor | None = None,
) -> Float[Tensor, "batch size_out size_in"]:
    """Row i: the weights of `size_in` pixels in pixel i of [start, start + length) resized to `size_out`."""
    source = torch.arange(size_in, dtype=start.dtype, device=start.device) + 0.5 - start[:, None]
    source = torch.where((source > 0) & (source < length[:, None]), source, torch.inf)  # outside: infinitely far
    target = _centres(length, size_out, reverse)
    # A crop that shrinks stretches the kernel, so every source pixel counts: this is the antialiasing.
    stretch = (length / size_out).clamp_min(1)[:, None, None]
    weights = kernel(((source[:, None, :] - target[:, :, None]) / stretch).abs())
    return weights / weights.sum(-1, keepdim=True)


def _magnifying(
    start: Tensor, length: Tensor, size_in: int, size_out: int, reverse: Tensor | None = None
) -> Float[Tensor, "batch size_out"]:
    """The locations at which `bilinear_sample` reads [start, start + length) resized to `size_out` >= length.

    Beyond the centres of the first and the last pixel of the box, those pixels are repeated.
    """
    inside = torch.minimum(_centres(length, size_out, reverse).clamp_min(0.5), length[:, None] - 0.5)
    return (2 * (start[:, None] + inside) - size_in) / size_in


def _centres(length: Tensor, size_out: int, reverse: Tensor | None) -> Float[Tensor, "batch size_out"]:
    """The centres of `size_out` equal parts of [0, length), from right to left where `reverse` is true."""
    centres = torch.arange(size_out, dtype=length.dtype, device=length.device) + 0.5
    if reverse is not None:
        centres = torch.where(reverse[:, None], size_out - centres, centres)
    return (length / size_out)[:, None] * centres


def _triangle(x: Tensor) -> Tensor:
    return (1 - x).clamp_min(0)


def _cubic(x: Tensor) -> Tensor:
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))


_KERNELS = {"bilinear": _triangle, "bicubic": _cubic}
