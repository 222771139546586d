"""Pretraining: what a run writes, and that it never loses existing files."""

import json

import numpy as np
import pytest
import torch

import zoo
from functional import tree
from zoo.environment import has_bfloat16
from zoo.training.run_directory import read_metrics


def test_a_run_directory_holds_what_it_should(run, recipe):
    assert {path.name for path in run.iterdir()} == {
        "recipe.json",
        "metrics.jsonl",
        "checkpoint.safetensors",
        "encoder",
    }
    lines = read_metrics(run)
    assert [line["epoch"] for line in lines] == [1, 2] and lines[-1]["step"] == 20
    assert {"loss", "grad_norm", "positive_cosine", "learning_rate", "images_per_second"} <= set(lines[0])
    assert {"alignment", "uniformity", "feature_std", "effective_rank"} <= set(lines[0])
    assert all(2**26 < line["peak_memory_bytes"] < 2**36 for line in lines)
    config = json.loads((run / "encoder" / "config.json").read_text())
    assert zoo.Recipe.from_dict(config["recipe"]) == recipe.replace(epochs=2)


def test_training_lowers_the_loss(recipe, tmp_path):
    zoo.pretrain(recipe.replace(epochs=4), out=tmp_path / "run")
    losses = [line["loss"] for line in read_metrics(tmp_path / "run")]
    assert losses[-1] < losses[0] - 0.1


def test_the_automatic_precision_is_decided_once_and_written_down(recipe, tmp_path):
    automatic = recipe.replace(epochs=2, precision="auto")
    model = zoo.pretrain(automatic, out=tmp_path / "run")
    expected = "bfloat16" if has_bfloat16() else "float32"
    written = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert model.config["recipe"]["precision"] == written["precision"] == expected
    assert zoo.pretrain(automatic, out=tmp_path / "run").config == model.config  # the same run, which is done


def test_bfloat16_trains_alike_and_keeps_float32_weights(run, recipe, tmp_path):
    half = zoo.pretrain(recipe.replace(epochs=2, precision="bfloat16"), out=tmp_path / "run")
    assert {x.dtype for x in tree.leaves((half.params, half.batch_stats))} == {torch.float32}
    ours, theirs = (torch.tensor([line["loss"] for line in read_metrics(out)]) for out in (tmp_path / "run", run))
    assert not torch.equal(ours, theirs)  # another precision was in fact used
    torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=0)


def test_on_epoch_sees_the_encoder_of_every_epoch_and_can_stop_the_run(recipe, tmp_path):
    seen = {}

    def stop_after_the_second(epoch, model):
        seen[epoch] = model
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zoo.pretrain(recipe.replace(epochs=3), out=tmp_path / "run", on_epoch=stop_after_the_second)
    assert list(seen) == [1, 2] and not (tmp_path / "run" / "encoder").exists()
    zoo.pretrain(
        recipe.replace(epochs=3), out=tmp_path / "run", on_epoch=lambda epoch, model: seen.update({epoch: model})
    )
    last = zoo.load(tmp_path / "run")
    images = zoo.load_dataset("digits").test.images[:8]
    assert list(seen) == [1, 2, 3] and torch.equal(seen[3].features(images), last.features(images))
    assert not torch.equal(seen[2].features(images), last.features(images))


