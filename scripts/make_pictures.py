"""Draw the pictures of a model's card: zoo/weights/NAME/pictures.

    python scripts/make_pictures.py [NAME ...] [--runs runs/release]      # all models, without names

They are the figures of `zoo plot NAME` for the encoder as it ships. The run that it came from, if it is still there,
gives the loss curve and the reconstructions after each epoch. `python scripts/make_tables.py` then adds all of them to
the cards.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from zoo.errors import ZooError, exit_on_bad_input
from zoo.models.entries import entry, list_models
from zoo.reports.figures import loss_curve, reconstructions
from zoo.training.run_directory import read_metrics, read_reconstructions

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Draw the pictures of each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--runs", type=Path, default=Path("runs/release"))
    arguments = parser.parse_args()
    for name in map(lambda name: entry(name).name, arguments.names or list_models()):
        for path in draw_pictures(name, arguments.runs, ROOT / "zoo" / "weights" / name / "pictures"):
            print(path.relative_to(ROOT))


def draw_pictures(name: str, runs: Path, out: Path) -> list[Path]:
    """Draw the pictures of a model into `out`; without its run, an old loss curve stays.

    Raises:
        ZooError: if `zoo plot` fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder)
        command = [sys.executable, "-m", "zoo", "plot", name, "--out", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ZooError(f"{' '.join(command[1:])}: {done.stderr.strip()}")
        if (run := runs / f"{name}-seed0").is_dir():
            loss_curve(read_metrics(run), name, drawn / "loss.png")
            if kept := read_reconstructions(run):
                dataset = name.split("-", 2)[2]  # METHOD-ENCODER-DATASET
                title = f"{name}\nimages of {dataset} and their reconstructions"
                reconstructions(*kept, title, drawn / "reconstructions.png")
        out.mkdir(exist_ok=True)
        return [Path(shutil.copy(path, out)) for path in sorted(drawn.glob("*.png"))]


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
