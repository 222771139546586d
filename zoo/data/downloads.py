"""Download named datasets into the dataset cache.

`NAME.safetensors` in the cache holds `train_images` and `test_images`, uint8 `[N, C, H, W]`, `train_labels` and
`test_labels`, int64 `[N]`, and the strings `name`, `classes` (a JSON list), `source` and `digest` as metadata.

A missing dataset is downloaded from the mirrors that torchvision lists, checked against its SHA-256, converted, and
written atomically. Nothing is unpickled: CIFAR-10 is read from its binary archive, not from the one for Python.
"""

import gzip
import json
import math
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.data.names import CLASSES, cache_path
from zoo.data.transfer import LARGEST, TransferError, stream
from zoo.errors import ZooError

_LARGEST_IDX = 100_000_000  # bytes of an array; MNIST has 47 million
_LARGEST_BATCH = 10_000 * (1 + 3 * 32 * 32)  # bytes of a file in CIFAR-10's archive

Arrays = Mapping[str, np.ndarray]


class RemoteFile(NamedTuple):
    """A file on the network.

    Attributes:
        urls: its mirrors, tried in turn.
        sha256: the hexadecimal SHA-256 of its bytes.
        size: the number of its bytes; None if it is not known.
    """

    urls: tuple[str, ...]
    sha256: str
    size: int | None = None


class Source(NamedTuple):
    """Where a dataset comes from.

    Attributes:
        files: the files to download.
        read: a function from their paths, in the same order, to the four arrays.
        classes: the class names, in label order.
    """

    files: tuple[RemoteFile, ...]
    read: Callable[[Sequence[Path]], Arrays]
    classes: tuple[str, ...]


def fetch(name: str, *, source: Source | None = None, timeout: float = 30.0) -> Path:
    """The path of a dataset in the cache; a missing dataset is downloaded first.

    Args:
        name: one of `zoo.data.names.NAMES` except digits, which comes with scikit-learn.
        source: where to download it from; None for `official_source(name)`.
        timeout: seconds without data after which a connection is abandoned.

    Raises:
        ZooError: if the dataset cannot be downloaded, fails its check, or cannot be written. The message says what to
            run and where the file is expected; the cache never holds a partial file.
    """
    path = cache_path(name)
    if path.is_file():
        return path
    source = source or official_source(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent, name)
        with tempfile.TemporaryDirectory(prefix=f"{name}.", dir=path.parent) as folder:
            arrays = source.read([_download(file, Path(folder), timeout) for file in source.files])
        write_dataset(
            path, arrays, name=name, classes=source.classes, source=", ".join(f.urls[0] for f in source.files)
        )
    except (OSError, ZooError) as error:
        raise ZooError(
            f"{name}: expected at {path}, but the download failed: {error}. Run `zoo data fetch {name}` on a machine "
            f"with a network and copy the file to that path, or set FUNCZOO_DATA to a folder that holds {path.name}"
        ) from error
    return path


def write_dataset(path: str | Path, arrays: Arrays, *, name: str, classes: Sequence[str], source: str) -> None:
    """Write a dataset file atomically.

    Raises:
        ZooError: if the path is not UTF-8, because the file could not be read again.
        OSError: if the file cannot be written.
    """
    from safetensors.numpy import save
    from torch import from_numpy

    from zoo.files import content_digest, require_utf8, write_atomically

    require_utf8(path)
    # Make views contiguous first: safetensors silently writes the memory that they point to.
    contiguous = {part: np.require(array, requirements=("C", "W")) for part, array in arrays.items()}
    digest = content_digest({part: from_numpy(array) for part, array in contiguous.items()})
    metadata = {"name": name, "classes": json.dumps(list(classes)), "source": source, "digest": digest}
    write_atomically(path, save(contiguous, metadata))


def official_source(name: str) -> Source:
    """The mirrors of a dataset, from torchvision, and the SHA-256 of its files."""
    from torchvision.datasets import CIFAR10, MNIST, FashionMNIST

    classes, published = CLASSES[name], _PUBLISHED[name]
    if name == "cifar10":
        url = CIFAR10.url.rpartition("/")[0] + "/cifar-10-binary.tar.gz"
        return Source((RemoteFile((url,), *published[0]),), read_cifar, classes)
    home = {"mnist": MNIST, "fashion_mnist": FashionMNIST}[name]
    files = tuple(
        RemoteFile(tuple(mirror + file for mirror in home.mirrors), *of_file)
        for (file, _), of_file in zip(home.resources, published, strict=True)
    )
    return Source(files, read_idx_files, classes)


