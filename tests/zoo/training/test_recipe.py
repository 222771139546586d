"""Recipes: to JSON and back, and every wrong field named."""

import json

import pytest

import zoo
from zoo.training.recipe import read_recipe


def test_a_recipe_equals_its_json(recipe):
    assert zoo.Recipe.from_json(recipe.to_json()) == recipe
    started = recipe.replace(start="./an encoder")
    assert zoo.Recipe.from_json(started.to_json()) == started and started.start == "./an encoder"
    assert recipe.replace(seed=1) != recipe and recipe.replace(seed=1).replace(seed=0) == recipe


def test_recipes_are_read_from_json_and_python(recipe, tmp_path):
    (tmp_path / "r.json").write_text(recipe.to_json())
    (tmp_path / "r.py").write_text(f"import zoo\nrecipe = zoo.Recipe.from_json({recipe.to_json()!r})\n")
    assert read_recipe(tmp_path / "r.json") == read_recipe(tmp_path / "r.py") == recipe


def test_a_record_without_a_precision_is_of_a_run_in_float32(recipe):
    record = {name: value for name, value in recipe.to_dict().items() if name != "precision"}
    assert zoo.Recipe.from_record(record).precision == "float32" and zoo.Recipe(**record).precision == "auto"


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"methd": "simclr"}, "unknown recipe field 'methd'; did you mean 'method'"),
        ({"views": ["rotate"]}, "expected pairs (name, options), or a list of them for each view, got 'rotate'"),
        ({"views": [[("rotate", {})], "flip"]}, "or a list of them for each view, got"),
        (
            {"parameter_groups": ["head.*"]},
            "parameter_groups: expected a list of pairs (pattern, options), got ('head.*',)",
        ),
        ({"device": "cuda"}, "device is not a recipe field; pass --device"),
        ({"epochs": 0}, "epochs: expected 1 or more, got 0"),
        ({"epochs": "ten"}, "epochs: expected an integer, got 'ten'"),
        ({"batch_size": 1}, "batch_size: expected 2 or more"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a number above 0, got nan"),
        ({"warmup_epochs": 6}, "warmup_epochs: expected fewer than 6"),
        ({"seed": -1}, "seed: expected 0 or more"),
        ({"precision": 16}, "precision: expected a string, got 16"),
        ({"compile": 1}, "compile: expected true or false, got 1"),
        ({"start": None}, "start: expected 'random', a model, a directory or 'torchvision:NETWORK', got None"),
        ({"start": ""}, "start: expected 'random', a model, a directory or 'torchvision:NETWORK', got ''"),
    ],
)
def test_wrong_fields_are_named(recipe, changes, words):
    with pytest.raises(zoo.ZooError) as error:
        recipe.replace(**changes)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "text,words",
    [
        ("{", "not JSON"),
        ("[]", "expected a JSON object"),
        ("{}", "missing method, encoder"),
        (json.dumps({"method": "simclr", "epoch": 3}), "did you mean 'epochs'"),
    ],
)
def test_a_file_that_is_not_a_recipe_is_named(tmp_path, text, words):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(zoo.ZooError) as error:
        read_recipe(tmp_path / "r.json")
    assert words in str(error.value) and "r.json" in str(error.value)
