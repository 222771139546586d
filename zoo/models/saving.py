"""Write encoder directories."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from functional import tree
from zoo.files import content_digest, expanded, save_tensors, write_atomically
from zoo.models.code import Code
from zoo.models.configuration import FORMAT_VERSION
from zoo.models.loading import load
from zoo.models.pretrained import Decoder, PretrainedEncoder, fingerprint, rounded, stored
from zoo.reports.cards import render_card


def save(
    model: PretrainedEncoder,
    directory: str | Path,
    *,
    dtype: str = "float32",
    code: Code | str | Path | None = None,
) -> PretrainedEncoder:
    """Write an encoder directory, with the decoder if there is one, and return the encoder as loaded from it.

    The configuration is written last: a directory without one does not count as an encoder directory.

    Args:
        model: the encoder to write.
        directory: the directory, created if missing; an encoder and a decoder in it are replaced.
        dtype: "float32", or "bfloat16" for files of half the size; the loaded weights are float32, rounded to bfloat16.
        code: the Python file that defines the encoder, if it is your own (`zoo.models.code`).

    Raises:
        ZooError: if the dtype is unknown, or the encoder is your own and its code is not given.
        OSError: if the directory cannot be written.
    """
    directory, model = expanded(directory), rounded(model, dtype)
    directory.mkdir(parents=True, exist_ok=True)
    flat = _flat(model, dtype)
    sha256 = save_tensors(directory / "model.safetensors", flat, {"name": model.name})
    config = {
        **model.config,
        "format_version": FORMAT_VERSION,
        "dtype": dtype,
        "sha256": sha256,
        "content_digest": content_digest(flat),
        "fingerprint": fingerprint(model),
        "decoder": None if model.decoder is None else _save_decoder(model.decoder, directory, model.name, dtype),
    }
    write_atomically(directory / "README.md", render_card(config).encode())
    write_atomically(directory / "config.json", (json.dumps(config, indent=2) + "\n").encode())
    if model.decoder is None:
        (directory / "decoder.safetensors").unlink(missing_ok=True)
    return load(directory, code=code)


def _save_decoder(decoder: Decoder, directory: Path, name: str, dtype: str) -> dict[str, Any]:
    """Write `decoder.safetensors`; return its entry in the configuration."""
    sha256 = save_tensors(directory / "decoder.safetensors", _flat(decoder, dtype), {"name": name})
    return {"name": decoder.name, "options": decoder.options, "sha256": sha256}


def _flat(network: PretrainedEncoder | Decoder, dtype: str) -> dict[str, Tensor]:
    """The parameters and running statistics of a network by name, as its file stores them."""
    return stored({**tree.flatten(network.params), **tree.flatten(network.batch_stats)}, dtype)
