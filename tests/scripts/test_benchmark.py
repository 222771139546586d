"""The benchmark runs, compares in the right direction, rejects unequal work, and the README has its results."""

import datetime
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from zoo.environment import has_bfloat16

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def parts(monkeypatch):
    """Let a test import `benchmarks.NAME`, as scripts/benchmark.py does."""
    monkeypatch.syspath_prepend(str(SCRIPTS))


def benchmark(*arguments, check=True):
    command = [sys.executable, SCRIPTS / "benchmark.py", "--threads", "1", *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=check)


def script(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_rows(part):
    """Check that every line of a part has the documented form, and the ratio of its medians in the right direction."""
    datetime.date.fromisoformat(part["date"])
    assert part["command"].startswith("python scripts/benchmark.py --threads 1 --quick") and part["repeats"] == 1
    assert part["load_before"] >= 0 and 1 <= part["usable_cores"]
    assert part["rows"]
    for row in part["rows"]:
        if "not_run" in row:
            assert set(row) == {"name", "not_run"} and row["not_run"]
            assert "check failed" not in row["not_run"], row
            continue
        assert set(row) == {"name", "ratio", "floor", "ceiling", "unit", "ours", "peer", "theirs", "note"}
        assert (row["theirs"] is None) == (row["ratio"] is None) == (row["peer"] is None), row
        for side in filter(None, (row["ours"], row["theirs"])):
            low, high = side["quartiles"]
            assert low <= side["median"] <= high
        if row["ratio"] is not None:
            ours, theirs = row["ours"]["median"], row["theirs"]["median"]
            more = row["unit"] in ("images/s", "views/s", "% right")
            expected = ours / theirs if more else theirs / ours
            assert row["ratio"] == pytest.approx(expected, rel=2e-3)  # four digits are kept


INTERRUPTED = """
import sys
from types import SimpleNamespace
import benchmark

def measure(options):
    yield {"name": "first", "not_run": sys.argv[-1]}
    raise RuntimeError("out of memory")

sys.modules["benchmarks.startup"] = SimpleNamespace(measure=measure)
benchmark.main()
"""


def test_a_part_that_fails_keeps_its_lines_and_replaces_no_complete_part(tmp_path):
    out = tmp_path / "machine.json"
    command = [sys.executable, "-c", INTERRUPTED, "--quick", "--threads", "1", "--only", "startup", "--out", out]
    done = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True)
    assert done.returncode == 1 and "out of memory" in done.stderr
    record = json.loads(out.read_text())
    (line,) = record["parts"]["startup"]["rows"]
    assert line["name"] == "first"
    line["not_run"] = "by an earlier run"
    out.write_text(json.dumps(record))
    subprocess.run(command, cwd=SCRIPTS, capture_output=True)
    assert json.loads(out.read_text()) == record


def test_quick_parts_write_what_they_measured_and_keep_the_other_parts(tmp_path):
    out = tmp_path / "results" / "machine.json"
    printed = benchmark("--quick", "--only", "startup,gpu", "--out", out).stdout
    benchmark("--quick", "--only", "memory,probes,neighbours", "--out", out)
    record = json.loads(out.read_text())
    assert list(record["parts"]) == ["probes", "neighbours", "startup", "memory", "gpu"]
    assert {"torch", "processor", "threads"} <= set(record["environment"]) and record["environment"]["threads"] == 1
    for part in record["parts"].values():
        check_rows(part)
    limits = {row["name"]: row["floor"] or row["ceiling"] for row in record["parts"]["startup"]["rows"]}
    assert list(limits.values()) == [0.3, 50, 20, 0.5]
    assert all(f"| {name} |" in printed for name in limits)
    if not torch.cuda.is_available():
        assert record["parts"]["gpu"]["rows"] == [{"name": "gpu", "not_run": "no GPU here"}]
    (logistic,), nearest = (record["parts"][name]["rows"] for name in ("probes", "neighbours"))
    assert logistic["floor"] == 5 and "objectives over the least" in logistic["note"]
    assert [row["unit"] for row in nearest] == ["s", "MB"] and nearest[0]["floor"] == 2


