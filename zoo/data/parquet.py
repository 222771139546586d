r"""Images in the rows of parquet files, as the Hugging Face Hub has them, or of a dataset of the library `datasets`.

    photos.parquet                                  training images
    photos/train-*.parquet  photos/test-*.parquet   the official splits; also in photos/data/

    image     a struct of bytes and path, or bytes: what a file with the image holds; or img
    label     integers or strings, optional; null or "" for an image without a label; or class

Integers are positions in the names of the classes, if the metadata under the key `huggingface` have such names; then -1
is no label either, as the Hub has it. Columns of other names are not used, and a warning names them. A path in a
parquet file is not followed. Rows are read in batches. pyarrow is needed: the extra `parquet`.
"""

import contextlib
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zoo.data.listing import ListedFile
from zoo.errors import ZooError, first_few, require_packages, shortened
from zoo.files import parse_json, printable

if TYPE_CHECKING:
    from pyarrow import Schema

_IMAGE, _LABEL = ("image", "img"), ("label", "class")
_AT_ONCE = 32  # rows, whose bytes are in memory together
_NO_LABEL = -1
_SHOWN = 80  # characters of a type in a message
SPLITS = ("train", "test")
_SHARD = re.compile(r"(train|test|val|valid|validation|dev)([-.].*)?\.parquet")


