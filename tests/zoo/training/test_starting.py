"""Pretraining that starts from weights: the right ones, verified, with their preprocessing, and reproducible."""

import hashlib
import json
import os
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from click.testing import CliRunner
from PIL import Image

import zoo
from functional import random, tree
from zoo.commands import main
from zoo.data.downloads import RemoteFile
from zoo.files import load_tensors
from zoo.models.architectures import build_encoder
from zoo.models.loading import WEIGHTS
from zoo.training import starting
from zoo.training.catalogue import TORCHVISION
from zoo.training.recipe import Recipe
from zoo.training.starting import published_weights, read_start, start_from, torchvision_weights

IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Stopped(Exception):
    """Ends a run after an epoch, as a kill would."""


def stop(epoch, model):
    raise Stopped


@pytest.fixture(scope="module")
def one_epoch(recipe):
    return recipe.replace(epochs=1, warmup_epochs=0)


@pytest.fixture(scope="module")
def shipped():
    """The recipe of a shipped model, for one epoch."""
    values = zoo.load("simclr-resnet8-digits").config["recipe"]
    return Recipe.from_record(values).replace(epochs=1, warmup_epochs=0)


def weights_of(model):
    return {**tree.flatten(model.params), **tree.flatten(model.batch_stats)}


def assert_equal_weights(a, b):
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def bits(out):
    checkpoint, weights = out / "checkpoint.safetensors", out / "encoder" / "model.safetensors"
    return checkpoint.read_bytes(), weights.read_bytes()


def test_a_configuration_without_a_start_means_a_random_one():
    record = zoo.load("simclr-resnet8-cifar10_40k").config["recipe"]
    assert "start" not in record and zoo.Recipe.from_record(record).start == "random"


def test_one_epoch_from_a_model_beats_one_epoch_from_random_weights(shipped, digits, tmp_path):
    images, labels = digits.train
    few, kept = slice(0, 50), slice(-129, None)  # the last tenth of the training images, not the test images
    accuracy = {}
    for start in ("random", "simclr-resnet8-digits"):
        model = zoo.pretrain(shipped.replace(start=start), out=tmp_path / start)
        report = zoo.linear_probe(model, train=(images[few], labels[few]), test=(images[kept], labels[kept]))
        accuracy[start] = report.accuracy
    assert accuracy["simclr-resnet8-digits"] > accuracy["random"] + 0.05


@pytest.mark.parametrize("how", ["name", "encoder directory", "finished run"])
def test_every_kind_of_start_gives_its_weights_and_leaves_the_head_random(how, shipped, one_epoch, run, tmp_path):
    recipe, start = {
        "name": (shipped, "simclr-resnet8-digits"),
        "encoder directory": (one_epoch, str(run / "encoder")),
        "finished run": (one_epoch, str(run)),
    }[how]
    source = zoo.load(start)
    # In both runs, the step is too small to change any float32 weight, so the weights stay those of the start.
    still = recipe.replace(optimizer="sgd", optimizer_options={}, learning_rate=1e-30)
    model = zoo.pretrain(still.replace(start=start), out=tmp_path / "run")
    assert_equal_weights(tree.flatten(model.params), tree.flatten(source.params))
    digest = {"source": start, "sha256": source.config["sha256"], "random": []}
    assert model.config["start"] == {**digest, "mean": source.config["mean"], "std": source.config["std"]}
    assert Recipe.from_record(model.config["recipe"]) == still.replace(start=start)
    unstarted = zoo.pretrain(still, out=tmp_path / "random")
    assert unstarted.config["start"] is None
    heads = [read_projector(tmp_path / out) for out in ("run", "random")]
    assert_equal_weights(*heads)
    assert not torch.equal(model.params["conv1"]["weight"], unstarted.params["conv1"]["weight"])


def read_projector(out):
    flat, _ = load_tensors(out / "checkpoint.safetensors")
    return {name: x for name, x in flat.items() if name.startswith("params.projector.")}


