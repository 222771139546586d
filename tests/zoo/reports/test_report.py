"""`zoo report`: what goes into the page, with labels, without, and with bad ones; and bad input."""

import csv
import html
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import refused, run
from PIL import Image

import zoo
from zoo.evaluation.few_labels import held_out
from zoo.evaluation.prediction import load_classifier
from zoo.evaluation.reporting import report

MODEL = "simclr-resnet8-digits"
HOSTILE = "</script><img src=x onerror=alert(1)> \"quoted\", 'too' \u202e𝓍 &amp;"


def write(path, rows, header=("path", "label")):
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def content(path):
    """The data in a page."""
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', Path(path).read_text())[1])


def summary(path):
    return dict(content(path)["summary"])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """100 digits as files, 40 of which have labels, and a classifier fitted to these."""
    home = tmp_path_factory.mktemp("home")
    data = zoo.load_dataset("digits")
    (home / "photos").mkdir()
    for i in range(100):
        Image.fromarray(data.train.images[i, 0].numpy()).save(home / "photos" / f"{i:02}.png")
    truth = [f"digit {label}" for label in data.train.labels[:100].tolist()]
    write(home / "labels.csv", [[f"photos/{i:02}.png", truth[i]] for i in range(40)])
    arrays = {"train_images": data.train.images[:70].numpy(), "train_labels": data.train.labels[:70].numpy()}
    arrays |= {"test_images": data.test.images[:30].numpy(), "test_labels": data.test.labels[:30].numpy()}
    np.savez(home / "digits.npz", **arrays)
    arguments = (home / "photos", "--labels", home / "labels.csv", "--out", home / "classifier")
    run("fit", MODEL, *arguments)
    return home, truth


