"""Decode images: files in, uint8 arrays of one size out.

Images are grey if every file is grey, else RGB. Transparency is dropped, EXIF orientation is applied, 16-bit images
keep their upper byte, and animations their first frame. Each image is resized once, with antialiasing, so that its
shorter side is `size`, and cropped to its centre. The default size is the median shorter side, at most 224. An
unreadable or truncated image raises an error that names it, or is skipped on request.

A large JPEG is decoded at a half, a quarter or an eighth of its size, as long as one and a half times the pixels that
are needed are left in each direction: photos of many megapixels take a fraction of the time.

Memory is bounded: no image of more than `LARGEST_PIXELS` is decoded, and no more pixels than that at a time, however
many threads there are.
"""

import collections
import contextlib
import ctypes
import io
import itertools
import math
import os
import statistics
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from zoo.data.listing import ListedFile, list_images
from zoo.data.parquet import Table
from zoo.data.png import fault_of
from zoo.errors import ZooError, first_few, shortened
from zoo.files import printable

LARGEST_DEFAULT = 224
LARGEST_PIXELS = 51_200_000  # width times height, for photos of 50 megapixels; decoders use up to 20 bytes for each
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "MPO", "PNG", "PPM", "TIFF", "WEBP")  # a truncated file of each is noticed
_GREY = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N", "I")
_IN_WORDS = {"train": "training", "test": "test"}
_ORIENTATION = 0x0112  # a tag of EXIF
_TOO_LARGE = f"of which at most {LARGEST_PIXELS:,} are decoded; make it smaller"
_LARGE = 4_000_000  # pixels of an image whose memory is worth returning, which takes about 5 ms
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_THREADS = _CORES + 1  # one may wait for the disk; more of them would wait for each other
_AHEAD = 128  # images that are decoded before the first of them is taken
_BYTES_AHEAD = 32  # the same, for images whose files are in memory
_LARGEST_AHEAD = 256_000_000  # bytes of these images, however large they are
_Content = str | Path | bytes | None  # of a file: its path or its bytes; None for a row without an image
_SPARE = 1.5  # times the pixels needed, in each direction, that a JPEG keeps where it is decoded at a part of its size


