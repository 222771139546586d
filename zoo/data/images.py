"""One's own images: a folder or a CSV in, uint8 arrays of one size out.

    photos/*.jpg                          no labels
    photos/cat/*.jpg  photos/dog/*.jpg    the folder is the label; what lies deeper in it belongs to it
    photos/train/...  photos/test/...     two of the above: the official splits
    photos.csv                            columns path, relative to the CSV, and label; path alone for no labels

The order is that of the paths as bytes, or of the CSV's lines. Hidden files (.name) are not looked at. All other files
must be whole images: those that are not are named, and left out only on request.

Images are grey if every file stores grey, else RGB; transparency is dropped, EXIF orientation applied, the upper byte
taken of 16 bits, and the first picture of an animation. Each is resized once, its shorter side to `size` with
antialiasing, and its centre cut out. The default size is the median shorter side, at most 224.
"""

import csv
import os
import statistics
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from zoo.errors import ZooError, unknown
from zoo.files import printable

LARGEST_DEFAULT = 224
_GREY = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N", "I")
_SPLITS = {"train", "test"}
_OTHER_SPLITS = {"val", "valid", "validation", "dev"}
_NAMED = 5  # bad files that a message names


class _File(NamedTuple):
    """A file that should be an image; `fault` says why it cannot be one of the dataset, whatever is in it."""

    path: Path
    label: str | None = None
    fault: str = ""


class _Header(NamedTuple):
    """What a file says of its image, or what is wrong with it."""

    shorter_side: int = 0
    grey: bool = True
    fault: str = ""


def read_images(path: Path, *, size: int | None = None, skip_bad: bool = False) -> dict[str, np.ndarray]:
    """The images of a folder or a CSV.

    Args:
        path: of the folder or CSV.
        size: of the square images, in pixels, >= 1; None for the module's rule.
        skip_bad: leave out files that are no whole images, with a warning, where they would be an error.

    Returns:
        `train_images`, uint8 `[N, C, size, size]`, and where there are such `train_labels`, strings `[N]`,
        `test_images` and `test_labels`.

    Raises:
        ZooError: if there are no images, if a file is not a whole one, or for a CSV that is not as the module says.
    """
    if size is not None and size < 1:
        raise ZooError(f"size: expected 1 pixel or more, got {size}")
    splits = list_folder(path) if path.is_dir() else {"train": _list_csv(path)}
    files = [file for split in splits.values() for file in split]
    headers = list(_each(_read_header, files, "look"))
    sides = [header.shorter_side for header in headers if not header.fault]
    size = size or min(statistics.median_low(sides or [1]), LARGEST_DEFAULT)
    images = np.zeros((len(files), 1 if all(header.grey for header in headers) else 3, size, size), np.uint8)
    faults = list(_each(lambda i: headers[i].fault or _decode(files[i].path, images[i]), range(len(files)), "read"))
    _refuse_or_warn(path, files, faults, skip_bad)
    arrays, start = {}, 0
    for split, members in splits.items():
        stop = start + len(members)
        kept = [i for i in range(start, stop) if not faults[i]]
        if not kept:
            raise ZooError(f"{printable(path)}: none of the {len(members)} files for {split} is a whole image")
        arrays[f"{split}_images"] = images[start:stop] if len(kept) == len(members) else images[kept]
        if files[kept[0]].label is not None:
            arrays[f"{split}_labels"] = np.array([files[i].label for i in kept])
        start = stop
    return arrays


