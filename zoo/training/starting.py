"""The start of pretraining: verified weights of an encoder, instead of random ones.

    random                  the encoder's own initialisation
    NAME, ./DIRECTORY       a model of the zoo, an encoder directory or a finished run, as `zoo.load` takes them
    torchvision:resnet18    torchvision's IMAGENET1K_V1, trained on ImageNet with labels; also resnet34 and resnet50

Parameters and running statistics come from the start; the head is random. All must fit the recipe's encoder exactly,
with one exception: torchvision's `conv1`, 7 x 7 with three input channels, stays random if the recipe's has another
shape, that is for the stems "cifar" and "strided" and for grey images. The configuration of the new model records it:

    "start": {"source": "torchvision:resnet18", "sha256": ..., "random": ["conv1.weight"], "mean": ..., "std": ...}

Weights come with their preprocessing: unless the recipe sets mean or std, they are the start's. The one exception is
torchvision's weights on grey images: the three means do not apply, and those of the training images are used.

torchvision's file is in torch's cache, in `checkpoints` of `torch.hub.get_dir()`, and is downloaded if missing. Its
SHA-256 is checked before the file is read; only tensors are read from it (`weights_only`).
"""

import hashlib
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
from zoo.data.downloads import RemoteFile
from zoo.data.transfer import LARGEST, TransferError, stream
from zoo.errors import ZooError
from zoo.models.architectures import ENCODERS
from zoo.models.loading import load
from zoo.training.catalogue import TORCHVISION
from zoo.training.recipe import Recipe

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# SHA-256 and bytes of torchvision's files; their names have the first eight digits.
PUBLISHED = {
    "resnet18": ("f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec", 46_830_571),
    "resnet34": ("b627a593bcbe140c234610266fe4f8ae95ea42fc881d091c9b6052e6b1d0590f", 87_319_819),
    "resnet50": ("0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a", 102_530_333),
}
_KINDS = {1: "grey images (1 channel)", 3: "colour images (3 channels)"}


class Start(NamedTuple):
    """Weights to start from.

    Attributes:
        source: their name in the recipe.
        sha256: SHA-256 of their file.
        weights: parameters and running statistics, by name.
        in_channels: number of channels of the images that they take.
        mean: mean per channel in their preprocessing.
        std: standard deviation per channel in their preprocessing.
        or_random: the weights whose shape may differ from the recipe's, and which then stay random.
        input_shape: `(C, H, W)` of the images that they were trained on; None if it does not matter.
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
    """Read the weights that a recipe starts from; its `start` is not "random".

    Raises:
        ZooError: if the weights are missing, cannot be downloaded, were modified, or belong to another encoder than the
            recipe's.
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
    """The same encoder with an `init` that returns the weights of a start.

    Args:
        start: the weights to start from.
        encoder: the recipe's encoder.
        in_channels: number of channels of the training images.

    Returns:
        The encoder, and the record of the start for the configuration of the model: `source`, `sha256`, the names of
        the weights that stay `random`, and `mean` and `std`, None if they are for another number of channels.

    Raises:
        ZooError: if the weights are for another number of channels, or one of them does not fit.
    """
    if in_channels != start.in_channels and not start.or_random:
        raise ZooError(
            f"recipe: start: {start.source} takes {_KINDS[start.in_channels]}, got {_KINDS[in_channels]}; "
            f"convert them to {_KINDS[start.in_channels]}, or choose another start"
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


def torchvision_weights(
    name: str, *, file: RemoteFile | None = None, timeout: float = 30.0
) -> tuple[dict[str, Tensor], str]:
    """The ImageNet weights of a torchvision residual network, from torch's cache; downloaded if missing.

    Args:
        name: "resnet18", "resnet34" or "resnet50".
        file: where to download them from; None for `published_weights(name)`.
        timeout: seconds without data after which a connection is abandoned.

    Returns:
        The weights by name, without those of the classifier and the batch counters, and the SHA-256 of the file.

    Raises:
        ZooError: if they cannot be downloaded, or were modified. The message says where the file is expected; the
            cache never holds a partial file.
    """
    file = file or published_weights(name)
    path = Path(torch.hub.get_dir()) / "checkpoints" / file.urls[0].rpartition("/")[2]
    if not path.is_file():
        _fetch(file, path, timeout)
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != file.sha256:
        raise ZooError(
            f"{path}: SHA-256 {sha256[:12]}..., expected {file.sha256[:12]}...; "
            "the file is truncated or modified; delete it, and it will be downloaded again"
        )
    try:
        flat = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        weights = {name: x.detach() for name, x in flat.items() if not name.startswith("fc.")}
    except Exception as error:  # torch raises pickle, zip, key, type or runtime errors, depending on the file
        raise ZooError(f"{path}: holds no readable weights ({str(error).partition(chr(10))[0]})") from error
    return {name: x for name, x in weights.items() if not name.endswith(".num_batches_tracked")}, sha256


def published_weights(name: str) -> RemoteFile:
    """The file of torchvision's IMAGENET1K_V1 weights of a residual network, at torchvision's URL."""
    from torchvision.models import get_model_weights

    return RemoteFile((str(get_model_weights(name)["IMAGENET1K_V1"].url),), *PUBLISHED[name])


def _fetch(file: RemoteFile, path: Path, timeout: float) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{path.stem}.", dir=path.parent) as folder:
            part = Path(folder) / path.name
            size, sha256 = stream(file.urls[0], part, limit=file.size or LARGEST, timeout=timeout)
            if sha256 == file.sha256:
                os.replace(part, path)
                return
        failure = (
            f"{file.urls[0]}: got {size:,} bytes with SHA-256 {sha256[:12]}..., expected {file.sha256[:12]}...; "
            "it was truncated or modified"
        )
    except (OSError, TransferError) as error:
        failure = str(error)
    raise ZooError(
        f"{path.name}: expected in {path.parent}, but the download failed: {failure}. Download it on a machine "
        "with a network and copy it to that directory, or set TORCH_HOME to a folder whose hub/checkpoints holds it"
    )


def _require_encoder(recipe: Recipe, encoder: str, options: Mapping[str, Any]) -> None:
    """Require the recipe's encoder to be the start's; omitted options count as their defaults."""
    if recipe.encoder == encoder and _spelt_out(encoder, recipe.encoder_options) == _spelt_out(encoder, options):
        return
    wanted = json.dumps(options)
    raise ZooError(
        f"recipe: start: {recipe.start} is {encoder} {wanted}, and the recipe's encoder is {recipe.encoder} "
        f"{json.dumps(recipe.encoder_options)}; to start from it, pass --set encoder={encoder} "
        f"--set encoder_options={shlex.quote(wanted)}"
    )


def _spelt_out(encoder: str, options: Mapping[str, Any]) -> str:
    parameters = inspect.signature(ENCODERS[encoder]).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    return json.dumps({**defaults, **options}, sort_keys=True)


def _replace(template: Any, weights: Mapping[str, Tensor]) -> Any:
    """The tree with every leaf that has a weight replaced by it, on the leaf's device."""
    own = tree.flatten(template)
    return tree.unflatten_like(template, {name: weights.get(name, x).to(x.device) for name, x in own.items()})
