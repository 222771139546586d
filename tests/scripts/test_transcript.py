"""The transcript of a new user: its photos are what they should be, and it is shortened and counted rightly."""

import csv
import shlex

import click
import pytest
from photos import BROKEN, CLASSES, write_photos
from transcript import ROOT, accuracies, in_words, right, shortened

from zoo.commands import main
from zoo.data.datasets import load_dataset


def test_the_commands_of_the_transcript_are_those_of_today():
    text = (ROOT / "docs" / "own_photos.md").read_text()
    commands = [shlex.split(line)[2:] for line in text.splitlines() if line.startswith("$ zoo ")]
    assert [name for name, *_ in commands] == [*3 * ["pretrain"], "suggest", "fit", "predict", "report"]
    for name, *arguments in commands:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        command.make_context(name, arguments).close()


def test_the_photos_are_of_all_formats_and_three_are_broken(tmp_path):
    table = write_photos(tmp_path / "photos", 52, seed=0)
    data = load_dataset(table, size=32)
    assert data.classes == CLASSES and data.train.labels.bincount().tolist() == [13] * 4
    endings = {path.suffix for path in (tmp_path / "photos").iterdir() if path.name not in BROKEN}
    assert {".jpg", ".jpeg", ".png", ".webp", ".tiff", ".bmp", ".gif"} >= endings and len(endings) >= 5
    with pytest.warns(UserWarning, match="3 of 55 files cannot be used"):
        assert len(load_dataset(tmp_path / "photos", size=32, skip_bad=True).train.images) == 52
    again = write_photos(tmp_path / "again" / "photos", 52, seed=0)
    assert load_dataset(again, size=32).digest == data.digest


def test_predictions_of_photos_without_a_label_are_counted(tmp_path):
    (tmp_path / "labels.csv").write_text("path,label\na,x\n")
    (tmp_path / "predictions.csv").write_text("path,class,probability,margin\na,x,1,1\nb,x,1,1\nc,y,1,1\nd,y,1,1\n")
    found = right(tmp_path / "predictions.csv", tmp_path / "labels.csv", {"a": "x", "b": "y", "c": "y", "d": "y"})
    assert found == pytest.approx(200 / 3)


def test_suggested_labels_are_compared_with_as_many_random_ones(tmp_path):
    with open(write_photos(tmp_path / "photos", 40, seed=0), newline="") as file:
        truth = {row["path"]: row["label"] for row in csv.DictReader(file)}
    (tmp_path / "photos.csv").unlink()
    suggested, drawn = accuracies(encoder := "rotation-resnet8-cifar10", tmp_path, truth, n=12, draws=1)
    labels = {}
    for name, (found,) in ((f"suggested_{encoder}_0", suggested), (f"random_{encoder}_0", drawn)):
        with open(tmp_path / f"{name}.csv", newline="") as file:
            labels[name] = {row["path"]: row["label"] for row in csv.DictReader(file)}
        assert len(labels[name]) == 12 and labels[name].items() <= truth.items()
        assert found == right(tmp_path / f"{name}_predictions.csv", tmp_path / f"{name}.csv", truth)
        assert 0 < found <= 100
    assert len(set(map(frozenset, labels.values()))) == 2  # other images
    assert in_words([70.0, 80.0]) == "75.0 +- 7.1"


def test_lines_of_one_kind_are_shortened_in_their_middle():
    lines = [f"epoch {i}/9  loss" for i in range(1, 10)]
    assert shortened("\n".join(["first", *lines, "last"])).splitlines() == [
        *("first", *lines[:2], "...", *lines[-2:], "last"),
    ]
