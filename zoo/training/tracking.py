"""Show the lines of metrics.jsonl in TensorBoard or trackio, while a run is trained.

    tensorboard    event files in the folder `tensorboard` of the run directory: `tensorboard --logdir RUN`
    trackio        trackio's own database on this machine: `trackio show --project funczoo`; trackio.json in the run
                   directory has the name of the run there. Nothing leaves the machine, unless trackio's own variables
                   (TRACKIO_SPACE_ID, TRACKIO_SERVER_URL) say so

Every value has the number of updates as its step. A tracker is asked what it already has, so that no step is there
twice or missing, however often a run was killed and resumed, and a run that began without a tracker is shown from its
first epoch. The lines themselves are the record; nothing is ever read back from a tracker into a run.
"""

import contextlib
import json
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from zoo.errors import require_packages, unknown
from zoo.files import parse_json, write_atomically
from zoo.training.recipe import Recipe

Line = Mapping[str, float]
PROJECT = "funczoo"  # of trackio


class Tracker(NamedTuple):
    """An open tracker.

    Attributes:
        last_steps: by name, the last step of which it has the value.
        write: adds values by name at a step.
        close: completes what was written.
    """

    last_steps: Mapping[str, int]
    write: Callable[[dict[str, float], int], None]
    close: Callable[[], None]


def check_tracker(name: str | None) -> None:
    """Check that there is a tracker of a name, or that it is None, and that its package can be imported.

    Raises:
        ZooError: if there is none, or its package is missing.
    """
    if name is None:
        return
    if name not in _TRACKERS:
        raise unknown("tracker", name, _TRACKERS)
    require_packages(f"log {name}", name, name)


@contextlib.contextmanager
def tracking(name: str | None, out: Path, recipe: Recipe) -> Iterator[Callable[[Iterable[Line]], None]]:
    """A function that shows those lines of a run that the tracker does not have yet; for None, it does nothing.

    Args:
        name: "tensorboard" or "trackio".
        out: the run directory.
        recipe: the recipe of the run, which trackio shows beside it.
    """
    if name is None:
        yield lambda lines: None
        return
    tracker, shown = _TRACKERS[name](out, recipe), -1

    def show(lines: Iterable[Line]) -> None:
        nonlocal shown
        for line in lines:
            step = int(line["step"])
            values = {
                key: value
                for key, value in line.items()
                if key != "step" and step > max(shown, tracker.last_steps.get(key, -1))
            }
            if values:
                tracker.write(values, step)
            shown = max(shown, step)

    try:
        yield show
    finally:
        tracker.close()


def _tensorboard(out: Path, recipe: Recipe) -> Tracker:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    directory = out / "tensorboard"
    last_steps = {}
    if directory.is_dir():
        events = EventAccumulator(str(directory), size_guidance={"scalars": 0})  # 0: all of them
        events.Reload()
        last_steps = {name: max(event.step for event in events.Scalars(name)) for name in events.Tags()["scalars"]}
    writer = SummaryWriter(str(directory))

    def write(values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return Tracker(last_steps, write, writer.close)


def _trackio(out: Path, recipe: Recipe) -> Tracker:
    import trackio  # pyright: ignore[reportMissingImports]
    from trackio.sqlite_storage import SQLiteStorage  # pyright: ignore[reportMissingImports]

    name = _trackio_name(out)
    last_steps: dict[str, int] = {}
    for logged in SQLiteStorage.get_logs(PROJECT, name):
        last_steps |= {key: max(logged["step"], last_steps.get(key, -1)) for key in logged}
    with contextlib.redirect_stdout(sys.stderr):  # where it prints how to show the run
        run = trackio.init(
            PROJECT,
            name,
            config=recipe.to_dict(),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def close() -> None:
        with contextlib.redirect_stdout(sys.stderr):
            trackio.finish()  # not `run.finish`: it would be called again at exit, and print again

    return Tracker(last_steps, lambda values, step: run.log(values, step=step), close)


def _trackio_name(out: Path) -> str:
    """The name of the run, which no other has: of runs with equal names, trackio would make one."""
    path = out / "trackio.json"
    if not path.is_file():
        name = f"{out.resolve().name}-{uuid.uuid4().hex[:8]}"
        write_atomically(path, json.dumps({"project": PROJECT, "run": name}).encode())
    return parse_json(path.read_bytes())["run"]


_TRACKERS: dict[str, Callable[[Path, Recipe], Tracker]] = {"tensorboard": _tensorboard, "trackio": _trackio}
