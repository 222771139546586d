"""An encoder with its weights and its preprocessing, and with its decoder, if it was trained with one."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from functional import augmentations, random, tree
from functional.base import BatchStats, Encoder, Params
from functional.layers import Layer
from functional.solvers import levenberg_marquardt
from zoo.data.mapping import batches
from zoo.errors import ZooError, shortened, unknown
from zoo.models.module import EncoderModule

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}  # of the weights in a file
_BATCH = 256
MOST_REFINED = 64  # features, each of which takes a derivative per step


class Decoder(NamedTuple):
    """A decoder with its weights.

    Attributes:
        name: a name in `zoo.models.architectures.DECODERS`.
        options: its options.
        layer: the architecture, from features to the logits of images.
        params: its parameters.
        batch_stats: its running statistics.
    """

    name: str
    options: Mapping[str, Any]
    layer: Layer
    params: Params
    batch_stats: BatchStats


@dataclass(frozen=True, repr=False)
class PretrainedEncoder:
    """An encoder with its weights and its preprocessing.

    Attributes:
        encoder: the architecture, `(init, apply, feature_dim)`.
        params: its parameters.
        batch_stats: its running statistics.
        config: what `config.json` holds.
        decoder: the decoder that it was trained with; None if there is none.
    """

    encoder: Encoder
    params: Params
    batch_stats: BatchStats
    config: Mapping[str, Any]
    decoder: Decoder | None = None

    @property
    def name(self) -> str:
        """`METHOD-ENCODER-DATASET`."""
        return self.config["name"]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of the images that the encoder takes."""
        channels, height, width = self.config["input_shape"]
        return channels, height, width

    @property
    def feature_dim(self) -> int:
        """The number of features per image."""
        return self.encoder.feature_dim

    @property
    def has_decoder(self) -> bool:
        """Whether `decode` can turn features into images."""
        return self.decoder is not None

    def features(self, images: Any) -> Float[Tensor, "batch feature_dim"]:
        """The features of images, in evaluation mode, after the encoder's own preprocessing.

        Args:
            images: uint8 `[N, C, H, W]`, a tensor or an array, of `input_shape`; or a list of PIL images or paths,
                which are converted to grey or colour, resized so that the shorter side fits (bilinear, antialiased)
                and centre-cropped.

        Returns:
            float32 `[N, feature_dim]`. The same images in the same order give the same bits; in a different batch, the
            last digits can differ, because the kernels sum in another order.

        Raises:
            ZooError: for a wrong rank, dtype, number of channels or size, a path that is not an image, or images of a
                mapped file that was changed.
        """
        pixels = _pixels(images, self.input_shape)
        with torch.no_grad():
            return torch.cat([self._batch(batch) for batch in batches(pixels, _BATCH)])

    def pixels(self, images: Any) -> Float[Tensor, "batch pixels"]:
        """The pixels of images after the same conversion, float32 `[N, C * H * W]` in 0..1: a baseline for features.

        Raises:
            ZooError: as in `features`.
        """
        pixels = _pixels(images, self.input_shape)
        return torch.cat([augmentations.to_float(batch).flatten(1) for batch in batches(pixels, _BATCH)])

    def decode(self, latents: Any) -> Float[Tensor, "batch channels height width"]:
        """The images that the decoder makes of features, in evaluation mode: `decode(features(images))` for images.

        Args:
            latents: floating point `[N, feature_dim]`, a tensor or an array.

        Returns:
            float32 `[N, C, H, W]` in 0..1.

        Raises:
            ZooError: if the encoder has no decoder, or for a wrong type or shape.
        """
        with torch.no_grad():
            return torch.cat([self._decode(batch) for batch in _latents(latents, self.feature_dim).split(_BATCH)])

    def refine(self, images: Any, latents: Any, *, steps: int = 5) -> Float[Tensor, "batch feature_dim"]:
        """Latents that the decoder turns into something nearer to the images, for a decoder of few latents.

        The encoder guesses the latents of an image in one pass; steps of least squares through the decoder improve
        them, image by image: see `functional.solvers.levenberg_marquardt`. No image is decoded worse than before.

        Args:
            images: as in `features`, N of them.
            latents: floating point `[N, feature_dim]`, a tensor or an array: `features(images)`.
            steps: at least 0.

        Returns:
            float32 `[N, feature_dim]`.

        Raises:
            ZooError: as in `features` and `decode`; for another number of latents than of images; for more than 64
                features, because a step takes a derivative for each.

        Example:
            >>> import zoo
            >>> model = zoo.load("autoencoder-s5-mnist_48k")
            >>> images = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
            >>> images[..., 4:24, 13:16] = 255
            >>> latents = model.features(images)
            >>> before, after = (model.decode(x) - images / 255 for x in (latents, model.refine(images, latents)))
            >>> bool(after.square().mean() < before.square().mean())
            True
        """
        if self.feature_dim > MOST_REFINED:
            raise ZooError(f"{self.name}: expected at most {MOST_REFINED} features to refine, got {self.feature_dim:,}")
        if not isinstance(steps, int) or steps < 0:
            raise ZooError(f"steps: expected a whole number from 0, got {shortened(steps)}")
        pixels, latents = _pixels(images, self.input_shape), _latents(latents, self.feature_dim)
        if len(pixels) != len(latents):
            raise ZooError(f"latents: expected a row for each of {len(pixels):,} images, got {len(latents):,}")
        with torch.no_grad():
            refined = [
                levenberg_marquardt(self._decode_flat, start, augmentations.to_float(batch).flatten(1), steps=steps)
                for batch, start in zip(batches(pixels, _BATCH), latents.split(_BATCH), strict=True)
            ]
        return torch.cat(refined)

    def to_module(self) -> EncoderModule:
        """The same encoder as a `torch.nn.Module`: a copy, in evaluation mode, with its preprocessing.

        The state dict of a ResNet-18, 34 or 50 loads into torchvision's network, which then gives the same features of
        the same images, divided by 255 and normalised by `config["mean"]` and `config["std"]`. torchvision's stem is
        ours called "imagenet"; for the others, replace `conv1` and `maxpool` there.

        Example:
            >>> import zoo
            >>> module = zoo.load("simclr-resnet8-digits").to_module()
            >>> module(torch.zeros(2, 1, 8, 8, dtype=torch.uint8)).shape
            torch.Size([2, 64])

            Into torchvision, here with random weights:

            >>> from torchvision.models import resnet18
            >>> from functional import encoders, random
            >>> encoder = encoders.resnet18()
            >>> config = {"name": "mine", "input_shape": [3, 64, 64], "mean": [0.0] * 3, "std": [1.0] * 3}
            >>> model = PretrainedEncoder(encoder, *encoder.init(random.key(0)), config)
            >>> theirs = resnet18().eval()
            >>> theirs.fc = torch.nn.Identity()
            >>> theirs.load_state_dict(model.to_module().state_dict())
            <All keys matched successfully>
            >>> images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
            >>> torch.allclose(theirs(images / 255), model.features(images), atol=1e-5)
            True
        """
        mean, std = self.config["mean"], self.config["std"]
        return EncoderModule(self.encoder, self.params, self.batch_stats, mean=mean, std=std)

    def _batch(self, pixels: Tensor) -> Tensor:
        mean, std = self.config["mean"], self.config["std"]
        images = augmentations.normalize(None, augmentations.to_float(pixels), mean=mean, std=std)
        return self.encoder.apply(self.params, self.batch_stats, images)[0].float()

    def _decode(self, latents: Tensor) -> Tensor:
        if self.decoder is None:
            raise ZooError(f"{self.name}: has no decoder; only methods such as autoencoder train one")
        return self.decoder.layer.apply(self.decoder.params, self.decoder.batch_stats, latents)[0].sigmoid()

    def _decode_flat(self, latents: Tensor) -> Tensor:
        return self._decode(latents).flatten(1)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.input_shape))
        parameters = sum(x.numel() for x in tree.leaves(self.params))
        return f"PretrainedEncoder({self.name!r}: {shape} -> {self.feature_dim}, {parameters:,} parameters)"


