"""`zoo card` prints the card as it lies in the directory; `zoo show` has the results and what the bits need."""

import json

from click.testing import CliRunner

from zoo.commands import main
from zoo.models.loading import WEIGHTS
from zoo.reports.card_metadata import read_card

NAME = "simclr-resnet8-digits"


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_card_or_its_metadata_are_printed():
    card = (WEIGHTS / NAME / "README.md").read_text()
    assert run("card", NAME).stdout == card
    assert json.loads(run("card", NAME, "--json").stdout) == read_card(card, "README.md")[0]


def test_a_directory_without_a_card_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    done = run("card", tmp_path)
    assert done.exit_code == 2 and "README.md: no such file; `zoo.save` writes the card" in done.stderr
    (tmp_path / "README.md").write_text("no metadata")
    assert run("card", tmp_path).stdout == "no metadata"
    assert "expected metadata between two lines '---'" in run("card", tmp_path, "--json").stderr


def test_a_model_is_shown_with_what_its_bits_need_and_its_results():
    shown = run("show", NAME).stdout
    config = json.loads((WEIGHTS / NAME / "config.json").read_text())
    here = config["environment"]
    assert f", instructions {here['cpu_capability']}, threads: {here['threads']}, torch {here['torch']}\n" in shown
    assert "| the weights that ship " in shown and "| raw pixels " in shown
