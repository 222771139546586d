"""Encoders by name and directory: verified before use, bit-identical each time, and bad images are named."""

import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import zoo
from functional import tree
from zoo.files import content_digest, load_tensors
from zoo.models import loading
from zoo.models.pretrained import fingerprint, rounded

IMAGES = torch.arange(5 * 64, dtype=torch.int64).mul(37).remainder(256).to(torch.uint8).reshape(5, 1, 8, 8)


@pytest.fixture
def directory(run, tmp_path):
    """A copy of an encoder directory, to be broken."""
    return shutil.copytree(run / "encoder", tmp_path / "encoder")


def test_every_shipped_model_loads_and_gives_its_fingerprint():
    for name in zoo.list_models():
        model = zoo.load(name)
        found, config = zoo.entry(name), (loading.WEIGHTS / name / "config.json").read_bytes()
        assert model.name == name and found.sha256 == model.config["sha256"]
        assert found.config_sha256 == hashlib.sha256(config).hexdigest()
        np.testing.assert_allclose(fingerprint(model), model.config["fingerprint"], atol=1e-3)


def test_loading_imports_nothing_of_training_and_no_client_of_a_hub():
    program = "import sys, zoo; zoo.load('simclr-resnet8-digits')\n"
    program += "assert not [name for name in sys.modules if name.startswith(('zoo.training', 'huggingface_hub'))]"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_features_are_the_same_bits_after_saving_and_in_any_kind_of_array(model, tmp_path):
    features = model.features(IMAGES)
    assert features.dtype == torch.float32 and features.shape == (5, model.feature_dim)
    assert torch.equal(zoo.save(model, tmp_path / "copy").features(IMAGES.numpy()), features)
    assert not features.requires_grad


def test_weights_in_bfloat16_are_loaded_in_float32_and_described_as_stored(model, tmp_path):
    directory = tmp_path / "half"
    half = zoo.save(model, directory, dtype="bfloat16")
    stored, _ = load_tensors(directory / "model.safetensors")
    assert {x.dtype for x in stored.values()} == {torch.bfloat16} and "bn1.running_var" in stored
    leaves = tree.flatten(half.params) | tree.flatten(half.batch_stats)
    exact = tree.flatten(model.params) | tree.flatten(model.batch_stats)
    assert {x.dtype for x in leaves.values()} == {torch.float32}
    for name, x in leaves.items():
        assert torch.equal(x, exact[name].bfloat16().float()) and torch.equal(x, stored[name].float())
    assert not torch.equal(leaves["conv1.weight"], exact["conv1.weight"])
    config = json.loads((directory / "config.json").read_text())
    assert config["dtype"] == "bfloat16" and model.config["dtype"] == "float32"
    assert config["content_digest"] == content_digest(stored) != model.config["content_digest"]
    assert config["fingerprint"] == fingerprint(half) != fingerprint(model)
    assert torch.equal(half.features(IMAGES), rounded(model, "bfloat16").features(IMAGES))
    torch.testing.assert_close(half.features(IMAGES), model.features(IMAGES), rtol=0.05, atol=0.05)
    again = zoo.save(half, tmp_path / "again", dtype="bfloat16")
    assert again.config["sha256"] == half.config["sha256"]
    assert zoo.save(half, tmp_path / "whole").config["dtype"] == "float32"


def test_an_unknown_dtype_is_named_before_anything_is_written(model, tmp_path):
    with pytest.raises(zoo.ZooError, match="unknown dtype 'bfloat'; did you mean 'bfloat16'"):
        zoo.save(model, tmp_path / "encoder", dtype="bfloat")
    assert not (tmp_path / "encoder").exists()


def test_features_do_not_change_images_or_weights(model):
    images, weights = IMAGES.clone(), {name: x.clone() for name, x in tree.flatten(model.params).items()}
    model.features(images)
    assert torch.equal(images, IMAGES)
    assert all(torch.equal(x, weights[name]) for name, x in tree.flatten(model.params).items())


