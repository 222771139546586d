"""Load encoders by name or directory: their weights are verified and loaded together with their preprocessing.

An encoder directory holds `model.safetensors`, `config.json` and `README.md` (the card). The configuration has the
architecture, the input shape, mean and standard deviation, and the dtype and SHA-256 of the weights, so that weights
are always loaded with the preprocessing that they were trained with. An encoder that was trained with a decoder also
has `decoder.safetensors`, with its name, options and SHA-256 in the configuration.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from functional import random, tree
from functional.base import BatchStats, Init, Params
from zoo.errors import ZooError, unknown
from zoo.files import load_tensors
from zoo.models.architectures import DECODERS, build_decoder, build_encoder, known_encoders
from zoo.models.code import Code, read_code
from zoo.models.entries import ENTRIES, entry
from zoo.models.pretrained import DTYPES, Decoder, PretrainedEncoder, stored

FORMAT_VERSION = 1
WEIGHTS = Path(__file__).parents[1] / "weights"


def load(name: str | Path, *, code: Code | str | Path | None = None) -> PretrainedEncoder:
    """Load the encoder of a name in `list_models()`, or of a directory.

    Args:
        name: a name has no slash; a directory is written with one (`./encoder`), or passed as a `Path`. The directory
            of a finished run denotes the encoder in it.
        code: the Python file that defines the encoder, if it is your own (`zoo.models.code`).

    Raises:
        ZooError: if there is no such model, if files are missing, truncated or modified, or if their format is newer
            than this version can read.
    """
    if isinstance(name, str) and not re.search(r"[/\\]", name):
        if name not in ENTRIES and Path(name).is_dir():
            raise ZooError(f"{name!r} is not a model of the zoo but a directory here; write './{name}' to load it")
        if name in ENTRIES and Path(name).is_dir():
            raise ZooError(
                f"{name!r} is both a model of the zoo and a directory here; write './{name}' for the directory, "
                f"or {str(WEIGHTS / name)!r} for the model"
            )
        expected = entry(name)
        return _load_directory(WEIGHTS / name, expected.sha256, read_code(None))
    return _load_directory(Path(name).expanduser(), None, read_code(code))


def _load_directory(directory: Path, sha256: str | None, code: Code) -> PretrainedEncoder:
    if not directory.is_dir():
        raise ZooError(f"{directory}: no such directory; `zoo list` shows the models that can be loaded by name")
    if not (directory / "config.json").is_file() and (directory / "encoder" / "config.json").is_file():
        directory = directory / "encoder"
    config = _read_config(directory, code)
    architecture = config["architecture"]
    encoder = build_encoder(architecture["encoder"], architecture["in_channels"], architecture["options"], code)
    digests = {"config.json": config["sha256"], "the zoo": sha256}
    dtype = config.get("dtype", "float32")
    weights = _load_weights(directory / "model.safetensors", digests, dtype, architecture["encoder"], encoder.init)
    decoder = _load_decoder(directory, config, encoder.feature_dim)
    return PretrainedEncoder(encoder, *weights, config, decoder)


def _load_decoder(directory: Path, config: Mapping[str, Any], latent_dim: int) -> Decoder | None:
    """The decoder of an encoder directory, if its configuration has one."""
    if (described := config.get("decoder")) is None:
        return None
    path = directory / "config.json"
    kinds = {"name": str, "options": dict, "sha256": str}
    if not isinstance(described, dict) or any(not isinstance(described.get(key), kinds[key]) for key in kinds):
        raise ZooError(f"{path}: decoder: expected name, options and sha256, got {described!r}")
    name, options = described["name"], described["options"]
    if name not in DECODERS:
        raise unknown(f"decoder in {path}:", name, DECODERS)
    layer = build_decoder(name, latent_dim, config["architecture"]["in_channels"], options)
    digests, dtype = {"config.json": described["sha256"]}, config.get("dtype", "float32")
    weights = _load_weights(directory / "decoder.safetensors", digests, dtype, name, layer.init)
    return Decoder(name, options, layer, *weights)


def _load_weights(
    path: Path, digests: Mapping[str, str | None], dtype: str, network: str, init: Init
) -> tuple[Params, BatchStats]:
    """The parameters and running statistics in a file, in float32.

    Args:
        path: the file.
        digests: its SHA-256 by each source that has one; they are checked first.
        dtype: the dtype of its weights, a name in `DTYPES`.
        network: what it holds the weights of, for the message.
        init: the network's own initialisation.
    """
    if not path.is_file():
        raise ZooError(f"{path}: no such file; an encoder directory holds {path.name} and config.json")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    for source, expected in digests.items():
        if expected is not None and found != expected:
            raise ZooError(
                f"{path}: SHA-256 {found[:12]}..., but {source} says {expected[:12]}...; "
                "the file is truncated or modified; copy or download it again"
            )
    flat, _ = load_tensors(path)
    # On the meta device, no weights are drawn only to be replaced by those of the file.
    template = init(random.key(0, device="meta"))
    params, batch_stats = stored(template, dtype)
    try:
        loaded = (
            tree.unflatten_like(params, {k: v for k, v in flat.items() if not _is_statistic(k)}),
            tree.unflatten_like(batch_stats, {k: v for k, v in flat.items() if _is_statistic(k)}),
        )
    except ValueError as error:
        raise ZooError(f"{path}: does not fit {network}: {error}") from error
    return tree.map(lambda x, like: x.to(like.dtype), loaded, template)


def _read_config(directory: Path, code: Code) -> dict[str, Any]:
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
    if (dtype := config.get("dtype", "float32")) not in list(DTYPES):
        raise unknown(f"dtype in {path}:", dtype, DTYPES)
    known = known_encoders(code)
    if (encoder := config["architecture"].get("encoder")) not in known:
        raise ZooError(
            f"{unknown(f'encoder in {path}:', encoder, known)}; if it is your own, name the Python file that defines "
            "it: code='FILE.py', or --code FILE.py"
        )
    return config


def _is_statistic(name: str) -> bool:
    return name.rpartition(".")[2] in ("running_mean", "running_var")
