"""The images that a folder or a CSV lists, with path, split and label.

    photos/*.jpg                          no labels
    photos/cat/*.jpg  photos/dog/*.jpg    the folder is the label, at any depth below it
    photos/train/...  photos/test/...     two folders of either kind above: the official splits
    photos.csv                            the columns below

    path      path of the image, relative to the CSV; or file, or filename
    label     its class, optional; empty or absent for an image without a label; or class
    split     train or test, optional; empty or absent for train

Names of columns and splits may be in capitals. Empty lines are ignored.

Images are in the order of their paths as bytes, or of the CSV's lines. Hidden files (.name) are ignored. No image is
opened.
"""

import csv
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from zoo.errors import ZooError, shortened, unknown
from zoo.files import printable

_SPLITS = {"train", "test"}
_OTHER_SPLITS = {"val", "valid", "validation", "dev"}
_COLUMNS = ("path", "label", "split")
_SAME = {"file": "path", "filename": "path", "class": "label"}  # names that other programs write
_SEPARATORS = {"semicolons": ";", "tabs": "\t"}
_LONGEST = 1_000_000  # characters of a line of a CSV
_NOT_UTF_8 = re.compile("[\udc80-\udcff]")  # as Python reads bytes of another encoding


class ListedFile(NamedTuple):
    """A file that should be an image.

    Attributes:
        path: the path of the file.
        split: `"train"` or `"test"`.
        label: the name of its class, or None.
        fault: why its location excludes it from a dataset, whatever its content; empty if nothing is wrong.
    """

    path: Path
    split: str = "train"
    label: str | None = None
    fault: str = ""


def list_images(path: Path) -> list[ListedFile]:
    """The files that a folder or a CSV lists.

    Raises:
        ZooError: if it lists nothing, or has splits or columns other than those above.
    """
    return _list_folder(path) if path.is_dir() else _list_csv(path)


def _list_folder(root: Path) -> list[ListedFile]:
    folders, strays = _entries(root)
    names = {folder.name for folder in folders}
    if "train" not in names or not names <= _SPLITS | _OTHER_SPLITS:
        return _list_split(root, root, "train")
    if others := sorted(names - _SPLITS):
        raise ZooError(
            f"{printable(root)}: has the folders train and {', '.join(others)}; only train and test are read as "
            "splits, so rename or move the others"
        )
    listed = _list_split(root / "train", root, "train")
    listed += [ListedFile(path, fault="beside the folder train") for path in strays]
    return listed + (_list_split(root / "test", root, "test") if "test" in names else [])


def _list_split(folder: Path, root: Path, split: str) -> list[ListedFile]:
    folders, files = _entries(folder)
    if not folders and not files:
        raise ZooError(
            f"{printable(folder)}: holds no images; expected images, a folder of images for each class, or folders "
            "train and test of those"
        )
    if not folders:
        return [ListedFile(path, split) for path in files]
    listed = [ListedFile(path, split, fault="beside the class folders, so it has no class") for path in files]
    for class_folder in folders:
        label = printable(class_folder.name)
        members = _walk(class_folder, {_identity(root), _identity(folder)})
        listed += [ListedFile(path, split, label) for path in members] or [
            ListedFile(class_folder, split, fault="an empty class folder")
        ]
    return sorted(listed, key=lambda file: os.fsencode(file.path))


