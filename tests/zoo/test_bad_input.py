"""Faults in a user's files and settings give one line on stderr and exit code 2, on the real command line."""

import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import zoo
from zoo.commands import main
from zoo.data.datasets import channel_statistics

MODEL = "simclr-resnet8-digits"
RNG = np.random.default_rng(0)
NOT_UTF8 = os.fsdecode(b"photos \xff")


def picture(path):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(path)
    return path


def zoo_command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(*arguments):
    """The one line that a command prints for bad input."""
    result = zoo_command(*arguments)
    assert result.exit_code == 2 and result.stdout == "" and result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.fixture
def rows(recipe, tmp_path, monkeypatch):
    """Twenty photos of two classes, a recipe for them, and the lines of a CSV that names them."""
    monkeypatch.chdir(tmp_path)
    views = (("random_resized_crop", {"size": 8}),)
    mine = recipe.replace(dataset="photos", views=views, image_size=8, batch_size=16, epochs=1, warmup_epochs=0)
    Path("recipe.json").write_text(mine.to_json())
    return [f"{picture(Path('photos', 'ab'[i % 2], f'{i:02}.png'))},{'ab'[i % 2]}" for i in range(20)]


def table(header, rows, encoding="utf-8"):
    Path("labels.csv").write_bytes("\n".join([header, *rows]).encode(encoding, "surrogateescape"))
    return "labels.csv"


@pytest.mark.parametrize(
    "changes,words",
    [
        (("image_size=0",), "image_size: expected 1 pixel or more, at most 65,535, or null, got 0"),
        (('image_size="8"',), "image_size: expected 1 pixel or more, at most 65,535, or null, got '8'"),
        (("image_size=2.5",), "image_size: expected 1 pixel or more, at most 65,535, or null, got 2.5"),
        (("batch_size=21",), "batch_size: expected at most 20, the number of training images, got 21; lower it"),
        (("mean=3",), "mean: expected a number per channel, or null, got 3"),
        (('std=["x","y","z"]',), "std: expected a number above 0 per channel, or null, got ('x', 'y', 'z')"),
        (("mean=[0.5]",), "mean, std: expected 3 numbers each, got 1 and 3"),
        (("views=3",), "views: expected a list of pairs (name, options), got 3"),
        (("learning_rate=1e400",), "learning_rate: expected a number above 0, got inf"),
        (('method_options={"temperature":0}',), "temperature: expected a number above 0, got 0"),
        (("dataset=photo",), "unknown dataset 'photo'"),
    ],
)
def test_a_recipe_that_cannot_be_trained(rows, changes, words):
    settings = [part for change in changes for part in ("--set", change)]
    assert words in refused("pretrain", "recipe.json", "--out", "run", *settings)
    assert not Path("run").exists()


