"""A researcher's single file: a method, an encoder, an augmentation and a recipe, without editing this package."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch

import zoo
from zoo.errors import ZooError
from zoo.models.code import Code

BESIDE = """
WIDTH = 4
"""
FILE = '''
"""The spectral contrastive loss, with your own network and views."""
import torch
from typing import NamedTuple
import zoo
from functional import heads, layers, random, tree
from functional.augmentations import draw_views
from functional.base import Encoder, Method
from functional.numerics import l2_normalize
from beside import WIDTH


class State(NamedTuple):
    batch_stats: dict


def spectral(encoder, *, views, projector=(16, 8)):
    projection = heads.projection_mlp(encoder.feature_dim, projector)

    def init(key):
        key_encoder, key_projector = random.split(key)
        params, batch_stats = encoder.init(key_encoder)
        return {"encoder": params, "projector": projection.init(key_projector)[0]}, State(batch_stats)

    def loss(params, state, key, batch):
        x = torch.cat(draw_views(views, key, batch))
        h, batch_stats = encoder.apply(params["encoder"], state.batch_stats, x, train=True)
        a, b = (l2_normalize(z) for z in projection.apply(params["projector"], {}, h)[0].chunk(2))
        s, different = a @ b.T, 1 - torch.eye(len(a))
        value = -2 * s.diagonal().mean() + (s.square() * different).sum() / different.sum()
        return value, tree.detach((State(batch_stats), {"positive_cosine": s.diagonal().mean()}))

    return Method(init, loss, advice="Ask the author.")


def my_net(in_channels, *, width=WIDTH):
    net = layers.serial(conv=layers.conv(in_channels, width, 3), bn=layers.batch_norm(width), relu=layers.relu,
                        pool=layers.global_average_pool)
    return Encoder(*net, feature_dim=width)


def shifted(keys, images, *, by=0.1):
    return images + by * random.normal(keys, tuple(images.shape[1:]))


methods = {"spectral": spectral}
encoders = {"my_net": my_net}
augmentations = {"shifted": shifted}
recipe = zoo.Recipe(
    method="spectral", encoder="my_net", dataset="digits", optimizer="adamw", learning_rate=2e-3, epochs=3,
    batch_size=256, precision="float32",
    views=(("random_resized_crop", {"size": 8, "scale": (0.4, 1.0)}), ("shifted", {"by": 0.2})),
)
'''


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("research")
    (folder / "beside.py").write_text(BESIDE)
    path = folder / "my_method.py"
    path.write_text(FILE)
    return path


@pytest.fixture(scope="module")
def finished(file, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    return zoo.pretrain(file, out=out), out


def command(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "zoo", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_it_trains_and_is_saved_under_its_own_names(finished):
    model, out = finished
    assert model.name == "spectral-my_net-digits" and model.feature_dim == 4
    assert json.loads((out / "recipe.json").read_text())["views"][1] == ["shifted", {"by": 0.2}]
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 3 and lines[-1]["loss"] < lines[0]["loss"] and "positive_cosine" in lines[0]


@pytest.mark.slow
def test_it_resumes_after_a_kill_to_the_same_bits(file, finished, tmp_path):
    out = tmp_path / "killed"
    process = command("pretrain", file, "--out", out, "--set", "epochs=3")
    while not (out / "checkpoint.safetensors").is_file() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode in (-signal.SIGKILL, 0)
    without = command("resume", out)
    _, errors = without.communicate()
    assert without.returncode == 2 and "unknown method 'spectral'" in errors and "--code FILE.py" in errors
    again = command("resume", out, "--code", file)
    _, errors = again.communicate()
    assert again.returncode == 0, errors
    assert (out / "encoder" / "model.safetensors").read_bytes() == (
        finished[1] / "encoder" / "model.safetensors"
    ).read_bytes()


def test_it_loads_where_its_code_is_given_and_only_there(file, finished):
    model, out = finished
    images = zoo.load_dataset("digits").test.images[:5]
    again = zoo.load(out, code=file)
    assert torch.equal(again.features(images), model.features(images))
    with pytest.raises(ZooError, match=r"unknown encoder .*'my_net'.* name the Python file .*--code FILE.py"):
        zoo.load(out)


@pytest.mark.slow
def test_zoo_probe_compares_it_with_simclr(file, finished):
    accuracies = []
    for arguments in ((finished[1], "--code", file), ("simclr-resnet8-digits",)):
        process = command("probe", *arguments, "--data", "digits", "--labels-per-class", "10", "--draws", 1, "--json")
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        rows = json.loads(output)["results"]
        accuracies.append(next(row["linear"]["mean"] for row in rows if row["features"] == "encoder"))
    assert accuracies[0] < accuracies[1]


def test_functions_can_be_an_argument_too(tmp_path, recipe):
    seen = []

    def dimmed(keys, images, *, by):
        seen.append(by)
        return images * by

    own = Code(augmentations={"dimmed": dimmed})
    views = (*recipe.views, ("dimmed", {"by": 0.5}))
    zoo.pretrain(recipe.replace(views=views, epochs=1, warmup_epochs=0), out=tmp_path / "run", code=own)
    assert set(seen) == {0.5}


def test_a_stored_recipe_or_configuration_never_names_code(file, finished, tmp_path):
    """What is downloaded holds names alone; a path in their place is an unknown name, and nothing is run."""
    marker = tmp_path / "ran"
    evil = tmp_path / "evil.py"
    evil.write_text(f"import pathlib; pathlib.Path({str(marker)!r}).touch()\n")
    stored = json.loads((finished[1] / "recipe.json").read_text())
    for field in ("method", "encoder"):
        path = tmp_path / f"{field}.json"
        path.write_text(json.dumps({**stored, field: str(evil)}))
        with pytest.raises(ZooError, match="unknown"):
            zoo.pretrain(path, out=tmp_path / "run", code=file)
    with pytest.raises(ZooError, match="unknown recipe field 'code'"):
        (tmp_path / "code.json").write_text(json.dumps({**stored, "code": str(evil)}))
        zoo.pretrain(tmp_path / "code.json", out=tmp_path / "run")
    config = json.loads((finished[1] / "encoder" / "config.json").read_text())
    copy = tmp_path / "encoder"
    copy.mkdir()
    (copy / "model.safetensors").write_bytes((finished[1] / "encoder" / "model.safetensors").read_bytes())
    config["architecture"]["encoder"] = str(evil)
    (copy / "config.json").write_text(json.dumps({**config, "code": str(evil)}))
    with pytest.raises(ZooError, match="unknown encoder"):
        zoo.load(copy)
    assert not marker.exists()


@pytest.mark.parametrize(
    "text,words",
    [
        ("methods = {'simclr': print}", "method 'simclr': this package already has one of that name"),
        ("encoders = {'My-Net': print}", "encoders: expected names of a-z, 0-9 and _, got 'My-Net'"),
        ("methods = ['spectral']", "methods: expected a dict of names and functions, got list"),
        ("methods = {'spectral': 3}", "methods: 'spectral': expected a function, got int"),
    ],
)
def test_wrong_mappings_are_named(text, words, tmp_path, recipe):
    path = tmp_path / "mine.py"
    path.write_text(text + "\n")
    with pytest.raises(ZooError) as raised:
        zoo.pretrain(recipe, out=tmp_path / "run", code=path)
    assert words in str(raised.value)


def test_an_error_in_your_own_code_keeps_its_traceback(tmp_path, recipe):
    def broken(keys, images):
        raise ValueError("a bug of mine")

    own = Code(augmentations={"broken": broken})
    with pytest.raises(ValueError, match="a bug of mine") as raised:
        zoo.pretrain(recipe.replace(views=(("broken", {}),)), out=tmp_path / "run", code=own)
    assert not isinstance(raised.value, ZooError)


def test_an_info_that_takes_a_name_of_the_metrics_is_refused(tmp_path, recipe):
    from functional import methods

    def simclr_with_epoch(encoder, *, views, **options):
        made = methods.simclr(encoder, views=views, projector=(8,))

        def loss(params, state, key, batch):
            value, (state, info) = made.loss(params, state, key, batch)
            return value, (state, {**info, "epoch": value.detach()})

        return made._replace(loss=loss)

    chosen = recipe.replace(method="mine", method_options={})
    with pytest.raises(ZooError, match="method 'mine': info: epoch is reserved for metrics.jsonl; rename it"):
        zoo.pretrain(chosen, out=tmp_path / "run", code=Code(methods={"mine": simclr_with_epoch}))


def test_resuming_a_run_with_changed_code_warns(file, tmp_path):
    out = tmp_path / "run"

    def stop(epoch, model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zoo.pretrain(file, out=out, on_epoch=stop)
    changed = file.with_name("changed.py")
    changed.write_text(file.read_text() + "\n# one more line\n")
    with pytest.warns(UserWarning, match="has changed since its checkpoint was written"):
        zoo.pretrain(changed, out=out)