def test_running_statistics_are_the_starts(run, one_epoch):
    source = zoo.load(run)
    start = read_start(one_epoch.replace(start=str(run)))
    encoder, _ = start_from(start, source.encoder, in_channels=1)
    _, batch_stats = encoder.init(random.key(5))
    assert_equal_weights(tree.flatten(batch_stats), tree.flatten(source.batch_stats))
    assert batch_stats["bn1"]["running_mean"].abs().sum() > 0


def test_the_preprocessing_is_the_starts_unless_the_recipe_has_its_own(run, one_epoch, tmp_path):
    images = np.random.default_rng(0).integers(0, 100, (200, 1, 8, 8), np.uint8)
    np.savez(tmp_path / "dark.npz", images=images)
    started = one_epoch.replace(start=str(run), dataset=str(tmp_path / "dark.npz"))
    theirs = zoo.load(run).config
    config = zoo.pretrain(started, out=tmp_path / "a").config
    assert (config["mean"], config["std"]) == (theirs["mean"], theirs["std"])
    config = zoo.pretrain(started.replace(mean=(0.25,)), out=tmp_path / "b").config
    assert (config["mean"], config["std"]) == ([0.25], theirs["std"])
    config = zoo.pretrain(started.replace(start="random"), out=tmp_path / "c").config
    assert config["mean"] == [pytest.approx(images.mean() / 255, abs=1e-6)] and config["mean"] != theirs["mean"]


