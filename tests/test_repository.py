"""The README's examples run, and every generated table is what the ledger says."""

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def python_blocks(path):
    return re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)


def test_the_examples_of_the_readme_run(capsys):
    load_and_probe, method = python_blocks(ROOT / "README.md")
    exec(load_and_probe, {})
    assert re.search(r"0\.\d+ with features, 0\.\d+ with pixels", capsys.readouterr().out)
    exec(method, {})


def test_the_page_on_methods_is_short_and_its_method_trains(capsys):
    page = ROOT / "functional" / "README.md"
    assert len(page.read_text().splitlines()) <= 60
    written, trained = python_blocks(page)
    exec(written + trained, {})
    values = [float(value) for value in re.findall(r"loss (-?[\d.]+)", capsys.readouterr().out)]
    assert len(values) == 5 and values[-1] < values[0]


def test_no_generated_text_is_stale():
    spec = importlib.util.spec_from_file_location("make_tables", ROOT / "scripts" / "make_tables.py")
    make_tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_tables)
    texts = make_tables.generated(ROOT)
    assert len(texts) >= 3
    for path, text in texts.items():
        assert path.read_text() == text, f"{path.relative_to(ROOT)} is stale: run `make tables`"
