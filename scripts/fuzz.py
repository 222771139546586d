"""Give damaged inputs to every reader, and count what becomes of them: a clear error, or a correct read.

    python scripts/fuzz.py --inputs 20000 --seed 0                # all readers, about ten minutes on two cores
    python scripts/fuzz.py --reader npz --inputs 1000             # one of them
    python scripts/fuzz.py --reader npz --seed 0 --only 17        # one input again; it stays in --keep

Bytes are flipped, cut, moved and overwritten; lengths become extreme; JSON, safetensors, zip, gzip and tar are damaged
inside and wrapped again, so that their checksums hold (`scripts/fuzzing/mutators.py`). An input follows from the seed,
the reader and its number alone. Each reader runs in a process of its own. A failure is

    a crash, or an input that takes more than 30 s
    any exception but `zoo.ZooError`, or one whose message is empty or longer than 3,000 characters
    a result that is not right, as `scripts/fuzzing/readers.py` says for each reader
    an unpickled object, a started program, a connection, or a file that is opened for writing, renamed or removed
    outside the folder of the input (seen by an audit hook)
    more than 1 GiB of memory at the peak, beyond what the process had when it began

The table has the inputs per reader: those refused, those that were read and gave the same as the undamaged file, and
those that were read as another, valid content, correctly. The exit code is 1 if anything failed; failures are printed
with how to make the input again.
"""

import argparse
import collections
import contextlib
import faulthandler
import json
import multiprocessing
import os
import random
import shutil
import sys
import sysconfig
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

SECONDS = 30  # for one input
MEGABYTES = 1024  # of resident memory that the inputs may add, at the peak
LONGEST = 3_000  # characters of a message
ROOT = Path(__file__).resolve().parents[1]
COLUMNS = ("inputs", "refused", "the same", "other, correct", "failed", "seconds", "added MiB")
_PROGRAMS = {
    "pickle.find_class",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
}
_NETWORK = {"socket.connect", "socket.getaddrinfo", "urllib.Request"}
_CHANGES = {
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "shutil.rmtree",
}


