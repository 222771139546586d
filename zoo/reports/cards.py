"""The card of a model, rendered from its configuration and ledger: nothing in it is written by hand."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zoo.data.names import whole_dataset
from zoo.reports.from_scratch import from_scratch_in_words, with_from_scratch
from zoo.reports.tables import clusters_table, in_units, report_tables, results_table

PICTURES = {  # what the figures of `zoo plot` show, in the order of a card
    "loss.png": "Loss and effective rank of the features over the epochs",
    "tsne.png": "A t-SNE of the features of test images, coloured by class",
    "confusion.png": "The confusion matrix of a linear probe on the test images",
    "predictions.png": "Test images with the predictions of a linear probe, errors first",
    "reconstructions.png": "Images and their reconstructions",
    "denoising.png": "Noisy images and their reconstructions",
    "latent_plane.png": "Images decoded from the plane of the latents",
    "latent_scatter.png": "The latents of test images, coloured by class",
}


def render_card(
    config: Mapping[str, Any],
    ledger: Mapping[str, Any] | None = None,
    from_scratch: Iterable[Mapping[str, Any]] = (),
    pictures: Sequence[str] = (),
) -> str:
    """The card as Markdown with the front matter that model hubs read.

    Args:
        config: the content of `config.json`.
        ledger: the model's results over several seeds (`model_cards/results/NAME.json`), if there are any; without
            one the card says that nothing was measured.
        from_scratch: ledgers of encoders trained from scratch (`model_cards/from_scratch/*.json`); the rows of the same
            encoder stand beside the model's.
        pictures: paths or addresses of pictures, relative to the card; their file names are in `PICTURES`.
    """
    name, recipe = config["name"], config["recipe"]
    channels, height, width = config["input_shape"]
    colour = "grey" if channels == 1 else "colour"
    kind = "supervised" if _labelled(config) else "self-supervised"
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
        f"{_training_in_words(config)}{_start(config)}.",
        "## Use",
        "```python\nimport zoo\n\n"
        f'model = zoo.load("{name}")  # or the path of this directory\n'
        f"features = model.features(images)  # uint8 [N, {channels}, {height}, {width}], or PIL images, or paths\n```",
        "The encoder does its own preprocessing: it takes uint8 and normalises by "
        f"mean {_numbers(config['mean'])} and standard deviation {_numbers(config['std'])}{_measured(config)}.",
        "## Results",
        *_measured_sections(ledger, from_scratch),
        *_picture_section(pictures),
        "## Training",
        f"{config['training']['steps']:,} steps in {_cost(config['training'])} on "
        f"{config['environment']['processor']}, threads: {config['environment']['threads']}, final loss "
        f"{config['training']['loss']:.3f}. The recipe:",
        f"```json\n{json.dumps(recipe, indent=2)}\n```",
        "The same recipe gives bit-identical weights on the same type of machine with the same versions and threads "
        f"(torch {config['environment']['torch']}, Python {config['environment']['python']}).",
        "## Limits",
        f"The features describe what {_learned(config)}. Images of another kind or size may get poor features: probe "
        "them before you rely on them.",
    ]
    return front + "\n\n" + "\n\n".join(sections) + "\n"


def results_section(ledger: Mapping[str, Any]) -> str:
    """The results table of a ledger, introduced by how it was measured.

    Args:
        ledger: the ledger of a model, with the rows that `with_from_scratch` adds, if there are any.
    """
    rows = ledger["results"]
    sources = list(dict.fromkeys(row["data"] for row in rows))
    test_images = {whole_dataset(row["data"]): row["test_images"] for row in rows}
    on = " and ".join(f"the {n:,} test images of {data}" for data, n in test_images.items())
    if sources != list(test_images):
        on += f", with labels of {' and '.join(sources)}"
    measured = " ".join(filter(None, (f"Measured by `{ledger['command']}`.", from_scratch_in_words(ledger))))
    return (
        f"Accuracy in % on {on}: linear probe on frozen features, {_spread_in_words(ledger)} "
        f"{measured}\n\n{results_table(ledger)}"
    )


def reconstruction_section(record: Mapping[str, Any]) -> str:
    """The errors of the images that the decoder makes of features of test images."""
    n = len(record["mean_squared_error"]["values"])
    return (
        f"Errors of the {record['test_images']:,} test images of {whole_dataset(record['data'])} as the decoder "
        "reconstructs them from their features, per pixel in 0..1: mean squared error "
        f"{in_units(record['mean_squared_error'])}, binary cross-entropy {in_units(record['binary_cross_entropy'])}"
        + (f", mean +- standard deviation over {n} training seeds." if n > 1 else ".")
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


def _measured_sections(ledger: Mapping[str, Any] | None, from_scratch: Iterable[Mapping[str, Any]]) -> list[str]:
    if ledger is None:
        return ["Not measured yet: run `zoo probe DIRECTORY --data DATASET`."]
    sections = [results_section(with_from_scratch(ledger, from_scratch))]
    for part, title, section in (
        ("reconstruction", "## Reconstruction", reconstruction_section),
        ("report", "## Errors", report_section),
        ("clusters", "## Clusters", clusters_section),
    ):
        if ledger.get(part):
            sections += [title, section(ledger[part])]
    return sections


def _picture_section(pictures: Sequence[str]) -> list[str]:
    by_name = {path.rpartition("/")[2]: path for path in pictures}
    shown = [
        f'<img src="{by_name[name]}" width="480" alt="{caption}">\n\n*{caption}.*'
        for name, caption in PICTURES.items()
        if name in by_name
    ]
    return ["## Pictures", *shown] if shown else []


def _labelled(config: Mapping[str, Any]) -> bool:
    return config["training"].get("labels", False)


def _learned(config: Mapping[str, Any]) -> str:
    name = config["dataset"]["name"]
    return f"separates the classes of {name}" if _labelled(config) else f"the random views of {name} leave unchanged"


def _training_in_words(config: Mapping[str, Any]) -> str:
    method, name = config["recipe"]["method"], config["dataset"]["name"]
    images = f"{config['dataset']['images']:,} training images of {name}"
    if _labelled(config):
        return f"trained on labels (method `{method}`), those of the {images}"
    return f"pretrained with {method} on the {images}, without labels"


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
