"""The card of a model, rendered from its configuration and ledger: nothing in it is written by hand.

A card says of itself only two things that are in neither: the licence of the weights, which their owner chooses, and
how `zoo.load` finds them, by name or as the directory that the card stands in. `stated` reads them back, so that
whoever has the three files can render the card again and compare.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from zoo.data.names import SUBSETS, whole_dataset
from zoo.data.official import edition_in_words
from zoo.data.provenance import provenance
from zoo.environment import last_environment, machine_of
from zoo.reports.card_metadata import LIBRARY, PIPELINE, read_card, to_front_matter
from zoo.reports.from_scratch import from_scratch_in_words, with_from_scratch
from zoo.reports.shipped import shipped_rows, with_shipped
from zoo.reports.tables import (
    clusters_table,
    commands_in_words,
    in_units,
    labels_in_words,
    n_in_words,
    report_tables,
    results_table,
)

HERE = "./"  # the directory that a card stands in, as `zoo.load` takes it
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


class Stated(NamedTuple):
    """What a card states beside its configuration and ledger.

    Attributes:
        licence: of the weights, as hubs name it; None if none is stated.
        source: what its example passes to `zoo.load`.
    """

    licence: str | None
    source: str


def render_card(
    config: Mapping[str, Any],
    ledger: Mapping[str, Any] | None = None,
    from_scratch: Iterable[Mapping[str, Any]] = (),
    pictures: Sequence[str] = (),
    *,
    licence: str | None = None,
    source: str = HERE,
) -> str:
    """The card as Markdown with the front matter that model hubs read.

    Args:
        config: the content of `config.json`.
        ledger: the model's results over its training seeds (`model_cards/results/NAME.json`, or `results.json` beside
            the weights), if there are any; without one the card says that nothing was measured.
        from_scratch: ledgers of encoders trained from scratch (`model_cards/from_scratch/*.json`); the rows of the same
            encoder stand beside the model's. `results.json` has them already.
        pictures: paths or addresses of pictures, relative to the card; their file names are in `PICTURES`.
        licence: of the weights, as hubs name it; None if their owner has chosen none yet.
        source: what `zoo.load` takes for this model: the name of a model of the zoo, or the directory of the card.
    """
    measured = None if ledger is None else with_from_scratch(ledger, from_scratch)
    sections = [
        f"# {config['name']}",
        f"An image encoder: {_images(config)} in, {config['feature_dim']} features out. It was "
        f"{_training_in_words(config)}{_start(config)}.",
        "## Use",
        _example(config, source),
        "The encoder does its own preprocessing: it takes uint8 and normalises by "
        f"mean {_numbers(config['mean'])} and standard deviation {_numbers(config['std'])}{_measured(config)}.",
        f"`zoo verify {source}` checks the files, this card and the features of a fixed image"
        + ("; with `--metrics` it measures the figures of these weights again." if measured else "."),
        "## Intended use and limits",
        _intended_use(config),
        _limits(config, measured),
        "## Data",
        _data(config),
        "## Results",
        *_measured_sections(measured),
        *_picture_section(pictures),
        "## Training",
        *_training_section(config, measured, source),
    ]
    return to_front_matter(metadata(config, measured, licence)) + "\n" + "\n\n".join(sections) + "\n"


def stated(card: str, where: str) -> Stated:
    """What a card states that is in neither its configuration nor its ledger.

    Args:
        card: the content of its file.
        where: its path, for messages.

    Raises:
        ZooError: if it has no metadata.
    """
    front, text = read_card(card, where)
    found = re.search(r'^model = zoo\.load\("([^"\n]+)"\)', text, re.MULTILINE)
    licence = front.get("license")
    return Stated(licence if isinstance(licence, str) else None, found[1] if found else HERE)


def metadata(
    config: Mapping[str, Any], ledger: Mapping[str, Any] | None = None, licence: str | None = None
) -> dict[str, Any]:
    """What model hubs read of a card: see `zoo.reports.card_metadata`.

    Args:
        config: the content of `config.json`.
        ledger: the model's results. Hubs get those of the weights that ship, which they can measure again.
        licence: of the weights; None leaves it out, and such a card is not published.
    """
    recipe, trained_on = config["recipe"], [config["dataset"]["name"]]
    used = [*trained_on, *(row["data"] for row in (ledger or {}).get("results", ()))]
    hub_ids = [origin.hub_id for origin in map(provenance, used) if origin is not None and origin.hub_id is not None]
    kind = "supervised" if _labelled(config) else "self-supervised"
    return {
        **({} if licence is None else {"license": licence}),
        "library_name": LIBRARY,
        "pipeline_tag": PIPELINE,
        "tags": list(dict.fromkeys((kind, recipe["method"], recipe["encoder"]))),
        **({"datasets": list(dict.fromkeys(hub_ids))} if hub_ids else {}),
        **({"metrics": ["accuracy"], "model-index": [_model_index(config, ledger)]} if ledger else {}),
    }


def bits_need(environment: Mapping[str, Any]) -> str:
    """What decides the bits of a training, in words."""
    gpu = f"{machine_of(environment)}, " if environment.get("device", "cpu") != "cpu" else ""
    processor = f"{environment['processor']}, instructions {environment['cpu_capability']}"
    return f"{gpu}{processor}, threads: {environment['threads']}, torch {environment['torch']}"


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
    edition = edition_in_words(ledger.get("probes", {}).values())
    measured = f"Measured by {commands_in_words(ledger)}."
    measured = " ".join(filter(None, (edition, measured, from_scratch_in_words(ledger))))
    return (
        f"Accuracy in % on {on}: linear probe on frozen features, {_spread_in_words(ledger)} "
        f"{measured}\n\n{results_table(with_shipped(ledger))}"
    )


def reconstruction_section(record: Mapping[str, Any]) -> str:
    """The errors of the images that the decoder makes of features of test images."""
    n = len(record["mean_squared_error"]["values"])
    refined = (
        f" With latents that {record['refined']['steps']} steps of `model.refine` improve: mean squared error "
        f"{in_units(record['refined']['mean_squared_error'])}."
        if "refined" in record
        else ""
    )
    return (
        f"Errors of the {record['test_images']:,} test images of {whole_dataset(record['data'])} as the decoder "
        "reconstructs them from their features, per pixel in 0..1: mean squared error "
        f"{in_units(record['mean_squared_error'])}, binary cross-entropy {in_units(record['binary_cross_entropy'])}"
        + (
            f", mean +- standard deviation over {n} training seeds; {_first(record)} for these weights."
            if n > 1
            else "."
        )
        + refined
    )


def clusters_section(record: Mapping[str, Any]) -> str:
    """The table of clusters found without labels, introduced by how they were compared with classes."""
    return (
        f"{record['clusters']} clusters of the features of the {record['train_images']:,} training images of "
        f"{record['dataset']}, found without their labels and compared with the classes of its "
        f"{record['test_images']:,} test images: accuracy by the "
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


def _measured_sections(ledger: Mapping[str, Any] | None) -> list[str]:
    if ledger is None:
        return ["Not measured yet: run `zoo probe DIRECTORY --data DATASET`."]
    sections = [results_section(ledger)]
    for part, title, section in (
        ("reconstruction", "## Reconstruction", reconstruction_section),
        ("report", "## Errors", report_section),
        ("clusters", "## Clusters", clusters_section),
    ):
        if ledger.get(part):
            sections += [title, section(ledger[part])]
    return sections


def _training_section(config: Mapping[str, Any], ledger: Mapping[str, Any] | None, source: str) -> list[str]:
    here, training = last_environment(config), config["training"]
    where = "" if here["device"] == "cpu" else f" --device {here['device']}"
    again = f"`zoo reproduce {source}{where}` trains it again from its configuration and compares the bits"
    if ledger is not None:
        more = ledger.get("added", ())
        what = "release" if more else "whole release, all training seeds and their figures"
        again += f"; `{ledger['command']}` makes the {what}"
        for added in more:
            noun = "seed" if len(added["seeds"]) == 1 else "seeds"
            seeds = " and ".join(map(str, added["seeds"]))
            again += f". `{added['command']}` added training {noun} {seeds}, trained on {added['trained_on']}"
    trained_on = (ledger or {}).get("trained_on") or machine_of(here)
    return [
        f"{training['steps']:,} steps in {_cost(training)} on {trained_on}, final "
        f"loss {training['loss']:.3f}. {again}. The recipe:",
        f"```json\n{json.dumps(config['recipe'], indent=2)}\n```",
        *_several_environments(config.get("environments") or ()),
        f"The same bits need {bits_need(here)}. Elsewhere the first losses agree to about three digits, and the "
        "results within the spread over training seeds.",
    ]


def _several_environments(environments: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where a run went on in another environment, which decides other bits."""
    if len(environments) < 2:
        return []
    parts = [
        f"from epoch {each['first_epoch']} on {each['device']}, "
        + (bits_need(each) if "torch" in each else "the rest was not recorded")  # by versions without a record
        for each in environments
    ]
    return [f"The run was resumed in another environment, so its bits cannot be had again: {'; '.join(parts)}."]


