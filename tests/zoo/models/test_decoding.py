"""Encoders with a decoder: written and verified with it, and features become images."""

import json
import re
import shutil

import numpy as np
import pytest
import torch

import zoo
from functional import heads, tree
from zoo.files import load_tensors
from zoo.models.pretrained import rounded, untrained


@pytest.fixture
def directory(decoding_run, tmp_path):
    """A copy of an encoder directory with a decoder, to be broken."""
    return shutil.copytree(decoding_run / "encoder", tmp_path / "encoder")


@pytest.fixture(scope="module")
def model(decoding_run):
    return zoo.load(decoding_run)


def test_features_become_images_as_in_the_published_network(model, bars):
    assert model.has_decoder and model.feature_dim == 3
    latents = model.features(bars.test.images)
    images = model.decode(latents)
    assert images.shape == bars.test.images.shape and images.dtype == torch.float32 and not images.requires_grad
    assert 0 <= images.min() < images.max() <= 1
    layer = heads.s5_decoder(3, width=2)
    logits, _ = layer.apply(model.decoder.params, model.decoder.batch_stats, latents)
    assert torch.equal(images, logits.sigmoid())
    assert torch.equal(model.decode(latents.numpy().astype(np.float64)), images)
    assert model.decode(latents.repeat(20, 1)).shape == (440, 1, 28, 28)  # more than one batch


def test_refined_latents_decode_nearer_to_every_image(model, bars):
    images = bars.test.images.repeat(13, 1, 1, 1)  # more than one batch
    latents = model.features(images)

    def errors(latents):
        return (model.decode(latents) - images / 255).square().mean((1, 2, 3))

    refined = model.refine(images.numpy(), latents.numpy())
    assert refined.shape == latents.shape and not refined.requires_grad
    assert (errors(refined) < errors(latents)).all()
    assert torch.equal(model.refine(images, latents, steps=0), latents)
    assert (errors(refined) <= errors(model.refine(images, latents, steps=2))).all()


def test_what_cannot_be_refined_is_named(model, bars):
    images, latents = bars.test.images[:2], torch.zeros(2, 3)
    for call, words in {
        lambda: model.refine(images, latents[:1]): "latents: expected a row for each of 2 images, got 1",
        lambda: model.refine(images, latents, steps=-1): "steps: expected a whole number from 0, got -1",
        lambda: model.refine(images.float(), latents): "images: expected uint8 in 0..255",
        lambda: untrained(model).refine(images, latents): "has no decoder; only methods such as autoencoder",
        lambda: zoo.load("denoising_autoencoder-resnet8-mnist").refine(images, latents): (
            "expected at most 64 features to refine, got 2,048"
        ),
    }.items():
        with pytest.raises(zoo.ZooError, match=re.escape(words)):
            call()


def test_a_decoder_is_saved_with_its_encoder_and_removed_with_it(model, bars, tmp_path):
    directory = tmp_path / "copy"
    copy = zoo.save(model, directory)
    assert {path.name for path in directory.iterdir()} == {
        *("README.md", "config.json", "model.safetensors", "decoder.safetensors")
    }
    entry = json.loads((directory / "config.json").read_text())["decoder"]
    assert entry["name"] == "s5_decoder" and entry["options"] == {"width": 2} and len(entry["sha256"]) == 64
    latents = model.features(bars.test.images)
    assert torch.equal(copy.decode(latents), model.decode(latents))
    assert tree.flatten(copy.decoder.batch_stats)["bn1.running_mean"].any(), "trained, not the initial ones"
    without = zoo.save(untrained(model), directory, overwrite=True)
    assert not without.has_decoder and not (directory / "decoder.safetensors").exists()
    assert not zoo.load(directory).has_decoder


def test_a_decoder_is_stored_in_bfloat16_with_its_encoder(model, bars, tmp_path):
    half = zoo.save(model, tmp_path / "half", dtype="bfloat16")
    stored, _ = load_tensors(tmp_path / "half" / "decoder.safetensors")
    assert {x.dtype for x in stored.values()} == {torch.bfloat16}
    assert {x.dtype for x in tree.leaves((half.decoder.params, half.decoder.batch_stats))} == {torch.float32}
    latents = model.features(bars.test.images)
    assert torch.equal(half.decode(latents), rounded(model, "bfloat16").decode(latents))
    assert not torch.equal(half.decode(latents), model.decode(latents))


def test_the_waves_of_a_decoder_are_saved_with_it(bars, decoding_recipe, tmp_path):
    recipe = decoding_recipe.replace(epochs=1, method_options={"decoder": ("fourier_decoder", {"hidden": 8})})
    model = zoo.pretrain(recipe, data=bars, out=tmp_path / "run")
    loaded = zoo.load(tmp_path / "run")
    frequencies = loaded.decoder.batch_stats["waves"]["frequencies"]
    assert torch.equal(frequencies, model.decoder.batch_stats["waves"]["frequencies"]) and frequencies.std() > 0.5
    latents = model.features(bars.test.images)
    assert torch.equal(loaded.decode(latents), model.decode(latents))


@pytest.mark.parametrize(
    "latents,words",
    [
        (torch.zeros(3), "latents: expected [N, 3], N above 0, got [3]"),
        (torch.zeros(5, 2), "latents: expected [N, 3], N above 0, got [5, 2]"),
        (torch.zeros(0, 3), "latents: expected [N, 3], N above 0, got [0, 3]"),
        (torch.zeros(5, 3, dtype=torch.uint8), "latents: expected floating point, as `features` returns"),
        ([[0.0, 0.0, 0.0]], "latents: expected a tensor or an array [N, 3], got list"),
    ],
)
def test_bad_latents_are_named(model, latents, words):
    with pytest.raises(zoo.ZooError) as error:
        model.decode(latents)
    assert words in str(error.value)


def test_an_encoder_without_a_decoder_says_so():
    model = zoo.load("simclr-resnet8-digits")
    assert not model.has_decoder
    with pytest.raises(zoo.ZooError, match="simclr-resnet8-digits: has no decoder; only methods such as autoencoder"):
        model.decode(torch.zeros(2, 64))


def edit(directory, **changes):
    path = directory / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "decoder": {**config["decoder"], **changes}}))


def flip_a_bit(directory):
    path = directory / "decoder.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


BROKEN = {
    "no weights": (lambda d: (d / "decoder.safetensors").unlink(), "decoder.safetensors: no such file"),
    "one bit": (flip_a_bit, "decoder.safetensors: SHA-256"),
    "another name": (
        lambda d: edit(d, name="s5_decodr"),
        "config.json: unknown decoder 's5_decodr'; did you mean 's5_decoder'",
    ),
    "another width": (
        lambda d: edit(d, options={"width": 1}),
        "decoder.safetensors: does not fit s5_decoder: ",
    ),
    "another option": (lambda d: edit(d, options={"widht": 1}), "widht"),
    "a list of options": (lambda d: edit(d, options=[]), "expected name, options and sha256"),
    "no entry": (
        lambda d: (d / "config.json").write_text(
            json.dumps({**json.loads((d / "config.json").read_text()), "decoder": "s5_decoder"})
        ),
        "decoder: expected name, options and sha256 (64 hexadecimal digits), or null, got 's5_decoder'",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_decoder_is_refused(directory, how):
    breaks, words = BROKEN[how]
    breaks(directory)
    with pytest.raises(zoo.ZooError) as error:
        zoo.load(directory)
    assert words in str(error.value)
