"""Where pretraining starts from: the weights of an encoder, verified, in place of random ones.

    random                  the encoder's own
    NAME, ./DIRECTORY       a model of the zoo, an encoder directory or a finished run, as `zoo.load` takes them
    torchvision:resnet18    torchvision's IMAGENET1K_V1, trained on ImageNet with labels; also resnet34 and resnet50

Parameters and running statistics are the start's; the head is random. All must fit the recipe's encoder exactly, but
for one convolution of torchvision's: its `conv1`, 7 x 7 of three channels, stays random where the recipe's is another,
for the stems "cifar" and "strided" and for grey images. The configuration of the model that is made says so:

    "start": {"source": "torchvision:resnet18", "sha256": ..., "random": ["conv1.weight"], "mean": ..., "std": ...}

Weights come with their preprocessing: where the recipe has no mean or std of its own, they are the start's. The one
exception is torchvision's for grey images: its three means do not fit, and the training images' own are taken.

torchvision's file lies where torch keeps it, in `checkpoints` of `torch.hub.get_dir()`, and is downloaded if it is not
there. Its name ends in the first digits of its SHA-256, which are checked before anything is read; nothing but tensors
is read from it (`weights_only`).
"""

import hashlib
import http.client
import inspect
import io
import json
import os
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from functional import random, tree
from functional.base import BatchStats, Encoder, Key, Params
from zoo.data.downloads import stream
from zoo.errors import ZooError
from zoo.models.architectures import ENCODERS
from zoo.models.loading import load
from zoo.training.catalogue import TORCHVISION
from zoo.training.recipe import Recipe

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_KINDS = {1: "grey images (1 channel)", 3: "colour images (3 channels)"}


class Start(NamedTuple):
    """Weights to start from.

    Attributes:
        source: as the recipe names them.
        sha256: of the file that holds them.
        weights: parameters and running statistics, by name.
        in_channels: of the images that they are for.
        mean: per channel, of their preprocessing.
        std: per channel, likewise.
        or_random: the weights that may be of another shape than the recipe's, which then stay random.
        input_shape: `(C, H, W)` of the images that it was trained on; None where that does not matter.
    """

    source: str
    sha256: str
    weights: Mapping[str, Tensor]
    in_channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    or_random: tuple[str, ...] = ()
    input_shape: tuple[int, int, int] | None = None


