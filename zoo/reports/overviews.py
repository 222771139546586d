"""Overviews: short tables over many ledgers, for a page that is read on a phone.

A model is named METHOD-ENCODER-DATASET, and each number leads to the card that says how it was measured.
"""

import re
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from zoo.data.official import edition_in_words
from zoo.environment import machine_of
from zoo.reports.from_scratch import with_from_scratch
from zoo.reports.tables import in_percent, in_units, markdown, n_in_words

Ledger = Mapping[str, Any]
Row = Mapping[str, Any]

METHODS = (  # in the order of their rows
    *("simclr", "simsiam", "byol", "moco", "moco_v3", "rotation", "autoencoder", "denoising_autoencoder"),
    *("triplet", "pairwise_contrastive", "supervised"),
)
NOTHING = "Nothing was measured yet: `python scripts/release.py` does."
_BASELINES = {
    "from_scratch": "from scratch on those labels",
    "untrained": "untrained",
    "pixels": "raw pixels",
}
_STARRED = "\\* Learned from all labels before the probe."
_CLASSIFIERS = {"logistic": "logistic regression", "spread": "label spreading", "fit": "`zoo.fit`"}
_MEASURES = {"linear": "accuracy", "knn": "kNN", "macro_f1": "macro F1", "mean_squared_error": "squared error"}


class System(NamedTuple):
    """A published system: a network, what it learns from, and what it is measured by.

    Attributes:
        key: by which others call it.
        title: its name and its data.
        published: the model with the published network; "" if there is none.
        small: the model with the small encoder; "" if there is none.
        data: the dataset whose labels and test images it is measured with.
        measure: "linear" or "knn" for the accuracy, "macro_f1", or "mean_squared_error" of reconstructed images.
        outcome: the published figure, in %; "" if there is none.
    """

    key: str
    title: str
    published: str
    small: str
    data: str
    measure: str
    outcome: str = ""


def methods_overview(
    dataset: str,
    ledgers: Mapping[str, Ledger],
    from_scratch: Collection[Ledger],
    labelled: Collection[str],
    *,
    encoder: str = "resnet8",
) -> str:
    """Rows: methods with one encoder on one dataset, and the baselines; columns: epochs, and labels per class.

    Args:
        dataset: the dataset that the models were trained on and are measured with.
        ledgers: the ledgers of models by name.
        from_scratch: the ledgers from scratch.
        labelled: the names of the models whose methods learn from labels.
        encoder: the encoder of all rows, "resnet8" or "resnet18".

    Raises:
        ValueError: if the encoders of two models differ in their options.
    """
    found = _of_methods(dataset, ledgers, encoder)
    if not found:
        return NOTHING
    first = next(iter(found.values()))
    _require_encoder_of(first, found)
    titles = {name: _starred(name, labelled) for name in found}
    rows = {titles[name]: _rows(ledger, dataset, "encoder") for name, ledger in found.items()}
    whole = with_from_scratch(first, from_scratch)
    baselines = {title: _rows(whole, dataset, features) for features, title in _BASELINES.items()}
    rows |= {title: own for title, own in baselines.items() if own}
    columns = list(dict.fromkeys(row["labels_per_class"] for own in rows.values() for row in own))
    epochs = {titles[name]: str(ledger["recipe"]["epochs"]) for name, ledger in found.items()}
    lines = [
        [title, epochs.get(title, ""), *(_percent(own, column) for column in columns)] for title, own in rows.items()
    ]
    header = ["labels per class", "epochs", *(column if column == "all" else f"{column:,}" for column in columns)]
    counts = {title: n_in_words(own) for title, own in rows.items()}
    usual = statistics.mode(counts.values())
    alike = {n: [_plain(title) for title in counts if counts[title] == n] for n in counts.values() if n != usual}
    unusual = "; ".join(f"{n}: {', '.join(titles)}" for n, titles in alike.items())
    return "\n\n".join(
        [
            f"Linear probe on the features of one encoder, `{encoder}`: accuracy in % on the "
            f"{first['results'][0]['test_images']:,} test images of {dataset}, mean +- standard deviation over "
            f"training seeds and draws of the labels ({usual}).",
            markdown(header, lines),
            *([f"{unusual}."] if unusual else []),
            *filter(None, [edition_in_words(first.get("probes", {}).values())]),
            *([_STARRED] if set(found) & set(labelled) else []),
        ]
    )


