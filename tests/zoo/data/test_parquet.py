"""Parquet files of images, as the Hugging Face Hub has them, are read as a folder of the same images is."""

import io
import json
import subprocess
import sys

import datasets
import numpy as np
import pyarrow as pa
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from pyarrow import parquet

import zoo
from zoo.commands import main
from zoo.data.datasets import as_dataset, load_dataset
from zoo.data.images import decoded, plan_images, read_images
from zoo.data.parquet import read_table
from zoo.data.sources import labelled_dataset, read_source

RNG = np.random.default_rng(0)
MODEL = "simclr-resnet8-digits"
STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def zoo_command(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def image_bytes(colour=(200, 30, 30), size=(30, 20), kind="PNG", mode="RGB", **options):
    noise = np.clip(np.array(colour) + RNG.integers(-20, 20, (size[1], size[0], 3)), 0, 255)
    buffer = io.BytesIO()
    Image.fromarray(noise.astype(np.uint8)).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def metadata(names, column="label"):
    """As the library `datasets` writes it."""
    features = {"image": {"_type": "Image"}, column: {"names": names, "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def write(path, images, labels=None, names=None, image="image", label="label", kind=STRUCT):
    """A parquet file with images, given by their bytes, in row groups of 7."""
    structs = [None if data is None else {"bytes": data, "path": None} for data in images]
    columns = {image: pa.array(structs if kind is STRUCT else images, kind)}
    if labels is not None:
        columns[label] = pa.array(labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns, metadata=names and metadata(names, label)), path, row_group_size=7)
    return path


@pytest.fixture
def photos(tmp_path):
    """A folder of 40 photos of two classes, in several formats, one turned and one grey, and their bytes and labels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    images, labels = [], []
    for i in range(40):
        label, colour = (0, (20, 20, 220)) if i < 20 else (1, (220, 20, 20))
        kind, options = [("PNG", {}), ("JPEG", {"quality": 95}), ("WEBP", {}), ("GIF", {})][i % 4], {}
        options = {"exif": exif} if i == 1 else {}
        images.append(image_bytes(colour, (30 + i % 3, 20), kind[0], "L" if i == 4 else "RGB", **kind[1], **options))
        labels.append(label)
        path = tmp_path / "photos" / ("blue", "red")[label] / f"{i:02}.img"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images[-1])
    return tmp_path / "photos", images, labels


@pytest.mark.parametrize("kind", [STRUCT, pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("size", [None, 9])
def test_pixels_labels_and_digest_are_those_of_the_folder(photos, tmp_path, kind, size):
    folder, images, labels = photos
    expected = load_dataset(folder, size=size)
    file = write(tmp_path / "photos.parquet", images, labels, ["blue", "red"], kind=kind)
    data = load_dataset(file, size=size)
    assert torch.equal(data.train.images, expected.train.images) and data.digest == expected.digest
    assert data.classes == expected.classes == ("blue", "red") and data.name == str(file) and data.test is None
    strings = write(tmp_path / "s.parquet", images, ["blue"] * 20 + ["red"] * 20, image="img", label="class", kind=kind)
    assert load_dataset(strings, size=size).digest == expected.digest


@pytest.mark.parametrize("place", [".", "data"])
def test_a_dataset_repository_has_splits(photos, tmp_path, place):
    _, images, labels = photos
    folder = tmp_path / "repository"
    for name, rows in (("train-00000-of-00002", slice(0, 25)), ("train-00001-of-00002", slice(25, 30))):
        write(folder / place / f"{name}.parquet", images[rows], labels[rows], ["blue", "red"])
    write(folder / place / "test-00000-of-00001.parquet", images[30:], labels[30:], ["blue", "red"])
    (folder / "README.md").write_text("a card")
    (folder / ".gitattributes").write_text("")
    data = load_dataset(folder, size=8)
    whole = load_dataset(write(tmp_path / "whole.parquet", images, labels), size=8)
    assert torch.equal(torch.cat([data.train.images, data.test.images]), whole.train.images)
    assert data.train.labels.tolist() == labels[:30] and data.test.labels.tolist() == labels[30:]
    found = read_source([folder], (3, 8, 8))
    assert found.paths[0] == "train/0" and found.paths[29:31] == ("train/29", "test/0")
    assert found.splits.count("test") == 10 and found.labels[0] == "blue"
    write(folder / place / "validation-00000-of-00001.parquet", images[:1], labels[:1])
    with pytest.raises(zoo.ZooError, match="has the splits test, train, validation; only train and test are read"):
        load_dataset(folder)


def test_classes_keep_their_order_and_numbers(tmp_path):
    images = [image_bytes() for _ in range(3)]
    data = load_dataset(write(tmp_path / "named.parquet", images, [2, 0, 2], ["z", "y", "a"]))
    assert data.classes == ("z", "y", "a") and data.train.labels.tolist() == [2, 0, 2]
    named, _ = labelled_dataset(tmp_path / "named.parquet", (3, 20, 20))
    assert named.classes == data.classes and torch.equal(named.train.labels, data.train.labels)
    data = load_dataset(write(tmp_path / "numbers.parquet", images, [10, 9, 10]))
    assert data.classes == ("9", "10") and data.train.labels.tolist() == [1, 0, 1]
    column = pa.array(["b", "a", "b"]).dictionary_encode()  # as pandas writes categories
    parquet.write_table(pa.table({"image": images, "label": column}), tmp_path / "categories.parquet")
    assert load_dataset(tmp_path / "categories.parquet").classes == ("a", "b")


@pytest.mark.parametrize("labels,names", [(["a", None, "b", ""], None), ([0, None, 1, -1], ["a", "b"])])
def test_null_labels_are_images_without_a_label(tmp_path, labels, names):
    file = write(tmp_path / "part.parquet", [image_bytes() for _ in range(4)], labels, names)
    with pytest.warns(UserWarning, match="part.parquet: only 2 of 4 training images have a label"):
        assert load_dataset(file).train.labels is None
    data, skipped = labelled_dataset(file, (1, 8, 8))
    assert data.classes == ("a", "b") and data.train.labels.tolist() == [0, 1] and skipped == 2
    assert read_source([file], (1, 8, 8)).labels == ("a", None, "b", None)
    assert load_dataset(write(tmp_path / "none.parquet", [image_bytes()])).classes == ()
    assert load_dataset(write(tmp_path / "nulls.parquet", [image_bytes()], [None])).classes == ()


def test_images_that_are_none_are_named_and_skipped_on_request(tmp_path):
    good, broken = image_bytes(), image_bytes(size=(64, 64))[:900]
    file = write(tmp_path / "bad.parquet", [good, None, b"", b"text", broken, good], list("abcdef"))
    for read in (load_dataset, lambda path, **options: read_source([path], (3, 8, 8), **options)):
        with pytest.raises(zoo.ZooError) as error:
            read(file)
        for words in (
            "bad.parquet: 4 of 6 images cannot be used: train/1 (no image), train/2 (no image), train/3 (not an image)",
            "train/4 (",
            "--skip-bad",
        ):
            assert words in str(error.value)
        with pytest.warns(UserWarning, match="4 of 6 images cannot be used: .*; skipped"):
            found = read(file, skip_bad=True)
    assert found.paths == ("train/0", "train/5") and found.labels == ("a", "f")
    with pytest.warns(UserWarning), pytest.raises(zoo.ZooError, match="none of the 1"):
        load_dataset(write(tmp_path / "all.parquet", [None]), skip_bad=True)


def test_probes_need_labels(tmp_path):
    file = write(tmp_path / "photos.parquet", [image_bytes() for _ in range(4)])
    with pytest.raises(zoo.ZooError, match="none of the 4 images has a label to train on; name their classes in a col"):
        labelled_dataset(file, (1, 8, 8))
    data, skipped = labelled_dataset(file, (1, 8, 8), or_all=True)
    assert data.train.images.shape == (4, 1, 8, 8) and data.train.labels is None and skipped == 0


def test_a_file_that_is_written_to_while_it_is_read_is_an_error(tmp_path):
    file = write(tmp_path / "photos.parquet", [image_bytes() for _ in range(4)])
    table = read_table(file)
    for n in (3, 40):
        write(file, [image_bytes() for _ in range(n)])
        with pytest.raises(
            zoo.ZooError, match=f"photos.parquet: image: expected 4 rows, got {n}; the file is damaged,"
        ):
            read_images(table)


def test_memory_is_that_of_a_few_images(tmp_path):
    """Rows are taken as they are decoded: of 400 at most the batch and the images ahead of it."""
    table, taken = read_table(write(tmp_path / "many.parquet", [image_bytes(size=(8, 8))] * 400)), []

    def noted(content):
        taken.append(content)
        return content

    plan = plan_images(table._replace(contents=lambda: map(noted, table.contents())))
    assert len(taken) == 400
    taken.clear()
    images = decoded(plan, range(400))
    next(images)
    assert 1 <= len(taken) <= 34 and sum(1 for _ in images) == 399 and len(taken) == 400


def test_a_path_in_a_file_is_not_followed(tmp_path):
    (tmp_path / "secret.png").write_bytes(image_bytes())
    rows = pa.array([{"bytes": None, "path": str(tmp_path / "secret.png")}], STRUCT)
    parquet.write_table(pa.table({"image": rows}), tmp_path / "paths.parquet")
    with pytest.raises(zoo.ZooError, match=r"train/0 \(no image\)"):
        load_dataset(tmp_path / "paths.parquet")


def test_columns_of_other_names_are_named(tmp_path):
    columns = {"image": [image_bytes()], "fine_label": [3], "id": ["x"]}
    parquet.write_table(pa.table(columns), tmp_path / "more.parquet")
    with pytest.warns(UserWarning, match="fine_label, id are not used; known names of columns: image, img, label, cla"):
        assert load_dataset(tmp_path / "more.parquet").train.labels is None


@pytest.mark.parametrize(
    "columns,names,words",
    [
        ({"photo": [b""], "id": [1]}, None, "expected a column image or img with the images, got photo, id"),
        ({}, None, "expected a column image or img with the images, got no columns"),
        ({"image": [b""], "img": [b""]}, None, "two columns mean image: image, img; expected one of them"),
        ({"image": [b""], "label": [1], "class": [1]}, None, "two columns mean label: label, class; expected one"),
        (
            {"image": ["a.png"]},
            None,
            "image: expected the bytes of image files, or structs of bytes and path, got string",
        ),
        (
            {"image": [[[0, 255]]]},
            None,
            "image: expected the bytes of image files, or structs of bytes and path, got l",
        ),
        ({"image": [b""], "label": [0.5]}, None, "label: expected integers or strings, got double"),
        ({"image": [b""], "label": [True]}, None, "label: expected integers or strings, got bool"),
        (
            {"image": [b"", b""], "label": [1, 2]},
            ["a", "b"],
            "row 1: label: 2 classes are named, so labels must be 0..1, got",
        ),
        ({"image": [b""], "label": [-2]}, ["a"], "row 0: label: 1 classes are named, so labels must be 0..0, got -2"),
        ({"image": [b""], "label": [0]}, ["a", "a"], "label: two classes have the same name, of a, a"),
        ({"image": [b""], "label": [0]}, [1], "label: expected a list of names of classes, got [1]"),
        ({"image": [b""], "label": [0]}, "{", "its metadata under the key huggingface do not describe label"),
        ({"image": pa.array([], pa.binary())}, None, "holds no images; expected one row for each"),
    ],
)
def test_a_table_that_is_not_one_of_images_says_why(tmp_path, columns, names, words):
    described = {"huggingface": "{"} if names == "{" else names and metadata(names)
    parquet.write_table(pa.table(columns, metadata=described), tmp_path / "photos.parquet")
    with pytest.raises(zoo.ZooError) as error:
        load_dataset(tmp_path / "photos.parquet")
    assert words in str(error.value) and "photos.parquet: " in str(error.value) and str(error.value).isprintable()
    result = zoo_command("data", "show", tmp_path / "photos.parquet")
    assert result.exit_code == 2 and result.stderr.count("\n") == 1


def test_parts_that_disagree_are_refused(tmp_path):
    def folder(name, *parts):
        for i, (labels, names) in enumerate(parts):
            write(tmp_path / name / f"train-{i}.parquet", [image_bytes()], labels, names)
        return tmp_path / name

    with pytest.raises(zoo.ZooError, match="its parts name different classes; expected the same in all"):
        load_dataset(folder("names", ([0], ["a"]), ([0], ["b"])))
    with pytest.raises(zoo.ZooError, match="the labels are integers and strings; expected the same"):
        load_dataset(folder("kinds", ([0], None), (["b"], None)))


def test_damage_is_one_clear_error(photos, tmp_path):
    _, images, labels = photos
    file = write(tmp_path / "photos.parquet", images, labels)
    whole = file.read_bytes()
    for data in (b"", b"PAR1", b"no parquet file", whole[: len(whole) // 2], whole[:-1]):
        file.write_bytes(data)
        result = zoo_command("data", "show", file)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1, data[:9]
        assert f"{file}: not a readable parquet file (" in result.stderr
    with pytest.raises(zoo.ZooError, match="nowhere.parquet: no such file"):
        load_dataset(tmp_path / "nowhere.parquet")
    rng = np.random.default_rng(1)
    for _ in range(60):  # a bit of the images gives another image or an error; one of the table an error, or no change
        damaged = bytearray(whole)
        damaged[int(rng.integers(len(whole) - 3000, len(whole)))] ^= 1 << int(rng.integers(8))
        file.write_bytes(damaged)
        try:
            load_dataset(file, size=4)
        except zoo.ZooError as error:
            assert str(error).isprintable()


def hub_dataset(images, labels):
    """A `datasets.Dataset`; an image is the bytes of a file, or its path."""
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["blue", "red"])})
    kinds = ["path" if isinstance(image, str) else "bytes" for image in images]
    rows = [{"bytes": None, "path": None, kind: image} for kind, image in zip(kinds, images, strict=True)]
    return datasets.Dataset.from_dict({"image": rows, "label": labels}, features=features)


def test_a_dataset_of_the_library_datasets(photos, tmp_path):
    folder, images, labels = photos
    whole, expected = hub_dataset(images, labels), load_dataset(folder)
    data = as_dataset(whole)
    assert data.digest == expected.digest and data.classes == expected.classes and data.name == "dataset"
    whole.to_parquet(str(tmp_path / "photos.parquet"))
    assert load_dataset(tmp_path / "photos.parquet").digest == expected.digest
    chosen = as_dataset(whole.select([39, 0]))
    assert chosen.train.labels.tolist() == [1, 0] and len(chosen.train.images) == 2
    shuffled = whole.shuffle(seed=0).select(range(9))
    assert as_dataset(shuffled).train.labels.tolist() == shuffled["label"][:]
    splits = datasets.DatasetDict({"test": whole.select([0, 1]), "train": whole.select(range(2, 40))})
    data = load_dataset(splits, size=8)
    assert data.train.images.shape == (38, 3, 8, 8) and data.test.labels.tolist() == [0, 0]
    with pytest.raises(zoo.ZooError, match="dataset: has the splits train, validation; only train and test are read"):
        load_dataset({"train": splits["train"], "validation": splits["test"]})


def test_the_library_keeps_some_images_as_paths(photos):
    folder, _, _ = photos
    paths = [str(path) for path in sorted(folder.rglob("*.img"))]
    expected = load_dataset(folder).train.images
    assert torch.equal(as_dataset(hub_dataset(paths, [0] * len(paths))).train.images, expected)
    with pytest.raises(zoo.ZooError, match=r"train/0 \(no such file\)"):
        as_dataset(hub_dataset(["nowhere.png"], [0]))


def test_without_pyarrow_the_extra_is_named(tmp_path):
    program = (
        "import sys; sys.modules['pyarrow'] = None; from zoo.commands import main; main(['data', 'show', 'a.parquet'])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "a .parquet: pyarrow is missing" in result.stderr and "pip install 'funczoo[parquet]'" in result.stderr


def test_commands_read_parquet_as_they_read_the_folder(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, images, labels = photos
    file = write(tmp_path / "photos.parquet", images, labels, ["blue", "red"])
    results = {}
    for data in (folder, file):
        results[data] = []
        for command in (
            ["data", "show", data],
            ["data", "import", data, "--size", "8", "--out", f"{data.name}.safetensors"],
            ["probe", MODEL, "--data", data],
            ["embed", MODEL, data, "--out", f"{data.name}.npz"],
        ):
            result = zoo_command(*command, "--json")
            assert result.exit_code == 0, result.stderr
            results[data].append(json.loads(result.stdout))
    (show, imported, probe, _), (show_file, imported_file, probe_file, _) = results.values()
    assert show_file["digest"] == show["digest"] and imported_file["digest"] == imported["digest"]
    assert probe_file["accuracy"] == probe["accuracy"] > 0.9
    features = [np.load(f"{name}.npz")["features"] for name in ("photos", "photos.parquet")]
    assert np.array_equal(*features)
    assert np.load("photos.parquet.npz")["paths"][:2].tolist() == ["train/0", "train/1"]
    for command in (
        ["suggest", MODEL, file, "--out", "labels.csv"],
        ["fit", MODEL, file, "--labels", "mine.csv", "--out", "classifier"],
        ["predict", "classifier", file, "--out", "predicted.csv"],
    ):
        (tmp_path / "mine.csv").write_text(
            "path,label\n" + "".join(f"train/{i},{'ab'[i // 20]}\n" for i in range(0, 40, 3))
        )
        result = zoo_command(*command)
        assert result.exit_code == 0, (command, result.stderr)


def test_pretraining_takes_a_parquet(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, images, labels = photos
    file = write(tmp_path / "photos.parquet", images, labels)
    options = [f"--set={option}" for option in ("image_size=8", "epochs=1", "warmup_epochs=0", "batch_size=16")]
    result = zoo_command("pretrain", MODEL, "--data", file, "--out", "run", *options)
    assert result.exit_code == 0, result.stderr
    assert zoo.load("./run").config["dataset"]["images"] == 40
