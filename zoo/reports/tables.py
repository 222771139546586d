"""Tables of results in Markdown: accuracies, clusters, scores per class and confusion matrices."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zoo.data.names import SUBSETS

TITLES = {
    "shipped": "the weights that ship",
    "encoder": "this encoder",
    "pixels": "raw pixels",
    "untrained": "the same encoder, untrained",
    "from_scratch": "the same encoder, trained from scratch",
}
_FEW = 1_000  # labels of a subset that is published with macro-F1


def results_table(ledger: Mapping[str, Any]) -> str:
    """Rows: features, or models by name; columns: accuracies by number of labels.

    A subset that is named for its few labels, such as `fashion_mnist_labels_1k`, has a column of macro-F1, too.
    """
    columns = {_column(row): labels_in_words(row) for row in ledger["results"]}
    names = list(columns.values())
    titles = {key: name if names.count(name) == 1 else f"{name}, {key[0]}" for key, name in columns.items()}
    with_f1 = {_column(row) for row in ledger["results"] if _asks_for_macro_f1(row)}
    header = [(key, score) for key in columns for score in ("linear", *(("macro_f1",) if key in with_f1 else ()))]
    lines = []
    for source in dict.fromkeys(row["features"] for row in ledger["results"]):
        rows = {_column(row): row for row in ledger["results"] if row["features"] == source}
        cells = (rows.get(key, {}).get(score) for key, score in header)
        lines.append([TITLES.get(source, source), *(in_percent(cell) if cell else "" for cell in cells)])
    words = [titles[key] if score == "linear" else f"macro F1, {titles[key]}" for key, score in header]
    return markdown(["features", *words], lines)


def clusters_table(record: Mapping[str, Any]) -> str:
    """Rows: features and clustering methods; columns: scores x 100."""
    rows = [
        [TITLES[row["features"]], row["method"], *(in_percent(row[score]) for score in ("accuracy", "nmi", "ari"))]
        for row in record["results"]
    ]
    return markdown(["features", "clusters by", "accuracy", "NMI", "ARI"], rows)


def report_tables(report: Mapping[str, Any]) -> str:
    """Precision, recall and F1 in % and images per class, then the confusion matrix."""
    scores = [
        [name, *(f"{100 * row[score]:.1f}" for score in ("precision", "recall", "f1")), f"{row['images']:,}"]
        for name, row in report["per_class"].items()
    ]
    names = list(report["per_class"])
    counts = [[name, *map(str, row)] for name, row in zip(names, report["confusion"], strict=True)]
    return "\n\n".join(
        [
            markdown(["class", "precision", "recall", "F1", "images"], scores),
            "Confusion matrix of the same images, by class (rows) and predicted class (columns):",
            markdown(["", *names], counts),
        ]
    )


def differences_table(differences: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows: fields of the recipes; columns: the names of the recipes."""
    names = list(next(iter(differences.values())))
    rows = [[field, *(json.dumps(values[name]) for name in names)] for field, values in differences.items()]
    return markdown(["recipe", *names], rows)


def ranking_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows: models, the best first; columns: accuracy with its 95 % interval, right labels, difference by chance."""
    cells = [
        [
            row["model"],
            f"{100 * row['accuracy']:.1f}",
            f"{100 * row['interval'][0]:.0f} to {100 * row['interval'][1]:.0f}",
            f"{row['right']:,} of {row['labels']:,}",
            f"{row['chance']:.2g}" if i else "",
        ]
        for i, row in enumerate(rows)
    ]
    return markdown(["model", "accuracy in %", "95 % interval", "right", "worse by chance, p"], cells)


def in_percent(spread: Mapping[str, Any]) -> str:
    """The mean and the standard deviation of a share, in percent: `98.3 +- 0.1`."""
    mean = f"{100 * spread['mean']:.1f}"
    return mean if spread["std"] is None else f"{mean} +- {100 * spread['std']:.1f}"


def in_units(spread: Mapping[str, Any]) -> str:
    """The mean and the standard deviation of an error: `0.0123 +- 0.0004`."""
    mean = f"{spread['mean']:.4f}"
    return mean if spread["std"] is None else f"{mean} +- {spread['std']:.4f}"


def n_in_words(rows: Iterable[Mapping[str, Any]]) -> str:
    """The numbers of values of rows of results: `n = 15, with all labels 3`."""
    rows = list(rows)
    drawn = dict.fromkeys(str(len(row["linear"]["values"])) for row in rows if row["labels_per_class"] != "all")
    whole = dict.fromkeys(str(len(row["linear"]["values"])) for row in rows if row["labels_per_class"] == "all")
    if not drawn:
        return f"n = {' or '.join(whole)}"
    return f"n = {' or '.join(drawn)}" + (f", with all labels {' or '.join(whole)}" if whole else "")


def commands_in_words(ledger: Mapping[str, Any]) -> str:
    """The commands that measured a ledger's results: of the release, and of the training seeds that were added."""
    return " and ".join(f"`{each['command']}`" for each in (ledger, *ledger.get("added", ())))


def labels_in_words(row: Mapping[str, Any]) -> str:
    """The labels of a row of results: `100 labels (10 per class)`."""
    words = f"{row['labels']:,} labels"
    return words if row["labels_per_class"] == "all" else f"{words} ({row['labels_per_class']} per class)"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that is also readable as plain text: the first column left-aligned, the others right-aligned."""
    cells = [[cell.replace("|", "\\|") for cell in line] for line in (header, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        for line in cells
    ]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))


def _column(row: Mapping[str, Any]) -> tuple[str, int | str]:
    return row["data"], row["labels_per_class"]


def _asks_for_macro_f1(row: Mapping[str, Any]) -> bool:
    named_for_its_labels = row["data"] in SUBSETS and row["labels_per_class"] == "all" and row["labels"] <= _FEW
    return named_for_its_labels and "macro_f1" in row
