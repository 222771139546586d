"""Beside a model's results, those of the same encoder trained from scratch on just the labels of the probe."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zoo.reports.tables import n_in_words

Ledger = Mapping[str, Any]
_TOLD = ("model", "command", "few_labels")  # of a ledger from scratch


def with_from_scratch(ledger: Ledger, measured: Iterable[Ledger]) -> dict[str, Any]:
    """A model's ledger, with a row from scratch for each of its labels for which there is one.

    Args:
        ledger: the ledger of a model (`model_cards/results`).
        measured: ledgers from scratch (`model_cards/from_scratch`). Those of another encoder are left out. If several
            have a row for the same labels, the one whose recipe is for these data is taken.

    Returns:
        The ledger with these rows in `"results"`, and what `from_scratch_in_words` says of their ledgers in
        `"from_scratch"`.

    Raises:
        ValueError: if two ledgers have a row for the same labels, and neither or both of them are for these data.
    """
    same = [other for other in measured if _encoder(other) == _encoder(ledger)]
    taken = [
        _choose(row, same)
        for row in ledger["results"]
        if row["features"] == "encoder" and any(_row(other, row) for other in same)
    ]
    rows = [row for _, row in taken]
    sources = {other["model"]: {field: other[field] for field in _TOLD} for other, _ in taken}
    return {
        **ledger,
        "results": [*ledger["results"], *rows],
        "from_scratch": [*ledger.get("from_scratch", ()), *sources.values()],
    }


def from_scratch_in_words(ledger: Ledger) -> str:
    """Which recipes a ledger's rows from scratch are of, over what, and how they were chosen; "" without such rows."""
    ledgers = ledger.get("from_scratch", ())
    if not ledgers:
        return ""
    recipes, commands = (" and ".join(f"`{other[name]}`" for other in ledgers) for name in ("model", "command"))
    rows = [row for row in ledger["results"] if row["features"] == "from_scratch"]
    tuned = any(other["few_labels"] for other in ledgers)
    settings = ", with settings for few labels that were chosen on held-out training images" if tuned else ""
    return (
        f"From scratch: the recipe of {recipes} on just those labels{settings} ({n_in_words(rows)}). "
        f"Measured by {commands}."
    )


def _choose(row: Mapping[str, Any], ledgers: Sequence[Ledger]) -> tuple[Ledger, Mapping[str, Any]]:
    found = [(other, own) for other in ledgers if (own := _row(other, row))]
    for_these = [(other, own) for other, own in found if other["recipe"]["dataset"] == row["data"]]
    for choice in (for_these, found):
        if len(choice) == 1:
            return choice[0]
    names = ", ".join(other["model"] for other, _ in found)
    raise ValueError(f"model_cards/from_scratch: {names} have {row['labels']:,} labels of {row['data']}; keep one")


def _row(ledger: Ledger, wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
    key = (wanted["data"], wanted["labels_per_class"])
    return next((row for row in ledger["results"] if (row["data"], row["labels_per_class"]) == key), None)


def _encoder(ledger: Ledger) -> tuple[str, Mapping[str, Any]]:
    return ledger["recipe"]["encoder"], ledger["recipe"]["encoder_options"]
