"""Cards: what the encoder was trained on, and what was measured."""

import json

import pytest
from ledgers import from_scratch, of_method, row

import zoo
from zoo.evaluation.protocol import spread
from zoo.reports.cards import render_card


@pytest.fixture
def config(model):
    return json.loads(json.dumps(dict(model.config)))


def test_the_card_says_whether_labels_were_used(config):
    card = render_card(config)
    assert "It was pretrained with simclr on the 1,297 training images of digits, without labels." in card
    assert "what the random views of digits leave unchanged" in card and "tags: [self-supervised, simclr" in card
    config["training"]["labels"] = True
    config["recipe"]["method"] = "supervised"
    card = render_card(config)
    assert "It was trained on labels (method `supervised`), those of the 1,297 training images of digits." in card
    assert "what separates the classes of digits" in card and "tags: [supervised, resnet8]" in card
    assert "pretrained with" not in card


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
    assert "over 2 training seeds." in card
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
