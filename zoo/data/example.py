"""A small folder of images for trying the commands: scikit-learn's digits as PNG files, and a CSV that lists them.

    photos/train/CLASS/*.png    30 images of each of 10 classes
    photos/test/CLASS/*.png     10 of each
    labels.csv                  path, label and split of each

The CSV is beside the folder because every file in a folder of images must be an image.
"""

import csv
import io
import os
import shutil
import tempfile
from pathlib import Path

from PIL import Image

from zoo.data.datasets import Split, load_dataset
from zoo.errors import ZooError
from zoo.files import expanded, printable, write_atomically

PER_CLASS = {"train": 30, "test": 10}
SIDE = 32  # pixels; the digits have 8


def write_example(directory: str | Path) -> tuple[Path, Path]:
    """Write the folder of images and the CSV that the module describes; the content is always the same.

    Args:
        directory: the folder to create; `labels.csv` is written beside it.

    Returns:
        The paths of the folder and of the CSV.

    Raises:
        ZooError: if either already exists.
        OSError: if they cannot be written.
    """
    folder = expanded(directory)
    table = folder.parent / "labels.csv"
    for path in (folder, table):
        if os.path.lexists(path):
            raise ZooError(
                f"{printable(path)}: already exists; choose another directory, so that nothing is overwritten"
            )
    data = load_dataset("digits")
    assert data.test is not None
    folder.parent.mkdir(parents=True, exist_ok=True)
    rows = [("path", "label", "split")]
    part = Path(tempfile.mkdtemp(prefix=".example.", dir=folder.parent))  # so that a partial folder never appears
    try:
        inside = part / "images"
        for split, images in (("train", data.train), ("test", data.test)):
            for number, label in _first_of_each_class(images, PER_CLASS[split]):
                name = Path(split, data.classes[label], f"{number:04}.png")
                (inside / name).parent.mkdir(parents=True, exist_ok=True)
                image = Image.fromarray(images.images[number, 0].numpy())
                image.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(inside / name)
                rows.append((str(folder.name / name), data.classes[label], split))
        inside.rename(folder)
    finally:
        shutil.rmtree(part)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_atomically(table, text.getvalue().encode("utf-8", "surrogateescape"))  # the path may be any bytes
    return folder, table


def _first_of_each_class(split: Split, n: int) -> list[tuple[int, int]]:
    """Position and label of the first n images of each class, class by class."""
    assert split.labels is not None
    return [
        (number, label)
        for label in split.labels.unique().tolist()
        for number in (split.labels == label).nonzero().flatten()[:n].tolist()
    ]
