"""The readers that `scripts/fuzz.py` gives damaged inputs to, and how it knows that what they read is right.

What is read from a damaged file is right

    exactly           if it is what the undamaged file gives, to the last bit: of files with a digest or a checksum
    as NAME says      if an independent reader of the same bytes says the same (`json`, `numpy.load`, `safetensors`,
                      Pillow, `csv`, ...): of files in which other bytes are another, valid content
"""

import contextlib
import csv
import functools
import gzip
import hashlib
import io
import json
import random
import resource
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors import safe_open

import zoo
from functional import tree
from fuzzing.mutators import (
    TEXTS,
    Mutator,
    damage,
    in_turn,
    inside_gzip,
    inside_safetensors,
    inside_tar,
    inside_zip,
    json_damage,
    respelt,
    text_damage,
)
from zoo.data.datasets import Dataset, Split, save_dataset
from zoo.data.downloads import read_cifar, read_idx_files
from zoo.data.images import read_image
from zoo.data.listing import ListedFile, list_images
from zoo.files import printable
from zoo.models.addresses import Address, parse_address
from zoo.models.loading import WEIGHTS
from zoo.reports.card_metadata import evaluation_results, require_publishable
from zoo.training.catalogue import catalogue, check_names
from zoo.training.plan import decide_precision, make_plan
from zoo.training.recipe import Recipe, read_change, read_recipe
from zoo.training.run_directory import load_checkpoint, read_metrics

FORMATS = ("png", "jpeg", "gif", "bmp", "tiff", "webp")
_SHAPE = (3, 12, 16)  # of the images that are decoded
_TINY = zoo.Recipe(
    method="simclr",
    encoder="resnet8",
    dataset="digits",
    views=(("random_resized_crop", {"size": 8, "scale": (0.4, 1.0)}), ("rotate", {"degrees": 15.0})),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=2,
    batch_size=32,
    warmup_epochs=1,
    method_options={"projector": (16, 8), "temperature": ("cosine", {"value": 0.2, "final": 0.1})},
    encoder_options={"width": 4},
    optimizer_options={"weight_decay": 1e-4, "mask": "exclude_bias_and_norm"},
    parameter_groups=(("projector.*", {"learning_rate": 1e-3, "frozen_epochs": 1}),),
    mean=(0.3,),
    std=(0.4,),
    precision="float32",
)
_AUTOENCODER = _TINY.replace(
    method="autoencoder",
    encoder="s5",
    views=[],
    method_options={"decoder": ("s5_decoder", {"width": 2})},
    encoder_options={"latent_dim": 3},
    parameter_groups=[],
    mean=[0.0],
    std=[1.0],
)


class Reader(NamedTuple):
    """A reader, and the files that it is given.

    Attributes:
        files: the undamaged files by path, relative to the folder that they are written to.
        damaged: the path of the one that is damaged.
        mutator: how it is damaged.
        read: `folder -> result`.
        complaint: `(folder, result, result of the undamaged files) -> what is wrong with the result`; "" for nothing.
        share: of the inputs, relative to the others; less for a reader that trains a step.
        opens_any: whether the files hold paths of the user's own, which it may open to read.
    """

    files: Mapping[str, bytes]
    damaged: str
    mutator: Mutator
    read: Callable[[Path], Any]
    complaint: Callable[[Path, Any, Any], str]
    share: float = 1.0
    opens_any: bool = False