def test_a_recipe_file_that_is_not_one(rows):
    text = Path("recipe.json").read_text()
    for data, words in (
        (text.replace('"epochs"', '"epoch"').encode(), "unknown recipe field 'epoch'; did you mean 'epochs'"),
        (text[:100].encode(), "broken.json: not JSON"),
        (text.replace("photos", "é").encode("latin-1"), "broken.json: expected JSON in UTF-8"),
    ):
        Path("broken.json").write_bytes(data)
        assert words in refused("pretrain", "broken.json", "--out", "run")
    Path("bom.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert zoo_command("pretrain", "bom.json", "--out", "run").exit_code == 0


def test_a_folder_of_too_little(rows):
    Path("empty").mkdir()
    picture("one/1.png")
    for i in range(9):
        picture(f"alike/cat/{i}.png")
        picture(f"flat/{i}.png")
    train = ("pretrain", "recipe.json", "--out", "run", "--data")
    for command in (train, ("probe", MODEL, "--data"), ("knn", MODEL, "--data"), ("data", "show")):
        assert "empty: holds no images; expected images, a folder of" in refused(*command, "empty")
    assert "expected 2 or more training images to tell apart, got 1; add more" in refused(*train, "one")
    for command in ("probe", "knn"):
        assert "alike: all training labels are 'cat'; a probe needs two" in refused(command, MODEL, "--data", "alike")
        assert "flat: none of the 9 images has a label to train on; put" in refused(command, MODEL, "--data", "flat")
    assert not Path("run").exists()


def test_a_name_that_is_also_a_path(rows):
    Path("digits").mkdir()
    Path(MODEL).mkdir()
    for command in (("pretrain", "recipe.json", "--out", "run", "--data"), ("data", "show")):
        assert "'digits' is both a dataset's name and a path here; write './digits'" in refused(*command, "digits")
    for command in (("probe", MODEL), ("pretrain", MODEL, "--out", "run"), ("show", MODEL)):
        assert f"write './{MODEL}' for the directory" in refused(*command)


READERS = pytest.mark.parametrize("command", [("data", "show"), ("probe", MODEL, "--baselines", "", "--data")])


@READERS
@pytest.mark.filterwarnings("ignore:.*labels are not in UTF-8")
def test_a_csv_in_any_dress(rows, command):
    def shown(file):
        result = zoo_command(*command, file, "--json")
        assert result.exit_code == 0, result.stderr
        found = json.loads(result.stdout)
        return found.get("digest") or found["dataset_digest"]

    digest = shown(table("path,label", rows))
    windows = Path("windows.csv")
    windows.write_bytes(("\ufeff" + "\r\n".join(["path,label", *rows])).encode())
    assert shown(windows) == digest
    assert shown(table("path,label", [f"{Path.cwd()}/{row}" for row in rows])) == digest
    assert shown(table("path,label", [row.replace(",a", ",é") for row in rows], "latin-1")) == digest


@READERS
@pytest.mark.parametrize(
    "header,more,encoding,words",
    [
        ("path,label", "photos/none.png,a", "utf-8", "photos/none.png"),
        ("path,label", "photos/é.png,a", "latin-1", "photos/\\xe9.png"),
        ("path,label", "photos/a,a", "utf-8", "not a regular file"),
        ("path,label", "photos/\0.png,a", "utf-8", "labels.csv: not a CSV (line 22 contains a NUL"),
        ("path,label", "photos/a/00.png", "utf-8", "labels.csv: line 22: expected 2 fields, got 1"),
        ("image,label", "", "utf-8", "labels.csv: expected the columns path"),
        ("photos/a/00.png,a", "", "utf-8", "labels.csv: expected the columns path"),
        ("path;label", "", "utf-8", "labels.csv: expected the columns path"),
        ("path,label", "", "utf-16", "labels.csv: not a CSV (it is in UTF-16"),
    ],
)
def test_a_csv_that_is_not_one(rows, command, header, more, encoding, words):
    picture("photos/é.png")
    assert words in refused(*command, table(header, [*rows, more] if more else rows, encoding))


def test_an_image_that_is_listed_twice(rows):
    for again in (rows[0], f"./{rows[0]}", f"{Path.cwd()}/{rows[0][:-1]}b"):
        for command in (("data", "show"), ("pretrain", "recipe.json", "--out", "run", "--data")):
            words = refused(*command, table("path,label", [*rows, again]))
            assert "line 22 names the same image as line 2" in words and "remove one of the two" in words


def test_labels_for_half_of_the_images(rows):
    half = table("path,label", [row if i < 10 else row[:-1] for i, row in enumerate(rows)])
    result = zoo_command("probe", MODEL, "--data", half, "--json", "--baselines", "")
    assert result.stderr == "labels.csv: skipped 10 images without a label\n"
    assert sum(row["images"] for row in json.loads(result.stdout)["per_class"].values()) == 10
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = zoo_command("pretrain", "recipe.json", "--out", "run", "--data", half)
    (line,) = [line for line in result.stderr.splitlines() if "labels.csv" in line]
    assert line.startswith("zoo: warning: labels.csv: only 10 of 20 training images have a label; ")
    assert result.exit_code == 0 and zoo.load("./run").config["dataset"]["images"] == 20


def test_test_images_of_a_csv_are_not_trained_on(rows):
    table("path,label,split", [f"{row},{'test' if i >= 16 else ''}" for i, row in enumerate(rows)])
    result = zoo_command("pretrain", "recipe.json", "--out", "run", "--data", "labels.csv")
    assert result.exit_code == 0, result.stderr
    trained = zoo.load("./run").config["dataset"]
    table("path,label", rows[:16])
    alone = zoo.load_dataset("labels.csv", size=8)
    assert trained["images"] == len(alone.train.images) == 16
    mean, std = channel_statistics(alone.train.images)
    assert tuple(zoo.load("./run").config["mean"]) == mean and tuple(zoo.load("./run").config["std"]) == std


@pytest.mark.filterwarnings("ignore:.*labels are not in UTF-8")
def test_names_that_are_not_utf8_are_trained_on_and_probed(rows):
    for i in range(20):
        picture(Path(NOT_UTF8, os.fsdecode(b"c\xe9%d" % (i % 2)), os.fsdecode(b"\xff%d.png" % i)))
    result = zoo_command("pretrain", "recipe.json", "--data", NOT_UTF8, "--out", "run")
    assert result.exit_code == 0, result.stderr
    config = json.loads(Path("run/encoder/config.json").read_text())
    assert config["dataset"]["name"] == "photos \\xff" and config["recipe"]["dataset"] == NOT_UTF8
    assert "20 training images of photos \\xff" in Path("run/encoder/README.md").read_text()
    assert zoo_command("resume", "run").exit_code == 0
    lines = [f"{path},{path.parent.name}" for path in sorted(Path(NOT_UTF8).rglob("*.png"))]
    listed = table("path,label", lines)
    for data in ((), ("--data", NOT_UTF8), ("--data", listed)):
        probed = json.loads(zoo_command("probe", "run", *data, "--json", "--baselines", "").stdout)
        assert set(probed["per_class"]) == {"c\\xe90", "c\\xe91"}
    assert "c\\xe90" in zoo_command("probe", "run", "--report", "--baselines", "").stdout


def test_safetensors_are_written_to_paths_of_utf8_alone_and_the_error_comes_before_the_work(rows):
    for command in (("pretrain", "recipe.json", "--out"), ("data", "import", "photos", "--out")):
        result = zoo_command(*command, NOT_UTF8 + ".safetensors")
        assert result.exit_code == 2 and "photos \\xff.safetensors: expected a path in UTF-8" in result.stderr
    Path(NOT_UTF8 + ".safetensors").write_bytes(b"")
    assert "photos \\xff.safetensors: a truncated" in refused("probe", MODEL, "--data", NOT_UTF8 + ".safetensors")
    assert {path.name for path in Path().iterdir()} == {"photos", "recipe.json", NOT_UTF8 + ".safetensors"}


def test_an_encoder_of_a_newer_format_or_cut_short(rows, model, tmp_path):
    zoo.save(model, tmp_path / "encoder")
    path = Path("encoder/config.json")
    whole = path.read_text()
    path.write_text(whole.replace('"format_version": 1', '"format_version": 2'))
    words = refused("probe", "encoder", "--data", "photos")
    assert "expected format_version 1, got 2; install a newer funczoo" in words
    path.write_text(whole[: len(whole) // 2])
    assert "encoder/config.json: not JSON" in refused("probe", "encoder", "--data", "photos")


def test_a_run_directory_that_cannot_be(rows):
    Path("file").write_text("")
    words = refused("pretrain", "recipe.json", "--out", "file/run")
    assert "file/run: Not a directory; choose another directory, or free disk space" in words
    assert "file: exists and is not a run directory" in refused("pretrain", "recipe.json", "--out", "file")
    assert "photos: exists and is not a run directory" in refused("pretrain", "recipe.json", "--out", "photos")
    assert "/proc/run: No such file or directory" in refused("pretrain", "recipe.json", "--out", "/proc/run")
