"""Exported encoders give the encoder's features in other programs, and no file is there that does not."""

import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession

import zoo
from functional import random
from zoo.models.architectures import build_encoder
from zoo.models.pretrained import PretrainedEncoder, untrained

SHIPPED = {zoo.load(name).config["architecture"]["encoder"]: name for name in zoo.list_models()}
# The encoders that do not ship yet, with random weights: name, input shape, options.
DRAWN = {
    "s1a": ((1, 12, 12), {"size": 12}),
    "latent_cnn": ((1, 28, 28), {}),
    "resnet18": ((3, 32, 32), {"stem": "cifar"}),
    "resnet34": ((3, 64, 64), {}),
    "resnet50": ((3, 64, 64), {}),
}


def drawn(name):
    (channels, *size), options = DRAWN[name]
    encoder = build_encoder(name, channels, options)
    config = {"name": f"simclr-{name}-noise", "input_shape": [channels, *size]}
    config |= {"mean": [0.3] * channels, "std": [0.2] * channels}
    return PretrainedEncoder(encoder, *encoder.init(random.key(0)), config)


def images(model, count):
    return random.randint(random.key(count), (count, *model.input_shape), 0, 256).to(torch.uint8)


def in_torch(path, batch):
    return torch.export.load(path).module()(batch)


def in_onnxruntime(path, batch):
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": batch.numpy()})[0])


def check(model, folder, suffix):
    found = zoo.export(model, folder / f"encoder{suffix}")
    run, tolerance = (in_torch, 1e-6) if suffix == ".pt2" else (in_onnxruntime, 1e-4)
    for count in (1, 2, 7, 64):
        batch = images(model, count)
        features, expected = run(found.path, batch), model.features(batch)
        assert expected.std() > 0.01  # or the comparison would say nothing
        assert features.dtype == torch.float32 and features.shape == expected.shape
        torch.testing.assert_close(features, expected, rtol=0, atol=tolerance * max(1, expected.abs().max().item()))
    return found


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_features_are_the_encoders_for_any_number_of_images(suffix, tmp_path):
    found = check(zoo.load(SHIPPED["resnet8"]), tmp_path, suffix)
    assert found.bytes == found.path.stat().st_size and found.difference < 1e-4 < found.largest
    assert [path.name for path in tmp_path.iterdir()] == [found.path.name]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.parametrize("name", [name for name in SHIPPED.values() if name != SHIPPED["resnet8"]])
def test_every_architecture_that_ships_can_be_exported(name, suffix, tmp_path):
    check(zoo.load(name), tmp_path, suffix)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
@pytest.mark.parametrize("name", DRAWN)
def test_every_other_architecture_can_be_exported(name, suffix, tmp_path):
    check(drawn(name), tmp_path, suffix)


def test_every_architecture_is_tested():
    from zoo.models.architectures import ENCODERS

    assert SHIPPED.keys() | DRAWN.keys() == ENCODERS.keys()


