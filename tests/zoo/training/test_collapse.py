"""BYOL collapses without its predictor or stop-gradient, and the warning says what to do; with both it does not."""

import warnings
from pathlib import Path

import pytest

import functional
import zoo
from zoo.training.run_directory import read_metrics

SOURCE = (Path(functional.__file__).parent / "methods" / "byol.py").read_text()
FOLLOWS = "averaging.follow(state.target, tree.detach(online), momentum=momentum, step=batch.step)"
PREDICTS = '(prediction.apply(params["predictor"], {}, projected, train=True)[0] for projected in y)'
WITHOUT = {
    "nothing": (),
    "the predictor": ((PREDICTS, "y"),),
    "the stop-gradient": ((FOLLOWS, "online"), ("target_projection.detach()", "target_projection")),
}


def train(recipe, tmp_path, without):
    """Train BYOL from its source file with a part removed."""
    text = SOURCE
    for old, new in WITHOUT[without]:
        assert text.count(old) == 1, "the source has changed: update the part to remove"
        text = text.replace(old, new)
    path = tmp_path / "variant.py"
    path.write_text(text.replace("def byol(", "def variant(") + '\nmethods = {"variant": variant}\n')
    options = {"projector": (32, 16), "predictor": 16, "momentum": 0.9}
    chosen = recipe.replace(method="variant", method_options=options, learning_rate=5e-3, warmup_epochs=0, epochs=12)
    zoo.pretrain(chosen, out=tmp_path / "run", code=path)
    return read_metrics(tmp_path / "run")


@pytest.mark.parametrize("without", ["the predictor", "the stop-gradient"])
def test_byol_collapses_without(recipe, tmp_path, without):
    with pytest.warns(
        UserWarning, match=r"has collapsed.*projection_std 0.0.*Keep the predictor and the target's"
    ) as seen:
        lines = train(recipe, tmp_path, without)
    assert len([warning for warning in seen if "collapsed" in str(warning.message)]) == 1, "said once"
    assert lines[-1]["target_cosine"] > 0.98 and lines[-1]["projection_std"] < 0.1


def test_byol_with_both_does_not_collapse(recipe, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lines = train(recipe, tmp_path, "nothing")
    assert lines[-1]["projection_std"] > 0.5 and lines[-1]["loss"] < lines[0]["loss"]