def test_a_resumed_run_no_longer_needs_its_start_and_ends_in_the_same_bits(recipe, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run / "encoder", tmp_path / "start")
    started = recipe.replace(epochs=3, seed=4, start="./start")
    zoo.pretrain(started, out="unbroken")
    with pytest.raises(Stopped):
        zoo.pretrain(started, out="broken", on_epoch=stop)
    assert json.loads((tmp_path / "broken" / "recipe.json").read_text())["start"] == "./start"
    shutil.rmtree(tmp_path / "start")
    model = zoo.resume("broken")
    assert bits(tmp_path / "broken") == bits(tmp_path / "unbroken")
    assert model.config["start"] == zoo.load("./unbroken").config["start"]
    assert zoo.resume("unbroken").config["start"]["source"] == "./start"
    with pytest.raises(zoo.ZooError, match="start: start: no such directory"):
        zoo.pretrain(started, out="again")


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"start": "./nowhere"}, "recipe: start: nowhere: no such directory"),
        ({"start": "simclr-resnet8-digit"}, "recipe: start: unknown model 'simclr-resnet8-digit'; did you mean"),
        (
            {"start": "simclr-resnet8-digits"},
            'simclr-resnet8-digits is resnet8 {"width": 16}, and the recipe\'s encoder is resnet8 {"width": 4}; '
            "to start from it, pass --set encoder=resnet8 --set encoder_options='{\"width\": 16}'",
        ),
        (
            {"start": "simclr-resnet8-digits", "encoder": "s4", "encoder_options": {}},
            'is resnet8 {"width": 16}, and the recipe\'s encoder is s4 {}',
        ),
        (
            {"start": "torchvision:resnet18"},
            'torchvision:resnet18 is resnet18 {}, and the recipe\'s encoder is resnet8 {"width": 4}; '
            "to start from it, pass --set encoder=resnet18 --set encoder_options='{}'",
        ),
    ],
)
def test_a_start_that_does_not_fit_is_named_before_any_data_are_read(one_epoch, changes, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(zoo.ZooError) as error:
        zoo.pretrain(one_epoch.replace(dataset="no_such_data.npz", **changes), out=tmp_path / "run")
    assert words in str(error.value) and "no_such_data" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_name_that_is_also_a_directory_is_refused(shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(WEIGHTS / "simclr-resnet8-digits", tmp_path / "simclr-resnet8-digits")
    with pytest.raises(zoo.ZooError, match="recipe: start: .* both a model of the zoo and a directory here"):
        zoo.pretrain(shipped.replace(start="simclr-resnet8-digits"), out="run")
    model = zoo.pretrain(shipped.replace(start="./simclr-resnet8-digits"), out="run")
    assert model.config["start"]["sha256"] == zoo.entry("simclr-resnet8-digits").sha256


def test_changed_weights_are_refused(run, one_epoch, tmp_path):
    path = shutil.copytree(run / "encoder", tmp_path / "start") / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(zoo.ZooError, match="recipe: start: .*SHA-256"):
        zoo.pretrain(one_epoch.replace(start=str(tmp_path / "start")), out=tmp_path / "run")


def test_an_omitted_option_is_its_default(one_epoch, tmp_path):
    zoo.pretrain(one_epoch.replace(encoder_options={}), out=tmp_path / "start")
    spelt_out = one_epoch.replace(encoder_options={"stem": "cifar", "width": 32}, start=str(tmp_path / "start"))
    assert zoo.pretrain(spelt_out, out=tmp_path / "run").config["start"]["random"] == []


def test_images_of_other_channels_are_refused_with_what_to_do(run, one_epoch, tmp_path):
    np.savez(tmp_path / "colour.npz", images=np.zeros((200, 3, 8, 8), np.uint8))
    with pytest.raises(zoo.ZooError) as error:
        zoo.pretrain(one_epoch.replace(start=str(run)), data=tmp_path / "colour.npz", out=tmp_path / "run")
    for words in ("takes grey images (1 channel), got colour images (3 channels)", "choose another start"):
        assert words in str(error.value)
    assert not (tmp_path / "run").exists()


def test_on_the_command_line_with_your_own_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_images").mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (20, 9, 12), np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "my_images" / f"{i}.png")
    changes = ("start=simclr-resnet8-digits", "image_size=8", "epochs=1", "warmup_epochs=0", "batch_size=10")
    options = [word for change in changes for word in ("--set", change)]
    command = ["pretrain", "simclr-resnet8-digits", "--data", "my_images", *options, "--out", "runs/mine"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.stderr
    config = zoo.load("runs/mine").config
    assert config["start"]["source"] == "simclr-resnet8-digits" and config["dataset"]["name"] == "my_images"
    assert "simclr-resnet8-digits" in (tmp_path / "runs/mine/encoder/README.md").read_text().partition("## Use")[0]


@pytest.fixture(scope="module")
def network():
    """torchvision's ResNet-18 with statistics that are not the initial ones."""
    network = torchvision.models.resnet18()
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(random.normal(random.key(0), (4, 3, 32, 32)))
    return network.eval()


@pytest.fixture(scope="module")
def published(network, tmp_path_factory):
    """A folder with its weights under a name in torchvision's style, and that name."""
    folder = tmp_path_factory.mktemp("published")
    torch.save(network.state_dict(), folder / "weights")
    digits = hashlib.sha256((folder / "weights").read_bytes()).hexdigest()[:8]
    name = f"resnet18-{digits}.pth"
    (folder / "weights").rename(folder / name)
    (folder / "resnet18-00000000.pth").write_bytes((folder / name).read_bytes()[:-1])
    return folder, name


def remote(url, path):
    """The file at a URL that has the digest and size of a file here."""
    data = path.read_bytes()
    return RemoteFile((url,), hashlib.sha256(data).hexdigest(), len(data))


@pytest.fixture(scope="module")
def server(published):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(published[0]))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty torch cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def torchvisions(published, server, cache, monkeypatch):
    """Point torchvision's URL of ResNet-18 to the stand-in; the cache is empty."""
    entry = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.value
    monkeypatch.setattr(entry, "url", f"{server}/{published[1]}")
    monkeypatch.setitem(starting.PUBLISHED, "resnet18", remote("", published[0] / published[1])[1:])
    return cache / published[1]


@pytest.fixture(scope="module")
def imagenet_recipe(recipe):
    values = {"encoder": "resnet18", "start": "torchvision:resnet18", "encoder_options": {}, "batch_size": 4}
    return recipe.replace(epochs=1, warmup_epochs=0, **values)


def test_torchvisions_weights_give_torchvisions_features(network, torchvisions, imagenet_recipe):
    start = read_start(imagenet_recipe)
    encoder, record = start_from(start, build_encoder("resnet18", 3, {}), in_channels=3)
    assert record["random"] == [] and [record["mean"], record["std"]] == list(IMAGENET)
    assert record["sha256"] == hashlib.sha256(torchvisions.read_bytes()).hexdigest()
    images = random.normal(random.key(1), (2, 3, 64, 64))
    params, batch_stats = encoder.init(random.key(3))
    with torch.no_grad():
        features, _ = encoder.apply(params, batch_stats, images)
        theirs = torch.nn.Sequential(*list(network.children())[:-1])(images).flatten(1)
    torch.testing.assert_close(features, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "stem,in_channels,kept",
    [
        ("imagenet", 1, ["conv1.weight"]),
        ("cifar", 3, ["conv1.weight"]),
        ("strided", 3, ["conv1.weight"]),
        ("cifar", 1, ["conv1.weight"]),
    ],
)
def test_a_first_convolution_of_another_shape_stays_random(
    network, torchvisions, imagenet_recipe, stem, in_channels, kept
):
    own = build_encoder("resnet18", in_channels, {"stem": stem})
    start = read_start(imagenet_recipe.replace(encoder_options={"stem": stem}))
    encoder, record = start_from(start, own, in_channels)
    assert record["random"] == kept and record["mean"] == (IMAGENET[0] if in_channels == 3 else None)
    params, batch_stats = encoder.init(random.key(3))
    assert torch.equal(params["conv1"]["weight"], own.init(random.key(3))[0]["conv1"]["weight"])
    flat, theirs = {**tree.flatten(params), **tree.flatten(batch_stats)}, network.state_dict()
    assert all(torch.equal(x, theirs[name]) for name, x in flat.items() if name not in kept)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_run_from_torchvisions_weights(network, torchvisions, imagenet_recipe, channels, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, channels, 16, 16), np.uint8)
    np.savez(tmp_path / "d.npz", images=images)
    views = [("random_resized_crop", {"size": 16})]
    still = {"views": views, "optimizer": "sgd", "optimizer_options": {}, "learning_rate": 1e-30}
    recipe = imagenet_recipe.replace(dataset=str(tmp_path / "d.npz"), **still)
    model = zoo.pretrain(recipe, out=tmp_path / "run")
    ours, theirs = model.params["layer4"]["1"]["conv2"]["weight"], network.state_dict()["layer4.1.conv2.weight"]
    # Among millions of random weights one can be 0, which a gradient times any learning rate changes.
    torch.testing.assert_close(ours, theirs, atol=1e-25, rtol=0)
    assert model.config["start"]["source"] == "torchvision:resnet18"
    if channels == 3:
        assert [model.config["mean"], model.config["std"]] == list(IMAGENET)
    else:
        assert model.config["mean"] == [pytest.approx(images.mean() / 255, abs=1e-6)]
    assert "ImageNet with labels" in (tmp_path / "run" / "encoder" / "README.md").read_text()


def test_the_file_is_taken_from_torchs_cache(published, cache):
    cache.mkdir(parents=True)
    shutil.copy(published[0] / published[1], cache)
    file = remote(f"http://127.0.0.1:9/{published[1]}", cache / published[1])
    weights, sha256 = torchvision_weights("resnet18", file=file)  # no request
    assert sha256[:8] in published[1] and "fc.weight" not in weights
    assert not any("num_batches" in name for name in weights)


def test_a_changed_file_in_the_cache_is_refused(published, cache):
    cache.mkdir(parents=True)
    (cache / published[1]).write_bytes((published[0] / published[1]).read_bytes()[:-1])
    file = remote(f"http://127.0.0.1:9/{published[1]}", published[0] / published[1])
    with pytest.raises(zoo.ZooError, match="truncated or modified; delete it"):
        torchvision_weights("resnet18", file=file)


def test_a_file_with_the_digits_of_its_name_but_another_digest_is_refused(published, cache):
    cache.mkdir(parents=True)
    shutil.copy(published[0] / published[1], cache)
    digits = published[1].rpartition("-")[2].removesuffix(".pth")
    file = RemoteFile((f"http://127.0.0.1:9/{published[1]}",), digits + "0" * 56)
    with pytest.raises(zoo.ZooError, match=f"{published[1]}: SHA-256 .*truncated or modified; delete it"):
        torchvision_weights("resnet18", file=file)


@pytest.mark.parametrize("file,words", [("resnet18-00000000.pth", "truncated or modified"), ("none-0.pth", "404")])
def test_a_download_that_fails_leaves_no_file_and_says_what_to_do(published, server, cache, file, words):
    with pytest.raises(zoo.ZooError) as error:
        torchvision_weights("resnet18", file=remote(f"{server}/{file}", published[0] / published[1]))
    for part in (words, f"{server}/{file}", str(cache), "TORCH_HOME"):
        assert part in str(error.value)
    assert list(cache.iterdir()) == []


def test_without_a_network_the_error_says_what_to_do_before_data_are_read(
    cache, imagenet_recipe, tmp_path, monkeypatch
):
    for proxy in ("http_proxy", "https_proxy"):  # nobody listens on port 9
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    with pytest.raises(zoo.ZooError) as error:
        zoo.pretrain(imagenet_recipe, data="no_such_data.npz", out=tmp_path / "run")
    assert "on a machine with a network and copy it to that directory" in str(error.value)
    assert str(cache) in str(error.value) and list(cache.iterdir()) == []


class MakesAFolder:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("kind", ["code", "text", "list"])
def test_a_file_that_holds_anything_but_weights_is_refused_and_runs_nothing(kind, cache, tmp_path):
    cache.mkdir(parents=True)
    path = cache / "file"
    if kind == "text":
        path.write_text("hello")
    else:
        torch.save({"code": {"conv1.weight": MakesAFolder(tmp_path / "made")}, "list": [1, 2]}[kind], path)
    with pytest.raises(zoo.ZooError, match="holds no readable weights"):
        torchvision_weights("resnet18", file=remote(f"http://127.0.0.1:9/{path.name}", path))
    assert not (tmp_path / "made").exists()


def test_weights_of_another_network_are_refused(cache, imagenet_recipe):
    start = read_start_of({"conv1.weight": torch.zeros(64, 3, 7, 7)}, imagenet_recipe, cache)
    with pytest.raises(zoo.ZooError, match="does not fit the encoder: leaves differ: missing bn1.bias"):
        start_from(start, build_encoder("resnet18", 3, {}), in_channels=3)


def read_start_of(state_dict, recipe, cache):
    """The start of a recipe when torch's cache has these weights under torchvision's name."""
    cache.mkdir(parents=True)
    path = cache / Path(published_weights("resnet18").urls[0]).name
    torch.save(state_dict, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(starting.PUBLISHED, "resnet18", remote("", path)[1:])
        return read_start(recipe)


def test_torchvisions_own_names_carry_the_first_digits_of_the_pinned_digests():
    for name, (sha256, size) in starting.PUBLISHED.items():
        (url,), *_ = published_weights(name)
        assert url.endswith(f"/{name}-{sha256[:8]}.pth") and f"torchvision:{name}" in TORCHVISION
        assert len(sha256) == 64 and size > 40_000_000
