"""Cards: what the encoder was trained on, and what was measured."""

import contextlib
import json
import re
from pathlib import Path

import pytest
import torch
from ledgers import from_scratch, of_method, row

import zoo
from zoo.evaluation.protocol import spread
from zoo.reports.card_metadata import read_card, require_publishable
from zoo.reports.cards import HERE, render_card, stated


@pytest.fixture
def config(model):
    return json.loads(json.dumps(dict(model.config)))


def test_the_card_says_whether_labels_were_used(config):
    card = render_card(config)
    assert "It was pretrained with simclr on the 1,297 training images of digits, without labels." in card
    assert "what the random views of digits leave unchanged" in card and "tags:\n- self-supervised\n- simclr\n" in card
    config["training"]["labels"] = True
    config["recipe"]["method"] = "supervised"
    card = render_card(config)
    assert "It was trained on labels (method `supervised`), those of the 1,297 training images of digits." in card
    assert "what separates the classes of digits" in card and "tags:\n- supervised\n- resnet8\n" in card
    assert "pretrained with" not in card and "without labels" not in card
    config["start"], config["training"]["labels"] = {"source": "supervised-resnet8-digits"}, False
    assert "without labels" not in render_card(config)  # the start was trained on them


def test_the_baseline_from_scratch_stands_beside_the_model_and_says_its_recipe(config):
    model = of_method("simclr", 0.9)
    scratch = from_scratch("supervised-resnet8-mnist", [row("from_scratch", "mnist", 10, [0.8, 0.84])])
    section = render_card(config, model, [scratch]).partition("## Results")[2].partition("\n## ")[0]
    *_, line = section.strip().splitlines()
    assert [cell.strip() for cell in line.split("|")[1:-1]] == [
        *("the same encoder, trained from scratch", "82.0 +- 2.8", "")
    ]
    assert f"Measured by `{model['command']}`. From scratch: the recipe of `supervised-resnet8-mnist`" in section
    assert "from scratch" not in render_card(config, model).lower()


def test_the_errors_of_reconstructed_images_are_in_the_card(config):
    errors = {"mean_squared_error": spread([0.01, 0.02]), "binary_cross_entropy": spread([0.1, 0.1])}
    record = {"data": "mnist_48k", "test_images": 10_000, **errors}
    card = render_card(config, {**of_method("simclr", 0.9), "reconstruction": record})
    assert "## Reconstruction\n\nErrors of the 10,000 test images of mnist as the decoder" in card
    assert "mean squared error 0.0150 +- 0.0071, binary cross-entropy 0.1000 +- 0.0000, mean +- standard" in card
    assert "over 2 training seeds; 0.0100 for these weights.\n" in card
    refined = {"steps": 3, "mean_squared_error": spread([0.004, 0.006])}
    card = render_card(config, {**of_method("simclr", 0.9), "reconstruction": {**record, "refined": refined}})
    assert "these weights. With latents that 3 steps of `model.refine` improve: mean squared error 0.0050 +- " in card
    assert "## Reconstruction" not in render_card(config, of_method("simclr", 0.9))


def test_pictures_follow_the_results_each_with_its_caption(config):
    card = render_card(config, of_method("simclr", 0.9), pictures=["a/tsne.png", "a/loss.png"])
    section = card.partition("## Pictures")[2].partition("\n## ")[0]
    loss, tsne = section.index('<img src="a/loss.png"'), section.index('<img src="a/tsne.png"')
    assert loss < section.index("*Loss and effective rank") < tsne < section.index("*A t-SNE of the features")
    assert "## Pictures" not in render_card(config, of_method("simclr", 0.9))


def test_a_card_without_results_says_so(config):
    assert "Not measured yet: run `zoo probe DIRECTORY --data DATASET`." in render_card(config)
    assert "## Errors" not in render_card(config)
    assert zoo.load("simclr-resnet8-digits").name in render_card(zoo.load("simclr-resnet8-digits").config)


def example(card):
    (block,) = re.findall(r"^```python\n(.*?)^```$", card, re.DOTALL | re.MULTILINE)
    return block


@pytest.mark.parametrize("name", zoo.list_models())
def test_the_example_of_every_card_runs_as_pasted(name, tmp_path):
    directory = Path(zoo.models.loading.WEIGHTS) / name
    found = {}
    with contextlib.chdir(tmp_path):
        exec(example((directory / "README.md").read_text()), found)
    assert found["features"].shape == (16, found["model"].feature_dim) and found["model"].name == name
    assert ("decoded" in found) == found["model"].has_decoder


