"""Load encoders by name, directory or address: their weights are verified and loaded together with their preprocessing.

An encoder directory holds `model.safetensors`, `config.json` and `README.md` (the card). The configuration has the
architecture, the input shape, mean and standard deviation, and the dtype and SHA-256 of the weights, so that weights
are always loaded with the preprocessing that they were trained with. An encoder that was trained with a decoder also
has `decoder.safetensors`, with its name, options and SHA-256 in the configuration. The zoo has the SHA-256 of the
configuration of each of its models, and so of all of this.

Files are read once: the bytes whose SHA-256 was checked are the bytes that are used. A directory in which an encoder is
being replaced by another is read again (`zoo.models.saving` says in which steps).
"""

import contextlib
import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from functional import random, tree
from functional.base import BatchStats, Init, Params
from zoo.errors import ZooError, printable, unknown
from zoo.files import content_digest, expanded, read_tensors
from zoo.models.addresses import is_address, parse_address
from zoo.models.architectures import DECODERS, build_decoder, build_encoder
from zoo.models.code import Code, read_code
from zoo.models.configuration import parse_config
from zoo.models.entries import ENTRIES, entry
from zoo.models.fetching import Fetched, fetch, fetch_named
from zoo.models.pretrained import Decoder, PretrainedEncoder, stored

WEIGHTS = Path(__file__).parents[1] / "weights"
NEXT = ".next"  # ends the names of weights, decoder and card of an encoder that is replacing another
_FILES = ("config.json", *(f"{name}.safetensors{ending}" for name in ("model", "decoder") for ending in ("", NEXT)))


def load(name: str | Path, *, code: Code | str | Path | None = None, sha256: str | None = None) -> PretrainedEncoder:
    """Load the encoder of a name in `list_models()`, of a directory, or of an address.

    What an address holds is fetched into the cache, and used only after its SHA-256 was checked. `config["source"]` of
    the encoder is the address with the commit, or with the digest, that was loaded.

    Args:
        name: a name has no slash; a directory is written with one (`./encoder`), or passed as a `Path`. The directory
            of a finished run denotes the encoder in it. An address is `hf://OWNER/REPO`, `hf://OWNER/REPO@REVISION` or
            `https://HOST/DIRECTORY`, perhaps with `#sha256=DIGEST` (`zoo.models.addresses`).
        code: the Python file that defines the encoder, if it is your own (`zoo.models.code`).
        sha256: the SHA-256 that config.json must have, and by which all of an encoder is pinned; a name of the zoo has
            its own.

    Raises:
        ZooError: if there is no such model, if it cannot be fetched, if files are missing, truncated or modified, or if
            their format is newer than this version can read.
    """
    if is_address(name):
        functions = read_code(code)
        found = fetch(parse_address(str(name), sha256), functions)
        model = _load_directory(found.directory, found.config_sha256, functions)
        return dataclasses.replace(model, config={**model.config, "source": found.source})
    directory, expected = located(name)
    if expected and sha256 not in (None, expected):
        raise ZooError(f"{name}: the zoo has SHA-256 {expected[:12]}... for its config.json, not {sha256}")
    return _load_directory(directory, expected or sha256, read_code(None if expected else code))


def located(name: str | Path) -> tuple[Path, str | None]:
    """The encoder directory that a name denotes, and the SHA-256 that its config.json must have, if it is known.

    What is not on this machine is fetched into the cache.

    Args:
        name: as for `load`.

    Raises:
        ZooError: if there is no such model or directory, or it cannot be fetched.
    """
    if is_address(name):
        return fetch(parse_address(str(name)))[:2]
    if isinstance(name, str) and not re.search(r"[/\\]", name):
        if name not in ENTRIES and Path(name).is_dir():
            raise ZooError(f"{name!r} is not a model of the zoo but a directory here; write './{name}' to load it")
        if name in ENTRIES and Path(name).is_dir():
            raise ZooError(
                f"{name!r} is both a model of the zoo and a directory here; write './{name}' for the directory, "
                f"or {str(WEIGHTS / name)!r} for the model"
            )
        expected = entry(name)
        shipped = WEIGHTS / name
        return (shipped, expected.config_sha256) if shipped.is_dir() else fetch_named(expected)[:2]
    directory = expanded(name)
    if not directory.is_dir():
        raise ZooError(f"{directory}: no such directory; `zoo list` shows the models that can be loaded by name")
    is_run = not (directory / "config.json").is_file() and (directory / "encoder" / "config.json").is_file()
    return (directory / "encoder" if is_run else directory), None


def pull(
    name: str, *, home: str | None = None, code: Code | str | Path | None = None, sha256: str | None = None
) -> Fetched:
    """Fetch an encoder into the cache, unless it is there or came with the package, and check that it loads.

    Args:
        name: a model of the zoo, or an address, as for `load`.
        home: where models of the zoo are, instead of `$FUNCZOO_HUB`: `hf://OWNER`, `https://HOST/DIRECTORY` or a
            directory. A model is then fetched even if it came with the package.
        code: as for `load`.
        sha256: as for `load`.

    Returns:
        Its directory, the SHA-256 of its config.json, and the pinned address that it came from.

    Raises:
        ZooError: as `load`.
        OSError: if the cache cannot be written.

    Example:
        >>> import zoo
        >>> zoo.pull("simclr-resnet8-digits").directory.name
        'simclr-resnet8-digits'
    """
    functions = read_code(code)
    if name not in ENTRIES and expanded(name).is_dir():
        raise ZooError(f"{printable(name)}: is a directory, and needs no fetching; load it as it is")
    if is_address(name):
        found = fetch(parse_address(name, sha256), functions)
    elif home is None and (WEIGHTS / entry(name).name).is_dir():
        found = Fetched(WEIGHTS / name, entry(name).config_sha256, name)
    else:
        found = fetch_named(entry(name), home, functions)
    _load_directory(found.directory, found.config_sha256, functions)
    return found


