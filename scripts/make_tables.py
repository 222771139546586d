"""The tables in README.md and the cards in model_cards/ from the ledger: no result is typed by hand.

python scripts/make_tables.py            # write them
python scripts/make_tables.py --check    # exit 1 if one is stale
"""

import json
import re
import sys
from pathlib import Path

from zoo.cards import render_card, results_section
from zoo.checkpoints import write_atomically

ROOT = Path(__file__).parent.parent
MARKS = re.compile(r"(<!-- results: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Write or check every generated text."""
    stale = [path for path, text in generated(ROOT).items() if not path.is_file() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        sys.exit("stale: " + ", ".join(str(path.relative_to(ROOT)) for path in stale) if stale else 0)
    for path in stale:
        write_atomically(path, generated(ROOT)[path].encode())
        print(path.relative_to(ROOT))


def generated(root: Path) -> dict[Path, str]:
    """What every generated file should hold, from the ledger and the configurations."""
    ledgers = {path.stem: json.loads(path.read_text()) for path in sorted(root.glob("model_cards/results/*.json"))}
    texts = {}
    for name, ledger in ledgers.items():
        shipped = root / "zoo" / "weights" / name
        card = render_card(json.loads((shipped / "config.json").read_text()), ledger)
        texts |= {shipped / "README.md": card, root / "model_cards" / f"{name}.md": card}
    readme = root / "README.md"
    texts[readme] = MARKS.sub(lambda mark: _section(mark, ledgers), readme.read_text())
    return texts


def _section(mark: re.Match[str], ledgers: dict[str, dict]) -> str:
    return f"{mark[1]}\n{results_section(ledgers[mark[2]])}\n\n{mark[3]}"


if __name__ == "__main__":
    main()
