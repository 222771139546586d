"""The command: results on stdout, JSON on request, one line and exit code 2 for bad input, no torch for `zoo list`."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors import safe_open

import zoo
from zoo.commands import main
from zoo.data.sources import read_source

MODEL = "simclr-resnet8-digits"


def zoo_command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_list_names_the_models_without_importing_torch():
    program = "import sys, runpy; sys.argv = ['zoo', 'list', '--json']\n"
    program += "try: runpy.run_module('zoo', run_name='__main__')\nfinally: assert 'torch' not in sys.modules"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "simclr-resnet8-digits" in {entry["name"] for entry in json.loads(printed)}
    assert "simclr-resnet8-digits" in zoo_command("list").stdout


def test_pretrain_resume_show_probe_and_plot(recipe, tmp_path):
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    out = tmp_path / "run"
    result = zoo_command(
        "pretrain",
        tmp_path / "recipe.json",
        "--out",
        out,
        "--set",
        "epochs=2",
        "--set",
        "seed=5",
        "--precision",
        "bfloat16",
        "--device",
        "cpu",
        "--json",
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["encoder"] == str(out / "encoder")
    assert "PretrainedEncoder" in zoo_command("resume", out).stdout
    shown = json.loads(zoo_command("show", out, "--json").stdout)
    assert shown["recipe"]["seed"] == 5 and shown["recipe"]["epochs"] == 2
    assert shown["recipe"]["precision"] == "bfloat16" and shown["recipe"]["compile"] is False
    assert "learning_rate" in zoo_command("show", out).stdout
    options = ("--labels-per-class", "1,2", "--draws", 2, "--baselines", "pixels")
    record = json.loads(zoo_command("probe", out, *options, "--json").stdout)
    assert len(record["results"]) == 4 and all(0 < row["macro_f1"]["mean"] < 1 for row in record["results"])
    printed = zoo_command("probe", out, *options).stdout
    assert "| raw pixels " in printed and "20 labels (2 per class)" in printed and "precision" not in printed
    assert "| class | precision |" in zoo_command("probe", out, *options, "--report").stdout
    paths = json.loads(zoo_command("plot", out, "--json").stdout)
    assert [Path(path).name for path in paths] == ["loss.png", "tsne.png", "confusion.png", "predictions.png"]
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in paths)


def test_knn_and_cluster(digits):
    found = json.loads(zoo_command("knn", MODEL, "--json", "--baselines", "pixels").stdout)
    assert found["accuracy"] > found["baselines"]["pixels"] > 0.8 and found["k"] == 10
    assert sum(map(sum, found["confusion"])) == len(digits.test.labels)
    assert json.loads(zoo_command("knn", MODEL, "--json", "--baselines", "", "--k", 1).stdout)["accuracy"] > 0.8
    options = ("--seeds", 2, "--baselines", "pixels")
    record = json.loads(zoo_command("cluster", MODEL, *options, "--json").stdout)
    assert record["seeds"] == [0, 1] and len(record["results"]) == 4
    assert "| Gaussian mixture |" in zoo_command("cluster", MODEL, *options).stdout


@pytest.fixture
def own(digits, tmp_path, monkeypatch):
    """A folder of class folders, larger and some in colour, a stray file, and a CSV with a label for two of three."""
    monkeypatch.chdir(tmp_path)
    lines = ["path,label"]
    kept = [i for i in range(60) if digits.train.labels[i] < 3]
    for n, i in enumerate(kept):
        name = f"class {digits.train.labels[i]}"
        path = Path("photos", name, f"{i:03}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(digits.train.images[i, 0].numpy()).resize((20, 24), Image.Resampling.NEAREST)
        image.convert("RGB" if n % 2 else "L").save(path)
        lines.append(f"{path},{name if n % 3 else ''}")
    Image.new("L", (9, 9)).save("photos/stray.png")
    Path("few.csv").write_text("\n".join(lines))
    return len(kept)


def test_few_labels_of_your_own_images_are_cross_validated(own):
    result = zoo_command("probe", MODEL, "--data", "few.csv", "--json")
    assert result.stderr == f"few.csv: skipped {-(-own // 3)} images without a label\n"
    found = json.loads(result.stdout)
    assert found["unlabelled_left_out"] == -(-own // 3) and found["folds"] == 3
    assert sum(row["images"] for row in found["per_class"].values()) == own - found["unlabelled_left_out"]
    assert found["accuracy"] > 0.8 and found["accuracy"] >= found["baselines"]["untrained"]
    result = zoo_command("probe", MODEL, "--data", "photos", "--report")
    assert f"cross-validated accuracy on {own} labels (no test images), 5 folds" in result.stdout
    assert "photos: skipped 1 images without a label" in result.stderr and "| class 2 |" in result.stdout
    refused = zoo_command("probe", MODEL, "--data", "photos", "--labels-per-class", "2")
    assert refused.exit_code == 2 and "omit --labels-per-class and --draws" in refused.stderr


def test_a_csv_can_name_its_test_images(own):
    lines = [line for line in Path("few.csv").read_text().splitlines()[1:] if not line.endswith(",")]
    Path("split.csv").write_text(
        "path,label,split\n" + "\n".join(f"{line},{'test' if n % 4 == 0 else ''}" for n, line in enumerate(lines))
    )
    record = json.loads(
        zoo_command("probe", MODEL, "--data", "split.csv", "--labels-per-class", "2,all", "--json").stdout
    )
    tested = -(-len(lines) // 4)
    assert record["test_images"] == tested and record["report"]["labels"] == len(lines) - tested


def test_embed_writes_the_features_of_each_path(own):
    model = zoo.load(MODEL)
    result = zoo_command("embed", MODEL, "photos", "--out", "deep/features.npz", "--json")
    assert json.loads(result.stdout) == {
        "model": MODEL,
        "images": own + 1,
        "labelled": own,
        "feature_dim": 64,
        "written": ["deep/features.npz"],
    }
    written = np.load("deep/features.npz")
    assert written["classes"].tolist() == ["class 0", "class 1", "class 2"] and set(written["splits"]) == {"train"}
    for path, label in zip(written["paths"], written["labels"], strict=True):
        assert label == (Path(path).parent.name if Path(path).parent.name != "photos" else "")
    np.testing.assert_allclose(written["features"], model.features(written["paths"].tolist()).numpy(), atol=1e-5)

    zoo_command("embed", MODEL, "few.csv", "--out", "f.safetensors")
    with safe_open("f.safetensors", "pt") as file:
        metadata = json.loads(file.metadata()["funczoo"])
        features, labels = file.get_tensor("features"), file.get_tensor("labels").tolist()
    assert metadata["labels"] == [metadata["classes"][i] if i >= 0 else None for i in labels] and -1 in labels
    torch.testing.assert_close(features, model.features(metadata["paths"]), atol=1e-5, rtol=0)

    assert zoo_command("embed", MODEL, *metadata["paths"][:2], "--out", "f.csv").exit_code == 0
    header, *lines = [line.split(",") for line in Path("f.csv").read_text().splitlines()]
    assert header[:4] == ["path", "split", "label", "f0"] and [line[0] for line in lines] == metadata["paths"][:2]
    assert np.allclose(np.array([line[3:] for line in lines], np.float32), features[:2], atol=1e-5)

    assert zoo_command("embed", MODEL, "digits", "--out", "f.tsv").stdout.endswith("f.tsv\nf_metadata.tsv\n")
    vectors, rows = Path("f.tsv").read_text().splitlines(), Path("f_metadata.tsv").read_text().splitlines()
    assert len(vectors) == len(rows) - 1 == 1797 and len(vectors[0].split("\t")) == 64
    assert rows[0] == "path\tsplit\tlabel" and rows[1].startswith("train/0\ttrain\t")
    assert rows[-1].startswith("test/499\ttest\t")


def test_a_name_that_is_also_a_folder_is_refused(own):
    Path("photos").rename("digits")
    for command in (("probe", MODEL, "--data", "digits"), ("embed", MODEL, "digits", "--out", "x.npz")):
        result = zoo_command(*command)
        assert result.exit_code == 2 and "write './digits' for the path" in result.stderr
    assert zoo_command("embed", MODEL, "./digits", "--out", "x.npz").exit_code == 0


@pytest.mark.parametrize(
    "text,words",
    [
        ("label\ncat", "expected the columns path, and optionally label and split, in the first line; path is missing"),
        ("path,label\na.png", "line 2: expected 2 fields, got 1"),
        ("path,split\na.png,val", "line 2: split: expected train or test, got 'val'"),
        ("path,label\n", "has no lines below its header"),
        ("path,label\na.png,", "a.png: not a readable image (No such file or directory)"),
    ],
)
def test_a_csv_that_cannot_be_read_is_named(tmp_path, text, words):
    (tmp_path / "d.csv").write_text(text)
    result = zoo_command("probe", MODEL, "--data", tmp_path / "d.csv")
    assert result.exit_code == 2 and words in result.stderr and result.stderr.count("\n") == 1


def test_images_without_any_label_cannot_be_probed(own):
    result = zoo_command("probe", MODEL, "--data", "photos/class 0")
    assert result.exit_code == 2 and "images has a label to train on; put them into one folder" in result.stderr


def test_files_are_read_as_in_a_dataset(tmp_path, digits):
    """At the encoder's own size, where nothing is resized: 16 bits, a palette with transparency, a turned photo."""
    image = Image.fromarray(digits.train.images[0, 0].numpy())
    for number in range(2):
        (tmp_path / f"f/{number}").mkdir(parents=True)
    Image.fromarray(digits.train.images[0, 0].numpy().astype(np.uint16) * 256 + 9).save(tmp_path / "f/0/bits.png")
    image.convert("P").save(tmp_path / "f/0/palette.png", transparency=b"\x00\x80")
    turned = Image.Exif()
    turned[0x0112] = 6
    image.save(tmp_path / "f/1/turned.png", exif=turned)
    found = read_source([tmp_path / "f"], zoo.load(MODEL).input_shape)
    assert torch.equal(found.images, zoo.load_dataset(tmp_path / "f").train.images[:, :1])  # a palette counts as RGB
    assert found.labels == ("0", "0", "1") and [Path(path).name for path in found.paths][0] == "bits.png"


