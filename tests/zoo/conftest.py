"""Runs small enough to be trained in a test, and the files that they make."""

import pytest
import torch

import zoo
from zoo.data.datasets import Dataset, Split

TINY = zoo.Recipe(
    method="simclr",
    encoder="resnet8",
    dataset="digits",
    views=(("random_resized_crop", {"size": 8, "scale": (0.4, 1.0)}), ("rotate", {"degrees": 15.0})),
    optimizer="adamw",
    learning_rate=2e-3,
    epochs=6,
    batch_size=128,
    warmup_epochs=1,
    method_options={"projector": (16, 8), "temperature": 0.2},
    encoder_options={"width": 4},
    precision="float32",
)


@pytest.fixture(scope="session")
def recipe():
    return TINY


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A finished run directory; tests copy it before they break it."""
    out = tmp_path_factory.mktemp("runs") / "a finished run"
    zoo.pretrain(TINY.replace(epochs=2), out=out)
    return out


@pytest.fixture(scope="session")
def model(run):
    return zoo.load(run)


@pytest.fixture(scope="session")
def digits():
    return zoo.load_dataset("digits")


@pytest.fixture(scope="session")
def decoding_recipe():
    """A recipe whose method trains a decoder, of a width of its own."""
    return zoo.Recipe(
        method="autoencoder",
        encoder="s5",
        dataset="bars",
        views=(),
        optimizer="adam",
        learning_rate=1e-3,
        epochs=3,
        batch_size=32,
        method_options={"decoder": ("s5_decoder", {"width": 2})},
        encoder_options={"latent_dim": 3},
        mean=(0.0,),
        std=(1.0,),
        precision="float32",
    )


@pytest.fixture(scope="session")
def bars():
    """28 x 28 images of one bright bar, whose position is the class: 6 classes, 96 training and 22 test images."""
    labels = torch.arange(120).remainder(6)
    images = torch.randint(0, 60, (120, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 4 * label : 4 * label + 4] += 190
    # The test images start with class 2, so that the first of each class are not the first images.
    train, test = Split(images[:96], labels[:96]), Split(images[98:], labels[98:])
    return Dataset("bars", train, test, tuple("abcdef"))


@pytest.fixture(scope="session")
def decoding_run(decoding_recipe, bars, tmp_path_factory):
    """A finished run of a method with a decoder."""
    out = tmp_path_factory.mktemp("runs") / "an autoencoder"
    zoo.pretrain(decoding_recipe, data=bars, out=out)
    return out
