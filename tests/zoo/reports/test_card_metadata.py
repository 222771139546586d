"""Metadata of cards: valid for the Hub, by our own validator and by the Hub's client."""

import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

import zoo
from zoo.errors import ZooError
from zoo.models.loading import WEIGHTS
from zoo.reports.card_metadata import (
    LICENCES,
    SECTIONS,
    evaluation_results,
    read_card,
    require_publishable,
    to_front_matter,
)

CARD = (Path(WEIGHTS) / "simclr-resnet8-mnist" / "README.md").read_text()


def with_metadata(**changes):
    """The card with fields of its metadata changed; None removes one."""
    metadata, text = read_card(CARD, "README.md")
    changed = {name: value for name, value in {**metadata, **changes}.items() if value is not None}
    return to_front_matter(changed) + text


@pytest.mark.parametrize("name", zoo.list_models())
def test_the_hubs_client_reads_what_we_wrote(name):
    card = (Path(WEIGHTS) / name / "README.md").read_text()
    metadata, _ = read_card(card, name)
    theirs = ModelCard(card, ignore_metadata_errors=False).data
    assert theirs.license == "apache-2.0" and theirs.pipeline_tag == "image-feature-extraction"
    assert theirs.library_name == "funczoo" and theirs.datasets == metadata.get("datasets")
    ours = [(r["dataset"]["type"], m["value"]) for r in metadata["model-index"][0]["results"] for m in r["metrics"]]
    assert theirs.model_name == name
    assert [(result.dataset_type, result.metric_value) for result in theirs.eval_results] == ours


def test_results_on_datasets_of_the_hub_are_in_the_newer_form_too():
    entries = parse_eval_result_entries(yaml.safe_load(evaluation_results(CARD, "README.md")))
    results = read_card(CARD, "README.md")[0]["model-index"][0]["results"]
    assert [entry.value for entry in entries] == [result["metrics"][0]["value"] for result in results]
    assert {(entry.dataset_id, entry.task_id) for entry in entries} == {("ylecun/mnist", "default")}
    assert entries[0].notes == "mean accuracy over 5 draws, linear probe on frozen features, 100 labels (10 per class)"
    digits = (Path(WEIGHTS) / "simclr-resnet8-digits" / "README.md").read_text()
    assert evaluation_results(digits, "README.md") is None


def test_a_complete_card_passes_also_without_results_and_with_any_licence_of_the_hub():
    require_publishable(CARD, "README.md")
    require_publishable(with_metadata(**{"model-index": None, "metrics": None, "datasets": None}), "README.md")
    for licence in LICENCES - {"other"}:
        require_publishable(with_metadata(license=licence), "README.md")
    require_publishable(with_metadata(license="other", license_name="ours"), "README.md")


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"license": None}, "license: missing; expected a licence by its name on the Hub, such as"),
        ({"license": "Apache-2.0"}, "license: got 'Apache-2.0'; expected"),
        ({"license": ["mit"]}, "license: got ['mit']; expected"),
        ({"license": "other"}, "license_name: missing"),
        ({"library_name": "timm"}, "library_name: got 'timm'; expected 'funczoo'"),
        ({"pipeline_tag": None}, "pipeline_tag: missing; expected 'image-feature-extraction'"),
        ({"tags": []}, "tags: got []; expected a list of words"),
        ({"tags": ["simclr", 3]}, "tags: got ['simclr', 3]"),
        ({"datasets": ["mnist"]}, "datasets: got ['mnist']; expected a list of datasets as OWNER/NAME"),
        ({"metrics": "accuracy"}, "metrics: got 'accuracy'; expected a list of names"),
        ({"metrics": None}, "metrics: missing; name those of model-index"),
        ({"model-index": [{"name": "x", "results": []}]}, "model-index: got [{'name': 'x', 'results': []}]; expected"),
        ({"model-index": [{"name": "x", "results": [{"task": {"type": "t"}}]}]}, "model-index: got"),
    ],
)
def test_fields_that_are_missing_or_invalid_are_named(changes, words):
    with pytest.raises(ZooError, match="^a/README.md: not complete enough to be published: ") as raised:
        require_publishable(with_metadata(**changes), "a/README.md")
    assert words in str(raised.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.9", True, None])
def test_the_value_of_a_result_is_a_number(value):
    metadata, text = read_card(CARD, "README.md")
    metadata["model-index"][0]["results"][0]["metrics"][0]["value"] = value
    with pytest.raises(ZooError, match="model-index: got"):
        require_publishable(to_front_matter(metadata) + text, "README.md")


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_must_be_there_and_say_something(name):
    for card in (
        CARD.replace(f"\n## {name}\n", "\n"),
        re.sub(rf"(## {name}\n).*?(?=\n## |\Z)", r"\1", CARD, flags=re.S),
    ):
        with pytest.raises(ZooError, match=f"section '## {name}': missing"):
            require_publishable(card, "README.md")


def test_everything_that_is_missing_is_listed_at_once():
    with pytest.raises(ZooError) as raised:
        require_publishable("---\ntags: [x]\n---\nNothing.\n", "README.md")
    words = (
        "license: missing",
        "library_name: missing",
        "pipeline_tag: missing",
        "title: missing",
        "'## Data': missing",
    )
    assert all(part in str(raised.value) for part in words)


@pytest.mark.parametrize(
    "card,words",
    [
        ("# A title\n", "expected metadata between two lines '---' at its start"),
        ("---\nlicense: mit\n", "expected metadata between two lines"),
        ("---\nlicense: [\n---\n", "its metadata are not YAML"),
        ("---\n? [a]\n: 1\n---\n", "its metadata are not YAML"),
        ("---\n" + "[" * 5_000 + "\n---\n", "its metadata are not YAML"),
        ("---\na: !!python/object/apply:os.getcwd []\n---\n", "its metadata are not YAML"),
        ("---\n- license\n---\n", "expected metadata as `field: value`, got list"),
        ("---\na: &a [x]\nlicense: [*a, *a]\n---\n", "its metadata refer to parts of themselves by '*'"),
    ],
)
def test_a_card_that_cannot_be_read_is_refused_in_one_line(card, words):
    with pytest.raises(ZooError) as raised:
        require_publishable(card, "README.md")
    assert words in str(raised.value) and "\n" not in str(raised.value)