def read_start(recipe: Recipe) -> Start:
    """The weights that a recipe starts from; its `start` is not "random".

    Raises:
        ZooError: if they are not there, cannot be downloaded, were changed, or are another encoder's than the recipe's.
    """
    if recipe.start in TORCHVISION:
        network = recipe.start.partition(":")[2]
        stem = {name: value for name, value in recipe.encoder_options.items() if name == "stem"}
        _require_encoder(recipe, network, stem)
        weights, sha256 = torchvision_weights(network)
        return Start(recipe.start, sha256, weights, 3, _IMAGENET_MEAN, _IMAGENET_STD, ("conv1.weight",))
    try:
        model = load(recipe.start)
    except ZooError as error:
        raise ZooError(f"recipe: start: {error}") from error
    architecture, config = model.config["architecture"], model.config
    _require_encoder(recipe, architecture["encoder"], architecture["options"])
    return Start(
        source=recipe.start,
        sha256=config["sha256"],
        weights={**tree.flatten(model.params), **tree.flatten(model.batch_stats)},
        in_channels=architecture["in_channels"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        input_shape=model.input_shape,
    )


def start_from(start: Start, encoder: Encoder, in_channels: int) -> tuple[Encoder, dict[str, Any]]:
    """The same encoder, whose `init` gives the weights of a start.

    Args:
        start: what to start from.
        encoder: the recipe's.
        in_channels: of the training images.

    Returns:
        The encoder, and the record of the start for the configuration of the model: `source`, `sha256`, the names of
        the weights that are `random` all the same, and `mean` and `std`, None where they are for other channels.

    Raises:
        ZooError: if the weights are for images of other channels, or one does not fit.
    """
    if in_channels != start.in_channels and not start.or_random:
        raise ZooError(
            f"recipe: start: {start.source} takes {_KINDS[start.in_channels]}, got {_KINDS[in_channels]}; "
            f"save them as {_KINDS[start.in_channels]}, or choose another start"
        )
    params, batch_stats = encoder.init(random.key(0))
    own = {**tree.flatten(params), **tree.flatten(batch_stats)}
    kept = [n for n in start.or_random if n in start.weights and start.weights[n].shape != own[n].shape]
    weights = {name: x for name, x in start.weights.items() if name not in kept}
    try:
        tree.unflatten_like(tree.unflatten(own), {**weights, **{name: own[name] for name in kept}})
    except ValueError as error:
        raise ZooError(f"recipe: start: {start.source} does not fit the encoder: {error}") from error

    def init(key: Key, /) -> tuple[Params, BatchStats]:
        params, batch_stats = encoder.init(key)
        return _replace(params, weights), _replace(batch_stats, weights)

    fits = in_channels == start.in_channels
    record = {
        "source": start.source,
        "sha256": start.sha256,
        "random": kept,
        "mean": list(start.mean) if fits else None,
        "std": list(start.std) if fits else None,
    }
    return encoder._replace(init=init), record


def torchvision_weights(name: str, *, url: str | None = None, timeout: float = 30.0) -> tuple[dict[str, Tensor], str]:
    """The ImageNet weights of a residual network of torchvision's, from torch's cache; downloaded if not there.

    Args:
        name: "resnet18", "resnet34" or "resnet50".
        url: where to download them from, ending in `-DIGITS.pth`, the first digits of the file's SHA-256; None is
            where torchvision has them.
        timeout: seconds without a byte after which the server is given up.

    Returns:
        The weights by name, without the classifier's and the counts of batches, and the SHA-256 of the file.

    Raises:
        ZooError: if they cannot be downloaded, or the file is not what its name says. The message says where the file
            is expected; there is the whole file or none.
    """
    if url is None:
        from torchvision.models import get_model_weights

        url = str(get_model_weights(name)["IMAGENET1K_V1"].url)
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    digits = path.stem.rpartition("-")[2]
    if not path.is_file():
        _fetch(url, path, digits, timeout)
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    if not sha256.startswith(digits):
        raise ZooError(
            f"{path}: SHA-256 {sha256[:12]}..., but its name says {digits}...; "
            "it was cut short or changed, so delete it and it is downloaded again"
        )
    try:
        flat = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        weights = {name: x.detach() for name, x in flat.items() if not name.startswith("fc.")}
    except Exception as error:  # torch raises pickle, zip, key, type and runtime errors, by what the file is instead
        raise ZooError(f"{path}: holds no weights that can be read ({str(error).partition(chr(10))[0]})") from error
    return {name: x for name, x in weights.items() if not name.endswith(".num_batches_tracked")}, sha256


def _fetch(url: str, path: Path, digits: str, timeout: float) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{path.stem}.", dir=path.parent) as folder:
            part = Path(folder) / path.name
            size, sha256 = stream(url, part, timeout)
            if sha256.startswith(digits):
                os.replace(part, path)
                return
        failure = (
            f"{size:,} bytes came with SHA-256 {sha256[:12]}..., expected {digits}...; it was cut short or changed"
        )
    except (OSError, http.client.HTTPException) as error:
        failure = str(error)  # the error itself is let go: it holds the connection open
    raise ZooError(
        f"{path.name}: expected in {path.parent}, and it cannot be put there: {url}: {failure}. Download that where "
        "there is a network, and copy the file to that place; or set TORCH_HOME to where hub/checkpoints has it"
    )


def _require_encoder(recipe: Recipe, encoder: str, options: Mapping[str, Any]) -> None:
    """The recipe's encoder is the start's, an option that is left out counting as its default."""
    if recipe.encoder == encoder and _spelt_out(encoder, recipe.encoder_options) == _spelt_out(encoder, options):
        return
    wanted = json.dumps(options)
    raise ZooError(
        f"recipe: start: {recipe.start} is {encoder} {wanted}, and the recipe's encoder is {recipe.encoder} "
        f"{json.dumps(recipe.encoder_options)}; go on from it with --set encoder={encoder} "
        f"--set encoder_options={shlex.quote(wanted)}"
    )


def _spelt_out(encoder: str, options: Mapping[str, Any]) -> str:
    parameters = inspect.signature(ENCODERS[encoder]).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    return json.dumps({**defaults, **options}, sort_keys=True)


def _replace(template: Any, weights: Mapping[str, Tensor]) -> Any:
    """The tree with those of its leaves replaced that have a weight, on the device where they were."""
    own = tree.flatten(template)
    return tree.unflatten_like(template, {name: weights.get(name, x).to(x.device) for name, x in own.items()})
