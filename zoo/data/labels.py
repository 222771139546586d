"""Files of labels: a CSV with the columns path and label, to be filled in, and what it says of given images.

Its paths are relative to its folder, as in `zoo.data.listing`, so that it can be read as a dataset, too. An image of a
dataset or of arrays has the name `train/17`.
"""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from zoo.data.listing import list_images
from zoo.errors import ZooError, first_few, printable
from zoo.files import expanded, write_atomically


def read_labels(path: str | Path, images: Sequence[str], *, files: bool) -> dict[int, str]:
    """The labels in a file, by the positions of their images.

    Args:
        path: the path of the CSV; lines without a label, and those of the test split, are ignored.
        images: the paths of the images, as in `zoo.data.sources.Source`.
        files: whether they are files, or images of a dataset or of arrays.

    Raises:
        ZooError: if the file has no label, or one for an image that is gone or is not among the images, or as in
            `list_images`; two lines for one image are an error, too.
    """
    path = expanded(path)
    if path.suffix.lower() != ".csv":
        raise ZooError(f"{printable(path)}: expected a file of labels that ends in .csv, as `zoo suggest` writes it")
    rows = list_images(path)
    training = [row for row in rows if row.split == "train"]
    labelled = [row for row in training if row.label is not None]
    if not labelled:
        where = f"the {len(training)} training images" if len(training) < len(rows) else f"the {len(rows)} images"
        raise ZooError(f"{printable(path)}: none of {where} has a label; fill in the column label")
    positions = {_key(image if files else path.parent / image): i for i, image in enumerate(images)}
    strange = [row.path for row in labelled if _key(row.path) not in positions]
    if strange:
        gone = [image for image in strange if not image.exists()]
        named = first_few(printable(image if files else image.relative_to(path.parent)) for image in gone or strange)
        what = "gone" if gone and files else "not among the images, or cannot be read"
        beside = f", with paths relative to {printable(os.path.abspath(path.parent))}" if gone and files else ""
        remedy = f"name the images that the labels are for{beside}, or remove these lines"
        if all("\\" in str(image) for image in gone or strange):
            remedy = "write their paths with slashes instead of backslashes"
        count = f"{len(gone or strange)} of {len(labelled)} labelled images"
        raise ZooError(f"{printable(path)}: {count} are {what}: {named}; {remedy}")
    return {positions[_key(row.path)]: row.label for row in labelled if row.label is not None}


def write_labels(path: str | Path, rows: Iterable[tuple[str, str]], *, files: bool) -> None:
    """Write a CSV of paths and labels; an empty label is one to be filled in.

    Args:
        path: the path of the CSV.
        rows: the paths of images, as in `zoo.data.sources.Source`, and their labels.
        files: whether the images are files, whose paths are written relative to the CSV.

    Raises:
        OSError: if the file cannot be written.
    """
    path = expanded(path)
    folder = os.path.abspath(path.parent)
    named = ([os.path.relpath(image, folder) if files else image, label] for image, label in rows)
    write_table(path, ["path", "label"], named)


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV, in a folder that is made if it is missing.

    Raises:
        OSError: if the file cannot be written.
    """
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([header, *rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue().encode())


def require_new(path: str | Path, ending: str) -> Path:
    """The path of a file to be written, before anything is computed.

    Raises:
        ZooError: if it does not end in `ending`, or is there already.
    """
    path = expanded(path)
    if path.suffix.lower() != ending:
        raise ZooError(f"{printable(path)}: expected a path ending in {ending}")
    if path.exists():
        raise ZooError(f"{printable(path)}: already exists; choose another name, so that nothing is overwritten")
    return path


def _key(path: str | Path) -> str:
    """What is equal for two spellings of one path."""
    return printable(os.path.abspath(path))