def _model_index(config: Mapping[str, Any], ledger: Mapping[str, Any]) -> dict[str, Any]:
    results = []
    for row in shipped_rows(ledger):
        origin, n = provenance(row["data"]), len(row["linear"]["values"])
        values = {"type": "accuracy", "value": round(row["linear"]["mean"], 4)}
        results.append(
            {
                "task": {
                    "type": "image-classification",
                    "name": f"linear probe on frozen features, {labels_in_words(row)}",
                },
                "dataset": {
                    "type": whole_dataset(row["data"])
                    if origin is None
                    else origin.hub_id or whole_dataset(row["data"]),
                    "name": row["data"] if origin is None else origin.title,
                    "split": "test",
                },
                "metrics": [{**values, "name": f"mean accuracy over {n} draws" if n > 1 else "accuracy"}],
            }
        )
    return {"name": config["name"], "results": results}


def _example(config: Mapping[str, Any], source: str) -> str:
    where = "in this directory; elsewhere, its path" if source == HERE else "or the path of this directory"
    shape = ", ".join(map(str, config["input_shape"]))
    return "\n".join(
        [
            "```python",
            "import torch",
            "",
            "import zoo",
            "",
            f'model = zoo.load("{source}")  # {where}',
            f"images = torch.randint(0, 256, (16, {shape}), dtype=torch.uint8)  # or PIL images, or paths of files",
            f"features = model.features(images)  # float32 [16, {config['feature_dim']}]",
            *(["decoded = model.decode(features)  # float32 in 0..1"] if config.get("decoder") else []),
            "```",
        ]
    )


