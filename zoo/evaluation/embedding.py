"""Export the features of images, with the path, split and class of each, to a file for other programs.

    .npz           features float32 [N, D]; paths, splits and labels, strings [N]; classes, strings; model, its name
    .safetensors   features; labels int64 [N], -1 for none; the strings as JSON in the metadata `funczoo`
    .parquet       columns path, split, label (null for none) and features, a list of D float32; the model and its
                   SHA-256 in the metadata of the schema; pandas, polars and embedding viewers open it
    .csv           columns path, split, label, f0, f1, ...
    .tsv           only the features; NAME_metadata.tsv has path, split and label, as embedding viewers expect

Labels are class names, or "" for an image without a label, unless stated otherwise. Each file is written completely or
not at all.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from zoo.data.sources import read_source
from zoo.errors import ZooError, require_packages
from zoo.files import expanded, save_tensors, write_atomically
from zoo.models.pretrained import PretrainedEncoder

_AT_ONCE = 1024


class Embedding(NamedTuple):
    """Features with the path, split and label of each image.

    Attributes:
        model: the name of the encoder.
        sha256: SHA-256 of its weights.
        features: float32 `[N, D]`.
        paths: the paths of the images, as in `zoo.data.sources.Source`.
        splits: `"train"` or `"test"`.
        labels: the class names; None for an image without a label.
    """

    model: str
    sha256: str
    features: Float[Tensor, "rows dim"]
    paths: tuple[str, ...]
    splits: tuple[str, ...]
    labels: tuple[str | None, ...]


def embed(model: PretrainedEncoder, sources: Sequence[str | Path], *, skip_bad: bool = False) -> Embedding:
    """Compute the features of the images of one dataset, folder or CSV, or of several image files.

    Args:
        model: the encoder.
        sources: as for `zoo.data.sources.read_source`.
        skip_bad: whether to skip unreadable or truncated images, with a warning.

    Raises:
        ZooError: as in `read_source`, and for arrays of another size than the encoder's.
    """
    found = read_source(sources, model.input_shape, skip_bad=skip_bad)
    parts = found.images.split(_AT_ONCE)
    features = torch.cat([model.features(part) for part in tqdm(parts, desc="features", delay=2, disable=None)])
    return Embedding(model.name, model.config["sha256"], features, found.paths, found.splits, found.labels)


def write_embedding(embedding: Embedding, path: str | Path) -> list[Path]:
    """Write features to a file, in the format of its suffix; returns the paths of the written files.

    Raises:
        ZooError: for a suffix other than those above, and for a .parquet without the extra `parquet`.
        OSError: if the file cannot be written.
    """
    path = expanded(path)
    write = _writer(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(embedding, path)


def check_output(path: Path) -> None:
    """Reject a path of an unknown format or an existing file, before anything is computed.

    Raises:
        ZooError: for an unknown suffix, an existing file, or a .parquet without the extra `parquet`.
    """
    path = expanded(path)
    if _writer(path) is _write_parquet:
        _require_pyarrow()
    for file in (path, _metadata_path(path)) if path.suffix == ".tsv" else (path,):
        if file.exists():
            raise ZooError(f"{file}: already exists; choose another name, so that nothing is overwritten")


def _write_npz(embedding: Embedding, path: Path) -> list[Path]:
    buffer = io.BytesIO()
    np.savez(
        buffer,
        features=embedding.features.numpy(),
        paths=np.array(embedding.paths),
        splits=np.array(embedding.splits),
        labels=np.array([label or "" for label in embedding.labels]),
        classes=np.array(_classes(embedding), dtype=str),
        model=np.array(embedding.model),
        sha256=np.array(embedding.sha256),
    )
    write_atomically(path, buffer.getvalue())
    return [path]


def _write_safetensors(embedding: Embedding, path: Path) -> list[Path]:
    classes = _classes(embedding)
    numbers = {name: i for i, name in enumerate(classes)}
    labels = torch.tensor([-1 if label is None else numbers[label] for label in embedding.labels])
    metadata = {**embedding._asdict(), "classes": classes}
    features = metadata.pop("features")
    save_tensors(path, {"features": features, "labels": labels}, metadata)
    return [path]


def _write_parquet(embedding: Embedding, path: Path) -> list[Path]:
    _require_pyarrow()
    import pyarrow as pa
    from pyarrow import parquet

    flat = pa.array(embedding.features.flatten().numpy())
    columns = {
        "path": pa.array(embedding.paths, pa.string()),
        "split": pa.array(embedding.splits, pa.string()),
        "label": pa.array(embedding.labels, pa.string()),
        "features": pa.FixedSizeListArray.from_arrays(flat, embedding.features.shape[1]),
    }
    table = pa.table(columns, metadata={"model": embedding.model, "sha256": embedding.sha256})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    write_atomically(path, buffer.getvalue())
    return [path]


def _require_pyarrow() -> None:
    require_packages("a .parquet", "parquet", "pyarrow")


def _write_csv(embedding: Embedding, path: Path) -> list[Path]:
    header = ["path", "split", "label", *(f"f{i}" for i in range(embedding.features.shape[1]))]
    rows = ([*words, *numbers] for words, numbers in zip(_words(embedding), _numbers(embedding.features), strict=True))
    _write_text(path, [header, *rows], ",")
    return [path]


def _write_tsv(embedding: Embedding, path: Path) -> list[Path]:
    _write_text(path, _numbers(embedding.features), "\t")
    _write_text(_metadata_path(path), [["path", "split", "label"], *_words(embedding)], "\t")
    return [path, _metadata_path(path)]


_WRITERS: dict[str, Callable[[Embedding, Path], list[Path]]] = {
    ".npz": _write_npz,
    ".safetensors": _write_safetensors,
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".tsv": _write_tsv,
}


def _writer(path: Path) -> Callable[[Embedding, Path], list[Path]]:
    if path.suffix not in _WRITERS:
        raise ZooError(f"{path}: expected a path ending in {', '.join(_WRITERS)}")
    return _WRITERS[path.suffix]


def _metadata_path(path: Path) -> Path:
    return path.with_name(f"{path.stem}_metadata.tsv")


def _classes(embedding: Embedding) -> list[str]:
    return sorted({label for label in embedding.labels if label is not None})


def _words(embedding: Embedding) -> Iterable[list[str]]:
    for path, split, label in zip(embedding.paths, embedding.splits, embedding.labels, strict=True):
        yield [path, split, label or ""]


def _numbers(features: Tensor) -> Iterable[list[str]]:
    for row in features.tolist():
        yield [f"{value:.9g}" for value in row]  # 9 digits restore a float32 exactly


def _write_text(path: Path, rows: Iterable[Sequence[Any]], delimiter: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerows(rows)
    write_atomically(path, buffer.getvalue().encode())