class _Room:
    """Room for a number of pixels, which threads share: who finds none waits."""

    def __init__(self, pixels: int) -> None:
        self._free, self._changed = pixels, threading.Condition()

    @contextlib.contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        """Hold room for some pixels, at most for those that there are in all."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= pixels)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


_ROOM = _Room(LARGEST_PIXELS)  # of this process: its memory is one, too


class _Header(NamedTuple):
    """What the header of a file says about its image; the defaults are for a file that cannot be used."""

    shorter_side: int = 0
    grey: bool = True


class ImagePlan(NamedTuple):
    """Files to be decoded, those of the split train first, and the `(C, H, W)` of all images.

    The files of a table are its rows.
    """

    files: list[ListedFile]
    shape: tuple[int, int, int]
    table: Table | None = None

    @property
    def ahead(self) -> int:
        """How many images may be in memory; those of a table with the bytes of their files."""
        most = _LARGEST_AHEAD // max(1, math.prod(self.shape))
        return max(1, min(most, _BYTES_AHEAD if self.table else _AHEAD))

    def items(self) -> Iterator[tuple[ListedFile, _Content]]:
        """The files, each with what is to be decoded: its path, or the bytes in a row of a table; or None."""
        contents = self.table.contents() if self.table else (file.path for file in self.files)
        return zip(self.files, contents, strict=True)


def read_images(source: Path | Table, *, size: int | None = None, skip_bad: bool = False) -> dict[str, np.ndarray]:
    """Read the images of a folder, a CSV or a table.

    Args:
        source: the path of the folder or CSV, or the table.
        size: side of the square images in pixels, >= 1; None for the default above.
        skip_bad: whether to skip unreadable or truncated images with a warning, instead of raising an error.

    Returns:
        `train_images`, uint8 `[N, C, size, size]`; `test_images` if there are any; `train_labels` and `test_labels`,
        strings `[N]`, if every image of the split has a label. If only some have one, a warning counts them. For a
        table, labels are integers, and `classes` has their names.

    Raises:
        ZooError: if there are no training images, if one is unreadable or truncated, or as in `list_images`.
    """
    plan = plan_images(source, size)
    path = source.path if isinstance(source, Table) else source
    shape = (len(plan.files), *plan.shape)
    try:
        images = np.zeros(shape, np.uint8)
    except MemoryError as error:
        raise ZooError(
            f"{printable(path)}: {len(plan.files):,} images of {shape[-1]}x{shape[-1]} pixels need "
            f"{math.prod(shape) / 1e9:,.1f} GB, more than there are; choose a smaller size with --size (size=)"
        ) from error
    files, faults = plan.files, [""] * len(plan.files)
    for i, pixels in enumerate(decoded(plan, range(len(files)))):
        if isinstance(pixels, str):
            faults[i] = pixels
        else:
            images[i] = pixels
    refuse_or_warn(path, plan, faults, skip_bad)
    arrays = {}
    for split, kept in kept_by_split(path, files, faults).items():
        whole = kept == list(range(kept[0], kept[-1] + 1))
        arrays[f"{split}_images"] = images[kept[0] : kept[-1] + 1] if whole else images[kept]
        if (labels := labels_of(path, split, [files[i] for i in kept])) is not None:
            arrays[f"{split}_labels"] = labels
    return plan.table.with_numbers(arrays) if plan.table else arrays


def kept_by_split(path: Path, files: Sequence[ListedFile], faults: Sequence[str]) -> dict[str, list[int]]:
    """The positions of the files without a fault, for each split that there is.

    Raises:
        ZooError: if all files are test images, or none of a split can be used.
    """
    if all(file.split == "test" for file in files):
        raise ZooError(f"{printable(path)}: all {len(files)} images are test images; expected training images too")
    kept = {}
    for split in ("train", "test"):
        members = [i for i, file in enumerate(files) if file.split == split]
        kept[split] = [i for i in members if not faults[i]]
        if members and not kept[split]:
            raise ZooError(f"{printable(path)}: none of the {len(members)} files for {split} is a readable image")
    return {split: members for split, members in kept.items() if members}


def labels_of(path: Path, split: str, files: Sequence[ListedFile]) -> np.ndarray | None:
    """The labels of the images of a split, strings `[N]`; None, and a warning, if only some have one."""
    labels = [file.label for file in files if file.label is not None]
    if labels and len(labels) < len(files):
        warnings.warn(
            f"{printable(path)}: only {len(labels)} of {len(files)} {_IN_WORDS[split]} images have a label; "
            "the labels of this split are not used",
            stacklevel=4,
        )
    return np.array(labels) if len(labels) == len(files) else None


def plan_images(source: Path | Table, size: int | None = None) -> ImagePlan:
    """Which files of a folder, CSV or table to decode, and to which shape.

    Args:
        source: the path of the folder or CSV, or the table.
        size: as in `read_images`; None reads the header of every file, a size only until one is in colour.

    Raises:
        ZooError: for a size out of range, or as in `list_images`.
    """
    if size is not None and size < 1:
        raise ZooError(f"size: expected 1 pixel or more, got {shortened(size)}")
    if size is not None and size**2 > LARGEST_PIXELS:
        raise ZooError(f"size: expected {math.isqrt(LARGEST_PIXELS):,} pixels or fewer, got {shortened(size)}")
    table = source if isinstance(source, Table) else None
    files = source.files if isinstance(source, Table) else list_images(source)
    plan = ImagePlan(sorted(files, key=lambda file: file.split != "train"), (0, 0, 0), table)  # stable
    if size is not None:
        grey = all(_header(item).grey for item in plan.items())
    else:
        headers = list(each(_header, plan.items(), "look", len(files), plan.ahead))
        sides = [header.shorter_side for header in headers if header.shorter_side]
        size = min(statistics.median_low(sides or [1]), LARGEST_DEFAULT)
        grey = all(header.grey for header in headers)
    return plan._replace(shape=(1 if grey else 3, size, size))


def decoded(plan: ImagePlan, positions: Sequence[int]) -> Iterator[np.ndarray | str]:
    """The images of some files of a plan, in ascending order, uint8 `[C, H, W]`, or what is wrong with a file."""

    def decode(item: tuple[ListedFile, _Content]) -> np.ndarray | str:
        file, content = item
        if file.fault:
            return file.fault
        if content is None:
            return "no image"
        if not isinstance(content, bytes) and not os.path.exists(content):
            return "no such file"
        try:
            return _read(content, plan.shape)
        except Exception as error:  # Pillow passes on its decoders' errors: OS, syntax, value, struct and zlib
            return _reason(error)

    chosen = set(positions)
    items = (item for i, item in enumerate(plan.items()) if i in chosen)
    return each(decode, items, "read", len(positions), plan.ahead)


def read_image(image: str | Path | Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
    """Read one image by the module's rules, but with the given channels and size.

    Args:
        image: a path or a Pillow image.
        shape: `(C, H, W)`, with 1 or 3 channels.

    Returns:
        uint8 `[C, H, W]`.

    Raises:
        ZooError: if the image is unreadable or truncated, is too large, or has 32 bits per pixel.
    """
    try:
        return _fit(image, shape) if isinstance(image, Image.Image) else _read(image, shape)
    except Exception as error:  # as in `decoded`
        name = "images" if isinstance(image, Image.Image) else printable(image)
        raise ZooError(f"{name}: not a readable image ({_reason(error)})") from error


def fit_images(images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Convert images in memory by the module's rules to the given channels and size, as files of them would be.

    Args:
        images: uint8 `[N, C, H, W]`, with 1 or 3 channels.
        shape: `(C, H, W)`, with 1 or 3 channels.

    Returns:
        uint8 `[N, *shape]`; the images themselves if they have this shape.

    Example:
        >>> fit_images(np.full((2, 3, 30, 40), 7, np.uint8), (1, 8, 8)).shape
        (2, 1, 8, 8)
    """
    if images.shape[1:] == shape:
        return images
    fitted = np.empty((len(images), *shape), np.uint8)

    def fit(i: int) -> None:
        pixels = images[i, 0] if images.shape[1] == 1 else images[i].transpose(1, 2, 0)
        fitted[i] = _fit(Image.fromarray(pixels), shape)

    for _ in each(fit, range(len(images)), "resize", len(images)):
        pass
    return fitted


