"""The script of the baseline from scratch: its ledger, what it keeps, and choices that write nothing."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

import zoo
from zoo.data.datasets import Split, save_dataset
from zoo.evaluation.held_out import held_out

SCRIPT = Path(__file__).parents[2] / "scripts" / "from_scratch.py"
RECIPE = """
import zoo

recipe = zoo.Recipe(
    method="supervised", encoder="resnet8", dataset="digits", views=(("rotate", {"degrees": 15.0}),), optimizer="adamw",
    learning_rate=2e-3, epochs=1, batch_size=100, encoder_options={"width": 2},
)
probes = (("digits", (1, 2)), ("FEW", ("all",)))
few_labels = {20: {"epochs": 2, "batch_size": 5}}
"""


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("from_scratch", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    digits = zoo.load_dataset("digits")
    few = digits._replace(train=Split(*(part[:300] for part in digits.train)))
    save_dataset(few, root / "few.safetensors", source="a test")
    (root / "recipe.py").write_text(RECIPE.replace("FEW", str(root / "few.safetensors")))
    return root


@pytest.fixture
def run(script, root, monkeypatch):
    monkeypatch.setattr(script, "ROOT", root)

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["from_scratch.py", str(root / "recipe.py"), *options])
        script.main()

    return run


def files(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_a_measurement_writes_its_ledger_and_goes_on_where_it_was_stopped(script, root, run, monkeypatch, capsys):
    trained = []
    train = script.train_and_judge

    def stopped(*arguments, **options):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(arguments)
        return train(*arguments, **options)

    monkeypatch.setattr(script, "train_and_judge", stopped)
    with pytest.raises(KeyboardInterrupt):
        run("--seeds", "2", "--draws", "2")
    assert not (root / "model_cards").exists()
    kept = files(root / "runs" / "from_scratch" / "supervised-resnet8-digits")
    assert len(kept) == 3

    monkeypatch.setattr(
        script, "train_and_judge", lambda *args, **options: trained.append(args) or train(*args, **options)
    )
    run("--seeds", "2", "--draws", "2")
    assert len(trained) == 10  # 2 seeds x (2 counts x 2 draws + all)
    assert files(root / "runs").items() >= kept.items()
    ledger = json.loads((root / "model_cards" / "from_scratch" / "supervised-resnet8-digits.json").read_text())
    assert [(row["features"], Path(row["data"]).stem, row["labels"]) for row in ledger["results"]] == [
        ("from_scratch", "digits", 10),
        ("from_scratch", "digits", 20),
        ("from_scratch", "few", 300),
    ]
    assert [len(row["linear"]["values"]) for row in ledger["results"]] == [4, 4, 2]
    assert all(len(set(row["linear"]["values"])) > 1 for row in ledger["results"])
    assert ledger["few_labels"] == {"20": {"epochs": 2, "batch_size": 5}} and ledger["recipe"]["epochs"] == 1
    assert ledger["command"].endswith("recipe.py --seeds 2 --draws 2") and ledger["seeds"] == [0, 1]
    assert len(ledger["seconds"]) == 10 and all(second > 0 for second in ledger["seconds"])
    assert set(ledger["probes"]) == {"digits", str(root / "few.safetensors")}
    whole = capsys.readouterr()
    assert len(whole.err.splitlines()) == 3 + 10 and "digits, 20 labels, training seed 3: " in whole.err

    run("--seeds", "2", "--draws", "2")
    assert len(trained) == 10
    again = json.loads((root / "model_cards" / "from_scratch" / "supervised-resnet8-digits.json").read_text())
    assert again == ledger

    changed = (root / "recipe.py").read_text()
    (root / "recipe.py").write_text(changed.replace('"epochs": 2', '"epochs": 3'))
    run("--draws", "2", "--at-most", "299")
    (root / "recipe.py").write_text(changed)
    assert len(trained) == 10 + 2 + 2, "the recipe for 20 labels has changed"
    less = json.loads((root / "model_cards" / "from_scratch" / "supervised-resnet8-digits.json").read_text())
    assert [row["labels"] for row in less["results"]] == [10, 20] and list(less["probes"]) == ["digits"]
    assert less["command"].endswith("recipe.py --seeds 1 --draws 2 --at-most 299")


@pytest.mark.parametrize("change", ["", "recipe", "data", "seeds", "few_labels", "probes", "no ledger"])
def test_all_labels_of_a_released_recipe_are_not_trained_again(script, root, run, monkeypatch, tmp_path, change):
    trained = []
    scores = {"linear": 0.5, "macro_f1": 0.25, "knn": 0.125}
    monkeypatch.setattr(
        script, "train_and_judge", lambda recipe, few, key, code: trained.append(len(few.train[0])) or scores
    )
    few_labels = {2000: {"epochs": 2}} if change == "few_labels" else {}
    monkeypatch.setattr(script, "read_few_labels", lambda path: few_labels)
    monkeypatch.setattr(script, "read_probes", lambda *_: (("digits", (1,) if change == "probes" else (1, "all")),))
    name, digits = "supervised-resnet8-digits", zoo.load_dataset("digits")
    recipe = script.resolve_recipe(root / "recipe.py")[0].replace(seed=3)
    row = {"data": "digits", "labels_per_class": "all", "labels": 1437}
    row |= {score: {"mean": 0.97, "std": 0.0, "values": [0.97, 0.97]} for score in scores}
    ledger = {
        "recipe": recipe.replace(epochs=9 if change == "recipe" else recipe.epochs).to_dict(),
        "dataset_digest": "another" if change == "data" else digits.digest,
        "seeds": [0] if change == "seeds" else [0, 1],
        "results": [{**row, "features": "pixels"}, {**row, "features": "encoder"}],
    }
    monkeypatch.setattr(script, "ROOT", tmp_path)
    folder = tmp_path / "model_cards" / "results"
    folder.mkdir(parents=True)
    if change != "no ledger":
        (folder / f"{name}.json").write_text(json.dumps(ledger))
    run("--seeds", "2", "--draws", "1")
    rows = json.loads((folder.parent / "from_scratch" / f"{name}.json").read_text())["results"]
    if change:
        assert trained == ([10, 10] if change == "probes" else 2 * [10, len(digits.train.images)])
    else:
        assert trained == [10, 10] and rows[1] == {**row, "features": "from_scratch"}
    assert [row["labels_per_class"] for row in rows] == ([1] if change == "probes" else [1, "all"])


def test_a_choice_is_made_on_held_out_images_and_writes_nothing(script, root, run, monkeypatch, capsys):
    seen = []

    def judged(recipe, few, key, *, code):
        seen.append((recipe, few))
        return {"linear": 0.5, "macro_f1": 0.25, "knn": 0.125}

    monkeypatch.setattr(script, "train_and_judge", judged)
    before = files(root)
    run("--validate", "--draws", "1", "--labels-per-class", "2,all", "--set", "epochs=9")
    assert files(root) == before
    recipe, few = seen[0]
    assert (recipe.epochs, recipe.batch_size) == (9, 5), "the change goes before few_labels"
    data = held_out("digits")
    assert few.test.images.equal(data.test.images) and len(seen[1][1].train.images) == len(data.train.images)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "digits, 20 labels: linear 50.0  macro_f1 25.0  knn 12.5 (n = 1)" and len(lines) == 4


@pytest.mark.parametrize(
    "options,said",
    [
        (("--set", "epochs=9"), "--set: only with --validate"),
        (("--seeds", "0"), "--seeds: expected 1 or more, got 0"),
        (("--draws", "0"), "draws: expected 1 or more, got 0"),
        (("--at-most", "9"), "--at-most: expected 10 labels or more, the fewest of the recipe's probes, got 9"),
        (("--labels-per-class", "2"), "--labels-per-class: only with --validate"),
        (("--validate", "--labels-per-class", "some"), "expected a number of 1 or more, or 'all', got 'some'"),
        (("--validate", "--set", "epoch=9"), "unknown recipe field 'epoch'"),
    ],
)
def test_bad_input_is_named(run, options, said):
    with pytest.raises(zoo.ZooError, match=said):
        run(*options)


def test_labels_that_a_dataset_cannot_give_are_named_before_the_training(script, root, run, monkeypatch):
    monkeypatch.setattr(script, "train_and_judge", None)
    monkeypatch.setattr(script, "read_probes", lambda *_: (("digits", (1, 2)), (str(root / "few.safetensors"), (41,))))
    with pytest.raises(zoo.ZooError, match="labels; asked for 41 per class"):
        run()
