"""Kill `zoo pretrain` with SIGKILL at random moments, resume it, and compare the bits with those of a run never killed.

    python scripts/kill_test.py --kills 20 --seed 0

A run of 20 short epochs on digits is made once without a kill. Then the same command is started repeatedly in a new
directory, and each process is killed at a random moment: after zero to four epochs of its own plus up to one and a half
epochs' time, or at any time during its start. A run that finishes first is compared, and the next one is started. Each
kill prints a line with its phase, as seen on disk:

    starting          no epoch was written yet by this process
    in an epoch       nothing was being written
    before writing    an epoch's metrics were written, but not yet its checkpoint
    half a file       there was a .part of a file being written

The exit code is 1 if any run ends with another checkpoint, other weights or other metrics (except seconds and memory).
"""

import argparse
import collections
import hashlib
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recipes.simclr_resnet8_digits import recipe as shipped

from zoo.environment import environment
from zoo.files import load_tensors
from zoo.training.batching import steps_per_epoch
from zoo.training.run_directory import read_metrics

# The head is wide, so that writing it and the optimizer's moments takes much of the time.
RECIPE = shipped.replace(
    epochs=20,
    warmup_epochs=1,
    encoder_options={**shipped.encoder_options, "width": 4},
    method_options={**shipped.method_options, "projector": (2048, 256)},
)
STEPS = steps_per_epoch(1297, RECIPE.batch_size)  # digits have 1,297 training images
STARTING_SECONDS = 5
MEASURED = ("seconds", "images_per_second", "peak_memory_bytes")


def main() -> None:
    """Kill runs and compare their bits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    say(", ".join(f"{name} {value}" for name, value in environment().items() if value != "none"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.json"
        path.write_text(RECIPE.to_json())
        finish(path, never := Path(folder) / "never_killed")
        expected = bits(never)
        epoch_seconds = statistics.median(line["seconds"] for line in read_metrics(never))
        say(f"never killed: {RECIPE.epochs} epochs of {epoch_seconds:.2f} s, encoder {expected['encoder'][:12]}")
        found, outs, equal = collections.Counter(), [Path(folder) / "run_1"], True
        for kill in range(1, arguments.kills + 1):
            epochs = moments.randrange(5)
            later = moments.uniform(0, 1.5 * epoch_seconds if epochs else STARTING_SECONDS)
            while not (phase := killed(path, outs[-1], epochs, later)):
                equal &= compare(outs[-1], expected)
                outs.append(Path(folder) / f"run_{len(outs) + 1}")
            found[phase] += 1
            say(f"kill {kill:3}  {outs[-1].name}  {epoch(outs[-1]):2} epochs on disk  {phase}")
        finish(path, outs[-1])
        equal &= compare(outs[-1], expected)
    say(f"{arguments.kills} kills in {len(outs)} runs: {', '.join(f'{n} {phase}' for phase, n in found.items())}")
    sys.exit(0 if equal else "bits differ")


def start(recipe: Path, out: Path) -> subprocess.Popen[bytes]:
    """A process that pretrains, or resumes the run in this directory."""
    command = [sys.executable, "-m", "zoo", "pretrain", str(recipe), "--out", str(out)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def finish(recipe: Path, out: Path) -> None:
    """Resume a run to its end."""
    if start(recipe, out).wait():
        sys.exit(f"{out}: the run cannot be resumed")


def killed(recipe: Path, out: Path, epochs: int, later: float) -> str:
    """Kill a process `later` seconds after `epochs` epochs of its own; returns the phase, or "" if it had finished."""
    before, started = epoch(out), time.time()
    process = start(recipe, out)
    while epochs and len(metrics(out)) < before + epochs and process.poll() is None:
        time.sleep(0.01)
    try:
        process.wait(later)
    except subprocess.TimeoutExpired:
        process.kill()
    if process.wait() != -signal.SIGKILL:
        return ""
    written = [path for path in out.rglob("*") if path.stat().st_mtime > started]  # older ones are from earlier kills
    if any(path.suffix == ".part" for path in written):
        return "half a file"
    if out / "metrics.jsonl" in written and len(metrics(out)) > epoch(out):
        return "before writing"
    return "in an epoch" if epoch(out) > before else "starting"


def compare(out: Path, expected: dict[str, str]) -> bool:
    """Whether a finished run has the expected bits."""
    differing = [part for part, value in bits(out).items() if value != expected[part]]
    say(f"{out.name}: " + (f"{', '.join(differing)} DIFFER" if differing else "the same bits"))
    return not differing


def epoch(out: Path) -> int:
    """The number of epochs in the checkpoint."""
    checkpoint = out / "checkpoint.safetensors"
    return int(load_tensors(checkpoint)[0]["step"]) // STEPS if checkpoint.is_file() else 0


def metrics(out: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl, without times and memory."""
    lines = read_metrics(out) if (out / "metrics.jsonl").is_file() else []
    return [{name: value for name, value in line.items() if name not in MEASURED} for line in lines]


def bits(out: Path) -> dict[str, str]:
    """SHA-256 of all that a run computes."""
    parts = {
        "checkpoint": (out / "checkpoint.safetensors").read_bytes(),
        "encoder": (out / "encoder" / "model.safetensors").read_bytes(),
        "metrics": json.dumps(metrics(out)).encode(),
    }
    return {part: hashlib.sha256(data).hexdigest() for part, data in parts.items()}


def say(text: str) -> None:
    """Print without buffering, even to a pipe."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