def _walk(folder: Path, seen: set[tuple[int, int]]) -> list[Path]:
    """The files in a folder at any depth. A folder that a link leads back to is not visited twice."""
    found, left = [], [folder]
    while left:
        if (identity := _identity(folder := left.pop())) in seen:
            continue
        seen.add(identity)
        folders, files = _entries(folder)
        found += files
        left += reversed(folders)  # the first is the next
    return found


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders and the files in a folder, without hidden ones, sorted by their names as bytes."""
    names = sorted((name for name in os.listdir(folder) if not name.startswith(".")), key=os.fsencode)
    paths = [folder / name for name in names]
    return [path for path in paths if os.path.isdir(path)], [path for path in paths if not os.path.isdir(path)]


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _list_csv(path: Path) -> list[ListedFile]:
    if not path.is_file():
        raise ZooError(f"{printable(path)}: no such file")
    try:
        # Paths on disk are bytes: keep those that are not UTF-8.
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.reader(_lines(file))
            names = [name.strip().lower() for name in next(reader, [])]
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as error:
        raise ZooError(f"{printable(path)}: not a CSV ({error})") from error
    header = [_SAME.get(name, name) for name in names]
    _check_columns(path, header)
    rows = [(line, row) for line, row in rows if any(row)]  # a spreadsheet writes empty rows as commas
    if not rows:
        raise ZooError(f"{printable(path)}: has no lines below its header; expected one line per image")
    listed, other_encoding = [], []
    for line, row in rows:
        if len(row) != len(header):
            raise ZooError(f"{printable(path)}: line {line}: expected {len(header)} fields, got {len(row)}")
        cells = dict(zip(header, row, strict=True))
        if not cells["path"]:
            raise ZooError(f"{printable(path)}: line {line}: expected the path of an image, got nothing")
        split = cells.get("split", "").lower() or "train"
        if split not in _SPLITS:
            raise ZooError(f"{printable(path)}: line {line}: split: expected train or test, got {shortened(split)}")
        listed.append(ListedFile(path.parent / cells["path"], split, printable(cells.get("label", "")) or None))
        if _NOT_UTF_8.search(cells.get("label", "")):
            other_encoding.append(line)
    _refuse_duplicates(path, [file.path for file in listed], [line for line, _ in rows])
    if other_encoding:
        found = (
            f"{len(other_encoding)} labels are not in UTF-8, first in line {other_encoding[0]}, and are shown as bytes"
        )
        warnings.warn(f"{printable(path)}: {found}; save the file as CSV UTF-8", stacklevel=2)
    return listed


def _lines(file: TextIO) -> Iterator[str]:
    """The lines of a file, after a check that they are lines of a text.

    Raises:
        csv.Error: for a line that is too long, a NUL, or an encoding other than UTF-8, which would be read as paths.
    """
    number = 0
    while line := file.readline(_LONGEST + 1):
        number += 1
        if number == 1 and line.startswith(("\udcff\udcfe", "\udcfe\udcff")):
            raise csv.Error("it is in UTF-16; save it as CSV in UTF-8")
        if len(line) > _LONGEST:
            raise csv.Error(f"line {number} has more than {_LONGEST:,} characters")
        if "\0" in line:
            raise csv.Error(f"line {number} contains a NUL; save it as text in UTF-8")
        yield line


def _check_columns(path: Path, header: Sequence[str]) -> None:
    expected = f"{printable(path)}: expected the columns path, and optionally label and split, in the first line"
    if strange := [name for name in header if name not in _COLUMNS]:
        separated = next((name for name, sign in _SEPARATORS.items() if sign in strange[0]), None)
        hint = f"the fields are separated by {separated}; expected commas" if separated else ""
        if not strange[0]:
            hint = "a column has no name; remove it, as pandas does with to_csv(..., index=False)"
        raise ZooError(f"{expected}; {hint or unknown('column', strange[0], (*_COLUMNS, *_SAME))}")
    if twice := next((name for name in header if header.count(name) > 1), ""):
        same = ", ".join((twice, *(other for other, name in _SAME.items() if name == twice)))
        raise ZooError(f"{expected}; two columns mean {twice}; expected one of {same}")
    if "path" not in header:
        raise ZooError(f"{expected}; {'path is missing' if header else 'got nothing'}")


def _refuse_duplicates(path: Path, images: Sequence[Path], lines: Sequence[int]) -> None:
    """Reject an image that is listed twice: it could be in both splits, or have two labels."""
    first: dict[str, int] = {}
    for image, line in zip(images, lines, strict=True):
        if (before := first.setdefault(os.path.abspath(image), line)) != line:
            raise ZooError(
                f"{printable(path)}: line {line} names the same image as line {before}, {printable(image)}; "
                "expected one line per image; remove one of the two"
            )
