"""Plans: the times of a recipe become steps, its groups optimizers, its views functions; and the kinds of data."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import zoo
from functional import optimizers, random, schedules, tree
from zoo.errors import ZooError
from zoo.training.catalogue import catalogue
from zoo.training.plan import Clock, build_method, build_optimizer, build_views, make_plan, read_behind

CLOCK = Clock(steps_per_epoch=10, epochs=6)


# --- schedules --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec,expected",
    [
        (("cosine", {"value": 0.9, "final": 1.0}), schedules.cosine(0.9, 60, final=1.0)),
        (("cosine", {"value": 0.9, "final": 1.0, "epochs": 2}), schedules.cosine(0.9, 20, final=1.0)),
        (("linear", {"initial": 0.1, "final": 0.2, "epochs": 1.5}), schedules.linear(0.1, 0.2, 15)),
        (
            ("warmup_cosine", {"value": 0.2, "warmup_epochs": 1}),
            schedules.warmup_cosine(0.2, warmup_steps=10, steps=60),
        ),
        (
            ("step", {"value": 0.4, "boundaries": [1, 3], "factor": 0.5}),
            schedules.step(0.4, boundaries=(10, 30), factor=0.5),
        ),
        (("constant", {"value": 0.3}), schedules.constant(0.3)),
    ],
)
def test_the_times_of_schedules_are_epochs(recipe, spec, expected):
    """As a method sees them; a weight decay is handled the same way."""
    seen = {}

    def spy(encoder, *, views, momentum):
        seen["momentum"] = momentum

    chosen = recipe.replace(method="spy", method_options={"momentum": spec})
    names = catalogue()._replace(methods={"spy": spy})
    build_method(chosen, None, None, clock=CLOCK, names=names)
    steps = torch.arange(70)
    torch.testing.assert_close(seen["momentum"](steps), expected(steps), rtol=0, atol=0)
    decayed = build_optimizer(recipe.replace(optimizer_options={"weight_decay": spec}), CLOCK)
    params = {"w": torch.ones(2)}
    zero_grads, state = {"w": torch.zeros(2)}, decayed.init(params)
    for k in range(3):
        twin = build_optimizer(recipe.replace(optimizer_options={"weight_decay": expected(k).item()}), CLOCK)
        torch.testing.assert_close(
            decayed.update(zero_grads, state, params)[0],
            twin.update(zero_grads, state, params)[0],
            rtol=1e-6,
            atol=1e-9,
        )
        params, state = decayed.update(zero_grads, state, params)


def test_a_wrong_value_of_a_schedule_is_named(recipe):
    wrong = recipe.replace(method_options={"temperature": ("cosine", {"final": 0.1})})
    with pytest.raises(ZooError, match="schedule 'cosine': .*value"):
        make_plan(wrong)


# --- groups of parameters ---------------------------------------------------------------------------------------


def test_the_rate_that_is_logged_is_that_of_all_other_parameters(recipe):
    chosen = recipe.replace(learning_rate=0.4, parameter_groups=[("encoder.*", {"learning_rate": 0.2})])
    assert float(make_plan(chosen).schedule(10**6)) == 0  # the end of the cosine
    chosen = recipe.replace(learning_rate=0.4, parameter_groups=[("*", {"schedule": "constant"})])
    assert float(make_plan(chosen).schedule(10**6)) == pytest.approx(0.4)


def test_groups_have_their_own_rate_decay_and_time(recipe):
    chosen = recipe.replace(
        optimizer="sgd",
        optimizer_options={"weight_decay": 0.1, "mask": "exclude_bias_and_norm"},
        learning_rate=0.4,
        warmup_epochs=1,
        parameter_groups=[
            ("head.*", {"learning_rate": 0.2, "schedule": "constant", "weight_decay": 0.0}),
            ("late.*", {"frozen_epochs": 2}),
            ("never.*", {"frozen_epochs": "all"}),
        ],
    )
    optimizer = build_optimizer(chosen, CLOCK)
    start = {name: {"weight": torch.ones(2, 2), "bias": torch.ones(2)} for name in ("encoder", "head", "late", "never")}
    grads = tree.map(torch.ones_like, start)
    params, state = start, optimizer.init(start)
    path = [params]
    for _ in range(22):
        params, state = optimizer.update(grads, state, params)
        path.append(params)
    rate = schedules.warmup_cosine(0.4, warmup_steps=10, steps=60)
    for k in (0, 5, 21):
        before, after = path[k], path[k + 1]
        moved = {name: before[name]["weight"] - after[name]["weight"] for name in before}
        torch.testing.assert_close(moved["head"], torch.full((2, 2), 0.2))
        expected = rate(k).float() * (1 + 0.1 * before["encoder"]["weight"])
        torch.testing.assert_close(moved["encoder"], expected)
        own = rate(k).float() * (1 + 0.1 * before["late"]["weight"]) if k >= 20 else torch.zeros(2, 2)
        torch.testing.assert_close(moved["late"], own)
        assert not moved["never"].any()
        torch.testing.assert_close(before["encoder"]["bias"] - after["encoder"]["bias"], rate(k).float().expand(2))


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "lars"])
@pytest.mark.parametrize("mask", ["include_all", "exclude_bias_and_norm"])
def test_every_mask_works_with_every_optimizer(recipe, name, mask):
    optimizer = build_optimizer(
        recipe.replace(optimizer=name, optimizer_options={"mask": mask, "weight_decay": 0.5}), CLOCK
    )
    twin = getattr(optimizers, name)(
        schedules.warmup_cosine(2e-3, warmup_steps=10, steps=60), weight_decay=0.5, mask=getattr(optimizers, mask)
    )
    params = {"w": torch.ones(2, 2), "b": torch.ones(2)}
    grads = tree.map(lambda p: 0.1 * p, params)

    def updated_twice(made):
        first, state = made.update(grads, made.init(params), params)
        return made.update(grads, state, first)[0]

    torch.testing.assert_close(updated_twice(optimizer), updated_twice(twin), rtol=0, atol=0)


# --- views ------------------------------------------------------------------------------------------------------


def test_views_of_each_kind_are_one_function(recipe):
    large, small = ([("random_resized_crop", {"size": size})] for size in (8, 4))
    views = build_views(recipe.replace(views=[large, large, small]), (0.5,), (0.2,))
    assert views[0] is views[1] and views[1] is not views[2]
    keys, images = random.split(random.key(0), 3), torch.rand(3, 1, 8, 8)
    assert [view(keys, images).shape[-1] for view in views] == [8, 8, 4]
    assert callable(build_views(recipe.replace(views=[large]), (0.5,), (0.2,)))
    assert callable(build_views(recipe.replace(views=large), (0.5,), (0.2,)))


def test_asymmetric_views_train_and_a_wrong_number_is_named(recipe, tmp_path):
    one, other = recipe.views, [*recipe.views, ("solarize", {"p": 0.2})]
    quick = recipe.replace(
        epochs=1, warmup_epochs=0, method="byol", method_options={"projector": (8, 4), "predictor": 8}
    )
    model = zoo.pretrain(quick.replace(views=[one, other]), out=tmp_path / "run")
    assert model.config["recipe"]["views"][1][-1] == ["solarize", {"p": 0.2}]
    with pytest.raises(ZooError, match="one for each of 2 views, got 3"):
        zoo.pretrain(quick.replace(views=[one, other, other]), out=tmp_path / "three")


# --- labels and data --------------------------------------------------------------------------------------------


def test_the_number_of_classes_comes_from_the_data(recipe, tmp_path, digits):
    supervised = recipe.replace(method="supervised", method_options={"label_smoothing": 0.1}, epochs=1, warmup_epochs=0)
    model = zoo.pretrain(supervised, out=tmp_path / "run")
    assert model.name.startswith("supervised-resnet8-digits_"), "the zoo has another recipe by this name"
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert 0 <= lines[0]["accuracy"] <= 1
    with pytest.raises(ZooError, match="method 'supervised' learns from labels, and arrays has none"):
        zoo.pretrain(supervised, data=digits.train.images, out=tmp_path / "unlabelled")


@pytest.mark.parametrize(
    "kind", ["dataset", "tensor", "array", "pair"], ids=["a Dataset", "a tensor", "an array", "images and labels"]
)
def test_data_in_memory_give_the_bits_of_the_same_data_by_name(recipe, tmp_path, digits, kind):
    quick = recipe.replace(epochs=1, warmup_epochs=0)
    images, labels = digits.train
    data = {
        "dataset": digits,
        "tensor": images,
        "array": images.numpy(),
        "pair": (images, np.array([str(i) for i in labels.tolist()])),
    }[kind]
    by_name = zoo.pretrain(quick, out=tmp_path / "by name")
    model = zoo.pretrain(quick, data=data, out=tmp_path / "in memory")
    for name, x in tree.flatten(by_name.params).items():
        assert torch.equal(x, tree.flatten(model.params)[name])
    assert model.name.partition("_")[0] == ("simclr-resnet8-digits" if kind == "dataset" else "simclr-resnet8-arrays")
    resumed = zoo.resume(tmp_path / "in memory", data=data)
    assert resumed.config["sha256"] == model.config["sha256"]


def test_data_of_another_kind_are_named_without_being_printed(recipe, tmp_path):
    with pytest.raises(ZooError) as raised:
        zoo.pretrain(recipe, data={"images": torch.zeros(1000)}, out=tmp_path / "run")
    assert "dict" in str(raised.value) and len(str(raised.value)) < 400


def test_a_start_of_quite_another_size_says_what_it_does(recipe, tmp_path):
    started = recipe.replace(start="simclr-resnet8-digits", encoder_options={"width": 16}, epochs=1, warmup_epochs=0)
    large = torch.randint(0, 256, (128, 1, 8, 13), dtype=torch.uint8)
    with pytest.warns(UserWarning, match="images are 8x13 pixels, and simclr-resnet8-digits was trained on 8x8"):
        model = zoo.pretrain(started, data=large, out=tmp_path / "run")
    assert model.input_shape == (1, 8, 13)
    model = zoo.pretrain(started, data=large[..., :12], out=tmp_path / "half larger")  # a warning would be an error
    assert model.input_shape == (1, 8, 12)


# --- devices and precision --------------------------------------------------------------------------------------


def test_a_run_keeps_its_precision_when_it_is_resumed_with_auto(recipe, tmp_path):
    out = tmp_path / "run"

    def stop(epoch, model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zoo.pretrain(recipe.replace(precision="float32"), out=out, on_epoch=stop)
    model = zoo.pretrain(recipe.replace(precision="auto"), out=out)
    assert model.config["recipe"]["precision"] == "float32"


@pytest.mark.parametrize("on_gpu,made_at_each", [(False, [1, 2, 3]), (True, [2, 3, 3])])
def test_an_update_is_read_when_the_next_one_is_under_way_on_a_gpu(on_gpu, made_at_each, monkeypatch):
    made, waited = [], []

    class Event:  # of torch.cuda, which needs a GPU
        def record(self):
            self.after = len(made)

        def synchronize(self):
            waited.append(self.after)

    monkeypatch.setattr(torch.cuda, "Event", Event)

    def updates():
        for step in (1, 2, 3):
            made.append(step)
            yield SimpleNamespace(step=SimpleNamespace(is_cuda=on_gpu), number=step), {"loss": torch.tensor(step)}

    seen = [(state.number, int(info["loss"]), len(made)) for state, info in read_behind(updates())]
    assert seen == [(step, step, at) for step, at in zip((1, 2, 3), made_at_each, strict=True)]
    assert waited == ([1, 2, 3] if on_gpu else [])


def test_a_finished_run_is_loaded_without_a_step(recipe, tmp_path, monkeypatch):
    first = zoo.pretrain(recipe.replace(epochs=1, warmup_epochs=0), out=tmp_path / "run")
    monkeypatch.setattr("zoo.training.plan._try_a_step", None)
    assert zoo.pretrain(recipe.replace(epochs=1, warmup_epochs=0), out=tmp_path / "run").config == first.config


def test_a_compiler_that_is_missing_is_one_line_that_says_what_to_do(recipe, tmp_path):
    """A fresh machine may have no C++ compiler. In a process of its own: torch remembers the compiler that it found."""
    (tmp_path / "recipe.json").write_text(recipe.replace(compile=True).to_json())
    command = [sys.executable, "-m", "zoo", "pretrain", tmp_path / "recipe.json", "--out", tmp_path / "run"]
    without = {"CXX": "/no/such/compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **without})
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    *_, line = done.stderr.splitlines()
    assert line.startswith(
        f"zoo: compile: torch {torch.__version__} cannot compile the training step (InvalidCxxCompiler"
    )
    assert "train without compiling, in a new directory: --no-compile" in line
    command = [*command[:-1], tmp_path / "again", "--no-compile"]
    assert subprocess.run(command, capture_output=True, env={**os.environ, **without}).returncode == 0


def test_a_run_that_is_resumed_on_another_device_warns(recipe, tmp_path):
    """Only one device is available here, so the checkpoint is edited to come from another."""
    from zoo.files import load_sealed, save_sealed

    out = tmp_path / "run"

    def stop(epoch, model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zoo.pretrain(recipe, out=out, on_epoch=stop)
    tensors, metadata = load_sealed(out / "checkpoint.safetensors")
    (before,) = metadata["environments"]
    assert before["device"] == "cpu"
    save_sealed(out / "checkpoint.safetensors", tensors, {**metadata, "environments": [{**before, "device": "cuda"}]})
    with pytest.warns(
        UserWarning, match=r"with other settings than before \(device cuda -> cpu\): .* bits will differ"
    ):
        zoo.pretrain(recipe, out=out)


def test_a_stored_recipe_of_version_1_loads(recipe, tmp_path):
    stored = {**recipe.to_dict(), "device": "cpu"}
    del stored["parameter_groups"]
    (tmp_path / "recipe.json").write_text(json.dumps(stored))
    assert zoo.training.recipe.read_recipe(tmp_path / "recipe.json") == recipe
