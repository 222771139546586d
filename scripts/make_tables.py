"""Write measured results where they are read: tables in README.md, cards, and the docstrings of recipes.

The results that a card shows lie beside it in `results.json`: the ledger in model_cards, with the rows of the same
encoder from scratch. So whoever has the weights can check the card (`zoo verify`).

All of it comes from the ledgers in model_cards and from benchmarks/: no result is typed by hand but the published ones
in model_cards/systems.csv. In README.md, a pair of marks stands around each table: `<!-- methods: mnist -->`,
`<!-- minutes: cifar10 -->`, `<!-- few labels -->` or `<!-- systems -->`, and `<!-- end -->`.

python scripts/make_tables.py            # write them
python scripts/make_tables.py --check    # exit 1 if any is stale
"""

import csv
import json
import re
import statistics
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.data.names import whole_dataset
from zoo.data.official import edition_in_words
from zoo.environment import machine_of
from zoo.files import write_atomically
from zoo.models.entries import SHIPPED_LICENCE
from zoo.reports.cards import render_card
from zoo.reports.from_scratch import with_from_scratch
from zoo.reports.overviews import System, few_labels_overview, methods_overview, minutes_overview, systems_overview
from zoo.reports.tables import commands_in_words, in_percent

ROOT = Path(__file__).parent.parent
MARKS = re.compile(r"(<!-- (methods|minutes|systems|few labels):? ?(\w*) ?(\w*) -->\n).*?(<!-- end -->)", re.DOTALL)
BENCHMARKS = re.compile(r"(<!-- benchmark: (\S+)\s([^>]*)-->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Write or check every generated text."""
    stale = [path for path, text in generated(ROOT).items() if not path.is_file() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        sys.exit("stale: " + ", ".join(str(path.relative_to(ROOT)) for path in stale) if stale else 0)
    for path in stale:
        write_atomically(path, generated(ROOT)[path].encode())
        print(path.relative_to(ROOT))


def generated(root: Path) -> dict[Path, str]:
    """The expected text of every generated file, from the ledger and the configurations."""
    ledgers, from_scratch = _ledgers(root / "model_cards/results"), _ledgers(root / "model_cards/from_scratch")
    texts, labelled = {}, set()
    for name, alone in ledgers.items():
        shipped, ledger = root / "zoo" / "weights" / name, with_from_scratch(alone, from_scratch.values())
        card = root / "model_cards" / f"{name}.md"
        if config := alone.get("config"):  # of a model without weights in the package, which its recipe makes
            texts[card] = render_card(config, ledger, licence=SHIPPED_LICENCE, source=f"./runs/{name}")
        else:
            config = json.loads((shipped / "config.json").read_text())
            for path, folder in ((shipped / "README.md", "pictures"), (card, f"../zoo/weights/{name}/pictures")):
                pictures = [f"{folder}/{picture.name}" for picture in sorted((shipped / "pictures").glob("*.png"))]
                texts[path] = render_card(config, ledger, (), pictures, licence=SHIPPED_LICENCE, source=name)
            texts[shipped / "results.json"] = json.dumps(ledger, indent=2) + "\n"
        if config["training"].get("labels"):
            labelled.add(name)
        recipe = root / "scripts" / "recipes" / f"{name.replace('-', '_')}.py"
        texts[recipe] = with_result(recipe.read_text(), alone)

    ledger = root / "model_cards" / "few_labels.json"
    few_labels = json.loads(ledger.read_text()) if ledger.is_file() else None

    def overview(mark: re.Match[str]) -> str:
        table = {
            "methods": lambda: methods_overview(
                mark[3], ledgers, from_scratch.values(), labelled, encoder=mark[4] or "resnet8"
            ),
            "minutes": lambda: minutes_overview(mark[3], ledgers, labelled),
            "few labels": lambda: few_labels_overview(few_labels),
            "systems": lambda: systems_overview(_systems(root), ledgers, from_scratch.values()),
        }[mark[2]]
        return f"{mark[1]}\n{table()}\n\n{mark[5]}"

    readme = root / "README.md"
    texts[readme] = MARKS.sub(overview, readme.read_text())
    measured = {path.stem: json.loads(path.read_text()) for path in sorted(root.glob("benchmarks/*.json"))}
    texts[readme] = BENCHMARKS.sub(lambda mark: _benchmark_section(mark, measured), texts[readme])
    return texts | {root / "benchmarks" / f"{name}.md": _benchmark_page(record) for name, record in measured.items()}


def with_result(source: str, ledger: Mapping[str, Any]) -> str:
    """The source of a recipe, with the result of its release as the last paragraph of its docstring."""
    _, docstring, code = source.split('"""', 2)
    text = docstring.partition("\nResult:")[0].rstrip()
    return f'"""{text}\n\n{textwrap.fill(_result_in_words(ledger), 120, break_long_words=False)}\n"""{code}'


def _result_in_words(ledger: Mapping[str, Any]) -> str:
    """The cost per seed, and the accuracy of the encoder for each number of labels."""
    minutes = statistics.fmean(ledger["training_seconds"]) / 60
    here = ledger.get("trained_on") or machine_of(ledger["environment"])
    rows = [row for row in ledger["results"] if row["features"] == "encoder"]
    accuracies = [
        f"{in_percent(row['linear'])} with {row['labels']:,} labels (n = {len(row['linear']['values'])})"
        for row in rows
    ]
    tests = {whole_dataset(row["data"]): f"{row['test_images']:,}" for row in rows}
    on = " and ".join(f"the {n} test images of {data}" for data, n in tests.items())
    sentences = (
        f"Result: {minutes:.1f} minutes per seed on {here}.",
        f"Linear probe, accuracy in % on {on}, mean +- standard deviation over seeds and draws: "
        f"{', '.join(accuracies)}.",
        edition_in_words(ledger.get("probes", {}).values()),
        f"Measured by {commands_in_words(ledger)}.",
    )
    return " ".join(filter(None, sentences))


def benchmark_table(parts: Mapping[str, Any], *, everything: bool = False) -> str:
    """The table of parts of `scripts/benchmark.py`: the lines with a peer or a limit, or all lines, with notes."""
    columns = ["ours is better by", "asked for", "what", "ours", "theirs", "peer", *(["note"] if everything else [])]
    lines = [_cells(columns), _cells(["---:", "---:", "---", "---:", "---:", "---", "---"][: len(columns)])]
    for part in parts.values():
        for row in part["rows"]:
            if "not_run" in row:
                lines.append(_cells(["not run", "", row["name"], "", "", row["not_run"], ""][: len(columns)]))
            elif everything or row["ratio"] is not None or row["ceiling"] is not None:
                lines.append(_cells([*_benchmark_cells(row), row["note"]][: len(columns)]))
    return "\n".join(lines)


def _systems(root: Path) -> list[System]:
    with open(root / "model_cards" / "systems.csv", encoding="utf-8", newline="") as file:
        return [System(**row) for row in csv.DictReader(file)]


def _ledgers(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def _benchmark_section(mark: re.Match[str], measured: Mapping[str, Mapping[str, Any]]) -> str:
    """The lines that the mark names, `LINE | START OF THE PEER'S NAME` in each of its own, or else the whole table."""
    record = measured.get(mark[2])
    if record is None:
        return f"{mark[1]}\nNothing was measured yet: `python scripts/benchmark.py` does.\n\n{mark[4]}"
    page = f"Where the time goes, how cost grows, and notes: [all that was measured](benchmarks/{mark[2]}.md)."
    named = [line.strip() for line in mark[3].splitlines() if line.strip()]
    table = _few_lines(record, named) if named else benchmark_table(record["parts"])
    return f"{mark[1]}\n{_said(record)} {page}\n\n{table}\n\n{mark[4]}"


def _few_lines(record: Mapping[str, Any], named: Sequence[str]) -> str:
    columns = ["what", "ours", "theirs", "peer", "ours is better by"]
    lines = [_cells(columns), _cells(["---", "---:", "---:", "---", "---:"])]
    rows = [row for part in record["parts"].values() for row in part["rows"] if "not_run" not in row]
    for name, _, peer in (line.partition(" | ") for line in named):
        found = [row for row in rows if row["name"] == name and (row["peer"] or "").startswith(peer)]
        if len(found) != 1:
            raise ValueError(f"benchmarks/: expected one line {name!r} with a peer {peer!r}..., found {len(found)}")
        ratio, _, what, ours, theirs, whole_peer = _benchmark_cells(found[0])
        lines.append(_cells([what, ours, theirs, whole_peer, ratio]))
    return "\n".join(lines)


def _benchmark_page(record: Mapping[str, Any]) -> str:
    """Everything in a file of `scripts/benchmark.py`, a table for each part, with the command that measured it."""
    parts = (
        f"## {name}\n\n`{part['command']}`\n\n{benchmark_table({name: part}, everything=True)}\n"
        for name, part in record["parts"].items()
    )
    return "\n".join([f"# {record['machine']}\n\n{_said(record)} Made by `make tables`.\n", *parts])


def _said(record: Mapping[str, Any]) -> str:
    here = record["environment"]
    turns = min(part["repeats"] for part in record["parts"].values())
    dates = sorted({part["date"] for part in record["parts"].values()})
    return (
        f"Medians of {turns} turns or more on {here['processor']}, cores: {record['cores']}, "
        f"threads: {here['threads']}, torch {here['torch']}; {' to '.join(dict.fromkeys((dates[0], dates[-1])))}."
    )


def _benchmark_cells(row: Mapping[str, Any]) -> list[str]:
    asked = f"{row['floor']:g}x" if row["floor"] is not None else ""
    asked = f"{row['ceiling']:g} {row['unit']}" if row["ceiling"] is not None else asked
    values = [_four_digits(row[side]["median"]) if row[side] else "" for side in ("ours", "theirs")]
    ratio = f"{row['ratio']:.3g}x" if row["ratio"] is not None else ""
    return [ratio, asked, row["name"], f"{values[0]} {row['unit']}", values[1], row["peer"] or ""]


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _four_digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


if __name__ == "__main__":
    main()
