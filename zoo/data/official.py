"""What the named datasets are known to hold, and which files of the cache were found to hold it.

A check reads every byte, so it is made once: `NAME.digest.json` beside the file has the size and the times of the file
that was checked, and the digest that it was checked against. Where it is missing, is out of date or cannot be written,
the file is checked again.
"""

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from zoo.data.mapping import MappedFile
from zoo.files import write_atomically

# `Dataset.digest` of the published files; of cifar10, of the edition in which 20 test images are JPEG copies.
OFFICIAL = {
    "mnist": "0d7bfa6f186a08908a251334c8f47759b2761922af02af11ed735d96a6523a12",
    "fashion_mnist": "6d01cfbb765c2e104a3acf0273c499c3cb710b861d02af0d55bc98a3bde04eef",
    "cifar10": "4e7ecdd05fb0740fd946fea18aa0d34b329db295cc0be74b06222148f1b52f90",
}

# The positions of the test images in which a download differs from that, and the digest of all other images. A download
# is checked by its SHA-256 when it comes, and its own digest is written into the file then.
DIFFERENT_TEST_IMAGES = {
    "cifar10": (
        (1259, 1369, 1422, 2245, 2737, 2935, 3695, 3718, 4085, 4496)
        + (5791, 5896, 6286, 7580, 7707, 7724, 7832, 8117, 8551, 9254),
        "0868588593e7a875df1ee9d988f2e47438d45980b8d879289663710eca476c0c",
    )
}


# Digests of data whose test images are those of that edition: of cifar10, and of cifar10_labels_20k.
_WITH_JPEG_COPIES = {OFFICIAL["cifar10"], "9f73fc421026b4a574d39d6f738889fe4b3a4e540db6025ea95818fc6651ee90"}


def edition_in_words(digests: Iterable[str]) -> str:
    """What is to be said beside figures on the test images of data with these digests; "" if nothing is.

    Example:
        >>> edition_in_words([OFFICIAL["mnist"]])
        ''
    """
    if not _WITH_JPEG_COPIES.intersection(digests):
        return ""
    return "Of the test images of cifar10, 20 are JPEG copies, which can move an accuracy by .2 points."


def is_remembered(file: MappedFile, digest: str) -> bool:
    """Whether this very file was checked against this digest before."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return json.loads(_beside(file).read_text()) == _record(file, digest)
    return False


def remember(file: MappedFile, digest: str) -> None:
    """Note that a file was checked against a digest. A cache that cannot be written works without it."""
    with contextlib.suppress(OSError):
        write_atomically(_beside(file), json.dumps(_record(file, digest)).encode())


def _record(file: MappedFile, digest: str) -> dict[str, int | str]:
    return {"digest": digest, **file.stamp._asdict()}


def _beside(file: MappedFile) -> Path:
    return file.path.with_suffix(".digest.json")
