"""Export encoders to one file for other programs, with the preprocessing inside.

    .onnx    for ONNX runtimes, without Python or torch
    .pt2     for torch without this package: `torch.export.load(path).module()`

Either takes uint8 images `[N, C, H, W]` of the encoder's input shape, for any N of 1 or more, and gives float32
features `[N, feature_dim]`: what `features` gives. The names of the two are `images` and `features`.

A file has no name before it was loaded again and gave the encoder's own features of fixed images: a file that is there
is a correct one. What it was made from is inside: in the metadata of a `.onnx`, in the extra file `funczoo.json` of a
`.pt2`.
"""

import io
import json
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.export import ExportedProgram

from functional import random, tree
from zoo.errors import ZooError, require_packages, shortened
from zoo.files import content_digest, expanded, write_atomically
from zoo.models.entries import ENTRIES
from zoo.models.pretrained import PretrainedEncoder, stored

_BATCHES = (1, 2, 7)  # of the images on which a file is compared
_METADATA = "funczoo.json"  # the extra file of a .pt2
Features = Callable[[Tensor], Tensor]


class Exported(NamedTuple):
    """An exported encoder.

    Attributes:
        path: the file.
        bytes: its size.
        difference: the largest difference between its features and the encoder's, on fixed images in batches of 1, 2
            and 7.
        largest: the largest absolute value of the encoder's features on them.
        metadata: what the file says about itself.
    """

    path: Path
    bytes: int
    difference: float
    largest: float
    metadata: dict[str, str]


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        packages: the modules that writing and loading it need.
        tolerance: of the difference between features, as a share of the largest feature, or of 1 if that is larger.
        write: the bytes of a file, from a program and what the file says about itself.
        load: the features that these bytes compute.
    """

    packages: tuple[str, ...]
    tolerance: float
    write: Callable[[ExportedProgram, dict[str, str]], bytes]
    load: Callable[[bytes], Features]


def export(model: PretrainedEncoder, path: str | Path, *, overwrite: bool = False) -> Exported:
    """Write an encoder, with its preprocessing, to one file for other programs, and compare what the file computes.

    Args:
        model: the encoder.
        path: a path ending in `.onnx` or `.pt2`. An ONNX file needs the extra `export`.
        overwrite: whether an existing file is replaced; it is kept if anything goes wrong.

    Raises:
        ZooError: for another ending or an existing file, if a package is missing, and if the encoder cannot be exported
            or the exported features differ from its own.
        OSError: if the file cannot be written.

    Example:
        >>> import tempfile, zoo
        >>> model = zoo.load("simclr-resnet8-digits")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = zoo.export(model, f"{folder}/encoder.pt2")
        ...     program = torch.export.load(found.path).module()
        >>> images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
        >>> torch.allclose(program(images), model.features(images), atol=1e-5)
        True
    """
    path = expanded(path)
    check_export(path, overwrite=overwrite)
    form, about = FORMATS[path.suffix], _about(model)
    data = form.write(_traced(model), about)
    difference, largest = _compare(form.load(data), model)
    if not difference <= form.tolerance * max(1.0, largest):  # also for NaN
        raise ZooError(
            f"{path}: not written, because the exported features differ from the encoder's by {difference:.2g}, more "
            f"than {form.tolerance:g} times the largest of {largest:.3g}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
    return Exported(path, len(data), difference, largest, about)


def check_export(path: Path, *, overwrite: bool) -> None:
    """Reject a path that `export` would, and missing packages, before anything is computed.

    Raises:
        ZooError: as in `export`.
    """
    if path.suffix not in FORMATS:
        raise ZooError(f"{path}: expected a path ending in {' or '.join(FORMATS)}")
    if path.is_dir():
        raise ZooError(f"{path}: is a directory; choose another name")
    if path.exists() and not overwrite:
        raise ZooError(f"{path}: already exists; choose another name, or replace it with --overwrite (overwrite=True)")
    require_packages(f"export to {path.suffix}", "export", *FORMATS[path.suffix].packages)


def _about(model: PretrainedEncoder) -> dict[str, str]:
    """What a file says about itself. Digests are those of the weights at hand, which need not be those of a file."""
    flat = {**tree.flatten(model.params), **tree.flatten(model.batch_stats)}
    digest = content_digest(stored(flat, model.config.get("dtype", "float32")))
    about = {
        "name": model.name,
        "content_digest": digest,
        "input": f"images: uint8 [N, {', '.join(map(str, model.input_shape))}]",
        "output": f"features: float32 [N, {model.feature_dim}]",
        "funczoo": metadata.version("funczoo"),
    }
    if model.config.get("content_digest") == digest:
        about["sha256"] = model.config["sha256"]
        entry = ENTRIES.get(model.name)
        if entry is not None and entry.sha256 == about["sha256"]:
            about |= {"config_sha256": entry.config_sha256, "licence": entry.licence}
    return about


def _traced(model: PretrainedEncoder) -> ExportedProgram:
    """The encoder as a program of torch's plain operations, for any number of images."""
    module = model.to_module().requires_grad_(False)
    examples = torch.zeros(2, *model.input_shape, dtype=torch.uint8)  # of one, torch would take the number as fixed
    shapes = {"images": {0: torch.export.Dim("batch", min=1)}}
    try:
        return torch.export.export(module, (examples,), dynamic_shapes=shapes)
    except Exception as error:  # whatever the user's own encoder does; torch's exporter has dozens of exceptions
        raise _cannot(model.name, error) from error