def each(
    function: Callable[[Any], Any], items: Iterable[Any], doing: str, n: int, ahead: int = _AHEAD
) -> Iterator[Any]:
    """Map over threads, in order, a few items ahead; Pillow decodes without the GIL. A slow map has a progress bar.

    Args:
        function: the function of an item.
        items: the items, each taken when its turn comes.
        doing: a verb, for the progress bar.
        n: the number of items.
        ahead: how many items are taken before the first result is.
    """
    pool = ThreadPoolExecutor(_THREADS)
    bar = tqdm(total=n, desc=doing, unit=" images", delay=2, disable=None)
    with warnings.catch_warnings(), bar:
        # Pillow warns of images above a limit of its own; they are refused, which is enough.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            left = iter(items)
            running = collections.deque(pool.submit(function, item) for item in itertools.islice(left, ahead))
            while running:
                found = running.popleft().result()
                running += (pool.submit(function, item) for item in itertools.islice(left, 1))
                bar.update()
                yield found
        finally:
            pool.shutdown(cancel_futures=True)


def _header(item: tuple[ListedFile, _Content]) -> _Header:
    file, content = item
    if file.fault or content is None:
        return _Header()
    try:
        with _opened(content) as image:
            return _Header(min(image.size), image.mode in _GREY)
    except Exception:  # as in `decoded`, which says what is wrong
        return _Header()