@pytest.mark.slow
def test_quick_views_and_steps_are_measured_beside_their_peers(tmp_path):
    out = tmp_path / "machine.json"
    benchmark("--quick", "--profile", "--only", "views,photos,step,precision,scaling", "--out", out)
    record = json.loads(out.read_text())
    for part in record["parts"].values():
        check_rows(part)
    views = [row for row in record["parts"]["views"]["rows"] if row.get("peer")]
    asked = {(row["name"], row["peer"].partition(",")[0]): row["floor"] for row in views if row["floor"]}
    assert (
        asked.items()
        >= {("32x32 colour, eager", "torchvision"): 3, ("32x32 colour, compiled", "torchvision"): 10}.items()
    )
    assert {row["peer"].partition(",")[0] for row in views} >= {"torchvision", "lightly"}
    has_lightly = importlib.util.find_spec("lightly") is not None
    for package in ("kornia", "lightly"):
        absent = [row["name"] for row in record["parts"]["views"]["rows"] if "not installed" in row.get("not_run", "")]
        there = importlib.util.find_spec(package) is not None
        assert there == any(row["peer"].startswith(package) for row in views)
        assert there != any(name.endswith(package) for name in absent)
    photos = record["parts"]["photos"]["rows"]
    assert [row["floor"] for row in photos if row.get("floor")] == ([1.5, 8.0, 1.5, 4.0] if has_lightly else 2 * [1.5])
    steps = [row for row in record["parts"]["step"]["rows"] if row.get("floor")]
    assert [row["floor"] for row in steps] == ([1.4, 1.4, 4.0, 1.0, 2.5] if has_bfloat16() else [1.4, 4.0, 1.0])
    assert ("convolutions of a bfloat16 step" in record["parts"]["step"]["rows"][-2]["name"]) == has_bfloat16()
    assert {row["unit"] for row in record["parts"]["scaling"]["rows"]} == {"images/s", "MB"}
    if has_bfloat16():
        assert [row["unit"] for row in record["parts"]["precision"]["rows"]] == ["s", "% right"]


@pytest.mark.slow
def test_the_gpu_part_runs(parts):
    from benchmarks.gpu import measure_on
    from benchmarks.measuring import Options

    rows = list(measure_on("cpu", Options(quick=True, repeats=1, threads=1)))
    assert [row["unit"] for row in rows if "unit" in row] == [*(3 * ["of 1"]), "s", "%", "ms", "ms"]
    assert not [row for row in rows if "check failed" in row.get("not_run", "")]


def test_convolutions_run_again_are_those_of_both_passes(parts):
    from benchmarks.step import Convolutions

    images, weight = torch.ones(1, 2, 4, 4), torch.ones(3, 2, 3, 3, requires_grad=True)
    with Convolutions() as convolutions:
        torch.nn.functional.conv2d(images, weight).relu().sum().backward()
    forward, backward = (call() for call in convolutions.calls)
    torch.testing.assert_close(forward, torch.full((1, 3, 2, 2), 18.0))
    torch.testing.assert_close(backward[1], weight.grad)


def test_a_ratio_is_of_medians_and_above_1_where_ours_is_better(parts):
    from benchmarks.measuring import line

    row = line("speed", "images/s", [10, 30, 20, 40, 1000], peer="p", theirs=[10, 10, 10, 10, 1])
    assert row["ratio"] == 3 and row["ours"] == {"median": 30, "quartiles": [20, 40]}
    assert line("time", "s", [1, 2, 9], peer="p", theirs=[1, 8, 9])["ratio"] == 4
    assert line("alone", "MB", [7])["ours"] == {"median": 7, "quartiles": [7, 7]}