def test_a_module_has_the_same_numbers_and_names_and_can_be_trained(model, run):
    module = model.to_module()
    assert torch.equal(module(IMAGES), model.features(IMAGES))
    assert torch.equal(module(IMAGES.float() / 255), model.features(IMAGES))
    with safe_open(run / "encoder" / "model.safetensors", framework="pt") as file:
        assert set(module.state_dict()) == set(file.keys())
    kept = {name: x.clone() for name, x in tree.flatten((model.params, model.batch_stats)).items()}
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module.train()(IMAGES).square().mean().backward()
    optimizer.step()
    assert not torch.equal(module.state_dict()["bn1.running_mean"], model.batch_stats["bn1"]["running_mean"])
    assert not torch.equal(module.state_dict()["conv1.weight"], model.params["conv1"]["weight"])
    assert all(torch.equal(x, kept[name]) for name, x in tree.flatten((model.params, model.batch_stats)).items())


def test_files_and_pictures_are_converted_and_resized(model, tmp_path):
    picture = Image.fromarray(IMAGES[0, 0].numpy())
    picture.save(tmp_path / "grey.png")
    picture.convert("RGBA").resize((32, 24), Image.Resampling.NEAREST).save(tmp_path / "large.png")
    features = model.features([picture, tmp_path / "grey.png", str(tmp_path / "large.png")])
    torch.testing.assert_close(features[:2], model.features(IMAGES[:1]).expand(2, -1))
    assert features.shape == (3, model.feature_dim)


@pytest.mark.parametrize(
    "images,words",
    [
        (IMAGES[0, 0], "got [8, 8]; stack them"),
        (IMAGES[:, 0], "expected uint8 [N, 1, 8, 8], got [5, 8, 8]; add a dimension"),
        (IMAGES.float(), "expected uint8 in 0..255, got torch.float32"),
        (IMAGES.expand(5, 3, 8, 8), "got [5, 3, 8, 8]"),
        (IMAGES[:, :, :4], "got [5, 1, 4, 8]; resize them"),
        (IMAGES[:0], "expected at least one"),
        ([], "got an empty list"),
        ([3], "expected PIL images or paths in the list, got int"),
        (["none.png"], "none.png: not a readable image"),
        ("none.png", "got str"),
        (np.zeros((2, 1, 8, 8)), "got torch.float64"),
    ],
)
def test_bad_images_are_named(model, images, words):
    with pytest.raises(zoo.ZooError) as error:
        model.features(images)
    assert words in str(error.value)


@pytest.mark.parametrize("change", [{"mean": [0.4]}, {"std": [0.2]}, {"name": "another"}, {"recipe": {}}, {"extra": 1}])
def test_a_model_of_the_zoo_with_another_configuration_is_refused(change, tmp_path, monkeypatch):
    name = "simclr-resnet8-digits"
    directory = shutil.copytree(loading.WEIGHTS / name, tmp_path / name)
    monkeypatch.setattr(loading, "WEIGHTS", tmp_path)
    assert zoo.load(name).name == name
    edit(directory, **change)
    with pytest.raises(zoo.ZooError, match="config.json: SHA-256 .*, but the zoo says .*truncated or modified"):
        zoo.load(name)


def test_an_unknown_name_lists_similar_ones():
    with pytest.raises(
        zoo.ZooError, match="unknown model 'simclr-resnet8-digit'; did you mean 'simclr-resnet8-digits'"
    ):
        zoo.load("simclr-resnet8-digit")
    with pytest.raises(zoo.ZooError, match="unknown model"):
        zoo.entry("byol")


def test_a_name_that_is_also_a_directory_is_refused_with_both_spellings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("simclr-resnet8-digits", "mine"):
        (tmp_path / name).mkdir()
        with pytest.raises(zoo.ZooError) as error:
            zoo.load(name)
        assert f"'./{name}'" in str(error.value)