@contextlib.contextmanager
def _opened(content: str | Path | bytes) -> Iterator[Image.Image]:
    """An image file, or its bytes, whose header was read and is fit to be decoded."""
    if not isinstance(content, bytes) and os.path.exists(content) and not os.path.isfile(content):
        raise ValueError("not a regular file")  # opening a pipe would wait for ever
    opened = io.BytesIO(content) if isinstance(content, bytes) else open(content, "rb")
    with opened as file, Image.open(file) as image:
        if image.format not in FORMATS:
            raise ValueError(f"the format is {image.format}; convert it to one of {', '.join(FORMATS)}")
        _require_fit(image)
        yield image


def _read(content: str | Path | bytes, shape: tuple[int, ...]) -> np.ndarray:
    with _opened(content) as image, _ROOM.of(_shrunk(image, shape)):
        try:
            image.load()
            if image.format == "PNG" and (fault := fault_of(content, image)):
                raise ValueError(fault)
            return _fit(image, shape)
        finally:
            image.close()  # frees its pixels
            if image.width * image.height > _LARGE:
                _return_freed_memory()


def _shrunk(image: Image.Image, shape: tuple[int, ...]) -> int:
    """The pixels to be decoded, after a JPEG was told to decode at a part of its size, as in the module's docstring."""
    whole, side = image.width * image.height, math.ceil(_SPARE * max(shape[1:]))
    image.draft(None, (side, side))
    return whole if image.info.get("progressive") else image.width * image.height


def _return_freed_memory() -> None:
    """Return to the system what was freed: glibc would keep the pixels of the largest image of each thread.

    With other allocators (musl, macOS, Windows) this does nothing.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _fit(image: Image.Image, shape: tuple[int, ...]) -> np.ndarray:
    _require_fit(image)
    channels, height, width = shape
    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if "transparency" in image.info:
        image = image.convert("RGBA")  # as Pillow's documentation recommends
    if image.mode != (mode := "L" if channels == 1 else "RGB"):  # a conversion to the same mode is a copy
        image = image.convert(mode)
    fitted = ImageOps.fit(image, (width, height), method=Image.Resampling.BILINEAR)  # crops, then resizes
    return np.ascontiguousarray(np.array(fitted).reshape(height, width, channels).transpose(2, 0, 1))


def _require_fit(image: Image.Image) -> None:
    """Reject an image that is too large, or cannot be converted to 8 bits, before it is decoded."""
    if image.width * image.height > LARGEST_PIXELS:
        raise ValueError(f"{image.width:,} x {image.height:,} pixels, {_TOO_LARGE}")
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise ValueError(f"32 bits per pixel (mode {image.mode}); convert it to 8 or 16")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more pixels than Pillow opens, {_TOO_LARGE}"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(text.splitlines()[0])


def refuse_or_warn(root: Path, plan: ImagePlan, faults: Sequence[str], skip_bad: bool) -> None:
    """Raise an error that names the files with a fault, or warn of them."""
    folder = root if root.is_dir() else root.parent

    def named(file: ListedFile) -> str:
        return printable(file.path if plan.table else os.path.relpath(file.path, folder))

    bad = [f"{named(file)} ({fault})" for file, fault in zip(plan.files, faults, strict=True) if fault]
    if not bad:
        return
    what = "images" if plan.table else "files"
    found = f"{printable(root)}: {len(bad)} of {len(plan.files)} {what} cannot be used: {first_few(bad)}"
    if not skip_bad:
        raise ZooError(f"{found}; repair or remove them, or skip them with --skip-bad (skip_bad=True)")
    warnings.warn(f"{found}; skipped", stacklevel=4)
