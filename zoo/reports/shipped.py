"""The figures of the weights that ship, beside the means over the training seeds of a ledger.

A ledger pools the values of all training seeds, those of the first one first: its encoder is the one that ships. Who
probes that encoder again finds its own values, not the mean over encoders that nobody has.
"""

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

SHIPPED = "shipped"  # what the rows of the weights that ship are called, as others are "encoder" or "pixels"
_SCORES = ("linear", "macro_f1", "knn")


def with_shipped(ledger: Mapping[str, Any]) -> dict[str, Any]:
    """A ledger with rows of the weights that ship above those of its encoder; unchanged if it has one training seed.

    Example:
        >>> row = {"features": "encoder", "linear": {"mean": 0.75, "std": 0.1, "values": [0.8, 0.8, 0.7, 0.7]}}
        >>> first, _ = with_shipped({"seeds": [0, 1], "results": [row]})["results"]
        >>> first["features"], first["linear"]["values"]
        ('shipped', [0.8, 0.8])
    """
    if len(ledger["seeds"]) == 1:
        return dict(ledger)
    return {**ledger, "results": [*shipped_rows(ledger), *ledger["results"]]}


def shipped_rows(ledger: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a ledger's encoder with the values of its first training seed alone."""
    for row in ledger["results"]:
        if row["features"] == "encoder":
            scores = {score: first_seed(row[score], ledger) for score in _SCORES if score in row}
            yield {**row, "features": SHIPPED, **scores}


def first_seed(pooled: Mapping[str, Any], ledger: Mapping[str, Any]) -> dict[str, Any]:
    """The part of pooled values that belongs to the first training seed, with its mean and standard deviation."""
    values = pooled["values"][: len(pooled["values"]) // len(ledger["seeds"])]
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": std, "values": values}
