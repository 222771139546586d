"""What a recipe's file says about its evaluation."""

import pytest

import zoo
from zoo.evaluation.recipe_files import read_few_labels, read_probes


@pytest.fixture
def written(recipe, tmp_path):
    """A recipe's file with more lines."""

    def write(*lines):
        path = tmp_path / "recipe.py"
        path.write_text("\n".join(["import zoo", f"recipe = zoo.Recipe(**{recipe.to_dict()!r})", *lines]))
        return path

    return write


def test_probes_are_those_of_the_file_or_the_recipes_own_dataset(recipe, written, tmp_path):
    assert read_probes(written('probes = (("mnist", (10, "all")),)'), recipe) == (("mnist", (10, "all")),)
    own = (("digits", (1, 5, 10, "all")),)
    assert read_probes(written(), recipe) == own
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    assert read_probes(tmp_path / "recipe.json", recipe) == own
    assert read_few_labels(tmp_path / "recipe.json") == {}


@pytest.mark.parametrize("probes", ["()", "'mnist'", "('mnist', (10,))", "(('mnist', 10),)", "7"])
def test_probes_of_another_form_are_named(recipe, written, probes):
    with pytest.raises(zoo.ZooError, match="probes: expected pairs of a dataset and a tuple of labels per class, got"):
        read_probes(written(f"probes = {probes}"), recipe)


def test_few_labels_are_changes_of_the_recipe(written):
    assert read_few_labels(written()) == {}
    assert read_few_labels(written("few_labels = {100: {'epochs': 9}}")) == {100: {"epochs": 9}}


@pytest.mark.parametrize(
    "few_labels,said",
    [
        ("{100: {'epoch': 9}}", "unknown recipe field 'epoch'"),
        ("{100: {'epochs': 0}}", "epochs: expected 1 or more, got 0"),
        ("{100: 9}", "few_labels: expected numbers of labels and fields of the recipe, got {100: 9}"),
        ("{0: {}}", "few_labels: expected numbers of labels"),
        ("{'100': {}}", "few_labels: expected numbers of labels"),
        ("7", "few_labels: expected numbers of labels and fields of the recipe, got 7"),
    ],
)
def test_few_labels_of_another_form_are_named(written, few_labels, said):
    with pytest.raises(zoo.ZooError, match=said):
        read_few_labels(written(f"few_labels = {few_labels}"))
