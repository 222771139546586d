"""The wheel alone, without the repository, lists, loads, verifies, probes, exports, publishes and reports."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NAME = "simclr-resnet8-digits"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds the installed wheel; dependencies are those of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


@pytest.fixture
def zoo(installed, tmp_path):
    """Run the installed command in an empty folder; returns what it prints as JSON."""
    home = tmp_path / "home"
    home.mkdir()
    env = {**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(home)}

    def run(*arguments):
        command = [sys.executable, "-m", "zoo", *arguments, "--json"]
        done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    where = subprocess.check_output([sys.executable, "-c", "import zoo; print(zoo.__file__)"], cwd=home, env=env)
    assert where.decode().startswith(str(installed))
    return run


@pytest.mark.slow
def test_list_load_verify_probe_export_and_publish_without_the_repository(zoo, tmp_path):
    assert NAME in [entry["name"] for entry in zoo("list")]
    shown = zoo("show", NAME)
    zoo("verify", NAME)
    (row,) = zoo("probe", NAME, "--labels-per-class", "10", "--draws", "1", "--baselines", "")["results"]
    assert row["linear"]["mean"] > 0.8
    zoo("export", NAME, "--out", str(tmp_path / "encoder.onnx"))
    assert (tmp_path / "encoder.onnx").stat().st_size > 100_000
    zoo("publish", NAME, "--to", str(tmp_path / "published"))
    assert zoo("show", str(tmp_path / "published"))["sha256"] == shown["sha256"]


@pytest.mark.slow
def test_a_page_is_written_without_the_repository(zoo, installed, tmp_path):
    command = [sys.executable, "-m", "zoo", "data", "example", str(tmp_path / "photos")]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(installed)}, cwd=tmp_path, check=True)
    zoo("fit", NAME, str(tmp_path / "photos"), "--out", str(tmp_path / "classifier"))
    found = zoo(
        "report", str(tmp_path / "classifier"), str(tmp_path / "photos"), "--out", str(tmp_path / "report.html")
    )
    assert found["judged"]["accuracy"] > 0.8 and (tmp_path / "report.html").stat().st_size > 100_000
