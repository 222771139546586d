"""Architectures by name, as recipes and saved models use them."""

from collections.abc import Callable, Mapping
from typing import Any

from functional import encoders, heads
from functional.base import Encoder
from functional.layers import Layer
from zoo.errors import ZooError, unknown
from zoo.models.code import NO_CODE, Code
from zoo.models.options import Options

ENCODERS: dict[str, Callable[..., Encoder]] = {
    "resnet8": encoders.resnet8,
    "resnet18": encoders.resnet18,
    "resnet34": encoders.resnet34,
    "resnet50": encoders.resnet50,
    "latent_cnn": encoders.latent_cnn,
    "s1a": encoders.s1a,
    "s1b": encoders.s1b,
    "s2": encoders.s2,
    "s3a": encoders.s3a,
    "s4": encoders.s4,
    "s5": encoders.s5,
}
# (latent_dim, *, out_channels, ...) -> Layer, from features to the logits of images.
DECODERS: dict[str, Callable[..., Layer]] = {
    "s5_decoder": heads.s5_decoder,
    "fourier_decoder": heads.fourier_decoder,
}


def known_encoders(code: Code = NO_CODE) -> dict[str, Callable[..., Encoder]]:
    """The encoders of this package and those in the user's own code.

    Raises:
        ZooError: if both have one of the same name.
    """
    return merged("encoder", ENCODERS, code.encoders)


def build_encoder(name: str, in_channels: int, options: Options, code: Code = NO_CODE) -> Encoder:
    """Build the encoder of a name, for images with `in_channels` channels.

    Raises:
        ZooError: if the name or an option is unknown, or a value is invalid.
    """
    return call_named("encoder", known_encoders(code), name, (in_channels,), options)


def build_decoder(name: str, latent_dim: int, out_channels: int, options: Options) -> Layer:
    """Build the decoder of a name, from `latent_dim` features to images with `out_channels` channels.

    Raises:
        ZooError: if the name or an option is unknown, or a value is invalid.
    """
    return call_named("decoder", DECODERS, name, (latent_dim,), {**options, "out_channels": out_channels})


def merged(
    kind: str, ours: Mapping[str, Callable[..., Any]], own: Mapping[str, Callable[..., Any]]
) -> dict[str, Callable[..., Any]]:
    """Functions by name: those of this package and the user's own.

    Raises:
        ZooError: if both have one of the same name.
    """
    if both := sorted(ours.keys() & own.keys()):
        raise ZooError(f"{kind} {both[0]!r}: this package already has one of that name; rename yours")
    return {**ours, **own}


def call_named(
    kind: str, known: Mapping[str, Callable[..., Any]], name: str, args: tuple[Any, ...], options: Options
) -> Any:
    """Call the function of a name, with options as keyword arguments.

    Raises:
        ZooError: if the name or an option is unknown, or the function rejects a value.
    """
    if name not in known:
        raise unknown(kind, name, known)
    try:
        return known[name](*args, **options)
    except (TypeError, ValueError) as error:
        raise ZooError(f"{kind} {name!r}: {error}") from error
