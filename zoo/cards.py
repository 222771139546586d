"""The card of a model, rendered from its configuration and its ledger: nothing in it is typed by hand."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

_TITLES = {"encoder": "this encoder", "untrained": "the same encoder, untrained", "pixels": "raw pixels"}


def render_card(config: Mapping[str, Any], ledger: Mapping[str, Any] | None = None) -> str:
    """The card as Markdown with the front matter that model hubs read.

    Args:
        config: what `config.json` holds.
        ledger: the model's results over several seeds (`model_cards/results/NAME.json`), where there are any; without
            it the card says that nothing was measured.
    """
    name, recipe = config["name"], config["recipe"]
    channels, height, width = config["input_shape"]
    colour = "grey" if channels == 1 else "colour"
    front = "\n".join(
        [
            "---",
            "license: apache-2.0",
            "library_name: funczoo",
            "pipeline_tag: image-feature-extraction",
            f"tags: [self-supervised, {recipe['method']}, {recipe['encoder']}]",
            "---",
        ]
    )
    sections = [
        f"# {name}",
        f"An image encoder: {height}x{width} {colour} images in, {config['feature_dim']} features out. It was "
        f"pretrained with {recipe['method']} on the {config['dataset']['images']:,} training images of "
        f"{config['dataset']['name']}, without labels.",
        "## Use",
        "```python\nimport zoo\n\n"
        f'model = zoo.load("{name}")  # or the path of this directory\n'
        f"features = model.features(images)  # uint8 [N, {channels}, {height}, {width}], or PIL images, or paths\n```",
        "The encoder does its own preprocessing: it takes uint8 and normalises by "
        f"mean {_numbers(config['mean'])} and standard deviation {_numbers(config['std'])} of the training images.",
        "## Results",
        results_section(ledger) if ledger else "Nothing was measured yet: `zoo probe DIRECTORY --data DATASET` does.",
        "## Training",
        f"{config['training']['steps']:,} steps in {config['training']['seconds']:,.0f} s on "
        f"{config['environment']['processor']}, threads: {config['environment']['threads']}, final loss "
        f"{config['training']['loss']:.3f}. The recipe:",
        f"```json\n{json.dumps(recipe, indent=2)}\n```",
        "The same recipe gives the same bits on the same type of machine with the same versions and threads "
        f"(torch {config['environment']['torch']}, Python {config['environment']['python']}).",
        "## Limits",
        f"The features describe what the random views of {config['dataset']['name']} leave unchanged. Images of "
        "another kind or size may be described badly: probe them before you rely on it.",
    ]
    return front + "\n\n" + "\n\n".join(sections) + "\n"


def results_section(ledger: Mapping[str, Any]) -> str:
    """The results table of a ledger with the sentence that says how it was measured."""
    n = len(ledger["seeds"])
    seeds = f"{n} training seeds" if n > 1 else "one training seed (n = 1)"
    return (
        f"Accuracy in % on the {ledger['test_images']:,} test images of {ledger['dataset']}: linear probe on frozen "
        f"features, mean +- standard deviation over {seeds} with {ledger['draws']} draws of the "
        f"labels each (pixels: over the draws alone). Measured by `{ledger['command']}`.\n\n" + results_table(ledger)
    )


def results_table(ledger: Mapping[str, Any]) -> str:
    """Rows: features; columns: labels per class."""
    counts = list(dict.fromkeys(str(row["labels_per_class"]) for row in ledger["results"]))
    header = ["features", *(f"{count} per class" if count != "all" else "all labels" for count in counts)]
    rows = []
    for source in dict.fromkeys(row["features"] for row in ledger["results"]):
        cells = {str(row["labels_per_class"]): row["linear"] for row in ledger["results"] if row["features"] == source}
        rows.append([_TITLES[source], *(_cell(cells[count]) for count in counts)])
    return _markdown(header, rows)


def _cell(spread: Mapping[str, Any]) -> str:
    mean = f"{100 * spread['mean']:.1f}"
    return mean if spread["std"] is None else f"{mean} +- {100 * spread['std']:.1f}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
