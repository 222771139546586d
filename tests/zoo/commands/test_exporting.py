"""`zoo export`: says the largest difference, as text and as JSON; bad input is one line."""

import json

import pytest
import torch
from click.testing import CliRunner

from zoo.commands import main


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def export(*arguments):
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_it_says_what_the_file_takes_and_how_far_its_features_are(run, model):
    result = export(run, "--out", "files/encoder.pt2")
    assert result.exit_code == 0, result.stderr
    assert f"{model.name}: images: uint8 [N, 1, 8, 8] -> features: float32 [N, 16]" in result.stdout
    assert "loaded again: features differ by 0 at most" in result.stdout and "files/encoder.pt2" in result.stdout
    again = export(run, "--out", "files/encoder.pt2", "--overwrite", "--json")
    found = json.loads(again.stdout)
    assert found["path"] == "files/encoder.pt2" and found["difference"] < 1e-6 < found["largest"]
    assert found["metadata"]["sha256"] == model.config["sha256"]
    images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    torch.testing.assert_close(torch.export.load("files/encoder.pt2").module()(images), model.features(images))


@pytest.mark.parametrize(
    "arguments,message",
    [
        (("simclr-resnet8-digits", "--out", "encoder.tflite"), "expected a path ending in .onnx or .pt2"),
        (("simclr-resnet8-digits", "--out", "there.onnx"), "already exists"),
        (("simclr-resnet8-digit", "--out", "encoder.onnx"), "did you mean 'simclr-resnet8-digits'"),
        (("simclr-resnet8-digits", "--out", "~nosuchuser/encoder.onnx"), "~nosuchuser"),
        (("simclr-resnet8-digits", "--out", "there.onnx/encoder.pt2"), "there.onnx"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_lost(arguments, message, tmp_path):
    (tmp_path / "there.onnx").write_bytes(b"mine")
    result = export(*arguments)
    assert result.exit_code == 2 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]
    assert (tmp_path / "there.onnx").read_bytes() == b"mine"