def minutes_overview(
    dataset: str, ledgers: Mapping[str, Ledger], labelled: Collection[str], *, encoder: str = "resnet8"
) -> str:
    """Rows: methods with one encoder on one dataset; columns: minutes of training, and accuracies with all labels.

    The arguments are those of `methods_overview`.
    """
    found = _of_methods(dataset, ledgers, encoder)
    if not found:
        return NOTHING
    rows = {
        name: next(row for row in _rows(ledger, dataset, "encoder") if row["labels_per_class"] == "all")
        for name, ledger in found.items()
    }
    lines = [
        [
            _starred(name, labelled),
            f"{_minutes(found[name]):.0f}",
            _in_percent(rows[name]["linear"]),
            _in_percent(rows[name]["knn"]),
        ]
        for name in sorted(found, key=lambda name: _minutes(found[name]))
    ]
    one = next(iter(rows.values()))
    here = " or ".join(dict.fromkeys(_machine(ledger) for ledger in found.values()))
    return (
        f"Minutes of training per seed on {here}, and accuracy in % on the {one['test_images']:,} test images of "
        f"{dataset} with all {one['labels']:,} labels ({n_in_words(rows.values())}).\n\n"
        + markdown(["method", "minutes", "linear probe", "kNN"], lines)
        + (f"\n\n{_STARRED}" if set(found) & set(labelled) else "")
    )


def systems_overview(systems: Iterable[System], ledgers: Mapping[str, Ledger], from_scratch: Collection[Ledger]) -> str:
    """Rows: published systems that were measured; columns: both networks, and the baselines of both."""
    lines = []
    for system in systems:
        own = {
            name: with_from_scratch(ledgers[name], from_scratch)
            for name in (system.published, system.small)
            if name in ledgers
        }
        values = {name: _value(ledger, system, "encoder") for name, ledger in own.items()}
        if not any(values.values()):
            continue
        both = [
            f"[{values[name]}](model_cards/{name}.md)" if values.get(name) else ""
            for name in (system.published, system.small)
        ]
        scratch, untrained = (
            _of_both([_value(ledger, system, features) for ledger in own.values()])
            for features in ("from_scratch", "untrained")
        )
        pixels = _value(next(iter(own.values())), system, "pixels")
        title = f"{system.key}: {system.title}"
        lines.append([title, _MEASURES[system.measure], system.outcome, *both, scratch, untrained, pixels])
    if not lines:
        return NOTHING
    edition = edition_in_words(digest for ledger in ledgers.values() for digest in ledger.get("probes", {}).values())
    header = ["system", "measured by", "published", "its network", "small", "from scratch", "untrained", "pixels"]
    return (
        "Each published system under its own protocol, with its network and with a small encoder: accuracy or macro F1 "
        "of a linear probe, or accuracy of 10 nearest neighbours (kNN), in %; or squared error per pixel in 0..1 of "
        "images decoded from the features / from features refined by `model.refine`; mean +- standard deviation over "
        "training seeds. The last three columns are baselines: the same networks, first its own / then the small one, "
        "trained from scratch on just those labels, and untrained; and raw pixels."
        f"\n\n{markdown(header, lines)}" + (f"\n\n{edition}" if edition else "")
    )


def _of_both(values: Sequence[str]) -> str:
    """What was measured of one or two networks, in one cell; a dash stands for the one that was not."""
    return " / ".join(value or "–" for value in values) if any(values) else ""