def _load_directory(directory: Path, config_sha256: str | None, code: Code) -> PretrainedEncoder:
    """The encoder in a directory, once no file of it is replaced by another while it is read."""
    while True:
        before = _state_of(directory)
        try:
            return _load_files(directory, config_sha256, code)
        except (ZooError, FileNotFoundError):
            if _state_of(directory) == before:
                raise


def _state_of(directory: Path) -> list[tuple[str, int, int]]:
    """What changes when a file of an encoder directory is replaced, appears or goes."""
    found = []
    for name in _FILES:
        with contextlib.suppress(OSError):
            status = (directory / name).stat()
            found.append((name, status.st_ino, status.st_mtime_ns))
    return found


def _contents(directory: Path) -> dict[str, bytes]:
    """The files of an encoder directory by name.

    All are opened before the first is read: one that is replaced meanwhile keeps its content.
    """
    with contextlib.ExitStack() as stack:
        files = {}
        for name in _FILES:
            with contextlib.suppress(FileNotFoundError):
                if (directory / name).is_file():
                    files[name] = stack.enter_context(open(directory / name, "rb"))
        return {name: file.read() for name, file in files.items()}


def _load_files(directory: Path, config_sha256: str | None, code: Code) -> PretrainedEncoder:
    path, contents = directory / "config.json", _contents(directory)
    if path.name not in contents:
        raise ZooError(f"{directory}: not an encoder directory: it has no config.json")
    config = parse_config(_verified([contents[path.name]], path, config_sha256, "the zoo"), path, code)
    architecture = config["architecture"]
    try:
        encoder = build_encoder(architecture["encoder"], architecture["in_channels"], architecture["options"], code)
    except ZooError as error:
        raise ZooError(f"{path}: {error}") from error
    weights = _load_weights(
        contents, directory / "model.safetensors", config, config, architecture["encoder"], encoder.init
    )
    decoder = _load_decoder(contents, directory, config, encoder.feature_dim)
    return PretrainedEncoder(encoder, *weights, config, decoder)


def _load_decoder(
    contents: Mapping[str, bytes], directory: Path, config: Mapping[str, Any], latent_dim: int
) -> Decoder | None:
    """The decoder of an encoder directory, if its configuration has one."""
    if (described := config["decoder"]) is None:
        return None
    name, options = described["name"], described["options"]
    if name not in DECODERS:
        raise unknown(f"decoder in {directory / 'config.json'}:", name, DECODERS)
    layer = build_decoder(name, latent_dim, config["architecture"]["in_channels"], options)
    weights = _load_weights(contents, directory / "decoder.safetensors", described, config, name, layer.init)
    return Decoder(name, options, layer, *weights)


def _load_weights(
    contents: Mapping[str, bytes],
    path: Path,
    digests: Mapping[str, Any],
    config: Mapping[str, Any],
    network: str,
    init: Init,
) -> tuple[Params, BatchStats]:
    """The parameters and running statistics in a file, in float32.

    Args:
        contents: the files of the directory by name; the weights may be about to replace others.
        path: the file.
        digests: the part of the configuration that has its `sha256`, and perhaps its `content_digest`.
        config: the configuration, which has the dtype of the weights.
        network: what it holds the weights of, for the message.
        init: the network's own initialisation.
    """
    there = [contents[name] for name in (f"{path.name}{NEXT}", path.name) if name in contents]
    if not there:
        raise ZooError(f"{path}: no such file; an encoder directory holds {path.name} and config.json")
    flat, _ = read_tensors(_verified(there, path, digests["sha256"], "config.json"), path)
    if digests.get("content_digest") not in (None, found := content_digest(flat)):
        raise ZooError(
            f"{path}: content digest {found[:12]}..., but config.json says {digests['content_digest'][:12]}...; "
            "one of the two files is modified; copy or download both again"
        )
    # On the meta device, no weights are drawn only to be replaced by those of the file.
    try:
        template = init(random.key(0, device="meta"))
        params, batch_stats = stored(template, config["dtype"])
        statistics = tree.flatten(batch_stats)
        loaded = (
            tree.unflatten_like(params, {k: v for k, v in flat.items() if k not in statistics}),
            tree.unflatten_like(batch_stats, {k: v for k, v in flat.items() if k in statistics}),
        )
    except (ValueError, RuntimeError) as error:  # the latter for sizes beyond any memory
        raise ZooError(f"{path}: does not fit {network}: {error}") from error
    return tree.map(lambda x, like: x.to(like.dtype), loaded, template)


def _verified(contents: Sequence[bytes], path: Path, sha256: str | None, source: str) -> bytes:
    """The one of several contents of a file that has the SHA-256 that `source` says, or any if it says none."""
    found = ""
    for data in contents:
        if sha256 in (None, found := hashlib.sha256(data).hexdigest()):
            return data
    raise ZooError(
        f"{path}: SHA-256 {found[:12]}..., but {source} says {str(sha256)[:12]}...; "
        "the file is truncated or modified; copy or download it again"
    )