def edit(directory, **changes):
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def drop(directory, field):
    path = directory / "config.json"
    config = json.loads(path.read_text())
    del config[field]
    path.write_text(json.dumps(config))


def flip_a_bit(directory):
    path = directory / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


BROKEN = {
    "no directory": (shutil.rmtree, "no such directory"),
    "no configuration": (lambda d: (d / "config.json").unlink(), "has no config.json"),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "model.safetensors: no such file"),
    "one bit": (flip_a_bit, "SHA-256"),
    "truncated": (lambda d: (d / "model.safetensors").write_bytes(b"123"), "copy or download it again"),
    "not JSON": (lambda d: (d / "config.json").write_text("{"), "not JSON"),
    "a list": (lambda d: (d / "config.json").write_text("[]"), "expected format_version 1"),
    "newer": (lambda d: edit(d, format_version=99), "expected format_version 1, got 99; install a newer funczoo"),
    "other dtype": (lambda d: edit(d, dtype="float16"), "dtype: expected 'float32' or 'bfloat16', got 'float16'"),
    "no dtype": (lambda d: edit(d, dtype=[]), "dtype: expected 'float32' or 'bfloat16', got []"),
    "another dtype": (
        lambda d: edit(d, dtype="bfloat16"),
        "expected torch.bfloat16 [4, 1, 3, 3], got torch.float32 [4, 1, 3, 3]",
    ),
    "other encoder": (
        lambda d: edit(d, architecture={"encoder": "resnet9", "in_channels": 1, "options": {}}),
        "did you mean 'resnet8'",
    ),
    "nested too deep": (lambda d: (d / "config.json").write_text("[" * 100_000), "not JSON"),
    "a missing field": (lambda d: drop(d, "content_digest"), "missing content_digest"),
    "no digest": (lambda d: edit(d, sha256=None), "sha256: expected 64 hexadecimal digits, got None"),
    "other content": (
        lambda d: edit(d, content_digest="0" * 64),
        "but config.json says 000000000000...; one of the two",
    ),
    "no architecture": (lambda d: edit(d, architecture=[]), "architecture: expected encoder (a name), in_channels"),
    "no options": (lambda d: edit(d, architecture={"encoder": "resnet8", "in_channels": 1}), "and options, got"),
    "no pixels": (lambda d: edit(d, input_shape=[1, 0, 8]), "[channels, height, width], each 1 or more, got [1, 0, 8]"),
    "no spread": (lambda d: edit(d, std=[0.0]), "std: expected a number above 0 for each channel, got [0.0]"),
    "no mean": (lambda d: edit(d, mean=[float("nan")]), "mean: expected a finite number for each channel, got [nan]"),
    "a huge mean": (lambda d: edit(d, mean=[10**400]), "mean: expected a finite number for each channel, got [1000"),
    "other channels": (lambda d: edit(d, mean=[0.5] * 3), "same number of channels, got 1, 1, 3 and 1"),
    "no name": (lambda d: edit(d, name="a\nb"), "name: expected a name, got 'a\\nb'"),
    "no recipe": (lambda d: edit(d, recipe=None), "recipe: expected the fields of a recipe, got None"),
    "a huge width": (
        lambda d: edit(d, architecture={"encoder": "resnet8", "in_channels": 1, "options": {"width": 10**9}}),
        "model.safetensors: does not fit resnet8: Storage size calculation overflowed",
    ),
    "other width": (
        lambda d: edit(d, architecture={"encoder": "resnet8", "in_channels": 1, "options": {"width": 8}}),
        "conv1.weight: expected torch.float32 [8, 1, 3, 3], got torch.float32 [4, 1, 3, 3]",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_directory_is_refused(directory, how):
    breaks, words = BROKEN[how]
    breaks(directory)
    with pytest.raises(zoo.ZooError) as error:
        zoo.load(directory)
    assert words in str(error.value)
