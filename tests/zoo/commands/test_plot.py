"""`zoo plot`: a figure for everything that a run or a model has, never over one that is there."""

import json
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from pictures import record_figures, require_legible
from PIL import Image

import zoo
from zoo.commands import main
from zoo.files import load_tensors

MODEL = "simclr-resnet8-digits"
LATENTS = ["reconstructions.png", "latent_plane.png", "latent_scatter.png"]
PROBE = ["confusion.png", "predictions.png"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """The figures, which are legible."""
    figures = record_figures(monkeypatch)
    yield figures
    for figure in figures:
        require_legible(figure)


def zoo_command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def plotted(*arguments):
    """The paths that `zoo plot --json` prints."""
    result = zoo_command("plot", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    paths = json.loads(result.stdout)
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in paths)
    return paths


def refused(*arguments):
    """The error of `zoo plot` in one line."""
    result = zoo_command("plot", *arguments)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and result.stdout == ""
    return result.stderr


def save_bars(bars, path="bars.npz"):
    names = {"train": bars.train, "test": bars.test}
    arrays = {f"{name}_images": split.images.numpy() for name, split in names.items()}
    np.savez(path, **arrays, **{f"{name}_labels": split.labels.numpy() for name, split in names.items()})
    return path


def save_digits(path="digits.npz"):
    """A file of 60 training and 30 test images of three digits."""
    data = zoo.load_dataset("digits")
    arrays = {}
    for name, split, n in (("train", data.train, 60), ("test", data.test, 30)):
        kept = split.labels < 3
        arrays |= {f"{name}_images": split.images[kept][:n].numpy(), f"{name}_labels": split.labels[kept][:n].numpy()}
    np.savez(path, **arrays)
    return path


@pytest.fixture
def photos():
    """A folder of class folders with 40 images of three digits."""
    data = zoo.load_dataset("digits").train
    for i in torch.nonzero(data.labels < 3).flatten()[:40].tolist():
        path = Path("photos", f"digit {data.labels[i]}", f"{i:03}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.images[i, 0].numpy()).save(path)
    return "photos"


def titles(figures):
    return [figure.get_suptitle() for figure in figures]


def test_a_run_is_plotted_into_its_directory(run, drawn):
    shutil.copytree(run, "run")
    assert plotted("run") == [f"run/{name}" for name in ("loss.png", "tsne.png", *PROBE)]
    loss, tsne, confusion, predictions = titles(drawn)
    name = zoo.load(run).name
    assert loss == "run" and tsne == f"{name}\nt-SNE of 500 test images of digits"
    probed = rf"{name}\nlinear probe on test images of digits\n"
    assert re.fullmatch(probed + r"[\d.]+ % accuracy on 500 test images", confusion)
    assert re.fullmatch(probed + r"\d+ of 500 images \([\d.]+ %\) are wrong; surest errors first", predictions)
    assert re.fullmatch(r"label: \d\n→ \d, \d+ %", drawn[3].axes[0].get_title())


def test_a_run_that_is_not_finished_has_its_loss(run):
    shutil.copytree(run, "run", ignore=shutil.ignore_patterns("encoder"))
    assert plotted("run") == ["run/loss.png"]


def test_maps_in_three_dimensions_and_umap_are_drawn_on_request(drawn):
    names = ["tsne.png", "umap.png", "tsne_3d.png", "umap_3d.png", *PROBE]
    options = ("--data", save_digits(), "--umap", "--three-d", "--out", "deep/plots")
    assert plotted(MODEL, *options) == [f"deep/plots/{name}" for name in names]
    kinds = ("t-SNE", "UMAP", "3-D t-SNE", "3-D UMAP")
    assert titles(drawn)[:4] == [f"{MODEL}\n{kind} of 30 test images of digits.npz" for kind in kinds]


def test_without_umap_learn_nothing_is_drawn(folder):
    program = "import sys; sys.modules['umap'] = None; from zoo.commands import main; "
    program += f"main(['plot', '{MODEL}', '--umap'])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 2 and "umap-learn is missing" in result.stderr and result.stderr.count("\n") == 1
    assert list(folder.iterdir()) == []


def test_nothing_is_drawn_over_a_figure_unasked(folder):
    Path("predictions.png").write_text("mine")  # the last of the figures
    words = refused(MODEL, "--data", save_digits(folder.parent / "digits.npz"))
    assert "predictions.png: exists already" in words and "--out" in words and "--overwrite" in words
    assert "tsne.png" not in words
    assert [path.name for path in folder.iterdir()] == ["predictions.png"]
    assert Path("predictions.png").read_text() == "mine"
    assert plotted(MODEL, "--data", folder.parent / "digits.npz", "--overwrite") == ["tsne.png", *PROBE]
    assert "tsne.png, confusion.png, predictions.png: exists already" in refused(MODEL)


def test_existing_figures_are_found_before_the_data_are_read(folder):
    Path("tsne.png").write_text("mine")
    assert "exists already" in refused(MODEL, "--data", "none.npz")
    assert "none.npz: no such file" in refused(MODEL, "--data", "none.npz", "--overwrite")
    assert Path("tsne.png").read_text() == "mine"


def test_a_decoder_adds_its_reconstructions_and_latents(decoding_run, bars, drawn):
    shutil.copytree(decoding_run / "encoder", "encoder")
    names = ["tsne.png", *LATENTS, *PROBE]
    assert plotted("encoder", "--data", save_bars(bars)) == [f"encoder/{name}" for name in names]
    rows = [label.get_text() for label in drawn[1].axes[0].get_yticklabels()]
    assert rows == ["original", "reconstruction"]
    assert drawn[2].axes[0].get_xlabel() == "first principal component (standard deviations)"
    assert titles(drawn)[3].endswith("\nlatents of 22 test images of bars.npz")


def test_a_run_shows_the_reconstructions_of_its_epochs(decoding_recipe, bars, drawn):
    recipe = decoding_recipe.replace(
        method="denoising_autoencoder",
        dataset=save_bars(bars),
        method_options={**decoding_recipe.method_options, "noise": 0.1},
        encoder_options={"latent_dim": 2},
    )
    zoo.pretrain(recipe, out="run")
    figures = dict(zip((Path(path).name for path in plotted("run")), drawn, strict=True))
    assert list(figures) == ["loss.png", "tsne.png", LATENTS[0], "denoising.png", *LATENTS[1:], *PROBE]
    kept, _ = load_tensors("run/reconstructions.safetensors")
    (axes,) = figures["reconstructions.png"].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["original", "epoch 1", "epoch 2", "epoch 3"]
    picture, side = axes.images[0].get_array(), 28 + 2
    last = (kept["epoch_003"][1, 0] * 255).round().byte()
    assert np.array_equal(picture[3 * side : 3 * side + 28, side : side + 28, 0], last)
    assert figures["latent_plane.png"].axes[0].get_xlabel() == "latent 1"

    plotted("run", "--data", save_bars(bars, "other.npz"), "--out", "other")
    rows = [label.get_text() for label in drawn[len(figures) + 2].axes[0].get_yticklabels()]
    assert rows == ["original", "reconstruction"] and "of other.npz" in drawn[len(figures) + 2].get_suptitle()

    assert figures["denoising.png"].get_suptitle().endswith("noise of standard deviation 0.1")
    noisy, _, clean = (
        torch.tensor(figures["denoising.png"].axes[0].images[0].get_array()[row * side : row * side + 28, :, 0]).float()
        for row in range(3)
    )
    noise = (noisy - clean)[(clean > 189) & (clean < 205)] / 255  # where 0 and 1 are far
    assert len(noise) > 100 and 0.08 < noise.std() < 0.12


def test_your_own_images_are_cross_validated(photos, drawn):
    names = ["tsne.png", *PROBE]
    assert plotted(MODEL, "--data", photos, "--out", "plots") == [f"plots/{name}" for name in names]
    assert titles(drawn)[0] == f"{MODEL}\nt-SNE of 40 images of photos"
    assert "cross-validated accuracy on 40 labels" in titles(drawn)[1].replace("\n", " ")


def test_a_map_of_many_images_shows_evenly_spaced_ones(photos, drawn, monkeypatch):
    monkeypatch.setattr("zoo.commands.plot._POINTS", 15)  # of images in the order of their classes
    plotted(MODEL, "--data", photos)
    shown = drawn[0].axes[0].collections[0]
    assert titles(drawn)[0].endswith("t-SNE of 15 images of photos")
    assert len(shown.get_offsets()) == 15 and len(np.unique(shown.get_facecolors(), axis=0)) == 3


def test_images_that_are_no_images_are_skipped_on_request(photos):
    broken = next(Path(photos).rglob("*.png"))
    broken.write_bytes(broken.read_bytes()[:60])
    assert f"{broken}: not a readable image" in refused(MODEL, "--data", photos)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = zoo_command("plot", MODEL, "--data", photos, "--skip-bad")
    assert result.exit_code == 0 and "1 of " in result.stderr and "tsne.png\n" in result.stdout


def few(*labels):
    """A dataset of as many images as labels."""
    images = zoo.load_dataset("digits").train.images[: len(labels)]
    np.savez("few.npz", images=images.numpy(), **({"labels": np.array(labels)} if labels[0] else {}))
    return "few.npz"


def test_labels_too_few_for_a_probe_still_colour_a_map(folder):
    result = zoo_command("plot", MODEL, "--data", few("a", "a", "b"))
    assert result.exit_code == 0 and result.stdout == "tsne.png\n"
    assert "confusion.png and predictions.png are left out: class 'b' has 1 label" in result.stderr


def test_two_images_are_too_few(folder):
    assert "t-SNE: expected 3 images or more, got 2" in refused(MODEL, "--data", few("a", "b"))


def test_images_without_labels_are_mapped_in_one_colour(photos, drawn):
    Path("flat").mkdir()
    for path in Path(photos).rglob("*.png"):
        path.rename(Path("flat", path.name))
    for data, n in (("flat", 40), (few("", "", "", ""), 4)):
        result = zoo_command("plot", MODEL, "--data", data, "--three-d", "--out", f"plots of {data}")
        assert result.exit_code == 0, result.stderr
        assert result.stdout == f"plots of {data}/tsne.png\nplots of {data}/tsne_3d.png\n"
        message = f"confusion.png and predictions.png are left out: {data}: has no labels to fit a probe to\n"
        assert result.stderr == message
        flat, deep = drawn[-2:]
        assert titles([flat]) == [f"{MODEL}\nt-SNE of {n} images of {data}"]
        for figure in (flat, deep):
            dots = figure.axes[0].collections[0]
            assert not figure.legends and len(np.unique(dots.get_facecolors(), axis=0)) == 1


def test_of_partly_labelled_images_the_labelled_ones_are_mapped(photos, drawn):
    lines = [
        f"{path},{path.parent.name if i % 2 else ''}" for i, path in enumerate(sorted(Path(photos).rglob("*.png")))
    ]
    Path("labels.csv").write_text("path,label\n" + "\n".join(lines))
    result = zoo_command("plot", MODEL, "--data", "labels.csv")
    assert result.exit_code == 0 and result.stderr == "labels.csv: skipped 20 images without a label\n"
    assert titles(drawn)[0] == f"{MODEL}\nt-SNE of 20 images of labels.csv" and drawn[0].legends


def test_latents_of_images_without_labels_are_drawn(decoding_run, bars, drawn):
    np.savez("bars.npz", images=bars.train.images.numpy())
    out = "plots"
    result = zoo_command("plot", decoding_run / "encoder", "--data", "bars.npz", "--out", out)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split() == [f"{out}/{name}" for name in ("tsne.png", *LATENTS)]
    assert not drawn[-1].legends and "has no labels" in result.stderr