@pytest.fixture
def photos(home, tmp_path, monkeypatch):
    """The truth; the working directory has `photos`, `labels.csv`, `classifier` and `digits.npz`."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "labels.csv", "classifier", "digits.npz"):
        Path(name).symlink_to(home[0] / name)
    return home[1]


def test_given_labels_are_held_out_as_in_the_fit(photos):
    result = run("report", "classifier", "photos", "--labels", "labels.csv", "--out", "a/report.html", "--json")
    found, page = json.loads(result.stdout), content("a/report.html")
    fitted = load_classifier("classifier").report
    assert found["judged"]["right"] == fitted.right[fitted.method] and found["judged"]["labels"] == fitted.held_out
    assert found["judged"]["accuracy"] == fitted.accuracy and tuple(found["judged"]["interval"]) == fitted.interval
    assert f"{fitted.calibration.ece:.0%}".removesuffix("%") in summary("a/report.html")["Probabilities"]
    assert (
        "without it (cross-validation)" in page["judged"]["what"] and "itself was fitted" not in page["judged"]["what"]
    )
    assert found["images"] == 100 and found["labels"] == 40 and sum(found["classes"].values()) == 100
    assert page["labels"].count(-1) == 60 and page["root"] + page["paths"][3] == str(Path("photos/03.png").absolute())
    right = sum(
        page["labels"][i] == k for i, k in zip(page["judged"]["images"], page["judged"]["answers"], strict=True)
    )
    assert right == found["judged"]["right"]
    assert all(0 <= value <= 1 for value in page["x"] + page["y"] + page["probabilities"] + page["margins"])
    assert found["written"] == ["a/report.html"]
    assert page["command"] == "zoo fit classifier/encoder photos --labels ~/Downloads/labels.csv --out classifier-2"


def test_suggestions_have_no_label_and_start_with_the_least_sure(photos):
    found = report("classifier", "photos", "report.html", labels="labels.csv", n=11)
    page = content("report.html")
    assert len({*page["suggested"]}) == 11 and all(page["labels"][i] < 0 for i in page["suggested"])
    free = sorted((i for i in range(100) if page["labels"][i] < 0), key=lambda i: page["margins"][i])
    assert sorted(page["suggested"][:6]) == sorted(free[:6])
    assert found.suggested == [f"photos/{i:02}.png" for i in page["suggested"]]
    assert report("classifier", "photos", "b.html", labels="labels.csv", n=11).suggested == found.suggested
    assert content("b.html") == page
    assert len(report("classifier", "photos", "c.html", labels="labels.csv", n=1000).suggested) == 60
    assert report("classifier", "photos", "d.html", labels="labels.csv", n=0).suggested == []


def test_without_labels_the_page_says_what_the_fit_found(photos):
    result = run("report", "classifier", "photos", "--out", "report.html")
    assert "100 images, 0 with a label" in result.stdout and "no label could be held out" in result.stdout
    page = content("report.html")
    assert page["judged"] is None and len(page["suggested"]) == 20
    said = summary("report.html")
    assert said["Accuracy"].startswith("No labels are given. When the classifier was fitted: accuracy on images like")
    assert "When the classifier was fitted" in said["Probabilities"]


def test_labelled_test_images_judge_the_classifier_itself(photos):
    found = report("classifier", "digits.npz", "report.html", n=3)
    page = content("report.html")
    assert found.judged.what.startswith("These are test images, which zoo fit leaves out")
    assert len(found.judged.images) == 30 and set(found.judged.images) == set(page["test"])
    assert not set(page["suggested"]) & set(page["test"])
    assert found.judged.right == 0 and "count as wrong (30)" in found.judged.what  # "3" is not "digit 3"
    assert page["strange"] == list("0123456789") and page["root"] == "" and page["paths"][5] == "train/5"


def test_labels_that_are_no_class_of_the_classifier_are_wrong_and_named(photos):
    rows = [[f"photos/{i:02}.png", photos[i]] for i in range(40)]
    write("more.csv", [*rows, ["photos/40.png", "a cat"], ["photos/41.png", "a dog"]])
    before = report("classifier", "photos", "a.html", labels="labels.csv").judged
    after = report("classifier", "photos", "b.html", labels="more.csv").judged
    assert (after.right, len(after.images)) == (before.right, len(before.images) + 2)
    assert "does not know count as wrong (2): a cat, a dog." in after.what
    assert content("b.html")["strange"] == ["a cat", "a dog"]
    write("only.csv", [["photos/40.png", "a cat"]])
    only = report("classifier", "photos", "c.html", labels="only.csv").judged
    assert (only.right, len(only.images), only.accuracy) == (0, 1, None)
    assert "0 of 1 are right, too few to say more" in summary("c.html")["Accuracy"]


def test_other_labels_than_those_of_the_fit_are_said(photos):
    write("other.csv", [[f"photos/{i:02}.png", photos[i]] for i in range(100)])
    found = report("classifier", "photos", "report.html", labels="other.csv")
    assert "fitted to 40 labels, not to these 100" in found.judged.what and "logistic regression" in found.judged.what
    assert found.suggested == []
    write("one.csv", [["photos/00.png", photos[0]]])
    assert report("classifier", "photos", "one.html", labels="one.csv").judged is None
    assert "None of the labels can be held out" in summary("one.html")["Accuracy"]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("layout", ["tsne", "umap"])
def test_few_images(photos, tmp_path, n, layout):
    (tmp_path / "few").mkdir()
    for i in range(n):
        (tmp_path / "few" / f"{i}.png").write_bytes(Path(f"photos/{i:02}.png").read_bytes())
    found = report("classifier", "few", "report.html", layout=layout)
    page = content("report.html")
    assert found.images == n and len(page["x"]) == n and len(page["suggested"]) == n
    assert ("stand in a row" in page["map"]) == (n < {"tsne": 3, "umap": 5}[layout])


def test_equal_images_and_one_predicted_class(photos, tmp_path):
    (tmp_path / "same").mkdir()
    for i in range(12):
        (tmp_path / "same" / f"{i}.png").write_bytes(Path("photos/00.png").read_bytes())
    found = report("classifier", "same", "report.html")
    assert sorted(found.classes.values())[-2:] == [0, 12]
    assert content("report.html")["x"] == [0.0] * 12


def test_hostile_names_stay_text(photos, tmp_path):
    folder = tmp_path / "<b onclick=x>"
    folder.mkdir()
    for i in range(4):
        name = HOSTILE.replace("/", "") + f"{i}.png"
        (folder / name).write_bytes(Path(f"photos/0{i}.png").read_bytes())
    names = sorted(path.name for path in folder.iterdir())
    write("hostile.csv", [[str(folder / name), HOSTILE] for name in names[:3]])
    report("classifier", folder, "report.html", labels="hostile.csv")
    text, page = Path("report.html").read_text(), content("report.html")
    assert page["strange"] == [HOSTILE.replace("\u202e", "\\u202e")]
    assert all("<img" in path and "\u202e" not in path for path in page["paths"])
    assert "<img" not in text and "<b onclick" not in text and html.escape("<b onclick=x>") in text


def test_the_page_needs_nothing_from_outside(photos):
    report("classifier", "photos", "report.html", labels="labels.csv")
    text = Path("report.html").read_text()
    assert "default-src 'none'; img-src data: blob:" in text
    assert not re.search(r"https?://|(?:src|href)=\"(?!#|data:)", text)
    assert not list(Path().glob("*.part")) and "$" + "data" not in text


def test_thumbnails_are_sharp_and_small(photos):
    report("classifier", "digits.npz", "arrays.html", n=0)
    arrays = content("arrays.html")["tiles"]
    assert arrays == {"side": 8, "columns": 16} and Path("arrays.html").stat().st_size < 100_000
    report("classifier", "photos", "files.html")
    page = content("files.html")
    assert page["tiles"]["side"] == 96 and page["large"]["side"] == 224


@pytest.mark.parametrize("spread", [True, False])
def test_held_out_answers_are_of_classifiers_without_the_label(spread):
    """Its twin: fit without a label's fold, and predict it."""
    import torch

    from functional import random
    from zoo.evaluation import few_labels

    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 3
    x = torch.randn(90, 5, generator=generator) + 2 * torch.eye(5)[torch.arange(90) % 3]
    labelled = torch.arange(60)
    x = x if spread else x[:60]
    which, scores, found = held_out(x, labelled, y, random.key(1), method="spread")
    key_folds, key_probe = random.split(random.key(1))
    part = few_labels.folds(y, key_folds)
    assert which.all() and found.labels == 60
    for fold in range(5):
        kept = part != fold
        if spread:
            head = few_labels.spread_heads(few_labels.prepare(x), labelled[kept], y[kept], part[kept])[-1]
        else:
            head = few_labels.logistic_heads(x[labelled[kept]], y[kept], part[kept] * 0 - 1, random.key(0))[-1]
        agree = head.scores(x[labelled[~kept]]).argmax(1) == scores[~kept].argmax(1)
        assert agree.float().mean() > 0.9