def few_labels_overview(ledger: Ledger | None) -> str:
    """Rows: by dataset, which images are labelled and what is made of the labels; columns: labels in all."""
    if ledger is None:
        return "Nothing was measured yet: `python scripts/few_labels.py` does."
    rows = ledger["results"]
    cells = {(row["data"], row["images"], row["labels"]): row for row in rows}
    counts = sorted({row["labels"] for row in rows})
    lines = []
    for data in dict.fromkeys(row["data"] for row in rows):
        for images in dict.fromkeys(row["images"] for row in rows):
            found = {x: [in_percent(cells[data, images, n][x]) for n in counts] for x in _CLASSIFIERS}
            lines += [
                [f"{data}, {images} images, {words}", *found[classifier]]
                for classifier, words in _CLASSIFIERS.items()
                if classifier != "fit" or found["fit"] != found["spread"]
            ]
    sentences = (
        "Accuracy in % on the official test images, mean +- standard deviation over draws of the images "
        f"(n = {len(ledger['seeds'])}), features of the encoders that ship.",
        "Labels are those of all classes together; images are drawn, or suggested, without a look at any label.",
        "`zoo.fit` takes one of the two classifiers, by cross-validation on the labels that it was given; where it has "
        "no row, its figures are those of label spreading.",
        edition_in_words(ledger["data"].values()),
        f"Measured by `{ledger['command']}` on {machine_of(ledger['environment'])}.",
    )
    table = markdown(["labels in all", *map(str, counts)], lines)
    return f"{' '.join(filter(None, sentences))}\n\n{table}"


def _of_methods(dataset: str, ledgers: Mapping[str, Ledger], encoder: str) -> dict[str, Ledger]:
    """The ledgers of methods that were trained on a dataset and measured with all of its labels."""
    names = [f"{method}-{encoder}-{dataset}" for method in METHODS]
    return {
        name: ledgers[name]
        for name in names
        if any(row["labels_per_class"] == "all" for row in _rows(ledgers.get(name, {}), dataset, "encoder"))
    }


def _require_encoder_of(first: Ledger, ledgers: Mapping[str, Ledger]) -> None:
    options = first["recipe"]["encoder_options"]
    for name, ledger in ledgers.items():
        if ledger["recipe"]["encoder_options"] != options:
            raise ValueError(f"{name}: expected the encoder options {options}, as {first['model']} has them")


def _rows(ledger: Ledger, data: str, features: str) -> list[Row]:
    return [row for row in ledger.get("results", ()) if (row["data"], row["features"]) == (data, features)]


def _value(ledger: Ledger, system: System, features: str) -> str:
    """What a system is measured by, with all labels of its data; "" if it was not measured."""
    if system.measure == "mean_squared_error":
        found = ledger.get("reconstruction", {}) if features == "encoder" else {}
        refined = f" / {in_units(found['refined'][system.measure])}" if "refined" in found else ""
        return in_units(found[system.measure]) + refined if found else ""
    rows = [row for row in _rows(ledger, system.data, features) if row["labels_per_class"] == "all"]
    return _in_percent(rows[0][system.measure]) if rows and system.measure in rows[0] else ""


def _percent(rows: Iterable[Row], labels_per_class: int | str) -> str:
    found = [row for row in rows if row["labels_per_class"] == labels_per_class]
    return _in_percent(found[0]["linear"]) if found else ""


def _in_percent(spread: Mapping[str, Any]) -> str:
    """`95.6 +- .4`."""
    return in_percent(spread).replace("+- 0.", "+- .")


def _minutes(ledger: Ledger) -> float:
    return statistics.fmean(ledger["training_seconds"]) / 60


def _machine(ledger: Ledger) -> str:
    return ledger.get("trained_on") or machine_of(ledger["environment"])


def _linked(name: str) -> str:
    """The method of a model in words, with a link to its card."""
    return f"[{name.partition('-')[0].replace('_', ' ')}](model_cards/{name}.md)"


def _starred(name: str, labelled: Collection[str]) -> str:
    """As `_linked`, with a star if the method learns from labels."""
    return _linked(name) + (" \\*" if name in labelled else "")


def _plain(title: str) -> str:
    """A title without its link."""
    return re.sub(r"\[(.*)\]\(.*\)", r"\1", title)
