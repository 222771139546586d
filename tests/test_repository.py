"""The README's examples run, and every generated table is what the ledger says."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("number", [0, 1])
def test_the_examples_of_the_readme_run(number, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    exec(blocks[number], {})
    if number == 0:
        assert re.search(r"0\.\d+ with features, 0\.\d+ with pixels", capsys.readouterr().out)


def test_no_generated_text_is_stale():
    spec = importlib.util.spec_from_file_location("make_tables", ROOT / "scripts" / "make_tables.py")
    make_tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_tables)
    texts = make_tables.generated(ROOT)
    assert len(texts) >= 3
    for path, text in texts.items():
        assert path.read_text() == text, f"{path.relative_to(ROOT)} is stale: run `make tables`"
