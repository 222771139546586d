"""Encoders by name or directory: verified, then loaded with their own preprocessing.

An encoder directory holds `model.safetensors`, `config.json` and `README.md` (the card). The configuration has the
architecture, the input shape, mean and standard deviation, and the SHA-256 of the weights, so that weights are never
loaded without the preprocessing that they were trained with, nor with another's.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from functional import augmentations, random, tree
from functional.base import BatchStats, Encoder, Params
from zoo.errors import ZooError, unknown
from zoo.files import content_digest, load_tensors, save_tensors, write_atomically
from zoo.models.entries import ENTRIES, entry
from zoo.models.module import EncoderModule
from zoo.training.recipe import ENCODERS, build_encoder

FORMAT_VERSION = 1
WEIGHTS = Path(__file__).parents[1] / "weights"
_BATCH = 256


@dataclass(frozen=True, repr=False)
class PretrainedEncoder:
    """An encoder with its weights and its preprocessing.

    Attributes:
        encoder: the architecture, `(init, apply, feature_dim)`.
        params: its parameters.
        batch_stats: its running statistics.
        config: what `config.json` holds.
    """

    encoder: Encoder
    params: Params
    batch_stats: BatchStats
    config: Mapping[str, Any]

    @property
    def name(self) -> str:
        """`METHOD-ENCODER-DATASET`."""
        return self.config["name"]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of the images that it takes."""
        channels, height, width = self.config["input_shape"]
        return channels, height, width

    @property
    def feature_dim(self) -> int:
        """How many numbers describe an image."""
        return self.encoder.feature_dim

    def features(self, images: Any) -> Float[Tensor, "batch feature_dim"]:
        """The features of images, in evaluation mode, after the encoder's own preprocessing.

        Args:
            images: uint8 `[N, C, H, W]`, a tensor or an array, of `input_shape`; or a list of PIL images or paths,
                which are converted to grey or colour, resized so that the shorter side fits (bilinear, antialiased)
                and cropped to the centre.

        Returns:
            float32 `[N, feature_dim]`. The same images in the same order give the same bits; in other company the
            last digits can differ, as the kernels sum in another order.

        Raises:
            ZooError: for another rank, dtype, number of channels or size, and for a path that is not an image.
        """
        pixels = _pixels(images, self.input_shape)
        with torch.no_grad():
            return torch.cat([self._batch(batch) for batch in torch.split(pixels, _BATCH)])

    def pixels(self, images: Any) -> Float[Tensor, "batch pixels"]:
        """The pixels of images after the same conversion, float32 `[N, C * H * W]` in 0..1: the baseline of features.

        Raises:
            ZooError: as `features`.
        """
        return augmentations.to_float(_pixels(images, self.input_shape)).flatten(1)

    def to_module(self) -> EncoderModule:
        """The same encoder as a `torch.nn.Module`: a copy, in evaluation mode, with its preprocessing.

        Example:
            >>> module = load("simclr-resnet8-digits").to_module()
            >>> module(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)).shape
            torch.Size([2, 64])
        """
        mean, std = self.config["mean"], self.config["std"]
        return EncoderModule(self.encoder, self.params, self.batch_stats, mean=mean, std=std)

    def _batch(self, pixels: Tensor) -> Tensor:
        mean, std = self.config["mean"], self.config["std"]
        images = augmentations.normalize(None, augmentations.to_float(pixels), mean=mean, std=std)
        return self.encoder.apply(self.params, self.batch_stats, images)[0].float()

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.input_shape))
        parameters = sum(x.numel() for x in tree.leaves(self.params))
        return f"PretrainedEncoder({self.name!r}: {shape} -> {self.feature_dim}, {parameters:,} parameters)"


def load(name: str | Path) -> PretrainedEncoder:
    """The encoder of a name in `list_models()`, or of a directory.

    Args:
        name: a name has no slash; a directory is written with one (`./encoder`), or passed as a `Path`. The directory
            of a finished run stands for the encoder in it.

    Raises:
        ZooError: if there is no such model, if files are missing, cut short or changed since they were written, or if
            their format is newer than this version reads.
    """
    if isinstance(name, str) and not re.search(r"[/\\]", name):
        if name not in ENTRIES and Path(name).is_dir():
            raise ZooError(f"{name!r} is not a model of the zoo but a directory here; write './{name}' for that")
        if name in ENTRIES and Path(name).is_dir():
            raise ZooError(
                f"{name!r} is both a model of the zoo and a directory here; write './{name}' for the directory, "
                f"or {str(WEIGHTS / name)!r} for the model"
            )
        expected = entry(name)
        return _load_directory(WEIGHTS / name, expected.sha256)
    return _load_directory(Path(name).expanduser(), None)


def save(model: PretrainedEncoder, directory: str | Path) -> PretrainedEncoder:
    """Write an encoder directory, and return the encoder as loaded from it.

    The configuration is written last: a directory without it is not taken for an encoder.

    Raises:
        ZooError: if the directory holds another encoder's configuration already.
        OSError: if it cannot be written.
    """
    from zoo.reports.cards import render_card  # cards read results, which nothing else here needs

    directory = Path(directory).expanduser()
    directory.mkdir(parents=True, exist_ok=True)
    flat = tree.flatten({**_merge(model.params, model.batch_stats)})
    sha256 = save_tensors(directory / "model.safetensors", flat, {"name": model.name})
    config = {
        **model.config,
        "format_version": FORMAT_VERSION,
        "sha256": sha256,
        "content_digest": content_digest(flat),
        "fingerprint": fingerprint(model),
    }
    write_atomically(directory / "README.md", render_card(config).encode())
    write_atomically(directory / "config.json", (json.dumps(config, indent=2) + "\n").encode())
    return load(directory)


