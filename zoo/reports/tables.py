"""Tables of results in Markdown: accuracies, clusters, scores per class and confusion matrices."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

TITLES = {"encoder": "this encoder", "untrained": "the same encoder, untrained", "pixels": "raw pixels"}


def results_table(ledger: Mapping[str, Any]) -> str:
    """Rows: features, or models by name; columns: numbers of labels."""
    columns = {(row["data"], row["labels_per_class"]): _labels_in_words(row) for row in ledger["results"]}
    names = list(columns.values())
    header = [name if names.count(name) == 1 else f"{name}, {data}" for (data, _), name in columns.items()]
    lines = []
    for source in dict.fromkeys(row["features"] for row in ledger["results"]):
        cells = {
            (row["data"], row["labels_per_class"]): in_percent(row["linear"])
            for row in ledger["results"]
            if row["features"] == source
        }
        lines.append([TITLES.get(source, source), *(cells.get(column, "") for column in columns)])
    return _markdown(["features", *header], lines)


def clusters_table(record: Mapping[str, Any]) -> str:
    """Rows: features and clustering methods; columns: scores x 100."""
    rows = [
        [TITLES[row["features"]], row["method"], *(in_percent(row[score]) for score in ("accuracy", "nmi", "ari"))]
        for row in record["results"]
    ]
    return _markdown(["features", "clusters by", "accuracy", "NMI", "ARI"], rows)


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
            _markdown(["class", "precision", "recall", "F1", "images"], scores),
            "Confusion matrix of the same images, by class (rows) and predicted class (columns):",
            _markdown(["", *names], counts),
        ]
    )


def differences_table(differences: Mapping[str, Mapping[str, Any]]) -> str:
    """Rows: fields of the recipes; columns: the names of the recipes."""
    names = list(next(iter(differences.values())))
    rows = [[field, *(json.dumps(values[name]) for name in names)] for field, values in differences.items()]
    return _markdown(["recipe", *names], rows)


def in_percent(spread: Mapping[str, Any]) -> str:
    """The mean and the standard deviation of a share, in percent: `98.3 +- 0.1`."""
    mean = f"{100 * spread['mean']:.1f}"
    return mean if spread["std"] is None else f"{mean} +- {100 * spread['std']:.1f}"


def _labels_in_words(row: Mapping[str, Any]) -> str:
    words = f"{row['labels']:,} labels"
    return words if row["labels_per_class"] == "all" else f"{words} ({row['labels_per_class']} per class)"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that is also readable as plain text: the first column left-aligned, the others right-aligned."""
    cells = [[cell.replace("|", "\\|") for cell in line] for line in (header, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        for line in cells
    ]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))