def _intended_use(config: Mapping[str, Any]) -> str:
    name = config["dataset"]["name"]
    origin = provenance(name)
    like = f"`{name}`" if origin is None else origin.title
    return (
        f"For features of {_images(config)} like those of {like}: classifiers from few labels, nearest neighbours, "
        "clusters and maps of images, pretraining that goes on from here, and comparisons of methods."
    )


def _limits(config: Mapping[str, Any], ledger: Mapping[str, Any] | None) -> str:
    words = (
        f"The features describe what {_learned(config)}. Images of another kind or size may get poor features: probe "
        "them before you rely on them."
    )
    if classes := (ledger or {}).get("report", {}).get("per_class"):
        name, scores = min(classes.items(), key=lambda item: item[1]["f1"])
        words += f" The class told worst is {name}, F1 {100 * scores['f1']:.1f} % even with the most labels."
    return (
        f"{words} Nothing was measured on other images than those below, and nothing is known of fairness or safety: "
        "not for decisions about people."
    )


def _data(config: Mapping[str, Any]) -> str:
    name, images = config["dataset"]["name"], f"{config['dataset']['images']:,} training images"
    origin = provenance(name)
    if origin is None:
        of = f"of `{name}`, data of whoever trained it, under a licence that only they can tell"
    else:
        whole, *part = SUBSETS.get(name, (name,))
        kept = f"positions {part[0]:,} to {part[1] - 1:,} of `{whole}`, " if part else ""
        of = f"of {origin.title} ({kept}{origin.origin}). Licence of the data: {origin.licence}"
    return f"{images} {of}. SHA-256 of their content: `{config['dataset']['digest']}`."


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
    unlabelled = "without labels" if config.get("start") is None else "which used no labels"  # its start may have
    return f"pretrained with {method} on the {images}, {unlabelled}"


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
    if seeds > 1:
        words += (
            f". The weights that ship are those of training seed {ledger['seeds'][0]}, with a row of their own "
            f"({n_in_words(shipped_rows(ledger))}), which a probe of them finds again"
        )
    return words + "."


def _cost(training: Mapping[str, Any]) -> str:
    seconds, peak = f"{training['seconds']:,.0f} s", training.get("peak_memory_bytes")
    if training["seconds"] >= 60:
        seconds = f"{training['seconds'] / 60:,.1f} minutes"
    return seconds if peak is None else f"{seconds}, peak memory {peak / 2**30:.2f} GiB,"


def _images(config: Mapping[str, Any]) -> str:
    channels, height, width = config["input_shape"]
    return f"{height}x{width} {'grey' if channels == 1 else 'colour'} images"


def _first(record: Mapping[str, Any]) -> str:
    """The mean squared error of the weights that ship."""
    return f"{record['mean_squared_error']['values'][0]:.4f}"


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