def _compare(features: Features, model: PretrainedEncoder) -> tuple[float, float]:
    """The largest difference of features on fixed images, and the largest feature."""
    differences, largest = [], []
    for key, count in zip(random.split(random.key(0), len(_BATCHES)), _BATCHES, strict=True):
        images = random.randint(key, (count, *model.input_shape), 0, 256).to(torch.uint8)
        images[0] = 255 * (count % 2)  # and a white or a black image: the ends of the range
        expected, found = model.features(images), features(images)
        if found.shape != expected.shape:
            raise ZooError(f"{model.name}: exported features are {list(found.shape)}, not {list(expected.shape)}")
        differences.append((found - expected).abs().max())
        largest.append(expected.abs().max())
    return torch.stack(differences).max().item(), torch.stack(largest).max().item()


def _write_program(program: ExportedProgram, about: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={_METADATA: json.dumps(about, sort_keys=True)})
    return buffer.getvalue()


def _load_program(data: bytes) -> Features:
    return torch.export.load(io.BytesIO(data)).module()


def _write_onnx(program: ExportedProgram, about: dict[str, str]) -> bytes:
    import onnx

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter about itself
            exported = torch.onnx.export(
                program, dynamo=True, input_names=["images"], output_names=["features"], verbose=False
            )
    except Exception as error:  # as in `_traced`
        raise _cannot(about["name"], error) from error
    assert exported is not None  # it is None for the other exporter
    proto = exported.model_proto
    proto.doc_string = f"{about['name']}: {about['input']} -> {about['output']}"
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.helper.set_model_props(proto, about)
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def _load_onnx(data: bytes) -> Features:
    from onnxruntime import InferenceSession

    session = InferenceSession(data, providers=["CPUExecutionProvider"])

    def features(images: Tensor) -> Tensor:
        (found,) = session.run(["features"], {"images": images.numpy()})
        return torch.from_numpy(found)

    return features


def _cannot(name: str, error: Exception) -> ZooError:
    lines: Sequence[Any] = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    return ZooError(
        f"{name}: cannot be exported, because torch cannot trace it for any number of images "
        f"({type(error).__name__}: {shortened(lines[0])}); `to_module` works without tracing"
    )


FORMATS = {
    ".onnx": Format(("onnx", "onnxscript", "onnxruntime"), 1e-4, _write_onnx, _load_onnx),
    ".pt2": Format((), 1e-6, _write_program, _load_program),
}