def read_image(image: str | Path | Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
    """One image by the module's rules, but with the channels and the size that are asked for.

    Args:
        image: a path, or an image of Pillow.
        shape: `(C, H, W)`, with 1 or 3 channels.

    Returns:
        uint8 `[C, H, W]`.

    Raises:
        ZooError: if it is not a whole image, or has 32 bits per pixel.
    """
    try:
        return _fit(image, shape)
    except Exception as error:  # as in _read_header
        name = "images" if isinstance(image, Image.Image) else printable(image)
        raise ZooError(f"{name}: not a readable image ({_reason(error)})") from error


def list_folder(root: Path) -> dict[str, list[_File]]:
    """The files of a folder by split, with their labels, as the module says.

    Raises:
        ZooError: if it holds nothing, or has other splits.
    """
    folders, strays = _entries(root)
    names = {folder.name for folder in folders}
    if "train" not in names or not names <= _SPLITS | _OTHER_SPLITS:
        return {"train": _list_split(root, root)}
    if others := sorted(names - _SPLITS):
        raise ZooError(
            f"{printable(root)}: has the folders train and {', '.join(others)}; only train and test are read as "
            "splits, so rename the others or move them away"
        )
    splits = {split: _list_split(root / split, root) for split in ("train", "test") if split in names}
    splits["train"] += [_File(path, fault="beside the folder train") for path in strays]
    return splits


def _list_split(folder: Path, root: Path) -> list[_File]:
    folders, files = _entries(folder)
    if not folders and not files:
        raise ZooError(
            f"{printable(folder)}: holds no images; expected images, a folder of images for each class, or folders "
            "train and test of those"
        )
    if not folders:
        return [_File(path) for path in files]
    listed = [_File(path, fault="beside the class folders, so it has no class") for path in files]
    for class_folder in folders:
        label = printable(class_folder.name)
        members = _walk(class_folder, {_identity(root), _identity(folder)})
        listed += [_File(path, label) for path in members] or [_File(class_folder, fault="a class folder of nothing")]
    return sorted(listed, key=lambda file: os.fsencode(file.path))


def _walk(folder: Path, seen: set[tuple[int, int]]) -> list[Path]:
    """The files in a folder at any depth. A folder that a link leads to again is not entered again."""
    if _identity(folder) in seen:
        return []
    seen.add(_identity(folder))
    folders, files = _entries(folder)
    return files + [path for inner in folders for path in _walk(inner, seen)]


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and the other files in a folder that are not hidden, by their names as bytes."""
    names = sorted((name for name in os.listdir(folder) if not name.startswith(".")), key=os.fsencode)
    paths = [folder / name for name in names]
    return [path for path in paths if os.path.isdir(path)], [path for path in paths if not os.path.isdir(path)]


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _list_csv(path: Path) -> list[_File]:
    if not path.is_file():
        raise ZooError(f"{printable(path)}: no such file")
    try:
        # Names on disk are bytes, so what is not UTF-8 is kept as it is.
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise ZooError(f"{printable(path)}: not a CSV ({error})") from error
    columns = _columns(path, header)
    if not rows:
        raise ZooError(f"{printable(path)}: has no lines below its header; expected a line per image")
    for line, row in rows:
        if len(row) != len(header):
            raise ZooError(f"{printable(path)}: line {line}: expected {len(header)} fields, got {len(row)}")
    paths = [path.parent / row[columns[0]].strip() for _, row in rows]
    refuse_duplicates(path, paths, [line for line, _ in rows])
    if len(columns) == 1:
        return [_File(image) for image in paths]
    labels = [printable(row[columns[1]].strip()) for _, row in rows]
    if missing := [str(line) for (line, _), label in zip(rows, labels, strict=True) if not label]:
        raise ZooError(
            f"{printable(path)}: {len(missing)} of {len(rows)} images have no label "
            f"({first_few(missing, 'line ')}); give each one, or leave out the column for images without labels"
        )
    return [_File(image, label) for image, label in zip(paths, labels, strict=True)]


def refuse_duplicates(path: Path, images: Sequence[Path], lines: Sequence[int]) -> None:
    """An image that is listed twice would be in training and test images at once, or have two labels.

    Raises:
        ZooError: which names both lines.
    """
    first: dict[str, int] = {}
    for image, line in zip(images, lines, strict=True):
        if (before := first.setdefault(os.path.abspath(image), line)) != line:
            raise ZooError(
                f"{printable(path)}: line {line} names the same image as line {before}, {printable(image)}; "
                "expected a line per image, so take one of them out"
            )


def _columns(path: Path, header: Sequence[str]) -> list[int]:
    """Where the columns path and label are; a file of paths alone has no labels."""
    wanted = ("path",) if list(header) == ["path"] else ("path", "label")
    others = [name for name in header if name not in wanted]
    for name in wanted:
        if name not in header:
            raise ZooError(
                f"{printable(path)}: expected the columns path and label in the first line; "
                + (str(unknown("column", others[0], wanted)) if others else f"{name} is missing")
            )
    return [header.index(name) for name in wanted]


def _each(function: Callable[[Any], Any], items: Sequence[Any], doing: str) -> Iterator[Any]:
    """Map over threads, in order: Pillow decodes outside Python's lock. The bar shows itself when it takes long."""
    with ThreadPoolExecutor() as pool:
        yield from tqdm(pool.map(function, items), total=len(items), desc=doing, unit=" images", delay=2, disable=None)


def _read_header(file: _File) -> _Header:
    if file.fault:
        return _Header(fault=file.fault)
    if not os.path.isfile(file.path):  # opening a pipe would wait for ever
        return _Header(fault="not a regular file" if os.path.exists(file.path) else "no such file")
    try:
        with Image.open(file.path) as image:
            if fault := _unfit(image):
                return _Header(fault=fault)
            return _Header(min(image.size), image.mode in _GREY)
    except Exception as error:  # Pillow raises what its decoders raise: OS, syntax, value, struct and zlib errors
        return _Header(fault=_reason(error))


def _decode(path: Path, out: np.ndarray) -> str:
    """Write the pixels to `out`, `[C, size, size]`; what is wrong with the file, if anything is."""
    try:
        out[:] = _fit(path, out.shape)
    except Exception as error:  # as in _read_header
        return _reason(error)
    return ""


def _fit(image: str | Path | Image.Image, shape: tuple[int, ...]) -> np.ndarray:
    if not isinstance(image, Image.Image):
        if os.path.exists(image) and not os.path.isfile(image):  # opening a pipe would wait for ever
            raise ValueError("not a regular file")
        with Image.open(image) as opened:
            return _fit(opened, shape)
    if fault := _unfit(image):
        raise ValueError(fault)
    channels, height, width = shape
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if "transparency" in image.info:
        image = image.convert("RGBA")  # as Pillow asks for
    image = image.convert("L" if channels == 1 else "RGB")
    fitted = ImageOps.fit(image, (width, height), method=Image.Resampling.BILINEAR)  # cuts, then resizes
    return np.array(fitted).reshape(height, width, channels).transpose(2, 0, 1)


def _unfit(image: Image.Image) -> str:
    """What keeps an image from becoming one of 8 bits, if anything does."""
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        return f"32 bits per pixel (mode {image.mode}); convert it to 8 or 16"
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0]


def _refuse_or_warn(root: Path, files: Sequence[_File], faults: Sequence[str], skip_bad: bool) -> None:
    folder = root if root.is_dir() else root.parent
    bad = [
        f"{printable(os.path.relpath(file.path, folder))} ({fault})"
        for file, fault in zip(files, faults, strict=True)
        if fault
    ]
    if not bad:
        return
    found = f"{printable(root)}: {len(bad)} of {len(files)} files cannot be used: {first_few(bad)}"
    if not skip_bad:
        raise ZooError(f"{found}; mend them or move them away, or leave them out with --skip-bad (skip_bad=True)")
    warnings.warn(f"{found}; left out", stacklevel=4)


def first_few(names: Iterable[str], prefix: str = "") -> str:
    """The first of many names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(prefix + name for name in names[:_NAMED]) + more