def untrained(model: PretrainedEncoder, seed: int = 0) -> PretrainedEncoder:
    """The same encoder with new random weights and no decoder: the baseline for every pretrained result."""
    params, batch_stats = model.encoder.init(random.key(seed))
    return dataclasses.replace(model, params=params, batch_stats=batch_stats, decoder=None)


def stored(weights: Any, dtype: str) -> Any:
    """A tree of weights as a file stores it: float32 leaves in the dtype of a name in `DTYPES`, others unchanged."""
    return tree.map(lambda x: x.to(DTYPES[dtype]) if x.dtype == torch.float32 else x, weights)


def rounded(model: PretrainedEncoder, dtype: str) -> PretrainedEncoder:
    """The encoder as it would be loaded from a file with weights of this dtype: rounded to it, in float32 again.

    Raises:
        ZooError: if the dtype is unknown.

    Example:
        >>> import zoo
        >>> model = zoo.load("simclr-resnet8-digits")
        >>> weight, short = (m.params["conv1"]["weight"] for m in (model, rounded(model, "bfloat16")))
        >>> short.dtype, (short / weight - 1).abs().max() <= 2**-8
        (torch.float32, tensor(True))
    """
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)

    def through_a_file(weights: Any) -> Any:
        return tree.map(lambda x, before: x.to(before.dtype), stored(weights, dtype), weights)

    params, batch_stats = through_a_file((model.params, model.batch_stats))
    decoder = model.decoder
    if decoder is not None:
        own_params, own_stats = through_a_file((decoder.params, decoder.batch_stats))
        decoder = decoder._replace(params=own_params, batch_stats=own_stats)
    return dataclasses.replace(model, params=params, batch_stats=batch_stats, decoder=decoder)


def fingerprint(model: PretrainedEncoder) -> list[float]:
    """The first 8 features of a fixed image, uint8 noise from key 0. Machines agree on them to about 1e-4."""
    noise = random.randint(random.key(0), (1, *model.input_shape), 0, 256).to(torch.uint8)
    return [round(x, 6) for x in model.features(noise)[0, :8].tolist()]


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


def _latents(latents: Any, dim: int) -> Tensor:
    """Features of either kind of array as float32 `[N, dim]`."""
    if not isinstance(latents, Tensor | np.ndarray):
        raise ZooError(f"latents: expected a tensor or an array [N, {dim}], got {type(latents).__name__}")
    latents = torch.as_tensor(latents)
    if not latents.is_floating_point():
        raise ZooError(f"latents: expected floating point, as `features` returns, got {latents.dtype}")
    if latents.ndim != 2 or latents.shape[1] != dim or len(latents) == 0:
        raise ZooError(f"latents: expected [N, {dim}], N above 0, got {list(latents.shape)}")
    return latents.float()


def _open(image: Any, shape: tuple[int, int, int]) -> Tensor:
    from PIL import Image

    from zoo.data.images import read_image

    if not isinstance(image, str | Path | Image.Image):
        raise ZooError(f"images: expected PIL images or paths in the list, got {type(image).__name__}")
    return torch.from_numpy(read_image(image, shape))
