"""Write encoder directories.

An encoder that is there is replaced by another in three steps. The new weights, decoder and card are written beside the
old ones, under names that end in `.next`; then config.json is replaced, which makes the directory that of the new
encoder; then the new files get their final names. `zoo.models.loading` takes weights from either name, by the SHA-256
in config.json. So a reader beside the writer, and one after a writer that was killed, finds the old encoder or the new
one, whole.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from functional import tree
from zoo.errors import ZooError
from zoo.files import content_digest, expanded, locked, parse_json, parts_of, save_tensors, write_atomically
from zoo.models.code import Code
from zoo.models.configuration import FORMAT_VERSION
from zoo.models.loading import NEXT, load
from zoo.models.pretrained import Decoder, PretrainedEncoder, fingerprint, rounded, stored
from zoo.reports.cards import render_card

_CONFIG, _WEIGHTS, _DECODER, _CARD = "config.json", "model.safetensors", "decoder.safetensors", "README.md"
_WHICH = ("name", "content_digest", "architecture", "input_shape", "mean", "std")  # what makes it this encoder
_LOCK = "save.lock"
_PATIENCE = 60  # seconds for which a save waits for another one


def save(
    model: PretrainedEncoder,
    directory: str | Path,
    *,
    dtype: str = "float32",
    code: Code | str | Path | None = None,
    overwrite: bool = False,
) -> PretrainedEncoder:
    """Write an encoder directory, with the decoder if there is one, and return the encoder as loaded from it.

    Who loads the directory meanwhile, or after this process was killed, gets the encoder that was there or the new one;
    a directory without config.json does not count as an encoder directory.

    Args:
        model: the encoder to write.
        directory: the directory, created if missing.
        dtype: "float32", or "bfloat16" for files of half the size; the loaded weights are float32, rounded to bfloat16.
        code: the Python file that defines the encoder, if it is your own (`zoo.models.code`).
        overwrite: whether to write into a directory that holds another encoder, which is replaced, or other files,
            which stay, unless they have the name of a file of an encoder.

    Raises:
        ZooError: if the dtype is unknown, the directory holds another encoder or anything else, or the encoder is your
            own and its code is not given.
        OSError: if the directory cannot be written.
    """
    directory, model = expanded(directory), rounded(model, dtype)
    flat = _flat(model, dtype)
    digest = content_digest(flat)
    directory.mkdir(parents=True, exist_ok=True)
    with locked(directory / _LOCK, "saving an encoder", patience=_PATIENCE):
        if not overwrite:
            _require_free(directory, {**model.config, "content_digest": digest})
        _settle(directory)
        ending = NEXT if (directory / _CONFIG).is_file() else ""
        sha256 = save_tensors(directory / f"{_WEIGHTS}{ending}", flat, {"name": model.name})
        decoder = model.decoder
        config = {
            **model.config,
            "format_version": FORMAT_VERSION,
            "dtype": dtype,
            "sha256": sha256,
            "content_digest": digest,
            "fingerprint": fingerprint(model),
            "decoder": None
            if decoder is None
            else _save_decoder(decoder, directory / f"{_DECODER}{ending}", model.name, dtype),
        }
        write_atomically(directory / f"{_CARD}{ending}", render_card(config).encode())
        write_atomically(directory / _CONFIG, (json.dumps(config, indent=2) + "\n").encode())
        _settle(directory)
        if decoder is None:
            (directory / _DECODER).unlink(missing_ok=True)
    return load(directory, code=code)


def _require_free(directory: Path, config: Mapping[str, Any]) -> None:
    """Reject a directory that holds anything but this encoder: its name, weights, architecture and preprocessing.

    Raises:
        ZooError: the message says what it holds.
    """
    if (path := directory / _CONFIG).is_file():
        there, here = _configuration(path), json.loads(json.dumps(config))
        if any(there.get(field) != here[field] for field in _WHICH):
            raise ZooError(
                f"{directory}: holds another encoder, or other weights or preprocessing of this one; choose another "
                "directory, or pass overwrite=True to replace it"
            )
    elif others := sorted(set(directory.iterdir()) - {directory / _LOCK, *parts_of(directory / _WEIGHTS)}):
        raise ZooError(
            f"{directory}: holds {others[0].name!r}, and is not an encoder directory; choose another directory, or "
            "pass overwrite=True to write the encoder there"
        )


def _settle(directory: Path) -> None:
    """Finish or undo a replacement: new files get their final names if config.json describes them, else are removed.

    The weights come last: while they are there, it is known which of the two it is.
    """
    pending = [path for name in (_CARD, _DECODER, _WEIGHTS) if (path := directory / f"{name}{NEXT}").is_file()]
    if not pending:
        return
    config = _configuration(directory / _CONFIG)
    described = {_WEIGHTS: config, _DECODER: config.get("decoder") or {}}
    is_new = all(
        hashlib.sha256(path.read_bytes()).hexdigest() == described[name].get("sha256")
        for path in pending
        if (name := path.name.removesuffix(NEXT)) in described
    )
    for path in pending:
        if is_new:
            path.replace(path.with_name(path.name.removesuffix(NEXT)))
        else:
            path.unlink()


def _configuration(path: Path) -> Mapping[str, Any]:
    """The content of config.json, which may be any; an empty one for a file that cannot be read as JSON."""
    try:
        config = parse_json(path.read_bytes())
    except (ZooError, OSError):
        return {}
    return config if isinstance(config, dict) else {}


def _save_decoder(decoder: Decoder, path: Path, name: str, dtype: str) -> dict[str, Any]:
    """Write a file of the weights of a decoder; return its entry in the configuration."""
    sha256 = save_tensors(path, _flat(decoder, dtype), {"name": name})
    return {"name": decoder.name, "options": decoder.options, "sha256": sha256}


def _flat(network: PretrainedEncoder | Decoder, dtype: str) -> dict[str, Tensor]:
    """The parameters and running statistics of a network by name, as its file stores them."""
    return stored({**tree.flatten(network.params), **tree.flatten(network.batch_stats)}, dtype)