def test_contenders_take_turns(parts):
    from benchmarks.measuring import alternate

    calls = []
    runs = alternate("order", {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3)
    assert calls == ["a", "b"] * 4  # the first two do not count
    assert [len(runs[name].seconds) for name in "ab"] == [3, 3]


def test_a_peer_that_computes_something_else_is_not_compared(parts):
    from benchmarks.measuring import Check, failed
    from benchmarks.views import COLOUR_32, alike, noise, zoo_views

    from functional import augmentations, random
    from functional.base import Batch

    images, index = noise(512, 3, 32), torch.arange(512)

    def views(seed, **changes):
        function = zoo_views(COLOUR_32._replace(**changes))
        return torch.cat(augmentations.draw_views(function, random.key(seed), Batch(images, None, index)))

    ours = views(0)
    assert failed(alike("the same, other draws", ours, views(1))) is None
    assert "deviation of the mean" in failed(alike("no jitter", ours, views(1, jitter=None)))
    assert "colour" in failed(alike("no grey", ours, views(1, grey=0.0)))
    assert "spread" in failed(alike("twice the jitter", ours, views(1, jitter=(0.8, 0.8, 0.8, 0.2))))
    assert "shape" in failed(alike("another size", ours, ours[..., 1:]))
    assert failed([Check("a value that is none", float("nan"), 1.0)])


def test_wrong_options_are_refused(tmp_path):
    result = benchmark("--only", "veiws", check=False)
    assert result.returncode == 2 and "got veiws" in result.stderr
    result = benchmark("--repeats", 3, check=False)
    assert result.returncode == 2 and "expected 5 or more, got 3" in result.stderr


def test_a_machine_is_named_after_its_processor_cores_and_gpu():
    name = script("benchmark").machine_name
    assert name({"processor": "Intel(R) Xeon(R) Processor", "accelerator": "none"}, 2) == "intel_xeon_2_cores"
    here = {"processor": "AMD EPYC 7763 64-Core Processor", "accelerator": "NVIDIA H200"}
    assert name(here, 16) == "amd_epyc_7763_16_cores_nvidia_h200"


def test_the_table_of_the_readme_is_what_was_measured(tmp_path):
    """This repository's table is checked with all generated texts; here it changes with the file it is made from."""
    tables = script("make_tables")
    (tmp_path / "README.md").write_text("# x\n\n<!-- benchmark: here -->\nold\n<!-- end -->\n\nafter\n")
    assert "Nothing was measured yet" in tables.generated(tmp_path)[tmp_path / "README.md"]
    spread = {"median": 12.5, "quartiles": [12, 13]}
    row = {"name": "crops", "ratio": 5.0, "floor": 3.0, "ceiling": None, "unit": "views/s", "ours": spread}
    row |= {"peer": "them", "theirs": {"median": 2.5, "quartiles": [2, 3]}, "note": ""}
    alone = row | {"name": "sizes", "ratio": None, "floor": None, "peer": None, "theirs": None, "note": "large"}
    limited = alone | {"name": "start", "ceiling": 0.3, "unit": "s"}
    rows = [row, alone, limited, {"name": "gpu", "not_run": "no GPU here"}]
    part = {"command": "c", "date": "2026-01-02", "repeats": 5, "rows": rows}
    environment = {"processor": "a processor", "threads": 2, "torch": "2"}
    (tmp_path / "benchmarks").mkdir()
    record = {"machine": "here", "cores": 2, "environment": environment, "parts": {"views": part}}
    (tmp_path / "benchmarks" / "here.json").write_text(json.dumps(record))
    text = tables.generated(tmp_path)[tmp_path / "README.md"]
    assert "| 5x | 3x | crops | 12.5 views/s | 2.5 | them |" in text
    assert "|  | 0.3 s | start | 12.5 s |  |  |" in text and "| not run |  | gpu |  |  | no GPU here |" in text
    assert "old" not in text and "sizes" not in text and text.endswith("<!-- end -->\n\nafter\n")
    page = tables.generated(tmp_path)[tmp_path / "benchmarks" / "here.md"]
    assert "## views\n\n`c`" in page and "|  |  | sizes | 12.5 views/s |  |  | large |" in page
    assert "<!-- benchmark: " in (ROOT / "README.md").read_text()
    assert {path: path.read_text() for path in tables.generated(ROOT)} == tables.generated(ROOT)
