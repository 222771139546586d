"""One's own photos and a few labels, on the real command line: suggest, fit, predict, probe; and bad input."""

import csv
import json
import resource
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import refused, run
from PIL import Image

import zoo

MODEL = "simclr-resnet8-digits"
ENDINGS = ("png", "bmp", "webp", "tif")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder of 300 digits as files of several formats and sizes, their classes in words, and 20 labels of them."""
    home = tmp_path_factory.mktemp("home")
    data = zoo.load_dataset("digits")
    (home / "photos").mkdir()
    truth = {}
    for i, label in enumerate(data.train.labels[:300].tolist()):
        pixels = np.kron(data.train.images[i, 0].numpy(), np.ones((1 + i % 3,) * 2, dtype=np.uint8))
        Image.fromarray(pixels).save(home / "photos" / f"{i:03}.{ENDINGS[i % 4]}")
        truth[f"{i:03}"] = f"digit {label}"
    return home, truth


@pytest.fixture
def run_directory(run, photos):
    """A copy of a finished run, `a run` in the working directory."""
    shutil.copytree(run, "a run")


@pytest.fixture
def photos(home, tmp_path, monkeypatch):
    """The truth; the working directory has `photos`."""
    monkeypatch.chdir(tmp_path)
    Path("photos").symlink_to(home[0] / "photos")
    return home[1]


def fill_in(path, truth):
    header, *rows = csv.reader(Path(path).read_text().splitlines())
    write(path, [[name, truth[Path(name).stem]] for name, _ in rows], header)


def write(path, rows, header=("path", "label")):
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def some_labels(truth, n=20):
    rows = [[f"photos/{i:03}.{ENDINGS[i % 4]}", truth[f"{i:03}"]] for i in range(n)]
    write("labels.csv", rows)
    return rows


def test_labels_of_test_images_are_not_fitted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("data", "example", "photos")
    report = json.loads(run("fit", MODEL, "photos", "--labels", "labels.csv", "--out", "classifier", "--json").stdout)
    assert sum(report["labels"].values()) == 300
    write("test.csv", [["photos/test/0/0000.png", "0", "test"]], ("path", "label", "split"))
    line = refused("fit", MODEL, "photos", "--labels", "test.csv", "--out", "other")
    assert "test.csv: none of the 0 training images has a label" in line


def share_right(path, truth):
    rows = list(csv.DictReader(Path(path).read_text().splitlines()))
    assert len(rows) == 300
    return sum(row["class"] == truth[Path(row["path"]).stem] for row in rows) / 300


def test_suggest_fit_predict_and_a_second_round(photos):
    said = run("suggest", MODEL, "photos", "-n", 20, "--out", "labels/mine.csv", "--sheet", "sheet.png").stdout
    assert said.startswith("20 of 300 images without a label, the most useful first:\n   1  photos/")
    assert f"zoo fit {MODEL} photos --labels labels/mine.csv --out classifier" in said
    header, *rows = csv.reader(Path("labels/mine.csv").read_text().splitlines())
    assert header == ["path", "label"] and len(rows) == 20 and all(label == "" for _, label in rows)
    assert all((Path("labels") / name).is_file() for name, _ in rows)  # relative to the CSV
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 700 and np.asarray(sheet).std() > 30

    fill_in("labels/mine.csv", photos)
    said = run("fit", MODEL, "photos", "--labels", "labels/mine.csv", "--out", "classifier").stdout
    assert "label spreading from 20 labels of" in said and "280 unlabelled images" in said
    assert "95 % interval" in said and "too few to trust these figures" in said
    said = run("predict", "classifier", "photos", "--out", "predictions.csv", "--next", 2).stdout
    assert said.startswith("300 images: digit 0 ") and "worth a label next" in said
    assert share_right("predictions.csv", photos) > 0.85
    rows = list(csv.DictReader(Path("predictions.csv").read_text().splitlines()))
    least = min(rows, key=lambda row: float(row["margin"]))
    assert least["path"] in said and all(0 < float(row["probability"]) <= 1 for row in rows)

    command = ("suggest", MODEL, "photos", "-n", 5, "--labels", "labels/mine.csv", "--out", "more.csv", "--json")
    found = json.loads(run(*command).stdout)
    labelled = {Path(name).name for name, _ in csv.reader(Path("labels/mine.csv").read_text().splitlines()[1:])}
    assert found["labelled"] == 20 and not labelled & {Path(name).name for name in found["suggested"]}
    _, *rows = csv.reader(Path("more.csv").read_text().splitlines())
    assert len(rows) == 25 and [label == "" for _, label in rows] == [False] * 20 + [True] * 5


def test_the_same_seed_suggests_the_same_and_methods_differ(photos):
    def suggested(name, *options):
        return json.loads(run("suggest", MODEL, "photos", "-n", 8, "--out", name, "--json", *options).stdout)[
            "suggested"
        ]

    first = suggested("a.csv")
    assert first == suggested("b.csv", "--seed", 0)
    assert first != suggested("c.csv", "--method", "k_means") != suggested("d.csv", "--method", "k_center")


def test_labels_of_class_folders_and_of_named_datasets(photos, tmp_path):
    for name, label in list(photos.items())[:40]:
        folder = tmp_path / "sorted" / label
        folder.mkdir(parents=True, exist_ok=True)
        source = Path("photos") / f"{name}.{ENDINGS[int(name) % 4]}"
        (folder / source.name).write_bytes(source.read_bytes())
    found = json.loads(run("fit", MODEL, "sorted", "--out", "by_folders", "--json").stdout)
    assert found["method"] == "logistic" and found["unlabelled"] == 0 and sum(found["labels"].values()) == 40
    found = json.loads(run("suggest", MODEL, "digits", "-n", 30, "--out", "digits.csv", "--json").stdout)
    assert found["images"] == 1297 and found["suggested"][0].startswith("train/")  # no test image
    labels = zoo.load_dataset("digits").train.labels
    write("digits.csv", [[name, int(labels[int(name[6:])])] for name in found["suggested"]])
    run("fit", MODEL, "digits", "--labels", "digits.csv", "--out", "by_name")
    run("predict", "by_name", "digits", "--out", "all.csv")
    assert len(Path("all.csv").read_text().splitlines()) == 1798


def test_a_class_with_one_label_is_said(photos):
    rows = some_labels(photos, 30)
    write("labels.csv", [*rows, ["photos/100.png", "odd one"]])
    result = run("fit", MODEL, "photos", "--labels", "labels.csv", "--out", "classifier")
    assert "not of odd one, with one label" in result.stdout


def test_two_labels_are_too_few_to_say(photos):
    write("labels.csv", [["photos/000.png", "a"], ["photos/001.bmp", "b"]])
    said = run("fit", MODEL, "photos", "--labels", "labels.csv", "--out", "classifier").stdout
    assert "too few labels to compare" in said and "0 labels can be held out, too few to say" in said
    assert "no label could be held out to calibrate them" in said
    run("predict", "classifier", "photos/000.png", "photos/001.bmp", "--out", "two.csv")


@pytest.mark.parametrize(
    "rows,words",
    [
        (
            [["photos/999.png", "a"], ["photos/001.bmp", "b"]],
            "1 of 2 labelled images are gone: photos/999.png; name the",
        ),
        (
            [["elsewhere.png", "a"]],
            "1 of 1 labelled images are not among the images, or cannot be read: elsewhere.png;",
        ),
        (
            [["photos\\000.png", "a"], ["photos\\001.bmp", "b"]],
            "2 of 2 labelled images are gone: photos\\000.png, photos\\001.bmp; write their paths with slashes",
        ),
        ([["000.png", "a"], ["001.bmp", "b"]], "name the images that the labels are for, with paths relative to /"),
        ([["photos/000.png", "a"], ["photos/000.png", "b"]], "line 3 names the same image as line 2"),
        ([["photos/000.png", "a"], ["photos/../photos/000.png", "b"]], "line 3 names the same image as line 2"),
        (
            [["photos/000.png", ""], ["photos/001.bmp", " "]],
            "none of the 2 images has a label; fill in the column label",
        ),
        ([["photos/000.png", "a"], ["photos/001.bmp", "a"]], "labels: all are 'a'; a classifier needs two or more"),
        ([], "has no lines below its header"),
    ],
    ids=[
        "gone",
        "another folder",
        "backslashes",
        "bare names",
        "two labels",
        "two spellings",
        "no label",
        "one class",
        "empty",
    ],
)
def test_bad_labels(photos, rows, words):
    Image.new("L", (8, 8)).save("elsewhere.png")
    write("labels.csv", rows)
    line = refused("fit", MODEL, "photos", "--labels", "labels.csv", "--out", "classifier")
    assert words in line and "labels" in line
    assert not Path("classifier").exists()


@pytest.mark.parametrize(
    "arguments,words",
    [
        (("suggest", MODEL, "photos", "--out", "there.csv"), "there.csv: already exists; choose another name"),
        (("suggest", MODEL, "photos", "--out", "a.txt"), "a.txt: expected a path ending in .csv"),
        (("suggest", MODEL, "photos", "--out", "a.csv", "--sheet", "a.jpg"), "a.jpg: expected a path ending in .png"),
        (("suggest", MODEL, "photos", "--out", "a.csv", "-n", "301"), "n: expected 1 to 300, the number of images"),
        (("suggest", MODEL, "photos", "--out", "a.csv", "-n", "0"), "n: expected 1 to 300, the number of images"),
        (("suggest", MODEL, "photos", "--out", "a.csv", "--method", "kmeans"), "unknown method 'kmeans'; did you mean"),
        (("suggest", MODEL, "nowhere", "--out", "a.csv"), "unknown dataset 'nowhere'"),
        (("suggest", MODEL, "photos", "--out", "a.csv", "--labels", "no.csv"), "no.csv: no such file"),
        (
            ("fit", MODEL, "photos", "--out", "c"),
            "none of the 300 images has a label; name a CSV of labels with --labels",
        ),
        (("fit", MODEL, "photos", "--out", "there.csv"), "there.csv: already exists; choose another name"),
        (
            ("fit", MODEL, "photos", "--labels", "photos", "--out", "c"),
            "photos: expected a file of labels that ends in",
        ),
        (("predict", "nowhere", "photos", "--out", "a.csv"), "not a classifier directory: there is no such directory"),
        (("predict", "photos", "photos", "--out", "a.csv"), "not a classifier directory: it has no classifier.json"),
        (("predict", MODEL, "photos", "--out", "a.csv"), "it is an encoder; `zoo fit` makes a classifier"),
        (("suggest", MODEL, "photoss/", "--out", "a.csv"), "photoss/: no such file or folder"),
        (("suggest", MODEL, "./photoss", "--out", "a.csv"), "./photoss: no such file or folder"),
        (("probe", "--data", "photos"), "expected a model, several, or --all"),
        (("probe", "--all", MODEL, "--data", "photos"), "--all: expected no other models, got simclr-resnet8-digits"),
        (("probe", "--all"), "--data: expected the labelled images by which models are ranked"),
        (("probe", MODEL, MODEL, "--data", "digits"), f"{MODEL}: given 2 times"),
        (("probe", "--all", "--data", "digits", "--draws", "2"), "only with a single model"),
    ],
)
def test_bad_arguments(photos, arguments, words):
    Path("there.csv").write_text("mine")
    assert words in refused(*arguments)
    assert Path("there.csv").read_text() == "mine"
    assert {path.name for path in Path().iterdir()} == {"photos", "there.csv"}


def test_a_run_does_not_become_a_classifier(photos, run_directory):
    some_labels(photos)
    before = {path: path.read_bytes() for path in Path("a run").rglob("*") if path.is_file()}
    fit = ("fit", MODEL, "photos", "--labels", "labels.csv", "--out", "a run")
    assert "a run: already exists; choose another name" in refused(*fit)
    run(*fit[:-1], "classifier")
    with pytest.raises(zoo.ZooError, match="a run: holds an encoder, but no classifier"):
        zoo.load_classifier("classifier").save("a run")
    assert {path: path.read_bytes() for path in Path("a run").rglob("*") if path.is_file()} == before
    assert not list(Path().glob(".*"))


def test_a_classifier_replaces_another(photos):
    some_labels(photos)
    for seed in (0, 1):
        run("fit", MODEL, "photos", "--labels", "labels.csv", "--seed", seed, "--out", f"c{seed}")
    Path("c1/notes.txt").write_text("mine")
    zoo.load_classifier("c0").save("c1")
    assert Path("c1/classifier.json").read_bytes() == Path("c0/classifier.json").read_bytes()
    assert zoo.load_classifier("c1").classes == zoo.load_classifier("c0").classes
    assert Path("c1/notes.txt").read_text() == "mine" and not list(Path().glob(".*"))


def test_the_next_command_can_be_pasted(photos):
    def next_command(said):
        program, *words = shlex.split(next(line for line in said.splitlines() if line.startswith("  zoo ")))
        assert program == "zoo" and "my photos" in words
        return words

    Path("my photos").symlink_to("photos")
    said = run("suggest", MODEL, "my photos", "-n", 20, "--out", "my labels.csv").stdout
    fill_in("my labels.csv", photos)
    *words, name = next_command(said)
    said = run(*words, f"a {name}").stdout
    run(*next_command(said))
    assert Path("a classifier").is_dir() and Path("predictions.csv").is_file()


@pytest.mark.filterwarnings("always:.*labels are not in UTF-8")
def test_labels_in_another_encoding_are_said(photos):
    rows = [[f"photos/{i:03}.{ENDINGS[i % 4]}", ("a", "k\xe4tze")[i % 2]] for i in range(4)]
    write("labels.csv", rows)
    Path("labels.csv").write_bytes(Path("labels.csv").read_text().encode("latin-1"))
    said = run("fit", MODEL, "photos", "--labels", "labels.csv", "--out", "classifier").stderr
    assert "labels.csv: 2 labels are not in UTF-8, first in line 3, and are shown as bytes; save the file as" in said


def test_a_classifier_that_is_there_stays(photos):
    some_labels(photos)
    fit = ("fit", MODEL, "photos", "--labels", "labels.csv", "--out", "classifier")
    run(*fit)
    before = Path("classifier/classifier.json").read_bytes()
    assert "classifier: already exists" in refused(*fit)
    assert Path("classifier/classifier.json").read_bytes() == before


@pytest.mark.filterwarnings("always:1 of 30 files cannot be used")
def test_a_broken_photo(photos, tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    for i in range(30):
        source = Path("photos") / f"{i:03}.{ENDINGS[i % 4]}"
        (folder / source.name).write_bytes(source.read_bytes()[: 40 if i == 4 else None])
    assert "004.png" in refused("suggest", MODEL, "some", "-n", 3, "--out", "a.csv")
    result = run("suggest", MODEL, "some", "-n", 3, "--out", "a.csv", "--skip-bad")
    assert "3 of 29 images" in result.stdout and "004.png" in result.stderr
    assert result.stdout.endswith("--labels a.csv --out classifier --skip-bad\n")
    write("labels.csv", [["some/004.png", "a"], ["some/001.bmp", "b"]])
    line = run("fit", MODEL, "some", "--labels", "labels.csv", "--out", "c", "--skip-bad", code=2).stderr
    assert "1 of 2 labelled images are not among the images, or cannot be read: some/004.png" in line


@pytest.mark.parametrize("limit,there", [(200, []), (50_000, ["encoder"])], ids=["at once", "half way"])
def test_a_full_disk(photos, limit, there):
    """Files of at most so many bytes. Nothing that could be taken for a result is left."""
    some_labels(photos)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        line = refused("fit", MODEL, "photos", "--labels", "labels.csv", "--out", "classifier")
        if limit == 200:
            assert "a.csv" in refused("suggest", MODEL, "photos", "-n", 50, "--out", "a.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in line
    assert not Path("a.csv").exists() and not Path("classifier/classifier.json").exists()
    assert "classifier: not a classifier directory" in refused("predict", "classifier", "photos", "--out", "p.csv")
    run("fit", MODEL, "photos", "--labels", "labels.csv", "--out", "classifier")  # again, into what is left


def test_several_models_are_ranked(photos):
    some_labels(photos, 60)
    found = json.loads(run("probe", "simclr-s3a-mnist_24k", MODEL, "--data", "labels.csv", "--json").stdout)
    best, other = found["results"]
    assert best["accuracy"] >= other["accuracy"] and best["chance"] == 1 and best["labels"] == 60
    low, high = best["interval"]
    assert low < best["accuracy"] < high
    said = run("probe", "simclr-s3a-mnist_24k", MODEL, "--data", "labels.csv").stdout
    assert "| model " in said and "95 % interval" in said and found["verdict"] in said
    write("labels.csv", [["photos/000.png", "a"], ["photos/001.bmp", "b"]])
    line = refused("probe", "simclr-s3a-mnist_24k", MODEL, "--data", "labels.csv")
    assert "two labels or more of two classes or more" in line
