"""Measure the speed on this machine against other libraries, in the same run, on the same images, in alternating turns.

    python scripts/benchmark.py                       # everything: up to an hour on two cores
    python scripts/benchmark.py --only views,step     # some parts; those of an earlier run are kept
    python scripts/benchmark.py --quick               # tiny sizes: only tests that it runs, and writes nothing

`pip install funczoo[bench]` installs the peers; a missing peer is reported, and the rest is measured. The script writes
benchmarks/NAME.json, named after the processor, and prints its table. `python scripts/make_tables.py` writes that table
to benchmarks/NAME.md, and the lines with a peer or a limit to README.md. Nothing else may run at the same time: the
load before the run and the number of usable cores are recorded with the results. Progress goes to stderr. Exit code 1
means that a peer did not compute the same as ours.
"""

import argparse
import datetime
import importlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CORES = os.cpu_count() or 1
PARTS = ("views", "photos", "step", "precision", "probes", "neighbours", "startup", "memory", "scaling", "gpu")


def main() -> int:
    """Measure the chosen parts, and write and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", default=",".join(PARTS), metavar="PART,...", help=f"parts to measure, of {', '.join(PARTS)}"
    )
    parser.add_argument("--quick", action="store_true", help="use tiny sizes and one turn, compile nothing")
    parser.add_argument("--repeats", type=int, help="turns per contender, 5 or more [default: 5; quick: 1]")
    parser.add_argument(
        "--threads", type=int, default=CORES, help="number of threads [default: %(default)s, all cores]"
    )
    parser.add_argument("--profile", action="store_true", help="also time every augmentation alone")
    parser.add_argument("--out", type=Path, help="file to write [default: benchmarks/NAME.json; quick: none]")
    arguments = parser.parse_args()
    chosen = arguments.only.split(",")
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"--only: expected one or more of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    if arguments.repeats is not None and arguments.repeats < 5 and not arguments.quick:
        parser.error(f"--repeats: expected 5 or more, got {arguments.repeats}; fewer give unreliable medians")

    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # read by the imports below
    import torch
    from benchmarks.measuring import Options
    from make_tables import benchmark_table

    from zoo.environment import environment
    from zoo.files import write_atomically
    from zoo.training.memory import keep_freed_memory

    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as `zoo pretrain` does; here it also helps the peers and their workers
    options = Options(
        arguments.quick, arguments.repeats or (1 if arguments.quick else 5), arguments.threads, arguments.profile
    )
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"load {load:.1f}: other programs are running, which distorts even ratios; stop them", file=sys.stderr)
    here = environment()
    machine = machine_name(here, CORES)
    out = arguments.out or (None if arguments.quick else ROOT / "benchmarks" / f"{machine}.json")
    record = {"machine": machine, "cores": CORES, "environment": here, "parts": kept_parts(out, here)}
    command = " ".join(["python scripts/benchmark.py", *sys.argv[1:]])
    for part in (part for part in PARTS if part in chosen):
        rows: list[dict[str, Any]] = []
        earlier = record["parts"].get(part)
        try:
            rows += importlib.import_module(f"benchmarks.{part}").measure(options)
            earlier = None
        finally:  # an interruption loses no line that was measured, unless the part was complete before
            cores = usable_cores()
            if cores < CORES:
                print(
                    f"{part}: this process may use {cores} of {CORES} cores; measure it again with all cores",
                    file=sys.stderr,
                )
            if rows and earlier is None:
                date = datetime.datetime.now(datetime.UTC).date().isoformat()
                measured = {"command": command, "date": date, "repeats": options.repeats, "load_before": load}
                record["parts"][part] = {**measured, "usable_cores": cores, "rows": rows}
                record["parts"] = {name: record["parts"][name] for name in PARTS if name in record["parts"]}
                if out is not None:
                    out.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(out, (json.dumps(record, indent=2) + "\n").encode())
    print(benchmark_table(record["parts"], everything=True))
    failures = [
        row for part in chosen for row in record["parts"][part]["rows"] if "check failed" in row.get("not_run", "")
    ]
    return 1 if failures else 0


def usable_cores() -> int:
    """The number of cores that this process may use at the moment."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else CORES


def machine_name(environment: dict[str, Any], cores: int) -> str:
    """A file name from the processor, the number of cores, and the GPU if there is one.

    >>> machine_name({"processor": "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", "accelerator": "none"}, 2)
    'intel_xeon_platinum_8481c_2_cores'
    """
    processor = re.sub(r"\((R|TM)\)|\bProcessor\b|\bCPU\b|@.*|\d+-Core", " ", environment["processor"], flags=re.I)
    gpu = environment["accelerator"] if environment["accelerator"] != "none" else ""
    return "_".join(re.findall("[a-z0-9]+", f"{processor} {cores} cores {gpu}".lower()))


def kept_parts(path: Path | None, here: dict[str, Any]) -> dict[str, Any]:
    """The parts of an earlier run on this machine; those with other versions or threads are dropped."""
    if path is None or not path.is_file():
        return {}
    earlier = json.loads(path.read_text())
    if earlier["environment"] != here:
        print(f"{path}: measured with other versions or threads; its parts are dropped", file=sys.stderr)
        return {}
    return earlier["parts"]


if __name__ == "__main__":
    sys.exit(main())
