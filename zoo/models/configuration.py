"""The configuration of an encoder directory, `config.json`, checked field by field before anything is built from it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.errors import ZooError, shortened, unknown
from zoo.files import parse_json
from zoo.models.architectures import DECODERS, known_encoders
from zoo.models.code import Code
from zoo.models.options import check_options, is_integer, is_number
from zoo.models.pretrained import DTYPES

FORMAT_VERSION = 1
_LARGEST = 65_536  # channels, pixels of a side, or any other number


def parse_config(data: bytes, path: Path | str, code: Code) -> dict[str, Any]:
    """The configuration in the bytes of a file, with the default dtype if it has none.

    Args:
        data: the content of the file.
        path: where it came from, for the messages.
        code: the user's own code, whose encoders are known too.

    Raises:
        ZooError: if it is not JSON, its format is newer than this version can read, or a field is missing or invalid.
    """
    try:
        config = parse_json(data)
    except ZooError as error:
        raise ZooError(f"{path}: {error}") from error
    version = config.get("format_version") if isinstance(config, dict) else None
    if version != FORMAT_VERSION:
        newer = isinstance(version, int) and version > FORMAT_VERSION
        hint = "; install a newer funczoo" if newer else ""
        raise ZooError(f"{path}: expected format_version {FORMAT_VERSION}, got {shortened(version)}{hint}")
    config.setdefault("dtype", "float32")
    config.setdefault("decoder", None)
    if missing := _FIELDS.keys() - config.keys():
        raise ZooError(f"{path}: missing {', '.join(sorted(missing))}")
    for field, (is_valid, expected) in _FIELDS.items():
        if not is_valid(config[field]):
            raise ZooError(f"{path}: {field}: expected {expected}, got {shortened(config[field])}")
    architecture = config["architecture"]
    channels = architecture["in_channels"]
    if not channels == config["input_shape"][0] == len(config["mean"]) == len(config["std"]):
        raise ZooError(
            f"{path}: architecture, input_shape, mean and std: expected the same number of channels, got {channels}, "
            f"{config['input_shape'][0]}, {len(config['mean'])} and {len(config['std'])}"
        )
    if (encoder := architecture["encoder"]) not in (known := known_encoders(code)):
        raise ZooError(
            f"{unknown(f'encoder in {path}:', encoder, known)}; if it is your own, name the Python file that defines "
            "it: code='FILE.py', or --code FILE.py"
        )
    try:
        check_options("encoder", known, encoder, architecture["options"], not_options=("compute_dtype",))
        if (decoder := config["decoder"]) is not None:
            check_options("decoder", DECODERS, decoder["name"], decoder["options"], not_options=("out_channels",))
    except ZooError as error:
        raise ZooError(f"{path}: {error}") from error
    return config


def _is_architecture(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("encoder"), str)
        and _is_size(value.get("in_channels"))
        and isinstance(value.get("options"), dict)
    )


def _is_decoder(value: Any) -> bool:
    kinds: dict[str, Callable[[Any], bool]] = {"name": _is_name, "options": _is_mapping, "sha256": _is_digest}
    return value is None or (isinstance(value, dict) and all(valid(value.get(key)) for key, valid in kinds.items()))


def _is_size(value: Any) -> bool:
    return type(value) is int and 1 <= value <= _LARGEST


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_size, value))


def _are_finite(value: Any) -> bool:
    return isinstance(value, list) and all(type(x) in (int, float) and abs(x) <= _LARGEST for x in value)


def _are_positive(value: Any) -> bool:
    return _are_finite(value) and all(x > 0 for x in value)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value.strip())


def _is_recipe(value: Any) -> bool:
    return (
        _is_mapping(value)
        and all(map(_is_name, value))
        and all(_is_name(value.get(name)) for name in ("method", "encoder"))
        and isinstance(value.get("dataset"), str)  # a path may hold any character
    )


def _is_dataset(value: Any) -> bool:
    return _is_mapping(value) and _is_name(value.get("name")) and is_integer(value.get("images"))


def _is_training(value: Any) -> bool:
    return _is_mapping(value) and is_integer(value.get("steps")) and is_number(value.get("seconds"))


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_is_name, "a name"),
    "architecture": (_is_architecture, "encoder (a name), in_channels (1 or more) and options"),
    "input_shape": (_is_shape, "[channels, height, width], each 1 or more"),
    "mean": (_are_finite, "a finite number for each channel"),
    "std": (_are_positive, "a number above 0 for each channel"),
    "recipe": (_is_recipe, "the fields of a recipe"),
    "dataset": (_is_dataset, "name and images (how many)"),
    "training": (_is_training, "steps and seconds"),
    "dtype": (lambda value: value in list(DTYPES), " or ".join(map(repr, DTYPES))),
    "sha256": (_is_digest, "64 hexadecimal digits"),
    "content_digest": (_is_digest, "64 hexadecimal digits"),
    "decoder": (_is_decoder, "name, options and sha256 (64 hexadecimal digits), or null"),
}
