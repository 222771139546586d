"""Generated texts: overviews at their marks, cards with the baseline from scratch, and what is stale."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest
from ledgers import from_scratch, of_method, row

import zoo

ROOT = Path(__file__).parents[2]
README = """# A page

<!-- methods: mnist -->
old
<!-- end -->
between
<!-- minutes: mnist -->
<!-- end -->
<!-- systems -->
old
<!-- end -->
"""
SYSTEMS = 'key,title,published,small,data,measure,outcome\nS0,"ours, MNIST",,simclr-resnet8-mnist,mnist,linear,12.3\n'


@pytest.fixture(scope="module")
def make_tables():
    spec = importlib.util.spec_from_file_location("make_tables", ROOT / "scripts" / "make_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path):
    (tmp_path / "README.md").write_text(README)
    config = dict(zoo.load("simclr-resnet8-digits").config)
    for method, labelled in (("simclr", False), ("triplet", True)):
        model = of_method(method, 0.9)
        ours = {**config, "name": model["model"], "training": {**config["training"], "labels": labelled}}
        for path, text in {
            f"model_cards/results/{model['model']}.json": json.dumps(model),
            f"zoo/weights/{model['model']}/config.json": json.dumps(ours),
            f"scripts/recipes/{method}_resnet8_mnist.py": '"""A recipe."""\n',
            "model_cards/systems.csv": SYSTEMS,
        }.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
    return tmp_path


def add_from_scratch(root):
    name = "supervised-resnet8-mnist"
    scratch = from_scratch(name, [row("from_scratch", "mnist", "all", [0.95])])
    (root / "model_cards" / "from_scratch").mkdir()
    (root / "model_cards" / "from_scratch" / f"{name}.json").write_text(json.dumps(scratch))


def test_overviews_stand_at_their_marks(make_tables, root):
    add_from_scratch(root)
    page = make_tables.generated(root)[root / "README.md"]
    assert "old" not in page and page.startswith("# A page\n\n<!-- methods: mnist -->\n\nLinear probe on")
    methods, _, rest = page.partition("between")
    minutes, _, systems = rest.partition("<!-- systems -->")
    assert "[triplet](model_cards/triplet-resnet8-mnist.md) \\*" in methods
    assert "| from scratch on those labels " in methods and "95.0 |" in methods
    assert "Minutes of training per seed" in minutes and "| S0: ours, MNIST |    accuracy |      12.3 |" in systems
    (root / "README.md").write_text(page)
    assert make_tables.generated(root)[root / "README.md"] == page


def test_cards_show_the_pictures_beside_the_weights(make_tables, root):
    name = "simclr-resnet8-mnist"
    folder = root / "zoo" / "weights" / name / "pictures"
    folder.mkdir()
    (folder / "tsne.png").write_bytes(b"")
    texts = make_tables.generated(root)
    for card, path in (
        (f"zoo/weights/{name}/README.md", "pictures/tsne.png"),
        (f"model_cards/{name}.md", f"../zoo/weights/{name}/pictures/tsne.png"),
    ):
        assert f'<img src="{path}"' in texts[root / card]
        assert ((root / card).parent / path).resolve() == (folder / "tsne.png").resolve()


def test_a_model_without_weights_in_the_package_has_a_card_by_the_configuration_in_its_ledger(make_tables, root):
    name = "triplet-resnet8-mnist"
    folder, path = root / "zoo" / "weights" / name, root / "model_cards" / "results" / f"{name}.json"
    before = make_tables.generated(root)
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "config": json.loads((folder / "config.json").read_text())})
    )
    shutil.rmtree(folder)
    after = make_tables.generated(root)
    assert {str(file.relative_to(root)) for file in before.keys() - after.keys()} == {
        f"zoo/weights/{name}/README.md",
        f"zoo/weights/{name}/results.json",
    }
    assert f'zoo.load("./runs/{name}")' in after[root / "model_cards" / f"{name}.md"]
    assert f"[triplet](model_cards/{name}.md) \\*" in after[root / "README.md"]  # it learned from labels


def test_a_ledger_from_scratch_changes_the_cards_of_the_same_encoder(make_tables, root):
    before = make_tables.generated(root)
    add_from_scratch(root)
    after = make_tables.generated(root)
    changed = {str(path.relative_to(root)) for path in after if after[path] != before[path]}
    names = ("simclr-resnet8-mnist", "triplet-resnet8-mnist")
    cards = {path for name in names for path in (f"model_cards/{name}.md", f"zoo/weights/{name}/README.md")}
    assert changed == {"README.md", *cards, *(f"zoo/weights/{name}/results.json" for name in names)}
    assert all("| the same encoder, trained from scratch |" in after[root / card] for card in cards)


def test_what_is_stale_is_named_and_written(make_tables, root, monkeypatch, capsys):
    monkeypatch.setattr(make_tables, "ROOT", root)
    monkeypatch.setattr(sys, "argv", ["make_tables.py", "--check"])
    with pytest.raises(SystemExit, match="stale: .*README.md"):
        make_tables.main()
    monkeypatch.setattr(sys, "argv", ["make_tables.py"])
    make_tables.main()
    assert "model_cards/triplet-resnet8-mnist.md" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["make_tables.py", "--check"])
    with pytest.raises(SystemExit) as finished:
        make_tables.main()
    assert finished.value.code == 0


def test_the_list_of_systems_is_readable(make_tables):
    """Their models are named METHOD-ENCODER-DATASET, and their measures are those of the overview."""
    systems = make_tables._systems(ROOT)
    assert {system.measure for system in systems} <= {"linear", "knn", "macro_f1", "mean_squared_error"}
    assert all(name.count("-") == 2 for system in systems for name in (system.published, system.small) if name)
    assert {system.key for system in systems} == {"S1a", "S1b", "S2a", "S2b", "S3a", "S3b", "S4a", "S4b", "S4c", "S5"}


def test_the_table_of_few_labels(make_tables, root):
    (root / "README.md").write_text("<!-- few labels -->\nold\n<!-- end -->\n")
    readme = make_tables.generated(root)[root / "README.md"]
    assert "Nothing was measured yet: `python scripts/few_labels.py` does." in readme and "old" not in readme
    rows = [
        {"data": "mnist", "images": images, "labels": labels}
        | {name: {"mean": share, "std": 0.01, "values": [share]} for name in ("logistic", "spread", "fit")}
        for images, share in (("random", 0.5), ("suggested", 0.75))
        for labels in (20, 10)
    ]
    here = {"processor": "a processor", "threads": 2}
    ledger = {"command": "a command", "data": {"mnist": "0"}, "seeds": [0, 1], "environment": here, "results": rows}
    rows[0]["fit"] = {"mean": 0.25, "std": 0.01, "values": [0.25]}  # of random images
    (root / "model_cards" / "few_labels.json").write_text(json.dumps(ledger))
    lines = make_tables.generated(root)[root / "README.md"].splitlines()
    assert any(line.startswith("| labels in all ") and line.split("|")[2].strip() == "10" for line in lines)
    assert sum("75.0 +- 1.0 | 75.0 +- 1.0" in line for line in lines) == 2  # the two classifiers: fit takes the second
    assert [line.split("|")[3].strip() for line in lines if "`zoo.fit`" in line and line[0] == "|"] == ["25.0 +- 1.0"]
    assert any("(n = 2)" in line and "`a command` on a processor, threads: 2." in line for line in lines)