def read_idx_files(paths: Sequence[Path]) -> Arrays:
    """Read training images, training labels, test images and test labels in MNIST's format: gzipped IDX of uint8."""
    train_images, train_labels, test_images, test_labels = (_read_idx(path) for path in paths)
    return {
        "train_images": train_images[:, None],
        "train_labels": train_labels.astype(np.int64),
        "test_images": test_images[:, None],
        "test_labels": test_labels.astype(np.int64),
    }


def read_cifar(paths: Sequence[Path]) -> Arrays:
    """Read CIFAR-10's binary archive: records of a label byte and the 3 x 32 x 32 bytes of an image.

    Raises:
        ZooError: if the archive is damaged, or lacks a file.
    """
    (path,) = paths
    try:
        with tarfile.open(path, "r:gz") as archive:
            batches = {Path(member.name).name: _content(archive, member) for member in archive if not member.isdir()}
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, KeyError) as error:
        raise ZooError(f"{path.name}: not a readable archive of CIFAR-10 ({error})") from error
    train, test = [f"data_batch_{i}.bin" for i in range(1, 6)], "test_batch.bin"
    if missing := [name for name in (*train, test) if name not in batches]:
        raise ZooError(f"{path.name}: lacks {', '.join(missing)}")
    train_images, train_labels = _read_records(b"".join(batches[name] for name in train))
    test_images, test_labels = _read_records(batches[test])
    return {
        "train_images": train_images,
        "train_labels": train_labels,
        "test_images": test_images,
        "test_labels": test_labels,
    }


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """The bytes of a file in an archive, after a check of their number."""
    if not member.isreg() or member.size > _LARGEST_BATCH:
        raise ValueError(f"{member.name!r}: expected a file of at most {_LARGEST_BATCH:,} bytes, got {member.size:,}")
    file = archive.extractfile(member)
    assert file is not None  # it is regular
    return file.read()


def _remove_abandoned(cache: Path, name: str) -> None:
    """Remove folders left by killed downloads of this dataset if they are more than a day old."""
    for folder in cache.glob(f"{name}.*/"):
        if time.time() - folder.stat().st_mtime > 24 * 3600:
            shutil.rmtree(folder, ignore_errors=True)


def _read_idx(path: Path) -> np.ndarray:
    try:
        with gzip.open(path) as file:
            head = file.read(4)
            if head not in (b"\0\0\x08\x01", b"\0\0\x08\x03"):
                raise ValueError(f"it begins with {head.hex()}; expected 000008 and 1 or 3 dimensions")
            shape = [int.from_bytes(file.read(4), "big") for _ in range(head[3])]
            claimed = math.prod(shape)
            if claimed > _LARGEST_IDX:
                raise ValueError(f"its header says {claimed:,} bytes; expected at most {_LARGEST_IDX:,}")
            data = file.read(claimed + 1)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise ZooError(f"{path.name}: not a readable gzipped IDX file ({error})") from error
    if len(data) != claimed:
        held = "more" if len(data) > claimed else f"{len(data):,}"
        raise ZooError(f"{path.name}: its header says {claimed:,} bytes, and it holds {held}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _read_records(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    size = 1 + 3 * 32 * 32
    if len(data) % size:
        raise ZooError(f"expected records of {size:,} bytes, got {len(data):,} bytes in all")
    records = np.frombuffer(data, np.uint8).reshape(-1, size)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def _download(file: RemoteFile, folder: Path, timeout: float) -> Path:
    """Download a file from the first mirror that serves it with the right SHA-256."""
    path = folder / file.urls[0].rpartition("/")[2]
    failures = []
    for url in file.urls:
        try:
            size, sha256 = stream(url, path, limit=file.size or LARGEST, timeout=timeout)
        except TransferError as error:
            failures.append(str(error))
            continue
        if sha256 == file.sha256:
            return path
        failures.append(
            f"{url}: got {size:,} bytes with SHA-256 {sha256[:12]}..., expected {file.sha256[:12]}...; "
            "the file was truncated or modified"
        )
    raise ZooError("; ".join(failures))


_PUBLISHED = {  # SHA-256 and bytes of the published files; MNIST's in torchvision's order
    "mnist": (
        ("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9_912_422),
        ("3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28_881),
        ("8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1_648_877),
        ("f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4_542),
    ),
    "fashion_mnist": (
        ("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", 26_421_880),
        ("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", 29_515),
        ("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", 4_422_102),
        ("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5_148),
    ),
    "cifar10": (("c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", 170_052_171),),
}