def main() -> None:
    """Run the readers, print the table and the failures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000, help="number of inputs in all [default: %(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="seed of the damage [default: %(default)s]")
    parser.add_argument("--reader", action="append", metavar="NAME", help="only this reader; may be repeated")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="only the input of this number")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the inputs that failed here")
    parser.add_argument("--json", action="store_true", help="print the counts as JSON")
    arguments = parser.parse_args()
    import torch
    from fuzzing.readers import all_readers

    torch.set_num_threads(1)  # processes are forked, and a pool of threads is not
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as folder:
        readers = all_readers(Path(folder))
        if unknown := set(arguments.reader or ()) - set(readers):
            parser.error(f"--reader: expected one of {', '.join(readers)}, got {unknown.pop()!r}")
        chosen = {name: readers[name] for name in arguments.reader or readers}
        shares = sum(reader.share for reader in chosen.values())
        rows = {}
        if not arguments.json:
            print(f"{'reader':20}" + "".join(f"{column:>16}" for column in COLUMNS))
        for name, reader in chosen.items():
            wanted = range(round(arguments.inputs * reader.share / shares) + 1)
            numbers = wanted if arguments.only is None else [arguments.only]
            home = Path(folder) / "inputs" / str(len(rows))
            rows[name] = _in_a_process(name, reader, arguments.seed, numbers, home)
            if not arguments.json:
                _print_row(name, rows[name])
            for number, complaint in rows[name]["failures"].items():
                print(f"{name} --seed {arguments.seed} --only {number}: {complaint}", file=sys.stderr)
                if arguments.keep:
                    shutil.copytree(home / f"kept-{number}", arguments.keep / f"{name}-{number}", dirs_exist_ok=True)
    whole = {column: sum(row[column] for row in rows.values()) for column in COLUMNS[:-1]}
    whole["added MiB"] = max(row["added MiB"] for row in rows.values())
    if arguments.json:
        print(json.dumps({"seed": arguments.seed, "readers": rows, "all": whole}, indent=2))
    else:
        _print_row("all", whole)
    sys.exit(1 if whole["failed"] else 0)


def _print_row(name: str, row: dict[str, Any]) -> None:
    print(f"{name:20}" + "".join(f"{row[column]:>16,.0f}" for column in COLUMNS), flush=True)


def _in_a_process(name: str, reader: Any, seed: int, numbers: Any, folder: Path) -> dict[str, Any]:
    """Run a reader in a child process; a crash is a failure of the input that it had begun."""
    folder.mkdir(parents=True)
    process = multiprocessing.get_context("fork").Process(target=_child, args=(name, reader, seed, numbers, folder))
    process.start()
    process.join()
    report = folder / "report.json"
    if process.exitcode == 0:
        return json.loads(report.read_text())
    begun = int((folder / "begun").read_text())
    code = process.exitcode or 0
    how = f"signal {-code}" if code < 0 else f"exit code {code}, or too slow"
    row = {column: 0 for column in COLUMNS}
    shutil.copytree(folder / "input", folder / f"kept-{begun}", dirs_exist_ok=True)
    return {**row, "inputs": begun, "failed": 1, "failures": {begun: f"the process ended by {how}"}}


def _child(name: str, reader: Any, seed: int, numbers: Any, folder: Path) -> None:
    place = folder / "input"
    _write(reader.files, place)
    warnings.simplefilter("ignore")
    expected = reader.read(place)  # and imports what it needs
    counts: collections.Counter[str] = collections.Counter()
    failures, seen, started = {}, [], time.perf_counter()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _mebibytes("VmRSS")
    _watch(seen, place, reader.opens_any)
    for number in numbers:
        (folder / "begun").write_text(str(number))
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        rng = random.Random(f"{seed}/{name}/{number}")
        data = reader.mutator(rng, reader.files[reader.damaged])
        shutil.rmtree(place)
        _write({**reader.files, reader.damaged: data}, place)
        seen.clear()
        outcome, complaint = _outcome(reader, place, expected)
        complaint = f"{seen[0][0]} {seen[0][1]!r}" if seen else complaint
        counts["failed" if complaint else outcome] += 1
        if complaint:
            failures[number] = complaint
            shutil.copytree(place, folder / f"kept-{number}")
    faulthandler.cancel_dump_traceback_later()
    peak = _mebibytes("VmHWM") - before
    if peak > MEGABYTES:
        failures[-1], counts["failed"] = f"{peak:,.0f} MiB of memory", counts["failed"] + 1
    row = {"inputs": len(numbers), **{column: counts[column] for column in COLUMNS[1:5]}}
    row |= {"seconds": time.perf_counter() - started, "added MiB": peak, "failures": failures}
    (folder / "report.json").write_text(json.dumps(row))


def _outcome(reader: Any, place: Path, expected: Any) -> tuple[str, str]:
    """What became of an input, and what is wrong with that."""
    from zoo.errors import ZooError

    try:
        result = reader.read(place)
    except ZooError as error:
        short = 0 < len(str(error)) <= LONGEST
        return "refused", "" if short else f"a message of {len(str(error)):,} characters: {str(error)[:200]}"
    except Exception:
        return "", traceback.format_exc(limit=-4)
    if _equal(result, expected):
        return "the same", ""
    try:
        return "other, correct", reader.complaint(place, result, expected)
    except Exception as error:
        return "", f"was read, where an independent reader says {type(error).__name__}: {str(error)[:200]}"


def _equal(a: Any, b: Any) -> bool:
    import numpy as np
    import torch

    if isinstance(a, np.ndarray):
        return a.shape == b.shape and bool((a == b).all())
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[name], b[name]) for name in a)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return type(a) is type(b) and bool(a == b)


def _write(files: Any, folder: Path) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def _watch(seen: list[tuple[str, str]], place: Path, opens_any: bool) -> None:
    """Note whatever a reader must not do. A hook cannot be removed: the process ends with it."""
    own = f"{place.parent}{os.sep}"
    paths = (
        str(ROOT),
        sys.prefix,
        sys.base_prefix,
        sysconfig.get_path("stdlib"),
        "/proc",
        "/sys",
        "/usr",
        "/lib",
        "/etc",
    )

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in _PROGRAMS or event in _NETWORK:
            seen.append((event, str(arguments[:1])))
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path, mode, flags = os.path.abspath(os.fsdecode(arguments[0])), arguments[1] or "", arguments[2] or 0
            writes = set(mode) & set("wax+") or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and not path.startswith((own, "/dev/null")):
                seen.append(("opened for writing", path))
            elif not writes and not opens_any and not path.startswith((own, *paths, "/dev/null", "/dev/urandom")):
                seen.append(("opened", path))
        elif event in _CHANGES and "torchinductor_" not in str(arguments[0]):  # of a recipe that is compiled
            for path in arguments[:2]:
                if isinstance(path, str | bytes) and not os.path.abspath(os.fsdecode(path)).startswith(own):
                    seen.append((event, str(path)))

    sys.addaudithook(hook)


def _mebibytes(field: str) -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(field))


if __name__ == "__main__":
    main()
