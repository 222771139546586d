"""A recipe for images that no recipe was written for: SimCLR with a network that two CPU cores can train.

It depends on the size, number and channels of the images, and on whether there is a GPU, and on nothing else. On a CPU,
colour images go on from a model of the zoo, a few gentle epochs long: a few hundred photos are too few to learn from
random weights, and enough to spoil good ones. The recipe is a beginning: its file, in the run directory, is there to be
changed.
"""

from pathlib import Path
from typing import NamedTuple

from zoo.data.datasets import images_in, load_dataset
from zoo.data.images import plan_images
from zoo.errors import ZooError, printable
from zoo.models.loading import load
from zoo.models.options import Options
from zoo.training.recipe import Recipe

START = "simclr-resnet18-cifar10"  # the best of five on photos of `scripts/photos.py`
START_SIDES = range(24, 49)  # pixels of images that start from it; it was trained on 32
LARGEST_ON_CPU = {1: 96, 3: 32}  # pixels, by channels
_FEWEST = 16  # images


class _Course(NamedTuple):
    """How long and how fast to train."""

    batch: int  # the largest
    learning_rate: float  # at this batch; it goes with the square root
    seen: int  # images that are seen in a run, if its number of epochs allows it
    epochs: tuple[int, int]  # the fewest and the most


_FROM_RANDOM = _Course(256, 2e-3, 200_000, (10, 100))
_FROM_START = _Course(64, 4e-5, 2_400, (2, 4))  # at 3e-4 the features got worse with every epoch


def default_recipe(data: str | Path, *, device: str = "cpu") -> Recipe:
    """A recipe for a dataset, a folder or a CSV.

    Args:
        data: as `zoo.load_dataset` takes it.
        device: the device to train on: on a GPU the network is a ResNet-18 with random weights, and images are not
            made smaller than a folder's default of `zoo.data.images`.

    Returns:
        The recipe. On a CPU, images of a folder, CSV or parquet file are resized to `LARGEST_ON_CPU` or less, and
        colour images of `START_SIDES` start from the weights of `START`. Arrays keep their size.

    Raises:
        ZooError: if there are fewer than 16 images, or as in `zoo.load_dataset`.

    Example:
        >>> recipe = default_recipe("digits")
        >>> recipe.method, recipe.encoder, recipe.epochs, recipe.batch_size
        ('simclr', 'resnet8', 100, 128)
    """
    small, side = device == "cpu", None
    if (source := images_in(data)) is not None:
        plan = plan_images(source)
        n, (channels, height, width) = sum(file.split == "train" for file in plan.files), plan.shape
        side = height = width = min(height, LARGEST_ON_CPU[channels]) if small else height
    else:
        images = load_dataset(data).train.images
        n, channels, height, width = images.shape
    if n < _FEWEST:
        raise ZooError(
            f"{printable(data)}: {n:,} training images are too few to pretrain on, expected {_FEWEST} or more; take a "
            "model of the zoo, which `zoo list` names"
        )
    encoder, start, options = _encoder(small, channels, height, width)
    course = _FROM_RANDOM if start == "random" else _FROM_START
    batch = max(size for size in (4, 8, 16, 32, 64, 128, 256) if size == 4 or size <= min(n // 8, course.batch))
    fewest, most = course.epochs
    epochs = min(most, max(fewest, -(-course.seen // n)))
    return Recipe(
        method="simclr",
        encoder=encoder,
        dataset=str(data),
        views=_views(channels, height, width),
        optimizer="adamw",
        learning_rate=round(course.learning_rate * (batch / course.batch) ** 0.5, 8),
        epochs=epochs,
        batch_size=batch,
        warmup_epochs=1,
        method_options={"projector": (512, 128), "temperature": 0.2},
        encoder_options=options,
        optimizer_options={"weight_decay": 1e-4},
        start=start,
        image_size=side,
    )


def in_words(recipe: Recipe) -> str:
    """What was picked, in a line."""
    start = "" if recipe.start == "random" else f" from {recipe.start}"
    size = f"images of {recipe.image_size}x{recipe.image_size}, " if recipe.image_size else ""
    return (
        f"no recipe given: {recipe.method} with {recipe.encoder}{start}, {size}{recipe.epochs:,} epochs in batches of "
        f"{recipe.batch_size}; --set changes it, as in --set epochs={max(1, recipe.epochs // 2)}"
    )


def _encoder(small: bool, channels: int, height: int, width: int) -> tuple[str, str, Options]:
    """The encoder, what it starts from, and its options."""
    if small and channels == 3 and height in START_SIDES and width in START_SIDES:
        architecture = load(START).config["architecture"]
        return architecture["encoder"], START, architecture["options"]
    side = min(height, width)
    if small:
        stem = "cifar" if side < 24 else "strided" if side <= 64 else "imagenet"
        return "resnet8", "random", {"width": 32, "stem": stem, "feature_dim": 512}
    return "resnet18", "random", {"stem": "cifar" if side <= 64 else "imagenet"}


def _views(channels: int, height: int, width: int) -> tuple[tuple[str, Options], ...]:
    """Crops, colours and blur as in SimCLR (Chen et al. 2020). Grey images are not mirrored: they may be letters."""
    crop = {"size": (height, width), "scale": (0.2, 1.0), "flip": 0.5}
    if channels == 1:
        crop = {"size": (height, width), "scale": (0.4, 1.0)}
        colours = (("color_jitter", {"brightness": 0.4, "contrast": 0.4, "saturation": 0.0, "hue": 0.0, "p": 0.8}),)
    else:
        colours = (
            ("color_jitter", {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1, "p": 0.8}),
            ("grayscale", {"p": 0.2}),
        )
    kernel = min(height, width) // 10 // 2 * 2 + 1  # a tenth of the side, odd, as in the paper
    blur = (("gaussian_blur", {"kernel_size": kernel, "sigma": (0.1, 2.0), "p": 0.5}),) if kernel >= 3 else ()
    return (("random_resized_crop", crop), *colours, *blur)