def fingerprint(model: PretrainedEncoder) -> list[float]:
    """The first 8 features of one fixed image: uint8 noise from key 0. Machines agree on them to about 1e-4."""
    noise = random.randint(random.key(0), (1, *model.input_shape), 0, 256).to(torch.uint8)
    return [round(x, 6) for x in model.features(noise)[0, :8].tolist()]


def _load_directory(directory: Path, sha256: str | None) -> PretrainedEncoder:
    if not directory.is_dir():
        raise ZooError(f"{directory}: no such directory; `zoo list` shows the models that can be loaded by name")
    if not (directory / "config.json").is_file() and (directory / "encoder" / "config.json").is_file():
        directory = directory / "encoder"
    config = _read_config(directory)
    path = directory / "model.safetensors"
    if not path.is_file():
        raise ZooError(f"{path}: no such file; an encoder directory holds model.safetensors and config.json")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    for source, expected in (("config.json", config["sha256"]), ("the zoo", sha256)):
        if expected is not None and found != expected:
            raise ZooError(
                f"{path}: SHA-256 {found[:12]}..., but {source} says {expected[:12]}...; "
                "the file was cut short or changed, so copy or download it again"
            )
    flat, _ = load_tensors(path)
    architecture = config["architecture"]
    encoder = build_encoder(architecture["encoder"], architecture["in_channels"], architecture["options"])
    # On the meta device there are shapes and no numbers: nothing is drawn that the file then replaces.
    params, batch_stats = encoder.init(random.key(0, device="meta"))
    try:
        params = tree.unflatten_like(params, {k: v for k, v in flat.items() if not _is_statistic(k)})
        batch_stats = tree.unflatten_like(batch_stats, {k: v for k, v in flat.items() if _is_statistic(k)})
    except ValueError as error:
        raise ZooError(f"{path}: does not fit {architecture['encoder']}: {error}") from error
    return PretrainedEncoder(encoder, params, batch_stats, config)


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / "config.json"
    if not path.is_file():
        raise ZooError(f"{directory}: not an encoder directory: it has no config.json")
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise ZooError(f"{path}: not JSON ({error})") from error
    version = config.get("format_version") if isinstance(config, dict) else None
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        hint = "; install a newer funczoo" if newer else ""
        raise ZooError(f"{path}: expected format_version {FORMAT_VERSION}, got {version!r}{hint}")
    required = {"name", "architecture", "input_shape", "mean", "std", "sha256"}
    if missing := required - config.keys():
        raise ZooError(f"{path}: missing {', '.join(sorted(missing))}")
    if config["architecture"].get("encoder") not in ENCODERS:
        raise unknown(f"encoder in {path}:", config["architecture"].get("encoder"), ENCODERS)
    return config


def _is_statistic(name: str) -> bool:
    return name.rpartition(".")[2] in ("running_mean", "running_var")


def _merge(params: Params, batch_stats: BatchStats) -> dict[str, Any]:
    return tree.unflatten({**tree.flatten(params), **tree.flatten(batch_stats)})


def _pixels(images: Any, shape: tuple[int, int, int]) -> Tensor:
    """Images of any accepted kind as uint8 `[N, C, H, W]`."""
    if isinstance(images, Sequence) and not isinstance(images, str | bytes):
        if not images:
            raise ZooError("images: expected at least one, got an empty list")
        return torch.stack([_open(image, shape) for image in images])
    expected = f"[N, {', '.join(map(str, shape))}]"
    if not isinstance(images, Tensor | np.ndarray):
        raise ZooError(
            f"images: expected uint8 {expected}, a tensor or an array, or a list of PIL images or paths, "
            f"got {type(images).__name__}"
        )
    pixels = torch.as_tensor(images)
    if pixels.dtype != torch.uint8:
        raise ZooError(f"images: expected uint8 in 0..255, got {pixels.dtype}; the encoder scales them itself")
    if pixels.ndim != 4 or tuple(pixels.shape[1:]) != shape:
        hint = {
            3: "add a dimension with images[None] (one image) or images[:, None] (grey images)",
            4: "resize them, or pass a list of PIL images or paths, which are resized",
        }.get(pixels.ndim, "stack them along a first dimension")
        raise ZooError(f"images: expected uint8 {expected}, got {list(pixels.shape)}; {hint}")
    if len(pixels) == 0:
        raise ZooError(f"images: expected at least one, got {list(pixels.shape)}")
    return pixels


def _open(image: Any, shape: tuple[int, int, int]) -> Tensor:
    from PIL import Image

    from zoo.data.images import read_image

    if not isinstance(image, str | Path | Image.Image):
        raise ZooError(f"images: expected PIL images or paths in the list, got {type(image).__name__}")
    return torch.from_numpy(read_image(image, shape))


def untrained(model: PretrainedEncoder, seed: int = 0) -> PretrainedEncoder:
    """The same encoder with fresh random weights: the baseline of every pretrained figure."""
    params, batch_stats = model.encoder.init(random.key(seed))
    return dataclasses.replace(model, params=params, batch_stats=batch_stats)
