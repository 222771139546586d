"""SimSiam collapses without its predictor or its stop-gradient; with both it does not.

The batch norm at the end of the projector slows the collapse, so that the spread of the projections falls far, but not
to 0 in a run as short as this one.
"""

from pathlib import Path

import pytest

import functional
import zoo
from zoo.training.run_directory import read_metrics

SOURCE = (Path(functional.__file__).parent / "methods" / "simsiam.py").read_text()
PREDICTS = 'prediction.apply(params["predictor"], {}, projected, train=True)[0]'
WITHOUT = {
    "nothing": (),
    "the predictor": ((PREDICTS, "projected"),),
    "the stop-gradient": (("z.append(projected.detach())", "z.append(projected)"),),
}


def train(recipe, tmp_path, without):
    """SimSiam as it stands in its file, less what is taken out."""
    text = SOURCE
    for old, new in WITHOUT[without]:
        assert text.count(old) == 1, "the source has changed: say what to take out now"
        text = text.replace(old, new)
    path = tmp_path / "variant.py"
    path.write_text(text.replace("def simsiam(", "def variant(") + '\nmethods = {"variant": variant}\n')
    chosen = recipe.replace(
        method="variant",
        method_options={"projector": (64, 64, 64), "predictor": 16},
        learning_rate=0.05,
        parameter_groups=(("*", {"schedule": "constant"}),),
        warmup_epochs=0,
        epochs=10,
    )
    zoo.pretrain(chosen, out=tmp_path / "run", code=path)
    return read_metrics(tmp_path / "run")


@pytest.mark.parametrize("without", ["the predictor", "the stop-gradient"])
def test_simsiam_collapses_without(recipe, tmp_path, without):
    last = train(recipe, tmp_path, without)[-1]
    assert last["target_cosine"] > 0.9 and last["projection_std"] < 0.5


def test_simsiam_with_both_does_not_collapse(recipe, tmp_path):
    lines = train(recipe, tmp_path, "nothing")
    assert min(line["projection_std"] for line in lines) > 0.8
    assert lines[-1]["target_cosine"] < 0.9 and lines[-1]["loss"] < lines[0]["loss"]
