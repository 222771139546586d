"""A run small enough to be trained in a test, and the files that it makes."""

import pytest

import zoo

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
