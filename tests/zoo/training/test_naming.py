"""A name of the zoo belongs to one recipe: a changed one makes an encoder of another name."""

import json

import pytest

import zoo
from zoo.training.naming import name_of_run
from zoo.training.recipe import Recipe

NAME = "simclr-resnet8-digits"


@pytest.fixture
def shipped():
    return Recipe.from_record(zoo.load(NAME).config["recipe"])


@pytest.mark.parametrize("name", zoo.list_models())
def test_the_recipe_of_a_model_makes_a_model_of_its_name_with_any_seed(name):
    recipe = Recipe.from_record(zoo.load(name).config["recipe"])
    assert name_of_run(recipe) == name_of_run(recipe.replace(seed=7)) == name


def test_a_changed_recipe_has_another_name_that_stays_the_same(shipped):
    changed = shipped.replace(epochs=59)
    assert name_of_run(changed) == name_of_run(changed.replace(seed=3)) != name_of_run(shipped.replace(epochs=58))
    assert name_of_run(changed).startswith(f"{NAME}_") and name_of_run(changed).count("-") == 2


def test_names_that_the_zoo_does_not_have_stay_as_they_are(shipped):
    assert name_of_run(shipped.replace(dataset="photos")) == "simclr-resnet8-photos"


def test_the_run_its_card_and_its_metadata_have_that_name(shipped, tmp_path):
    changed = shipped.replace(epochs=1, warmup_epochs=0)
    model = zoo.pretrain(changed, out=tmp_path / "run")
    card = (tmp_path / "run" / "encoder" / "README.md").read_text()
    config = json.loads((tmp_path / "run" / "encoder" / "config.json").read_text())
    assert model.name == config["name"] == name_of_run(changed) != NAME
    assert f"# {model.name}\n" in card and f'zoo.load("{NAME}")' not in card