def test_files_that_are_not_images_are_skipped_on_request(own):
    Path("photos/class 0/notes.txt").write_text("no image")
    result = zoo_command("embed", MODEL, "photos", "--out", "f.npz")
    assert result.exit_code == 2 and "photos/class 0/notes.txt: not a readable image" in result.stderr
    assert f"1 of {own + 2} files cannot be used" in result.stderr and "--skip-bad" in result.stderr
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = zoo_command("embed", MODEL, "photos", "--out", "f.npz", "--skip-bad")
    assert result.exit_code == 0 and f"1 of {own + 2} files cannot be used: photos/class 0/notes.txt" in result.stderr
    assert len(np.load("f.npz")["features"]) == own + 1


def test_an_empty_class_folder_is_called_so(own):
    Path("photos/class 9").mkdir()
    result = zoo_command("embed", MODEL, "photos", "--out", "f.npz")
    assert result.exit_code == 2 and "photos/class 9: an empty class folder" in result.stderr


def test_a_tilde_is_the_home_directory_for_every_output(own, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for command in (
        ("embed", MODEL, "photos", "--out", "~/f.tsv"),
        ("data", "show", "digits", "--sheet", "~/sheet.png"),
        ("plot", MODEL, "--data", "photos", "--out", "~/plots"),
        ("suggest", MODEL, "photos", "-n", 3, "--out", "~/labels.csv"),
        ("fit", MODEL, "photos", "--out", "~/classifier"),
        ("export", MODEL, "--out", "~/encoder.pt2"),
    ):
        assert zoo_command(*command).exit_code == 0
    names = {"f.tsv", "f_metadata.tsv", "sheet.png", "plots", "labels.csv", "classifier", "encoder.pt2"}
    assert names <= {path.name for path in home.iterdir()} and not Path("~").exists()
    assert "f.tsv: already exists" in zoo_command("embed", MODEL, "photos", "--out", "~/f.tsv").stderr


def test_env_shows_what_bit_identical_results_depend_on():
    values = json.loads(zoo_command("env", "--json").stdout)
    assert {"torch", "python", "threads", "processor", "cpu_capability"} <= set(values)
    assert values["torch"] in zoo_command("env").stdout


@pytest.mark.parametrize(
    "arguments,words",
    [
        (("shwo",), "unknown command 'shwo'; did you mean 'show'?"),
        (("show", "simclr-resnet8-digit"), "did you mean 'simclr-resnet8-digits'"),
        (("probe", "nothing"), "unknown model 'nothing'"),
        (("probe", "simclr-resnet8-digits", "--data", "digts"), "did you mean 'digits'"),
        (("probe", "simclr-resnet8-digits", "--data", "none.npz"), "none.npz: no such file"),
        (("probe", "simclr-resnet8-digits", "--labels-per-class", "x"), "labels per class: expected a number"),
        (("probe", "simclr-resnet8-digits", "--labels-per-class", "²"), "labels per class: expected a number"),
        (("probe", "simclr-resnet8-digits", "--labels-per-class", "900"), "asked for 900 per class"),
        (("pretrain", "none.json", "--out", "x"), "none.json: no such file"),
        (("pretrain", "simclr-resnet8-digit", "--out", "x"), "unknown model"),
        (("pretrain", "simclr-resnet8-digits", "--out", "x", "--set", "epoch=3"), "did you mean 'epochs'"),
        (("pretrain", MODEL, "--out", "x", "--set", "epochs=3"), "change both, as in --set warmup_epochs=2"),
        (
            ("pretrain", "simclr-resnet8-digits", "--out", "x", "--set", "epochs"),
            "--set: expected FIELD=VALUE, got 'epochs'",
        ),
        (("knn", MODEL, "--k", 0), "k: expected 1 to 1297"),
        (("cluster", MODEL, "--seeds", 0), "seeds: expected one or more"),
        (
            ("embed", MODEL, "digits", "--out", "x.pq"),
            "expected a path ending in .npz, .safetensors, .parquet, .csv, .tsv",
        ),
        (("embed", MODEL, "digts", "--out", "x.npz"), "did you mean 'digits'"),
        (("embed", MODEL, "digits", "mnist", "--out", "x.npz"), "digits: expected image files, or a single dataset"),
        (("embed", MODEL, "none.csv", "--out", "x.npz"), "none.csv: no such file"),
        (("resume", "nowhere"), "nowhere: not a run directory"),
        (("plot", "nowhere"), "unknown model 'nowhere'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = zoo_command(*arguments)
    assert result.exit_code == 2 and words in result.stderr
    assert result.stderr.count("\n") == 1 and result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_images_of_another_size_are_fitted(tmp_path):
    np.savez(
        tmp_path / "d.npz",
        train_images=np.repeat(np.array([0, 255], np.uint8), 784).reshape(2, 28, 28),
        train_labels=np.array([0, 1]),
        test_images=np.zeros((2, 28, 28), np.uint8),
        test_labels=np.array([0, 0]),
    )
    result = zoo_command("probe", "simclr-resnet8-digits", "--data", tmp_path / "d.npz", "--labels-per-class", "1")
    assert result.exit_code == 0, result.stderr


def test_a_directory_that_cannot_be_written_is_named(recipe, tmp_path):
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    (tmp_path / "file").write_text("")
    result = zoo_command("pretrain", tmp_path / "recipe.json", "--out", tmp_path / "file" / "run")
    assert result.exit_code == 2 and "Not a directory" in result.stderr
