"""The recipe that is picked for one's own images: it fits them, says what it is, and trains."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import zoo
from zoo.commands import main
from zoo.models.code import NO_CODE
from zoo.training.catalogue import catalogue, check_names
from zoo.training.default_recipe import START, default_recipe
from zoo.training.plan import make_plan

RNG = np.random.default_rng(0)


def photos(folder, n, side=40, mode="RGB"):
    folder.mkdir(parents=True)
    for i in range(n):
        pixels = RNG.integers(0, 256, (side, side + 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{i}.png")
    return folder


def command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.mark.parametrize(
    ("side", "mode", "size", "stem", "start"),
    [
        (20, "RGB", 20, "cifar", "random"),
        (30, "RGB", 30, "cifar", START),
        (230, "RGB", 32, "cifar", START),
        (32, "L", 32, "strided", "random"),
        (90, "L", 90, "imagenet", "random"),
        (230, "L", 96, "imagenet", "random"),
    ],
)
def test_it_fits_the_images(tmp_path, side, mode, size, stem, start):
    folder = photos(tmp_path / "photos", 20, side, mode)
    recipe = default_recipe(folder)
    encoder, epochs = ("resnet8", 100) if start == "random" else ("resnet18", 4)
    assert (recipe.image_size, recipe.encoder, recipe.encoder_options["stem"]) == (size, encoder, stem)
    assert (recipe.epochs, recipe.batch_size, recipe.start) == (epochs, 4, start)
    check_names(recipe, catalogue(NO_CODE))
    plan = make_plan(recipe.replace(precision="float32"))  # which tries a step
    assert plan.data.train.images.shape[1:] == (1 if mode == "L" else 3, size, size)
    flips = dict(recipe.views)["random_resized_crop"].get("flip", 0.0)
    assert flips == (0.0 if mode == "L" else 0.5)


def test_more_images_take_fewer_epochs_and_larger_batches(tmp_path):
    found = {}
    for n in (16, 600, 5_000, 60_000):
        np.savez(tmp_path / f"{n}.npz", images=np.zeros((n, 8, 8), np.uint8))
        recipe = default_recipe(tmp_path / f"{n}.npz")
        found[n] = (recipe.epochs, recipe.batch_size, recipe.image_size)
    assert found == {16: (100, 4, None), 600: (100, 64, None), 5_000: (40, 256, None), 60_000: (10, 256, None)}


def test_what_starts_from_good_weights_goes_on_gently(tmp_path):
    found = {}
    for n in (100, 600, 5_000):
        np.savez(tmp_path / f"{n}.npz", images=np.zeros((n, 3, 24, 24), np.uint8))
        recipe = default_recipe(tmp_path / f"{n}.npz")
        found[n] = (recipe.epochs, recipe.batch_size, recipe.learning_rate)
    assert found == {100: (4, 8, 1.414e-5), 600: (4, 64, 4e-5), 5_000: (2, 64, 4e-5)}


def test_a_gpu_gets_a_larger_network_from_random_weights_and_larger_images(tmp_path):
    recipe = default_recipe(photos(tmp_path / "photos", 16, 230), device="cuda")
    assert (recipe.encoder, recipe.image_size, recipe.encoder_options) == ("resnet18", 224, {"stem": "imagenet"})
    assert default_recipe(photos(tmp_path / "small", 16, 40), device="cuda").start == "random"


@pytest.mark.parametrize(("side", "start"), [(23, "random"), (24, START), (48, START), (49, "random")])
def test_arrays_keep_their_size_and_start_from_weights_that_fit_it(tmp_path, side, start):
    np.savez(tmp_path / "a.npz", images=np.zeros((16, 3, side, side), np.uint8))
    recipe = default_recipe(tmp_path / "a.npz")
    assert (recipe.start, recipe.image_size) == (start, None)


def test_the_command_says_what_it_picked_and_is_repeatable(tmp_path):
    folder, out = photos(tmp_path / "photos", 24), tmp_path / "runs" / "mine"
    arguments = ("pretrain", "--data", folder, "--out", out, "--set", "epochs=2", "--set", "image_size=24", "--json")
    first = command(*arguments, "--set", 'views=[["horizontal_flip", {}], ["gaussian_noise", {"std": 0.1}]]')
    assert first.exit_code == 0, first.stderr
    picked = f"no recipe given: simclr with resnet18 from {START}, images of 32x32, 4 epochs in batches of 4"
    assert picked in first.stderr
    again = command(*arguments, "--set", 'views=[["horizontal_flip", {}], ["gaussian_noise", {"std": 0.1}]]')
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert zoo.load(out).input_shape == (3, 24, 24)


def test_without_a_recipe_and_images_it_says_what_it_needs(tmp_path):
    nothing = command("pretrain", "--out", tmp_path / "a")
    assert nothing.exit_code == 2 and "expected a RECIPE, or images to pick one for with --data" in nothing.stderr
    few = command("pretrain", "--data", photos(tmp_path / "photos", 15), "--out", tmp_path / "a")
    assert few.exit_code == 2 and "15 training images are too few to pretrain on, expected 16 or more" in few.stderr
