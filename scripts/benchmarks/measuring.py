"""How everything is measured: in alternating turns, as medians with quartiles, with the same form for every line.

Contenders take turns (A B C A B C ...), so that a slow minute of the machine affects all of them. A line compares the
medians of two contenders; a ratio above 1 means that ours is better by that factor, whether faster or smaller.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

SCRIPTS = Path(__file__).parents[1]
HIGHER_IS_BETTER = ("images/s", "views/s", "% right")
PEERS = ("kornia", "lightly")  # of the extra `bench`


class Options(NamedTuple):
    """The options of a run.

    Attributes:
        quick: use tiny sizes, which only test that everything runs; nothing is compiled.
        repeats: turns per contender.
        threads: threads per process.
        profile: also time every augmentation alone.
    """

    quick: bool
    repeats: int
    threads: int
    profile: bool = False


class Runs(NamedTuple):
    """The times of a contender.

    Attributes:
        first: seconds of the call before the turns, which compiles, starts workers, and fills caches.
        seconds: seconds of each turn.
    """

    first: float
    seconds: list[float]

    def rate(self, n: float) -> list[float]:
        """Items per second, if a turn makes `n` of them."""
        return [n / seconds for seconds in self.seconds]


class Check(NamedTuple):
    """Whether ours and a peer compute the same: the difference found, and its limit."""

    name: str
    found: float
    at_most: float

    @property
    def passed(self) -> bool:
        """False also if nothing comparable was found (NaN)."""
        return self.found <= self.at_most


def say(text: str) -> None:
    """Print progress to stderr."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def alternate(
    title: str, contenders: Mapping[str, Callable[[], Any]], repeats: int, *, synchronize: Callable[[], Any] = int
) -> dict[str, Runs]:
    """The times of all contenders in alternating turns, after one call of each that does not count.

    Args:
        title: title of the progress lines.
        contenders: the work of one turn of each contender.
        repeats: number of turns.
        synchronize: waits for the work to finish, on an asynchronous device.
    """

    def seconds(name: str, turn: str) -> float:
        synchronize()
        started = time.perf_counter()
        contenders[name]()
        synchronize()
        taken = time.perf_counter() - started
        say(f"{title}: {name}, {turn}: {taken:.3f} s")
        return taken

    runs = {name: Runs(seconds(name, "first call"), []) for name in contenders}
    for turn in range(1, repeats + 1):
        for name in contenders:
            runs[name].seconds.append(seconds(name, f"{turn} of {repeats}"))
    return runs


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median and quartiles; for a single value, all equal to it."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else 3 * [values[0]]
    return {"median": _round(middle), "quartiles": [_round(low), _round(high)]}


def line(
    name: str,
    unit: str,
    ours: Sequence[float],
    *,
    peer: str | None = None,
    theirs: Sequence[float] | None = None,
    floor: float | None = None,
    ceiling: float | None = None,
    note: str = "",
) -> dict[str, Any]:
    """A line of the results.

    Args:
        name: what is measured.
        unit: unit of the values. Higher is better for those in `HIGHER_IS_BETTER`, lower for all others.
        ours: a value per turn.
        peer: the peer, if there is one.
        theirs: the values of the peer.
        floor: the required ratio.
        ceiling: the limit for our value.
        note: what a reader must know.
    """
    ratio = None
    if theirs is not None:
        ratio = statistics.median(ours) / statistics.median(theirs)
        ratio = _round(ratio if unit in HIGHER_IS_BETTER else 1 / ratio)
    return {
        "name": name,
        "ratio": ratio,
        "floor": floor,
        "ceiling": ceiling,
        "unit": unit,
        "ours": spread(ours),
        "peer": peer,
        "theirs": spread(theirs) if theirs is not None else None,
        "note": note,
    }


def not_run(name: str, reason: str) -> dict[str, Any]:
    """The entry for a line that could not be measured."""
    say(f"{name}: not run: {reason}")
    return {"name": name, "not_run": reason}


def missing(package: str) -> str | None:
    """Why a peer cannot be measured, or None if it can."""
    if importlib.util.find_spec(package) is None:
        return "not installed: pip install funczoo[bench]"
    return None


def failed(checks: Sequence[Check]) -> str | None:
    """Why a comparison would be invalid: the checks that failed, or None if all passed."""
    for check in checks:
        say(f"check: {check.name}: {check.found:.3g}, at most {check.at_most:.3g}{'' if check.passed else ': FAILED'}")
    wrong = [f"{check.name} is {check.found:.3g}, at most {check.at_most:.3g}" for check in checks if not check.passed]
    return f"check failed: {'; '.join(wrong)}" if wrong else None


def best(runs: Mapping[str, Runs], names: Sequence[str]) -> str:
    """The fastest of some contenders: a peer is measured in every way that its users run it, and the best counts."""
    return min(names, key=lambda name: statistics.median(runs[name].seconds))


def in_child(function: str, threads: int, /, **arguments: Any) -> Any:
    """The result of a function such as `"scaling.step"`, run in a separate process; arguments and result are JSON.

    Raises:
        RuntimeError: if the process failed, with the end of its stderr.
    """
    module, _, name = function.rpartition(".")
    program = (
        f"import json, sys; from benchmarks.{module} import {name} as function; "
        "print(json.dumps(function(**json.loads(sys.argv[1]))))"
    )
    return json.loads(python(program, json.dumps(arguments), threads=threads).splitlines()[-1])


def python(program: str, *arguments: str, threads: int) -> str:
    """The output of a Python program in a new process.

    Raises:
        RuntimeError: if the process failed, with the end of its stderr.
    """
    paths = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=variables)
    if done.returncode:
        raise RuntimeError(f"a measuring process failed ({done.returncode}): {done.stderr[-2000:]}")
    return done.stdout


def memory_mb() -> dict[str, float]:
    """The memory of this process in MB: total, peak, own pages, and pages of mapped files (Linux)."""
    names = {"VmRSS": "resident", "VmHWM": "peak", "RssAnon": "own", "RssFile": "mapped"}
    fields = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
    return {ours: int(fields[theirs].split()[0]) * 1024 / 1e6 for theirs, ours in names.items()}


def forget_peak() -> None:
    """Reset the peak memory of this process to its current memory (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def _round(value: float) -> float:
    """Four digits: more would be noise, and would change with every run."""
    return float(f"{value:.4g}")
