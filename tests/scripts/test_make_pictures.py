"""Pictures of a card: the figures of the shipped encoder and the loss curve of its run, reduced to a palette."""

import importlib.util
import json
from pathlib import Path

import pytest
from PIL import Image

from zoo.errors import ZooError
from zoo.models.entries import list_models
from zoo.reports.cards import PICTURES

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_pictures", ROOT / "scripts" / "make_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pictures_are_small_and_an_old_loss_curve_is_kept(script, tmp_path):
    name, runs, out = "supervised-resnet8-digits", tmp_path / "runs", tmp_path / "pictures"
    run = runs / f"{name}-seed0"
    run.mkdir(parents=True)
    lines = [{"epoch": epoch, "loss": 1 / epoch, "effective_rank": 3.0} for epoch in (1, 2)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    names = [path.name for path in script.draw_pictures(name, runs, out)]
    assert names == ["confusion.png", "loss.png", "predictions.png", "tsne.png"] and set(names) <= set(PICTURES)
    for path in out.iterdir():
        with Image.open(path) as image:
            assert image.mode == "P" and path.stat().st_size < 100_000
    loss = (out / "loss.png").read_bytes()
    assert "loss.png" not in [path.name for path in script.draw_pictures(name, tmp_path / "none", out)]
    assert (out / "loss.png").read_bytes() == loss


def test_a_figure_that_cannot_be_drawn_stops_with_its_reason(script, tmp_path):
    with pytest.raises(ZooError, match="zoo plot no-such-model.*unknown model 'no-such-model'"):
        script.draw_pictures("no-such-model", tmp_path, tmp_path / "pictures")


def test_every_model_has_its_pictures():
    for name in list_models():
        pictures = {path.name for path in (ROOT / "zoo" / "weights" / name / "pictures").glob("*.png")}
        assert {"tsne.png", "confusion.png", "predictions.png"} <= pictures, name