def test_the_card_of_a_run_loads_that_run_and_not_the_model_of_its_name(tmp_path, recipe):
    model = zoo.pretrain(recipe.replace(epochs=1, warmup_epochs=0), out=tmp_path / "run")
    directory, found = tmp_path / "run" / "encoder", {}
    card = (directory / "README.md").read_text()
    with contextlib.chdir(directory):
        exec(example(card), found)
    assert torch.equal(found["features"], model.features(found["images"]))
    assert stated(card, "README.md") == (None, HERE) and "license" not in read_card(card, "README.md")[0]
    assert 'zoo.load("simclr-resnet8-digits")' not in card


def test_the_weights_that_ship_have_a_row_beside_the_mean_and_hubs_get_their_figures(config):
    ledger = of_method("simclr", 0.9)
    card = render_card(config, ledger, licence="apache-2.0")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines() if line.startswith("| th")]
    assert lines[:2] == [
        ["the weights that ship", "90.1 +- 0.1", "90.0"],  # of 0.9, 0.902, and 0.9
        ["this encoder", "90.3 +- 0.3", "90.1 +- 0.1"],  # of 0.9, 0.902, 0.904, 0.906, and 0.9, 0.902
    ]
    assert "those of training seed 0, with a row of their own (n = 2, with all labels 1)" in card
    (index,) = read_card(card, "README.md")[0]["model-index"]
    assert [result["metrics"][0]["value"] for result in index["results"]] == [0.901, 0.9]
    assert {result["dataset"]["type"] for result in index["results"]} == {"ylecun/mnist"}
    alone = render_card(config, {**of_method("simclr", 0.9, seeds=1), "seeds": [0]})
    assert "the weights that ship" not in alone


def test_the_card_says_what_the_bits_need_where_the_data_come_from_and_how_to_do_it_again(config):
    config["environment"] |= {"torch": "2.99.0", "cpu_capability": "AVX9", "threads": 7}
    card = render_card(config, of_method("simclr", 0.9), licence="mit", source=config["name"])
    assert ", instructions AVX9, threads: 7, torch 2.99.0. Elsewhere" in card
    assert "Licence of the data: CC BY 4.0." in card and "UCI Machine Learning Repository" in card
    assert f"`zoo reproduce {config['name']}`" in card and "`python scripts/release.py " in card
    assert stated(card, "README.md") == ("mit", config["name"])
    gpu = {**config["environment"], "accelerator": "Loom 80GB"}
    on_a_gpu = {**config, "environments": [{"first_epoch": 1, "device": "cuda", **gpu}], "environment": gpu}
    assert " on Loom 80GB, final" in render_card(on_a_gpu)
    assert "The same bits need Loom 80GB, " in render_card(on_a_gpu)
    assert f"`zoo reproduce {config['name']} --device cuda`" in render_card(on_a_gpu, source=config["name"])
    own = {**config, "dataset": {"name": "photos/mine", "images": 12, "digest": "0" * 64}}
    assert "12 training images of `photos/mine`, data of whoever trained it" in render_card(own)
    assert "datasets" not in read_card(render_card(own), "README.md")[0]


@pytest.mark.parametrize("name", zoo.list_models())
def test_every_card_of_the_zoo_can_be_published(name):
    card = (Path(zoo.models.loading.WEIGHTS) / name / "README.md").read_text()
    require_publishable(card, name)
    labelled = zoo.load(name).config["training"].get("labels", False)
    assert ("without labels" in card) != labelled
    assert read_card(card, name)[0]["tags"][0] == ("supervised" if labelled else "self-supervised")


def test_a_run_that_went_on_elsewhere_says_so(config):
    here = config["environment"]
    assert "resumed in another environment" not in render_card(config)
    config["environments"] = [
        {"first_epoch": 1, "device": "cpu", **here},
        {"first_epoch": 3, "device": "cpu", **here, "torch": "2.99.0"},
    ]
    section = render_card(config).partition("## Training")[2]
    assert "so its bits cannot be had again: from epoch 1 on cpu, " in section
    assert "; from epoch 3 on cpu, " in section and "torch 2.99.0." in section