def test_a_directory_of_another_recipe_or_of_other_things_is_left_alone(run, recipe, tmp_path):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(zoo.ZooError) as error:
        zoo.pretrain(recipe.replace(epochs=2, seed=3), out=run)
    assert "holds a run of another recipe (seed 0 there, 3 here)" in str(error.value)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    (tmp_path / "thesis.tex").write_text("do not lose")
    with pytest.raises(zoo.ZooError, match="exists and is not a run directory"):
        zoo.pretrain(recipe, out=tmp_path)
    with pytest.raises(zoo.ZooError, match="exists and is not a run directory"):
        zoo.pretrain(recipe, out=tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "do not lose"


def test_a_run_does_not_resume_with_other_data(recipe, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (200, 1, 8, 8), np.uint8)
    file, out = tmp_path / "mine.npz", tmp_path / "run"
    np.savez(file, images=images)
    model = zoo.pretrain(recipe.replace(epochs=1, warmup_epochs=0), data=file, out=out)
    assert model.name == "simclr-resnet8-mine"
    np.savez(file, images=255 - images)
    (out / "encoder" / "config.json").unlink()
    with pytest.raises(zoo.ZooError, match="was on other data"):
        zoo.resume(out)


def test_a_loss_that_is_no_longer_finite_stops_training_and_keeps_the_last_checkpoint(recipe, tmp_path):
    out = tmp_path / "run"
    broken = recipe.replace(optimizer="sgd", optimizer_options={}, learning_rate=1e20, warmup_epochs=0)
    with pytest.raises(zoo.ZooError, match=r"step \d+ \(epoch 1\): .*training stopped"):
        zoo.pretrain(broken, out=out)
    assert not (out / "encoder").exists()


def test_the_last_good_checkpoint_outlives_a_loss_that_is_no_longer_finite(recipe, tmp_path):
    # Nothing moves for two epochs; then the first update is far too large.
    broken = recipe.replace(epochs=4, parameter_groups=[("*", {"frozen_epochs": 2, "learning_rate": 1e20})])
    path, kept = tmp_path / "run" / "checkpoint.safetensors", []
    with pytest.raises(zoo.ZooError, match=r"step 2\d \(epoch 3\): .*the last good checkpoint is .*checkpoint"):
        zoo.pretrain(broken, out=path.parent, on_epoch=lambda *_: kept.append(path.read_bytes()))
    assert len(kept) == 2 and path.read_bytes() == kept[-1]


def test_weights_that_are_not_finite_never_become_a_checkpoint(recipe, tmp_path):
    # An epoch of one step: its loss and gradient are finite, the updated weights are not.
    images = np.random.default_rng(0).integers(0, 256, (200, 1, 8, 8), np.uint8)
    np.savez(tmp_path / "d.npz", images=images)
    broken = recipe.replace(optimizer="sgd", optimizer_options={}, learning_rate=1e39, warmup_epochs=0, batch_size=200)
    with pytest.raises(zoo.ZooError, match="step 1: params.* is no longer finite; training stopped"):
        zoo.pretrain(broken, data=tmp_path / "d.npz", out=tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_a_collapse_is_reported_once_in_plain_words(recipe, tmp_path):
    # A weight decay of 10 at a learning rate of .1 drives every weight to 0 in a few steps.
    collapsing = recipe.replace(
        optimizer="sgd", optimizer_options={"weight_decay": 10.0}, learning_rate=0.1, warmup_epochs=0, epochs=3
    )
    with pytest.warns(UserWarning, match="the encoder has collapsed: it gives nearly the same features") as warned:
        zoo.pretrain(collapsing, out=tmp_path / "run")
    assert len(warned) == 1


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"method_options": {"temperature": 0.0}}, "method 'simclr': temperature: expected a number above 0, got 0.0"),
        ({"batch_size": 5000}, "batch_size: expected at most 1297"),
        ({"dataset": "digts"}, "unknown dataset 'digts'; did you mean 'digits'"),
        ({"views": [("random_resized_crop", {"size": 8, "scale": (0.0, 2.0)})]}, "scale"),
        ({"mean": (0.5, 0.5, 0.5)}, "mean"),
        (
            {"optimizer_options": {"weight_decay": "a lot"}},
            "weight_decay: expected a pair (schedule, options)",
        ),
        ({"parameter_groups": [("predictor.*", {})]}, "'predictor.*' matches no parameter"),
        ({"method": "moco", "method_options": {"groups": 3}}, "expected a batch divisible into 3 groups, got 128 rows"),
        ({"method": "moco", "method_options": {"queue_size": 100}}, "make the queue larger or the batch smaller"),
    ],
)
def test_what_cannot_be_trained_is_named_before_anything_is_written(recipe, tmp_path, changes, words):
    with pytest.raises(zoo.ZooError) as error:
        zoo.pretrain(recipe.replace(**changes), out=tmp_path / "run")
    assert words in str(error.value)
    assert not (tmp_path / "run").exists()
