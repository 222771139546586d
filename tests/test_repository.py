"""The pages are true: their commands and examples run and print what is shown, and generated tables are the ledger's.

The commands of README.md run as written, in order, in one directory that holds nothing but `my_method.py`, which the
page says to save there. Two things differ: runs and their probes have options that make them shorter, and the run that
the page says to kill is killed.
"""

import contextlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

import functional.methods
import zoo

ROOT = Path(__file__).parent.parent
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


class Block(NamedTuple):
    """A fenced block of a page, and the text block right below it, which shows its output."""

    language: str
    text: str
    output: str | None


def blocks(name):
    pattern = r"^```(\w*)\n(.*?)^```\n(?:\n^```text\n(.*?)^```\n)?"
    found = re.findall(pattern, (ROOT / name).read_text(), re.DOTALL | re.MULTILINE)
    assert found and all(language in ("", "python", "sh") for language, *_ in found)
    return [Block(language, text, output or None) for language, text, output in found]


def my_method():
    """The file of the page on methods: its two blocks, one below the other."""
    method, recipe = (block.text for block in blocks("functional/README.md") if block.language == "python")
    return method + recipe


def shortened(commands):
    """The commands, in which runs have 3 epochs instead of 60, and probes whose output is not shown 1 draw."""
    lines = commands.splitlines()
    for i, line in enumerate(lines):
        if line.startswith("zoo pretrain "):
            lines[i] = re.sub(r"--out \S+", r"\g<0> --set epochs=3 --set warmup_epochs=1", line)
        elif line.startswith(("zoo probe runs/", "zoo compare ")):
            lines[i] = f"{line} --draws 1 --baselines ''"
    return "\n".join(lines)


def start(arguments, directory):
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.Popen(
        arguments,
        cwd=directory,
        env={**os.environ, "PATH": paths, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def printed(arguments, directory):
    process = start(arguments, directory)
    output, errors = process.communicate()
    assert process.returncode == 0, f"{arguments}\n{output}\n{errors}"
    return output


def kill_after_an_epoch(command, directory):
    """Run the command, and kill it once there is a checkpoint."""
    checkpoint = directory / re.search(r"--out (\S+)", command)[1] / "checkpoint.safetensors"
    process = start(["bash", "-c", command], directory)
    while not checkpoint.is_file() and process.poll() is None:
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):  # it was faster
        os.killpg(process.pid, signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode in (-signal.SIGKILL, 0), errors


def run(block, directory):
    """What a block prints on stdout."""
    if block.language == "python":
        return printed([sys.executable, "-c", block.text], directory)
    commands = shortened(block.text)
    if "kill it" in commands:
        killed, _, commands = commands.partition("\n")
        kill_after_an_epoch(killed, directory)
    return printed(["bash", "-e", "-c", commands], directory)


def require_alike(shown, output):
    """The same words, and numbers within .5 of each other: percent differ a little between processors."""

    def words(text):
        return re.sub(r"[\s-]+", " ", NUMBER.sub("N", text)).strip()

    def numbers(text):
        return [float(number.replace(",", "")) for number in NUMBER.findall(text)]

    assert words(output) == words(shown), f"shown:\n{shown}\nprinted:\n{output}"
    assert numbers(output) == pytest.approx(numbers(shown), abs=0.5), f"shown:\n{shown}\nprinted:\n{output}"


@pytest.mark.slow
def test_the_readme_runs_in_order_and_prints_what_it_shows(tmp_path):
    install, *rest = blocks("README.md")
    assert install.text.startswith("pip install .")  # which has been done, or nothing here would run
    assert sum(block.output is not None for block in rest) >= 5 and all(block.language for block in rest)
    (tmp_path / "my_method.py").write_text(my_method())
    for block in rest:
        output = run(block, tmp_path)
        if block.output is not None:
            require_alike(block.output, output)
    expected = {"labels.csv", "sheet.png", "features.npz", "plots", "losses.png", "runs", "photos", "my_method.py"}
    expected |= {"published", "encoder.onnx", "chosen.csv", "chosen.png"}
    assert {path.name for path in tmp_path.iterdir()} == expected


@pytest.mark.slow
def test_the_page_on_methods_is_short_and_its_file_trains_resumes_loads_and_is_compared(tmp_path):
    assert len((ROOT / "functional" / "README.md").read_text().splitlines()) <= 100
    (tmp_path / "my_method.py").write_text(my_method())
    (commands,) = [block.text for block in blocks("functional/README.md") if block.language == "sh"]
    pretrain, resume, compare = shortened(commands).splitlines()
    kill_after_an_epoch(pretrain, tmp_path)
    printed(["bash", "-c", resume], tmp_path)
    table = printed(["bash", "-c", compare], tmp_path)
    assert "| runs/spectral " in table and "| simclr-resnet8-digits " in table and '"spectral"' in table
    lines = [json.loads(line) for line in (tmp_path / "runs" / "spectral" / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == 3 and lines[-1]["loss"] < lines[0]["loss"]
    assert all(0 < line["projection_std"] < 1.5 for line in lines)
    assert zoo.load(tmp_path / "runs" / "spectral").feature_dim == 64
    assert zoo.load(tmp_path / "runs" / "spectral", code=tmp_path / "my_method.py").feature_dim == 64


def test_the_readme_lists_every_method():
    section = (ROOT / "README.md").read_text().partition("\n## Methods\n")[2].partition("\n## ")[0]
    public = {name for name, value in vars(functional.methods).items() if callable(value) and not name.startswith("_")}
    listed = re.findall(r"^- `(\w+)`: .+\.$", section, re.MULTILINE)
    assert sorted(listed) == sorted(public), "README.md, Methods: one line for each method of functional.methods"


def test_the_links_of_the_pages_lead_somewhere():
    for page in ("README.md", "functional/README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text()
        links = re.findall(r"\]\(\s*([^)\s]+)\)", text) + re.findall(r'<img src="([^"]+)"', text)
        for link in links:
            path = (ROOT / page).parent / link.partition("#")[0]
            assert link.startswith("https://") or path.exists(), f"{page}: {link}"


def test_pictures_and_weights_are_small():
    sizes = {path: path.stat().st_size for path in (ROOT / "zoo" / "weights").rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 60_000_000
    large = [path.name for path, size in sizes.items() if path.suffix == ".png" and size > 100_000]
    assert not large, f"pictures of more than 100 kB: {large}"


def test_no_generated_text_is_stale():
    spec = importlib.util.spec_from_file_location("make_tables", ROOT / "scripts" / "make_tables.py")
    make_tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_tables)
    texts = make_tables.generated(ROOT)
    assert len(texts) >= 3
    for path, text in texts.items():
        assert path.read_text() == text, f"{path.relative_to(ROOT)} is stale: run `make tables`"
