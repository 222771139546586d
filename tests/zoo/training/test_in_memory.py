"""Training in memory: the encoder of `zoo.pretrain` bit for bit, and no file."""

import math

import pytest
import torch

import zoo
from functional import tree
from zoo.data.datasets import Split
from zoo.training.in_memory import train_in_memory


@pytest.mark.parametrize("method,options", [("simclr", {}), ("supervised", {"label_smoothing": 0.1}), ("byol", {})])
def test_the_encoder_is_that_of_pretrain(recipe, digits, tmp_path, monkeypatch, method, options):
    if method == "byol":  # its published encoder is the online one; its state holds the target
        options = {"projector": (16, 8), "predictor": 16}
    changes = {"method": method, "method_options": options or recipe.method_options, "batch_size": 60, "epochs": 3}
    few = digits._replace(train=Split(*(part[:150] for part in digits.train)))
    expected = zoo.pretrain(recipe.replace(**changes), data=few, out=tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    model = train_in_memory(recipe.replace(**changes), few)
    assert sorted(tmp_path.rglob("*")) == before
    for ours, theirs in ((model.params, expected.params), (model.batch_stats, expected.batch_stats)):
        assert tree.flatten(ours).keys() == tree.flatten(theirs).keys()
        assert all(torch.equal(x, tree.flatten(theirs)[name]) for name, x in tree.flatten(ours).items())
    assert torch.equal(model.features(digits.test.images), expected.features(digits.test.images))
    assert (model.name, model.input_shape, repr(model)) == (expected.name, expected.input_shape, repr(expected))


def test_a_loss_that_is_not_finite_stops_it(recipe, digits):
    with pytest.raises(zoo.ZooError, match=r"step \d+ of 60: loss (nan|inf); lower the learning rate"):
        train_in_memory(recipe.replace(optimizer="sgd", learning_rate=1e30, warmup_epochs=0), digits)
    assert math.isfinite(train_in_memory(recipe.replace(epochs=2), digits).features(digits.test.images).sum())


@pytest.mark.parametrize(
    "changes,said",
    [
        ({"batch_size": 101}, "batch_size: expected at most 100, the number of training images, got 101"),
        ({"encoder": "resnet9"}, "unknown encoder 'resnet9'"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
    ],
)
def test_what_cannot_be_trained_is_named(recipe, digits, changes, said):
    few = digits._replace(train=Split(*(part[:100] for part in digits.train)))
    with pytest.raises(zoo.ZooError, match=said):
        train_in_memory(recipe.replace(**changes), few)
