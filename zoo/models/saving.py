"""Write encoder directories."""

import json
from pathlib import Path

from functional import tree
from zoo.files import content_digest, save_tensors, write_atomically
from zoo.models.code import Code
from zoo.models.loading import FORMAT_VERSION, load
from zoo.models.pretrained import PretrainedEncoder, fingerprint
from zoo.reports.cards import render_card


def save(
    model: PretrainedEncoder, directory: str | Path, *, code: Code | str | Path | None = None
) -> PretrainedEncoder:
    """Write an encoder directory, and return the encoder as loaded from it.

    The configuration is written last: a directory without one does not count as an encoder directory.

    Args:
        model: the encoder to write.
        directory: the directory, created if missing; an encoder in it is replaced.
        code: the Python file that defines the encoder, if it is your own (`zoo.models.code`).

    Raises:
        ZooError: if the encoder is your own, and its code is not given.
        OSError: if the directory cannot be written.
    """
    directory = Path(directory).expanduser()
    directory.mkdir(parents=True, exist_ok=True)
    flat = {**tree.flatten(model.params), **tree.flatten(model.batch_stats)}
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
    return load(directory, code=code)
