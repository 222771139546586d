"""A release: every training seed is measured with the labels that the recipe names, and the ledger records it."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest
from ledgers import from_scratch, row

import zoo
from zoo.data.datasets import Split, save_dataset
from zoo.errors import ZooError
from zoo.evaluation.reconstruction import reconstruction_error
from zoo.reports.cards import render_card
from zoo.reports.tables import results_table
from zoo.training.run_directory import read_metrics

ROOT = Path(__file__).parent.parent
RECIPE = """
import zoo

recipe = zoo.Recipe(
    method="simclr", encoder="resnet8", dataset="digits", views=(("rotate", {"degrees": 15.0}),), optimizer="adamw",
    learning_rate=2e-3, epochs=1, batch_size=256, method_options={"projector": (16, 8), "temperature": 0.2},
    encoder_options={"width": 4},
)
probes = (("digits", (1, 2)), ("FEW", ("all",)))
"""


@pytest.fixture(scope="module")
def release():
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def release_in(release, root, *options):
    """Run the script on the recipe in a directory."""
    (root / "model_cards" / "results").mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "ROOT", root)
        patch.setattr(release, "LARGEST_MOVE", 1.0)  # so that the weights ship in bfloat16
        patch.setattr(sys, "argv", ["release.py", str(root / "recipe.py"), "--runs", str(root / "runs"), *options])
        release.main()


@pytest.fixture(scope="module")
def released(release, tmp_path_factory):
    """What a release of two seeds writes: the ledger and the card."""
    root = tmp_path_factory.mktemp("root")
    digits = zoo.load_dataset("digits")
    few = digits._replace(train=type(digits.train)(*(part[:400] for part in digits.train)))
    save_dataset(few, root / "few.safetensors", source="a test")
    (root / "recipe.py").write_text(RECIPE.replace("FEW", str(root / "few.safetensors")))
    release_in(release, root, "--seeds", "2", "--clusters")
    ledger = json.loads((root / "model_cards" / "results" / "simclr-resnet8-digits.json").read_text())
    return root, ledger


def test_rows_have_their_data_labels_and_number_of_values(released):
    root, ledger = released
    few = str(root / "few.safetensors")
    found = {
        (row["features"], Path(row["data"]).stem, row["labels_per_class"]): (
            row["labels"],
            len(row["linear"]["values"]),
        )
        for row in ledger["results"]
    }
    assert found == {
        (features, data, count): (labels, seeds * draws)
        for features, seeds in (("encoder", 2), ("pixels", 1), ("untrained", 2))
        for data, count, labels, draws in (("digits", 1, 10, 5), ("digits", 2, 20, 5), ("few", "all", 400, 1))
    }
    assert [row["linear"]["std"] is None for row in ledger["results"] if row["labels_per_class"] == "all"] == [
        row["features"] == "pixels" for row in ledger["results"] if row["labels_per_class"] == "all"
    ]
    assert set(ledger["probes"]) == {"digits", few} and ledger["dataset"] == "digits"
    assert len(ledger["training_seconds"]) == len(ledger["peak_memory_bytes"]) == 2
    untrained = [row["linear"]["values"] for row in ledger["results"] if row["features"] == "untrained"][-1]
    assert untrained[0] != untrained[1], "each seed has its own untrained encoder"


def test_the_report_is_the_shipped_encoders_with_the_most_labels(released):
    root, ledger = released
    model = zoo.load(root / "zoo" / "weights" / "simclr-resnet8-digits")
    report = zoo.evaluate(model, zoo.load_dataset(root / "few.safetensors"), labels_per_class=("all",), baselines=())
    assert ledger["report"] == report["report"] and ledger["report"]["labels"] == 400


def test_the_ledger_has_the_accuracy_in_both_dtypes_and_everything_is_measured_as_shipped(released):
    root, ledger = released
    model = zoo.load(root / "zoo" / "weights" / "simclr-resnet8-digits")
    assert model.config["dtype"] == ledger["weights"]["dtype"] == "bfloat16"
    assert set(ledger["weights"]["accuracy"]) == {"float32", "bfloat16"}
    assert ledger["weights"]["data"] == str(root / "few.safetensors")  # it has the most labels
    rows = {(row["features"], row["data"]): row["linear"]["values"] for row in ledger["results"]}
    shipped = ledger["weights"]["accuracy"][ledger["weights"]["dtype"]]
    assert rows["encoder", ledger["weights"]["data"]][0] == shipped == ledger["report"]["accuracy"]


def test_weights_ship_in_bfloat16_unless_the_accuracy_moves(release, released, tmp_path, monkeypatch):
    root, ledger = released
    trained = zoo.load(root / "runs" / "simclr-resnet8-digits-seed0")
    probes = (("digits", (1, "all")), (str(root / "few.safetensors"), ("all",)))
    found, _ = release.choose_weights(trained, probes, tmp_path)
    moved = abs(found["accuracy"]["float32"] - found["accuracy"]["bfloat16"])
    assert found["data"] == "digits"
    for largest, dtype in ((moved, "bfloat16"), (moved - 1e-6, "float32")):
        monkeypatch.setattr(release, "LARGEST_MOVE", largest)
        choice, records = release.choose_weights(trained, probes, tmp_path)
        assert choice["dtype"] == dtype
        (measured,) = (r for r in records[0]["results"] if (r["features"], r["labels_per_class"]) == ("encoder", "all"))
        assert measured["linear"]["mean"] == choice["accuracy"][dtype]


def test_baselines_are_measured_once_and_again_when_the_code_changed(release, released, tmp_path, monkeypatch):
    root, ledger = released
    model, few = zoo.load(root / "runs" / "simclr-resnet8-digits-seed0"), str(root / "few.safetensors")
    kept, probes = root / "runs" / "baselines", ((few, ("all",)),)
    before = {path.name for path in kept.iterdir()}
    assert len(before) == 6  # two datasets, pixels once and untrained for two seeds
    rows = release.measure(model, probes, 0, kept)[0]["results"]
    asked = [r for r in ledger["results"] if r["data"] == few and r["features"] != "encoder"]
    assert {r["features"]: r["linear"]["values"][0] for r in rows[1:]} == {
        r["features"]: r["linear"]["values"][0] for r in asked
    }
    assert {path.name for path in kept.iterdir()} == before
    (tmp_path / "functional").mkdir()
    (tmp_path / "functional" / "probes.py").write_text("# changed")
    monkeypatch.setattr(release, "SOURCES", tmp_path)
    release.measure(model, probes, 0, kept)
    assert len(list(kept.iterdir())) == 8


def test_seeds_are_added_to_the_ledger_and_the_weights_stay(release, released, tmp_path):
    """The figures of a release of two seeds and one added are those of a release of three."""
    released_root, ledger = released
    shutil.copytree(released_root, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "model_cards" / "results" / "simclr-resnet8-digits.json"
    weights = tmp_path / "zoo" / "weights" / "simclr-resnet8-digits" / "model.safetensors"
    before = weights.read_bytes()
    release_in(release, tmp_path, "--add-seeds", "2", "--trained-on", "a loom")
    after = json.loads(path.read_text())
    assert weights.read_bytes() == before
    assert after["seeds"] == [0, 1, 2] and after["training_seconds"] == ledger["training_seconds"]
    (added,) = after["added"]
    assert added["seeds"] == [2] and added["trained_on"] == "a loom" and len(added["training_seconds"]) == 1
    assert added["command"].endswith("recipe.py --add-seeds 2")
    release_in(release, tmp_path, "--seeds", "3")
    assert after["results"] == json.loads(path.read_text())["results"]
    card = render_card(zoo.load(weights.parent).config, after)
    assert f"`{added['command']}` added training seed 2, trained on a loom" in card
    assert f"Measured by `{after['command']}` and `{added['command']}`." in card
    assert "the whole release" not in card


@pytest.mark.parametrize(
    ("change", "seeds", "message"),
    [
        (None, "1", r"has seed 1 already; it has \[0, 1\]"),
        ("learning_rate=2e-3", "2", "is of another recipe; release the model again"),
        ("simclr-resnet8-digits.json", "2", "does not exist; release the model first"),
    ],
)
def test_seeds_that_cannot_be_added_are_refused(release, released, tmp_path, change, seeds, message):
    shutil.copytree(released[0], tmp_path, dirs_exist_ok=True)
    if change == "learning_rate=2e-3":
        recipe = tmp_path / "recipe.py"
        recipe.write_text(recipe.read_text().replace(change, "learning_rate=1e-3"))
    elif change:
        (tmp_path / "model_cards" / "results" / change).unlink()
    with pytest.raises(ZooError, match=message):
        release_in(release, tmp_path, "--add-seeds", seeds)


@pytest.mark.parametrize("which", [("--seeds", "1"), ("--add-seeds", "2")])
def test_labels_that_a_dataset_cannot_give_are_named_before_the_training(release, released, tmp_path, which):
    shutil.copytree(released[0], tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "runs")
    recipe = tmp_path / "recipe.py"
    recipe.write_text(recipe.read_text().replace('("all",)', '("all", 41)'))
    with pytest.raises(ZooError, match="labels; asked for 41 per class"):
        release_in(release, tmp_path, *which)
    assert not (tmp_path / "runs").exists()


def test_weights_that_do_not_ship_leave_a_card_and_a_ledger_with_the_configuration(release, released, tmp_path):
    shutil.copytree(released[0] / "runs", tmp_path / "runs")
    for file in ("recipe.py", "few.safetensors"):
        shutil.copy(released[0] / file, tmp_path)
    release_in(release, tmp_path, "--seeds", "1", "--no-weights")
    ledger = json.loads((tmp_path / "model_cards" / "results" / "simclr-resnet8-digits.json").read_text())
    assert not (tmp_path / "zoo").exists()
    assert ledger["config"]["name"] == "simclr-resnet8-digits" and ledger["command"].endswith("--seeds 1 --no-weights")
    card = (tmp_path / "model_cards" / "simclr-resnet8-digits.md").read_text()
    assert 'zoo.load("./runs/simclr-resnet8-digits")' in card


def test_the_ledger_has_the_first_losses_of_the_shipped_encoders_run(released):
    root, ledger = released
    model = zoo.load(root / "zoo" / "weights" / "simclr-resnet8-digits")
    losses = ledger["trajectory"]["losses"]
    assert len(losses) == model.config["training"]["steps"] == 5
    assert ledger["trajectory"]["environment"] == {**ledger["environment"], "device": "cpu"}
    (line,) = read_metrics(root / "runs" / "simclr-resnet8-digits-seed0")
    assert sum(losses) / 5 == pytest.approx(line["loss"], rel=1e-6)


def test_clusters_are_over_both_kinds_of_seeds_and_pixels_over_one(released):
    _, ledger = released
    counts = {(row["features"], len(row["ari"]["values"])) for row in ledger["clusters"]["results"]}
    assert counts == {("encoder", 10), ("untrained", 10), ("pixels", 5)}


def test_the_card_has_a_column_per_number_of_labels_and_says_n(released):
    root, ledger = released
    card = (root / "model_cards" / "simclr-resnet8-digits.md").read_text()
    assert card == (root / "zoo" / "weights" / "simclr-resnet8-digits" / "README.md").read_text()
    header = results_table(ledger).splitlines()[0]
    cells = [cell.strip() for cell in header.split("|")[2:-1]]
    assert cells == ["10 labels (1 per class)", "20 labels (2 per class)", "400 labels"]
    assert "2 training seeds x 5 draws of the labels (n = 10), and over the training seeds where all" in card
    assert "n = 5 draws and n = 1 with all labels" in card and "## Clusters" in card and "| precision |" in card


def test_equal_numbers_of_labels_of_two_datasets_are_told_apart(released):
    _, ledger = released
    rows = [{**row, "labels": 400, "labels_per_class": "all"} for row in ledger["results"]]
    header = results_table({**ledger, "results": rows}).splitlines()[0]
    assert "400 labels, digits" in header and "few.safetensors" in header


def test_the_card_has_the_peak_memory_where_it_was_measured(released):
    root, ledger = released
    config = json.loads((root / "zoo" / "weights" / "simclr-resnet8-digits" / "config.json").read_text())
    training = {"steps": 10, "seconds": 12.0, "loss": 1.0}
    assert "10 steps in 12 s on" in render_card({**config, "training": training}, ledger)
    training["peak_memory_bytes"] = 3 * 2**29
    assert "10 steps in 12 s, peak memory 1.50 GiB, on" in render_card({**config, "training": training}, ledger)


def test_a_model_with_a_decoder_is_measured_by_what_it_reconstructs(release, tmp_path):
    digits = zoo.load_dataset("digits")
    large = [Split(part.images.repeat(1, 1, 4, 4)[:200, :, 2:30, 2:30], part.labels[:200]) for part in digits[1:3]]
    save_dataset(digits._replace(train=large[0], test=large[1]), tmp_path / "few.safetensors", source="a test")
    recipe = RECIPE.replace("digits", str(tmp_path / "few.safetensors")).replace("simclr", "autoencoder")
    for old, new in {
        '"resnet8"': '"s5"',
        '(("rotate", {"degrees": 15.0}),)': "()",
        "batch_size=256": "batch_size=50, mean=(0.0,), std=(1.0,)",
        '{"projector": (16, 8), "temperature": 0.2}': '{"decoder": ("s5_decoder", {"width": 2})}',
        '{"width": 4}': '{"latent_dim": 3}',
    }.items():
        assert old in recipe
        recipe = recipe.replace(old, new)
    (tmp_path / "recipe.py").write_text(recipe.partition("probes")[0])
    beside = row("from_scratch", str(tmp_path / "few.safetensors"), "all", [0.123], labels=200)
    scratch = from_scratch("supervised-s5-few", [beside], options={"latent_dim": 3})
    (tmp_path / "model_cards" / "from_scratch").mkdir(parents=True)
    (tmp_path / "model_cards" / "from_scratch" / "supervised-s5-few.json").write_text(json.dumps(scratch))
    release_in(release, tmp_path, "--seeds", "2")
    ledger = json.loads((tmp_path / "model_cards" / "results" / "autoencoder-s5-few.json").read_text())
    model = zoo.load(tmp_path / "zoo" / "weights" / "autoencoder-s5-few")
    expected = reconstruction_error(model, zoo.load_dataset(tmp_path / "few.safetensors"))
    for name, error in expected.items():
        values = ledger["reconstruction"][name]["values"]
        assert len(values) == 2 and values[0] == error != values[1]
    card = (tmp_path / "model_cards" / "autoencoder-s5-few.md").read_text()
    assert f"mean squared error {ledger['reconstruction']['mean_squared_error']['mean']:.4f} +- " in card
    assert "the same encoder, trained from scratch" in card and " 12.3 |" in card