def all_readers(folder: Path) -> dict[str, Reader]:
    """Every reader by name. What they read is made in a folder first; two small networks are trained for it."""
    images = torch.randint(0, 256, (64, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    bars = Dataset("bars", Split(images, torch.arange(64) % 4), None, ("a", "b", "c", "d"))
    zoo.pretrain(_TINY, out=folder / "run")
    zoo.pretrain(_AUTOENCODER, data=bars, out=folder / "decoding")
    save_dataset(
        bars._replace(train=Split(images[:, :, :8, :8], bars.train.labels)), folder / "d.safetensors", source=""
    )
    run, encoder = _files(folder / "run"), _files(folder / "run" / "encoder")
    decoder, stored = (
        _files(folder / "decoding" / "encoder"),
        {"data.safetensors": (folder / "d.safetensors").read_bytes()},
    )
    card = (WEIGHTS / "simclr-resnet8-digits" / "README.md").read_bytes()
    as_json = in_turn(json_damage, json_damage, json_damage, damage, text_damage, respelt)
    as_text = in_turn(text_damage, text_damage, damage)
    as_tensors = in_turn(damage, inside_safetensors)
    readers = {
        "weights": Reader(encoder, "model.safetensors", as_tensors, _load, _exactly),
        "decoder": Reader(decoder, "decoder.safetensors", as_tensors, _load, _exactly, 0.3),
        "config.json": Reader(encoder, "config.json", as_json, _load, _as_the_configuration_says),
        "config.json, pinned": Reader(encoder, "config.json", as_json, _pinned(encoder), _exactly),
        "recipe": Reader({"r.json": run["recipe.json"]}, "r.json", as_json, _plan, _as_the_recipe_says, 0.5, True),
        "--set": Reader({"change": b"seed=0"}, "change", _change, _set, _as_the_change_says, 0.5, True),
        "run, its recipe": Reader(run, "recipe.json", as_json, _resume, _exactly, 0.2, True),
        "checkpoint": Reader(run, "checkpoint.safetensors", as_tensors, _checkpoint, _exactly),
        "metrics": Reader(run, "metrics.jsonl", _in_a_line(as_json), _metrics, _as_json_says),
        "npz": Reader(_npz(), "data.npz", in_turn(damage, inside_zip, inside_zip), _dataset, _as_numpy_says),
        "dataset": Reader(stored, "data.safetensors", as_tensors, _dataset, _as_safetensors_says),
        "csv": Reader(_csv(), "photos.csv", as_text, _listing, _as_csv_says, 1.0, True),
        "idx": Reader(_idx(), "0.gz", in_turn(damage, inside_gzip, inside_gzip), _read_idx, _as_gzip_says),
        "cifar": Reader(_cifar(), "cifar.tar.gz", in_turn(damage, inside_tar), _read_tar, _as_tarfile_says),
        "card": Reader({"README.md": card}, "README.md", as_text, _card, _as_yaml_says),
        "address": Reader({"address": b"hf://owner/repo"}, "address", _address, _parse, _as_it_is_written),
    }
    pictures = {name: Reader(_picture(name), "image", damage, _decode, _as_pillow_says, 0.5) for name in FORMATS}
    return readers | pictures


def _exactly(_: Path, result: Any, expected: Any) -> str:
    return "" if result == expected else "another result was accepted"


# Encoders


def _load(folder: Path, sha256: str | None = None) -> dict[str, str]:
    model = zoo.load(folder, sha256=sha256)
    channels, height, width = model.input_shape
    if height * width > 10_000:  # an image of that size takes long; the next line would only show that
        return {"config": json.dumps(model.config, sort_keys=True)}
    images = np.arange(2 * channels * height * width, dtype=np.uint32).astype(np.uint8)
    features = model.features(images.reshape(2, channels, height, width))
    decoded = model.decode(features) if model.has_decoder else torch.empty(0)
    config = {name: value for name, value in model.config.items() if name != "source"}
    shown = {"config": json.dumps(config, sort_keys=True), "mean": str(config["mean"]), "std": str(config["std"])}
    return {**shown, "features": _digest(features), "decoded": _digest(decoded)}


def _pinned(files: Mapping[str, bytes]) -> Callable[[Path], Any]:
    sha256 = hashlib.sha256(files["config.json"]).hexdigest()
    return lambda folder: _load(folder, sha256)


def _as_the_configuration_says(folder: Path, result: Any, expected: Any) -> str:
    """What the file says holds, and weights are never loaded with another architecture than theirs."""
    said = json.loads((folder / "config.json").read_bytes())
    read = json.loads(result["config"])
    if any(read.get(name) != value for name, value in said.items()):
        return "another configuration than the file's"
    weights = ("architecture", "input_shape", "mean", "std", "dtype", "sha256")
    before = json.loads(expected["config"])
    same = all(read[name] == before[name] for name in weights)
    return "the same configuration, other features" if same and result["features"] != expected["features"] else ""


# Recipes and runs


@contextlib.contextmanager
def _within(megabytes: int) -> Iterator[None]:
    """A machine of little memory, on which a recipe that needs more is refused."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (megabytes * 1_000_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _prepared(recipe: Recipe) -> dict[str, Any]:
    """Everything that `zoo pretrain` does before the first epoch, which includes a step; nothing is compiled."""
    check_names(recipe, catalogue())
    images = torch.arange(64 * 64, dtype=torch.int64).to(torch.uint8).view(64, 1, 8, 8)
    with _within(900):
        data = Dataset("d", Split(images, torch.arange(64) % 4), None, tuple("abcd"))
        make_plan(decide_precision(recipe.replace(compile=False)), data=data)
    return json.loads(recipe.to_json())


def _plan(folder: Path) -> dict[str, Any]:
    return _prepared(read_recipe(folder / "r.json"))


def _as_the_recipe_says(folder: Path, result: Any, _: Any) -> str:
    said = json.loads((folder / "r.json").read_text(encoding="utf-8-sig"))
    wrong = [name for name, value in said.items() if name != "device" and result[name] != value]
    return f"another {wrong[0]} than the file's" if wrong else ""


def _change(rng: random.Random, _: bytes) -> bytes:
    """A field and a value for --set: the field's own value, damaged, or anything."""
    values = json.loads(_TINY.to_json())
    field = rng.choice(list(values))
    own = json.dumps({field: values[field]}).encode()
    value = in_turn(json_damage, json_damage, damage)(rng, own)
    try:
        value = json.dumps(json.loads(value)[field]).encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        value = value[len(field) + 4 : -1]
    if rng.random() < 0.1:
        value = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
    return (damage(rng, field.encode()) if rng.random() < 0.05 else field.encode()) + b"=" + value


def _changed(folder: Path) -> tuple[str, Any]:
    return read_change((folder / "change").read_bytes().decode("utf-8", "surrogateescape"))


def _set(folder: Path) -> dict[str, Any]:
    field, value = _changed(folder)
    return _prepared(_TINY.replace(**{field: value}))


def _as_the_change_says(folder: Path, result: Any, _: Any) -> str:
    field, _, text = (folder / "change").read_bytes().decode("utf-8", "surrogateescape").partition("=")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    others = {name: value for name, value in json.loads(_TINY.to_json()).items() if name != field}
    return "" if result == {**others, field: value} else f"--set {field} gave another recipe"


def _resume(folder: Path) -> dict[str, str]:
    with _within(900):
        model = zoo.resume(folder)
    return {"weights": _digest(*tree.leaves(model.params)), "config": json.dumps(model.config["sha256"])}


def _checkpoint(folder: Path) -> dict[str, str]:
    flat, metadata = load_checkpoint(folder / "checkpoint.safetensors", _template())
    return {"state": _digest(*tree.leaves(flat)), "metadata": json.dumps(metadata, sort_keys=True)}


@functools.cache
def _template() -> Any:
    images = torch.zeros(64, 1, 8, 8, dtype=torch.uint8)
    return make_plan(_TINY, data=Dataset("digits", Split(images, None), None, ())).init()


def _metrics(folder: Path) -> list[Any]:
    return read_metrics(folder)


def _as_json_says(folder: Path, result: Any, _: Any) -> str:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return "" if repr([json.loads(line) for line in lines]) == repr(result) else "other metrics than the file's"


def _in_a_line(mutator: Mutator) -> Mutator:
    """Damage one line of a file, or all of it."""

    def mutate(rng: random.Random, data: bytes) -> bytes:
        if rng.random() < 0.3:
            return in_turn(damage, text_damage)(rng, data)
        lines = data.splitlines()
        i = rng.randrange(len(lines))
        return b"\n".join([*lines[:i], mutator(rng, lines[i]), *lines[i + 1 :]]) + b"\n"

    return mutate


# Arrays


def _npz() -> dict[str, bytes]:
    out, rng = io.BytesIO(), np.random.default_rng(0)
    labels = np.arange(20) % 3
    np.savez_compressed(out, images=rng.integers(0, 256, (20, 8, 8), np.uint8), labels=labels)
    return {"data.npz": out.getvalue()}


def _dataset(folder: Path) -> Dataset:
    (path,) = folder.iterdir()
    return zoo.load_dataset(path)


def _as_numpy_says(folder: Path, result: Dataset, _: Any) -> str:
    with np.load(folder / "data.npz", allow_pickle=False) as archive:
        return _as_arrays_say(result, {name: archive[name] for name in archive.files}, None)


def _as_safetensors_says(folder: Path, result: Dataset, _: Any) -> str:
    with safe_open(folder / "data.safetensors", "numpy") as file:
        classes = (file.metadata() or {}).get("classes")
        return _as_arrays_say(result, {name: file.get_tensor(name) for name in file.keys()}, classes)


def _as_arrays_say(result: Dataset, arrays: Mapping[str, Any], classes: str | None) -> str:
    for split, read in (("train", result.train), ("test", result.test)):
        short = {"train_images": "images", "train_labels": "labels"}
        images, labels = (arrays.get(n, arrays.get(short.get(n, ""))) for n in (f"{split}_images", f"{split}_labels"))
        if read is None or images is None:
            if (read is None) != (images is None):
                return f"{split}: images that are not in the file, or the reverse"
            continue
        if not np.array_equal(read.images.numpy().reshape(images.shape), images):
            return f"{split}: other images than the file's"
        if (read.labels is None) != (labels is None):
            return f"{split}: labels that are not in the file, or the reverse"
        names = json.loads(classes) if classes else None
        if read.labels is not None and labels is not None:
            said = [printable(str(names[y] if names else y)) for y in labels.tolist()]
            if [result.classes[y] for y in read.labels.tolist()] != said:
                return f"{split}: other labels than the file's"
    return ""


def _csv() -> dict[str, bytes]:
    rows = [f"{'ab'[i % 2]}/{i}.png,{'ab'[i % 2]},{'test' if i > 15 else ''}" for i in range(20)]
    return {"photos.csv": "\n".join(["path,label,split", *rows]).encode()}


def _listing(folder: Path) -> list[ListedFile]:
    return list_images(folder / "photos.csv")


def _as_csv_says(folder: Path, result: list[ListedFile], _: Any) -> str:
    text = (folder / "photos.csv").read_bytes().decode("utf-8-sig", "surrogateescape")
    header, *rows = ([cell.strip() for cell in row] for row in csv.reader(io.StringIO(text, newline="")) if row)
    same = {"file": "path", "filename": "path", "class": "label"}
    header = [same.get(name, name) for name in header]
    said = [dict(zip(header, row, strict=True)) for row in rows]
    read = [(file.path, file.label, file.split) for file in result]
    expected = [
        (folder / row["path"], printable(row.get("label", "")) or None, row.get("split") or "train") for row in said
    ]
    return "" if read == expected else "other rows than the file's"


def _idx() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    images = [b"\0\0\x08\x03" + np.array((n, 8, 8), ">u4").tobytes() + rng.bytes(n * 64) for n in (20, 10)]
    labels = [b"\0\0\x08\x01" + np.array((n,), ">u4").tobytes() + rng.bytes(n) for n in (20, 10)]
    files = (images[0], labels[0], images[1], labels[1])
    return {f"{i}.gz": gzip.compress(data, mtime=0) for i, data in enumerate(files)}


def _read_idx(folder: Path) -> Mapping[str, np.ndarray]:
    return read_idx_files([folder / f"{i}.gz" for i in range(4)])


def _as_gzip_says(folder: Path, result: Mapping[str, np.ndarray], _: Any) -> str:
    data = gzip.decompress((folder / "0.gz").read_bytes())
    start = 4 + 4 * data[3]
    shape = [int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4)]
    images = np.frombuffer(data[start:], np.uint8).reshape(shape)
    right = data[:3] == b"\0\0\x08" and np.array_equal(result["train_images"], images[:, None])
    return "" if right else "other images than the file's"


def _cifar() -> dict[str, bytes]:
    out, rng = io.BytesIO(), np.random.default_rng(0)
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
            content = b"".join(bytes((i,)) + rng.bytes(3072) for i in range(2))
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return {"cifar.tar.gz": out.getvalue()}


def _read_tar(folder: Path) -> Mapping[str, np.ndarray]:
    return read_cifar([folder / "cifar.tar.gz"])


def _as_tarfile_says(folder: Path, result: Mapping[str, np.ndarray], _: Any) -> str:
    with tarfile.open(folder / "cifar.tar.gz") as archive:
        files = {Path(m.name).name: archive.extractfile(m).read() for m in archive if m.isreg()}  # type: ignore[union-attr]
    for split, names in (("train", [f"data_batch_{i}.bin" for i in range(1, 6)]), ("test", ["test_batch.bin"])):
        records = [row for name in names for row in np.frombuffer(files[name], np.uint8).reshape(-1, 3073)]
        if not np.array_equal(result[f"{split}_images"].reshape(-1, 3072), [row[1:] for row in records]):
            return f"{split}: other images than the archive's"
        if result[f"{split}_labels"].tolist() != [int(row[0]) for row in records]:
            return f"{split}: other labels than the archive's"
    return ""


# Images


def _picture(kind: str) -> dict[str, bytes]:
    out, rng = io.BytesIO(), np.random.default_rng(0)
    smooth = np.add.outer(np.arange(40) * 4, np.arange(30) * 3)[..., None] + rng.integers(0, 60, 3)
    Image.fromarray(smooth.astype(np.uint8)).save(out, kind.upper())
    return {"image": out.getvalue()}


def _decode(folder: Path) -> np.ndarray:
    return read_image(folder / "image", _SHAPE)


def _as_pillow_says(folder: Path, result: np.ndarray, _: Any) -> str:
    try:
        with Image.open(folder / "image") as image:
            image.load()
        with Image.open(folder / "image") as image:
            image.verify()
    except Exception as error:
        return f"read what Pillow refuses: {error}"
    return "" if result.shape == _SHAPE and result.dtype == np.uint8 else "an image of another form"


# Cards and addresses


def _card(folder: Path) -> str | None:
    text = (folder / "README.md").read_bytes().decode("utf-8", "replace")
    require_publishable(text, "README.md")
    return evaluation_results(text, "README.md")


def _as_yaml_says(folder: Path, result: str | None, _: Any) -> str:
    text = (folder / "README.md").read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
    said = yaml.safe_load(text.split("---\n")[1])
    complete = (
        said["library_name"] == "funczoo" and said["license"] and all(isinstance(tag, str) for tag in said["tags"])
    )
    values = [entry["value"] for entry in yaml.safe_load(result)] if result else []
    named = [m["value"] for model in said.get("model-index", []) for r in model["results"] for m in r["metrics"]]
    return "" if complete and all(value in named for value in values) else "a card that is not complete"


def _address(rng: random.Random, _: bytes) -> bytes:
    digest = b"#sha256=" + b"0a" * 32
    known = (
        b"hf://owner/repo-1@v1.0" + digest,
        b"hf://o/r",
        b"https://example.org:443/a/b/" + digest,
        b"http://[::1]/x",
    )
    return in_turn(damage, text_damage)(rng, rng.choice(known))


def _parse(folder: Path) -> Address:
    text = (folder / "address").read_bytes().decode("utf-8", "surrogateescape")
    return parse_address(text)


def _as_it_is_written(folder: Path, result: Address, _: Any) -> str:
    text, shown = (folder / "address").read_bytes().decode("utf-8", "surrogateescape"), str(result)
    plain = shown.isprintable() and shown.isascii() and " " not in shown and ".." not in shown
    kept = text.partition("#")[0].rstrip("/") in (shown.partition("#")[0], shown.partition("@")[0])
    return "" if plain and kept and parse_address(shown) == result else "an address that is not the text's"


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _digest(*tensors: torch.Tensor) -> str:
    sha256 = hashlib.sha256()
    for x in tensors:
        sha256.update(f"{x.dtype}{list(x.shape)}".encode() + x.detach().contiguous().view(-1).numpy().tobytes())
    return sha256.hexdigest()
