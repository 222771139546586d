"""The card of a model, rendered from its configuration and ledger: nothing in it is written by hand."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from zoo.data.names import whole_dataset
from zoo.reports.tables import clusters_table, report_tables, results_table


def render_card(config: Mapping[str, Any], ledger: Mapping[str, Any] | None = None) -> str:
    """The card as Markdown with the front matter that model hubs read.

    Args:
        config: the content of `config.json`.
        ledger: the model's results over several seeds (`model_cards/results/NAME.json`), if there are any; without
            one the card says that nothing was measured.
    """
    name, recipe = config["name"], config["recipe"]
    channels, height, width = config["input_shape"]
    colour = "grey" if channels == 1 else "colour"
    labelled = config["training"].get("labels", False)
    kind = "supervised" if labelled else "self-supervised"
    front = "\n".join(
        [
            "---",
            "license: apache-2.0",
            "library_name: funczoo",
            "pipeline_tag: image-feature-extraction",
            f"tags: [{', '.join(dict.fromkeys((kind, recipe['method'], recipe['encoder'])))}]",
            "---",
        ]
    )
    sections = [
        f"# {name}",
        f"An image encoder: {height}x{width} {colour} images in, {config['feature_dim']} features out. It was "
        f"pretrained with {recipe['method']} on the {config['dataset']['images']:,} training images of "
        f"{config['dataset']['name']}, {'with' if labelled else 'without'} labels{_start(config)}.",
        "## Use",
        "```python\nimport zoo\n\n"
        f'model = zoo.load("{name}")  # or the path of this directory\n'
        f"features = model.features(images)  # uint8 [N, {channels}, {height}, {width}], or PIL images, or paths\n```",
        "The encoder does its own preprocessing: it takes uint8 and normalises by "
        f"mean {_numbers(config['mean'])} and standard deviation {_numbers(config['std'])}{_measured(config)}.",
        "## Results",
        results_section(ledger) if ledger else "Not measured yet: run `zoo probe DIRECTORY --data DATASET`.",
        *(["## Errors", report_section(ledger["report"])] if ledger and ledger.get("report") else []),
        *(["## Clusters", clusters_section(ledger["clusters"])] if ledger and ledger.get("clusters") else []),
        "## Training",
        f"{config['training']['steps']:,} steps in {_cost(config['training'])} on "
        f"{config['environment']['processor']}, threads: {config['environment']['threads']}, final loss "
        f"{config['training']['loss']:.3f}. The recipe:",
        f"```json\n{json.dumps(recipe, indent=2)}\n```",
        "The same recipe gives bit-identical weights on the same type of machine with the same versions and threads "
        f"(torch {config['environment']['torch']}, Python {config['environment']['python']}).",
        "## Limits",
        f"The features describe what the random views of {config['dataset']['name']} leave unchanged. Images of "
        "another kind or size may get poor features: probe them before you rely on them.",
    ]
    return front + "\n\n" + "\n\n".join(sections) + "\n"


def results_section(ledger: Mapping[str, Any]) -> str:
    """The results table of a ledger, introduced by how it was measured."""
    rows = ledger["results"]
    sources = list(dict.fromkeys(row["data"] for row in rows))
    test_images = {whole_dataset(row["data"]): row["test_images"] for row in rows}
    on = " and ".join(f"the {n:,} test images of {data}" for data, n in test_images.items())
    if sources != list(test_images):
        on += f", with labels of {' and '.join(sources)}"
    return (
        f"Accuracy in % on {on}: linear probe on frozen features, {_spread_in_words(ledger)} "
        f"Measured by `{ledger['command']}`.\n\n{results_table(ledger)}"
    )


def clusters_section(record: Mapping[str, Any]) -> str:
    """The table of clusters found without labels, introduced by how they were compared with classes."""
    return (
        f"{record['clusters']} clusters found without labels in the {record['train_images']:,} training images of "
        f"{record['dataset']}, compared with the classes of its {record['test_images']:,} test images: accuracy by the "
        "best one-to-one matching (chosen on the test labels), normalised mutual information, adjusted Rand index, "
        "each x 100, mean +- standard deviation over the seeds of the clustering"
        + (" and of the training" if record.get("training_seeds", 1) > 1 else "")
        + ".\n\n"
        + clusters_table(record)
    )


def report_section(report: Mapping[str, Any]) -> str:
    """The scores and errors of one probe, introduced by which probe it is."""
    return (
        f"Per-class scores of this encoder in %, from one probe on {report['labels']:,} labels of {report['data']}: "
        f"{100 * report['accuracy']:.1f} % {report['judged_on']}, macro F1 {100 * report['macro_f1']:.1f} %.\n\n"
        + report_tables(report)
    )


def _spread_in_words(ledger: Mapping[str, Any]) -> str:
    seeds, draws = len(ledger["seeds"]), ledger["draws"]
    counts = {row["labels_per_class"] for row in ledger["results"]}
    over = []
    if counts != {"all"}:
        trained = f"{seeds} training seeds" if seeds > 1 else "one training seed"
        over.append(f"over {trained} x {draws} draws of the labels (n = {seeds * draws})")
    if "all" in counts:
        over.append(f"over the training seeds where all labels are used (n = {seeds})")
    words = "mean +- standard deviation " + ", and ".join(over)
    if any(row["features"] == "pixels" for row in ledger["results"]):
        words += ". Raw pixels have no training seed: " + " and ".join(
            ([f"n = {draws} draws"] if counts != {"all"} else [])
            + (["n = 1 with all labels"] if "all" in counts else [])
        )
    return words + "."


def _cost(training: Mapping[str, Any]) -> str:
    seconds, peak = f"{training['seconds']:,.0f} s", training.get("peak_memory_bytes")
    return seconds if peak is None else f"{seconds}, peak memory {peak / 2**30:.2f} GiB,"


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _measured(config: Mapping[str, Any]) -> str:
    if config["recipe"]["mean"] and config["recipe"]["std"]:
        return ", as the recipe says"
    if (config.get("start") or {}).get("mean"):
        return ", those of the weights that training started from"
    return " of the training images"


def _start(config: Mapping[str, Any]) -> str:
    start = config.get("start")
    if start is None:
        return ""
    labels = ", trained on ImageNet with labels" if start["source"].startswith("torchvision:") else ""
    return f", starting from the weights of {start['source']}{labels}"