def test_a_pt2_runs_without_this_package_and_says_what_it_is(tmp_path):
    model = zoo.load(SHIPPED["s2"])  # whose maximum pooling is a custom operation under a compiler
    found = zoo.export(model, tmp_path / "encoder.pt2")
    batch = images(model, 5)
    torch.save(batch, tmp_path / "images.pt")
    program = (
        "import sys; sys.modules['functional'] = sys.modules['zoo'] = None\n"
        "import json, torch; extra = {'funczoo.json': ''}\n"
        "run = torch.export.load('encoder.pt2', extra_files=extra).module()\n"
        "print(json.dumps([json.loads(extra['funczoo.json']), run(torch.load('images.pt')).tolist()]))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    about, features = json.loads(done.stdout)
    torch.testing.assert_close(torch.tensor(features), model.features(batch), rtol=0, atol=1e-6)
    assert about == found.metadata
    entry = zoo.entry(model.name)
    assert about["name"] == model.name and about["sha256"] == entry.sha256
    assert about["config_sha256"] == entry.config_sha256 and about["licence"] == entry.licence


def test_an_onnx_file_says_what_it_is(model, tmp_path):
    path = zoo.export(model, tmp_path / "encoder.onnx").path
    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    assert about["name"] == model.name and about["sha256"] == model.config["sha256"]
    assert about["content_digest"] == model.config["content_digest"] and "config_sha256" not in about
    assert about["input"] == "images: uint8 [N, 1, 8, 8]" and about["output"] == "features: float32 [N, 16]"
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == ("images", "tensor(uint8)", ["batch", 1, 8, 8])
    assert (made.name, made.type, made.shape) == ("features", "tensor(float)", ["batch", 16])
    onnx.checker.check_model(onnx.load(path), full_check=True)
    with pytest.raises(Exception, match="images"):  # images of another size are refused, not resized
        session.run(None, {"images": np.zeros((2, 1, 9, 8), np.uint8)})


def test_other_weights_do_not_get_the_digest_of_the_file(model, tmp_path):
    found = zoo.export(untrained(model, seed=1), tmp_path / "encoder.pt2")
    assert "sha256" not in found.metadata
    assert found.metadata["content_digest"] != model.config["content_digest"]


def test_an_existing_file_is_kept_unless_it_is_to_be_replaced(model, tmp_path):
    path = tmp_path / "encoder.pt2"
    path.write_bytes(b"mine")
    with pytest.raises(zoo.ZooError, match="already exists.*--overwrite"):
        zoo.export(model, path)
    assert path.read_bytes() == b"mine"
    assert zoo.export(model, path, overwrite=True).bytes == path.stat().st_size > 1000


@pytest.mark.parametrize("name", ["encoder.tflite", "encoder", "encoder.ONNX"])
def test_another_ending_is_refused(model, tmp_path, name):
    with pytest.raises(zoo.ZooError, match=re.escape(f"{name}: expected a path ending in .onnx or .pt2")):
        zoo.export(model, tmp_path / name)


def test_a_directory_is_refused(model, tmp_path):
    (tmp_path / "encoder.pt2").mkdir()
    with pytest.raises(zoo.ZooError, match="is a directory"):
        zoo.export(model, tmp_path / "encoder.pt2", overwrite=True)


def changed(model, change):
    """The encoder with a change of the images before its own network, which sees whether it is exported."""

    def apply(params, batch_stats, images, /, *, train=False, key=None):
        return model.encoder.apply(params, batch_stats, change(images), train=train)

    return dataclasses.replace(model, encoder=model.encoder._replace(apply=apply))


def test_an_encoder_that_cannot_be_traced_is_named_in_one_line(model, tmp_path):
    path = tmp_path / "encoder.onnx"
    path.write_bytes(b"mine")
    with pytest.raises(zoo.ZooError, match=f"{model.name}: cannot be exported, because torch cannot trace") as error:
        zoo.export(changed(model, lambda x: -x if x.sum() > 0 else x), path, overwrite=True)
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 400
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("factor", [1.01, float("nan")])
def test_a_file_with_other_features_is_not_written(model, tmp_path, factor):
    path = tmp_path / "encoder.pt2"
    path.write_bytes(b"mine")
    other = changed(model, lambda x: x * factor if torch.compiler.is_exporting() else x)
    with pytest.raises(zoo.ZooError, match="not written, because the exported features differ from the encoder's by"):
        zoo.export(other, path, overwrite=True)
    assert path.read_bytes() == b"mine"


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(model, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)  # its import fails, as if it were not installed
    with pytest.raises(zoo.ZooError, match=rf"{package} is missing .*; run `pip install 'funczoo\[export\]'`"):
        zoo.export(model, tmp_path / "encoder.onnx")
    assert zoo.export(model, tmp_path / "encoder.pt2").path.is_file()  # which needs none of them