@pytest.mark.parametrize(
    "arguments,words",
    [
        (("classifier", "photos", "--out", "there.html"), "there.html: already exists; choose another name"),
        (("classifier", "photos", "--out", "report.htm"), "report.htm: expected a path ending in .html"),
        (("photos", "photos", "--out", "a.html"), "photos: not a classifier directory: it has no classifier.json"),
        (("nowhere", "photos", "--out", "a.html"), "nowhere: not a classifier directory: there is no such directory"),
        (("classifier", "nowhere", "--out", "a.html"), "unknown dataset 'nowhere'"),
        (("classifier", "empty", "--out", "a.html"), "empty: holds no images"),
        (("classifier", "photos", "--out", "a.html", "--labels", "no.csv"), "no.csv: no such file"),
        (("classifier", "photos", "--out", "a.html", "--next", "-1"), "--next: expected 0 or more, got -1"),
        (("classifier", "photos", "--out", "a.html", "--map", "tsna"), "unknown map 'tsna'; did you mean 'tsne'?"),
    ],
)
def test_bad_arguments(photos, arguments, words):
    Path("there.html").write_text("mine")
    Path("empty").mkdir()
    assert words in refused("report", *arguments)
    assert Path("there.html").read_text() == "mine" and not Path("a.html").exists()


def test_umap_that_is_not_installed(photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    line = refused("report", "classifier", "photos", "--out", "a.html", "--map", "umap")
    assert "umap-learn is missing" in line and "the extra `plot`" in line


@pytest.mark.filterwarnings("always:1 of 31 files cannot be used")
def test_a_broken_photo(photos, tmp_path):
    (tmp_path / "some").mkdir()
    for i in range(30):
        (tmp_path / "some" / f"{i:02}.png").write_bytes(Path(f"photos/{i:02}.png").read_bytes())
    (tmp_path / "some" / "30.png").write_bytes(b"no image")
    assert "30.png" in refused("report", "classifier", "some", "--out", "a.html")
    assert run("report", "classifier", "some", "--out", "a.html", "--skip-bad").stdout.startswith("30 images")


def test_many_images_lie_between_those_that_were_mapped(monkeypatch):
    import torch

    from zoo.evaluation import reporting

    monkeypatch.setattr(reporting, "_MAPPED", 40)
    x = torch.eye(4).repeat_interleave(50, 0) + 0.01 * torch.rand(200, 4, generator=torch.Generator().manual_seed(0))
    points, caption = reporting._mapped(x, "tsne")
    assert points.shape == (200, 2) and "computed for 40;" in caption
    groups = points.reshape(4, 50, 2)
    spread, apart = groups.std(1).max(), np.linalg.norm(groups.mean(1)[0] - groups.mean(1)[1])
    assert apart > 2 * spread