class Table(NamedTuple):
    """Images in the rows of a table.

    Attributes:
        path: where the rows come from, for messages.
        files: one for each row, those of the split train first. Its path is `train/17` for row 17 of the split.
        classes: the names of the classes in the order of their labels; empty without labels.
        contents: reads the images in the order of the rows: the bytes of a file, or its path; None for no image.
    """

    path: Path
    files: list[ListedFile]
    classes: tuple[str, ...]
    contents: Callable[[], Iterator[bytes | Path | None]]

    def with_numbers(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The arrays of a dataset with numbers for the names of classes, and `classes`, which has the names."""
        numbers = {name: i for i, name in enumerate(self.classes)}
        labels = {
            name: np.array([numbers[label] for label in values.tolist()])
            for name, values in arrays.items()
            if name.endswith("_labels")
        }
        return {**arrays, **labels, "classes": np.array(self.classes)} if labels else dict(arrays)


class _Part(NamedTuple):
    """A part of a table with one schema: a file, or a split of a dataset in memory."""

    name: str
    split: str
    rows: int
    schema: "Schema"
    batches: Callable[[str], Iterator[list[Any]]]  # the values of a column

    def values(self, column: str) -> Iterator[Any]:
        """The values of a column, one for each row.

        Raises:
            ZooError: if there are more or fewer, as in a damaged file, or one that was written to.
        """
        n = 0
        for values in self.batches(column):
            n += len(values)
            yield from values if n <= self.rows else ()
        if n != self.rows:
            raise ZooError(
                f"{self.name}: {column}: expected {self.rows:,} rows, got {n:,}; the file is damaged, or changed"
            )


def is_table(path: Path) -> bool:
    """Whether a path is that of a parquet file, or of a folder of them."""
    return bool(_shards(path)) if path.is_dir() else path.suffix.lower() == ".parquet"


def read_table(path: Path) -> Table:
    """Read the labels of a parquet file, or of a folder of them; the images are read by `Table.contents`.

    Raises:
        ZooError: if pyarrow is missing, a file is damaged or has no images, its columns are not those above, or a label
            is out of range.

    Example:
        >>> import tempfile, pyarrow
        >>> from pyarrow import parquet
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     rows = pyarrow.table({"image": [b"GIF89a", None], "label": ["cat", None]})
        ...     parquet.write_table(rows, f"{folder}/photos.parquet")
        ...     table = read_table(Path(folder, "photos.parquet"))
        ...     print(table.classes, [str(file.path) for file in table.files], list(table.contents()))
        ('cat',) ['train/0', 'train/1'] [b'GIF89a', None]
    """
    require_packages("a .parquet", "parquet", "pyarrow")
    shards = _shards(path) if path.is_dir() else {"train": [path]}
    parts = [_part_of_file(shard, split) for split, files in shards.items() for shard in files]
    return _table(path, parts, follow=False)


def is_hub_dataset(data: object) -> bool:
    """Whether an object is a `datasets.Dataset` of Hugging Face's library, or a `DatasetDict` of its splits."""
    if isinstance(data, Mapping):
        return bool(data) and all(map(is_hub_dataset, data.values()))
    return all(hasattr(data, name) for name in ("features", "with_format", "select_columns", "__len__"))


def table_of_hub_dataset(data: Any) -> Table:
    """The table of a `datasets.Dataset`, or of a `datasets.DatasetDict` with the splits train and test.

    An image that has no bytes is read from its path.

    Raises:
        ZooError: as in `read_table`, and for other splits.
    """
    splits = dict(data) if isinstance(data, Mapping) else {"train": data}
    _refuse_other_splits("dataset", splits)
    parts = [_part_of_hub_dataset(splits[split], split) for split in SPLITS if split in splits]
    return _table(Path("dataset"), parts, follow=True)


def _table(path: Path, parts: Sequence[_Part], *, follow: bool) -> Table:
    images = [_image_column(part) for part in parts]
    labels = [_column(part, _LABEL) for part in parts]
    if others := {name for part in parts for name in part.schema.names} - {*images, *labels}:
        known = ", ".join((*_IMAGE, *_LABEL))
        warnings.warn(
            f"{printable(path)}: {first_few(map(printable, sorted(others)))} {'is' if len(others) == 1 else 'are'} not "
            f"used; known names of columns: {known}",
            stacklevel=4,
        )
    columns = [_labels(part, label) for part, label in zip(parts, labels, strict=True)]
    classes = _classes(path, columns)
    files = []
    for split in SPLITS:
        named = (column.named() for part, column in zip(parts, columns, strict=True) if part.split == split)
        files += [ListedFile(Path(split, str(i)), split, label) for i, label in enumerate(chain.from_iterable(named))]
    if not files:
        raise ZooError(f"{printable(path)}: holds no images; expected one row for each")

    def contents() -> Iterator[bytes | Path | None]:
        for part, image in zip(parts, images, strict=True):
            yield from (_content(value, follow) for value in part.values(image))

    return Table(path, files, classes, contents)


def _shards(folder: Path) -> dict[str, list[Path]]:
    """The parquet files of each split in a folder, or in the folder data in it; none if they have other names.

    Raises:
        ZooError: if there are those of other splits, too.
    """
    for place in (folder, folder / "data"):
        found: dict[str, list[Path]] = {}
        for match in filter(None, map(_SHARD.fullmatch, os.listdir(place) if place.is_dir() else ())):
            found.setdefault(match[1], []).append(place / match[0])
        if "train" in found:
            _refuse_other_splits(place, found)
            return {split: sorted(found[split], key=os.fsencode) for split in SPLITS if split in found}
    return {}


def _refuse_other_splits(name: str | Path, splits: Iterable[str]) -> None:
    if set(splits) - set(SPLITS):
        found = ", ".join(map(printable, sorted(splits)))
        raise ZooError(
            f"{printable(name)}: has the splits {found}; only train and test are read, so rename or move the others"
        )


def _part_of_file(path: Path, split: str) -> _Part:
    from pyarrow.parquet import ParquetFile

    def batches(column: str) -> Iterator[list[Any]]:
        with _damage_named(path), ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(_AT_ONCE, columns=[column]):
                yield batch.column(column).to_pylist()

    if not path.is_file():
        raise ZooError(f"{printable(path)}: no such file")
    with _damage_named(path), ParquetFile(path) as file:
        return _Part(printable(path), split, file.metadata.num_rows, file.schema_arrow, batches)


def _part_of_hub_dataset(data: Any, split: str) -> _Part:
    def batches(column: str) -> Iterator[list[Any]]:
        for table in data.select_columns(column).with_format("arrow").iter(_AT_ONCE):
            yield table.column(column).to_pylist()

    return _Part("dataset", split, len(data), data.features.arrow_schema, batches)


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of Arrow, or of the OS, depending on the damage
        reason = printable((str(error).splitlines() or [type(error).__name__])[0][:200])
        raise ZooError(f"{printable(path)}: not a readable parquet file ({reason})") from error


def _column(part: _Part, names: Sequence[str]) -> str | None:
    """The column of one of these names that a part has; None if there is none."""
    found = [name for name in part.schema.names if name in names]
    if len(found) > 1:
        raise ZooError(f"{part.name}: two columns mean {names[0]}: {', '.join(found)}; expected one of them")
    return found[0] if found else None


def _image_column(part: _Part) -> str:
    from pyarrow import types

    if (name := _column(part, _IMAGE)) is None:
        has = first_few(map(printable, part.schema.names)) or "no columns"
        raise ZooError(f"{part.name}: expected a column {' or '.join(_IMAGE)} with the images, got {has}")
    kind = part.schema.field(name).type
    if types.is_struct(kind) and (position := kind.get_field_index("bytes")) >= 0:
        kind = kind.field(position).type
    if not (types.is_binary(kind) or types.is_large_binary(kind) or types.is_null(kind)):
        raise ZooError(
            f"{part.name}: {name}: expected the bytes of image files, or structs of bytes and path, got "
            f"{_in_words(part.schema.field(name).type)}"
        )
    return name


def _in_words(kind: Any) -> str:
    return printable(str(kind)[:_SHOWN])


def _content(value: Any, follow: bool) -> bytes | Path | None:
    """The bytes of an image; its path, if paths are followed and there are no bytes; else None."""
    content, path = (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
    return content or (Path(path) if follow and path else None)


class _Labels(NamedTuple):
    """The labels of a part, None for an image without one, and the names of the classes, if integers have some."""

    values: list[int | str | None]
    names: tuple[str, ...] = ()

    def named(self) -> Iterator[str | None]:
        for value in self.values:
            yield self.names[value] if self.names and isinstance(value, int) else None if value is None else str(value)


def _labels(part: _Part, column: str | None) -> _Labels:
    from pyarrow import types

    if column is None:
        return _Labels([None] * part.rows)
    kind = part.schema.field(column).type
    kind = kind.value_type if types.is_dictionary(kind) else kind
    values = part.values(column)
    if types.is_string(kind) or types.is_large_string(kind):
        return _Labels([printable(value or "") or None for value in values])
    if not types.is_integer(kind) and not types.is_null(kind):
        raise ZooError(f"{part.name}: {column}: expected integers or strings, got {_in_words(kind)}")
    if not (names := _names(part, column)):
        return _Labels(list(values))
    numbers = [None if value == _NO_LABEL else value for value in values]
    for row, value in enumerate(numbers):
        if value is not None and not 0 <= value < len(names):
            raise ZooError(
                f"{part.name}: row {row}: {column}: {len(names)} classes are named, so labels must be "
                f"0..{len(names) - 1}, got {value}"
            )
    return _Labels(numbers, names)


def _names(part: _Part, column: str) -> tuple[str, ...]:
    """The names of the classes in the metadata; none if there are no such metadata."""
    if (text := (part.schema.metadata or {}).get(b"huggingface")) is None:
        return ()
    try:
        feature = parse_json(text)["info"]["features"][column]
        names = feature.get("names", [])
    except (ZooError, AttributeError, KeyError, TypeError) as error:
        raise ZooError(f"{part.name}: its metadata under the key huggingface do not describe {column}") from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ZooError(f"{part.name}: {column}: expected a list of names of classes, got {shortened(names)}")
    names = tuple(map(printable, names))
    if len(set(names)) < len(names):
        raise ZooError(f"{part.name}: {column}: two classes have the same name, of {first_few(names)}")
    return names


def _classes(path: Path, columns: Sequence[_Labels]) -> tuple[str, ...]:
    """The classes of all parts: those that are named, else the sorted labels."""
    labelled = [column for column in columns if any(value is not None for value in column.values)]
    if len({column.names for column in labelled}) > 1:
        raise ZooError(f"{printable(path)}: its parts name different classes; expected the same in all")
    values = {value for column in labelled for value in column.values if value is not None}
    if len({type(value) for value in values}) > 1:
        raise ZooError(f"{printable(path)}: the labels are integers and strings; expected the same in train and test")
    return labelled[0].names if labelled and labelled[0].names else tuple(map(str, sorted(values)))
