"""What a new user types for 600 photos, and what the terminal answers: writes docs/own_photos.md.

    python scripts/transcript.py                          # about half an hour on two cores
    python scripts/transcript.py --quick --out try.md     # few photos and epochs, for the tests

The photos are those of `scripts/photos.py`. The training is stopped by Ctrl-C and goes on. In place of the user who
looks at the contact sheet, labels come from the table of the truth, and at the end the predictions are compared with
it: those from suggested images, and those from as many random ones, with the trained encoder and with its start.
"""

import argparse
import csv
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from photos import write_photos

from zoo.environment import environment
from zoo.training.default_recipe import START

ROOT = Path(__file__).parents[1]
DRAWS = 5
HEAD = """# Your own photos and 20 labels

What a new user types for {images} photos of small parts (gears, nuts, screws and washers, drawn by `scripts/photos.py`;
no model of the zoo was trained on them), and what the terminal answers. Three of the files are broken on purpose, and
the training is stopped once. Made by `python scripts/transcript.py` on {machine}.

```console
{terminal}
```

Whoever knew the truth finds: with the {n} suggested images labelled, {first:.1f} % of the other photos are predicted
right. Repeated with images suggested with seeds 0 to {last} (`zoo suggest --seed`) and with as many random ones, the
same commands give these accuracies in % (mean +- standard deviation, n = {draws} each):

| encoder | {n} suggested | {n} random |
| --- | ---: | ---: |
{rows}
"""


def run(command: str, folder: Path, *, stop_after: str = "") -> str:
    """What a command answers in a folder; it gets Ctrl-C after a line with the given text."""
    words = shlex.split(command)
    program = [sys.executable, "-m", "zoo", *words[1:]] if words[0] == "zoo" else ["sh", "-c", command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    lines = []
    with subprocess.Popen(
        program, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if stop_after and stop_after in line:
                time.sleep(0.5)  # in the middle of the next epoch
                process.send_signal(signal.SIGINT)
                lines.append("^C")
    return "".join(lines).rstrip()


def shortened(answer: str) -> str:
    """The answer without most of the lines of epochs and of suggested images."""
    lines, kept = answer.splitlines(), []
    for i, line in enumerate(lines):
        kind = re.match(r"epoch |\s+\d+  photos/|  photos/", line)
        alike = [other for other in lines[max(0, i - 2) : i + 3] if kind and other.startswith(kind[0][:6])]
        if len(alike) < 5:
            kept.append(line)
        elif kept[-1] != "...":
            kept.append("...")
    return "\n".join(kept)


def fill_in(labels: Path, truth: dict[str, str]) -> None:
    """Write the true label of each image into a file of labels."""
    with open(labels, newline="") as file:
        rows = list(csv.DictReader(file))
    with open(labels, "w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *((row["path"], truth[row["path"]]) for row in rows)])


def right(predictions: Path, labels: Path, truth: dict[str, str]) -> float:
    """The share of right predictions in %, of the photos that have no label."""
    with open(labels, newline="") as file:
        labelled = {row["path"] for row in csv.DictReader(file)}
    with open(predictions, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["path"] not in labelled]
    return 100 * sum(row["class"] == truth[row["path"]] for row in rows) / len(rows)


def transcript(folder: Path, images: int, epochs: int | None, n: int) -> str:
    """The page."""
    table = write_photos(folder / "photos", images, seed=0)
    with open(table, newline="") as file:
        truth = {row["path"]: row["label"] for row in csv.DictReader(file)}
    (folder / "photos.csv").unlink()  # the user does not have it
    terminal = []

    def typed(command: str, stop_after: str = "") -> None:
        answer = run(command, folder, stop_after=stop_after)
        if "Traceback" in answer:
            raise SystemExit(f"{command}\n{answer}")
        terminal.append(f"$ {command}\n{shortened(answer)}".rstrip())

    train = "zoo pretrain --data photos --out runs/mine" + (f" --set epochs={epochs}" if epochs else "")
    typed("ls photos | wc -l")
    typed(train)
    typed(f"{train} --skip-bad", stop_after="epoch 2/")
    typed(f"{train} --skip-bad")
    typed(f"zoo suggest runs/mine photos -n {n} --out labels.csv --sheet sheet.png --skip-bad")
    fill_in(folder / "labels.csv", truth)
    terminal.append("$ # look at sheet.png, and fill in the column label of labels.csv with an editor")
    typed("zoo fit runs/mine photos --labels labels.csv --out classifier --skip-bad")
    typed("zoo predict classifier photos --out predictions.csv --skip-bad")
    typed("zoo report classifier photos --labels labels.csv --out report.html --skip-bad")

    rows = []
    for encoder, shown in (("runs/mine", "`runs/mine`"), (START, f"`{START}` as it is")):
        suggested, drawn = accuracies(encoder, folder, truth, n, DRAWS)
        rows.append(f"| {shown} | {in_words(suggested)} | {in_words(drawn)} |")
    return HEAD.format(
        images=images,
        machine=environment()["processor"],
        terminal="\n\n".join(terminal),
        n=n,
        first=right(folder / "predictions.csv", folder / "labels.csv", truth),
        last=DRAWS - 1,
        draws=DRAWS,
        rows="\n".join(rows),
    )


def accuracies(
    encoder: str, folder: Path, truth: dict[str, str], n: int, draws: int
) -> tuple[list[float], list[float]]:
    """The accuracy in % with n suggested labels, and with n random ones, for each of the seeds.

    It leaves the labels in the folder, as `suggested_ENCODER_SEED.csv` and `random_ENCODER_SEED.csv`, and beside them
    the predictions.
    """

    def accuracy(labels: Path) -> float:
        fill_in(labels, truth)
        run(f"zoo fit {encoder} photos --labels {labels.name} --out {labels.stem} --skip-bad", folder)
        predictions = labels.with_name(f"{labels.stem}_predictions.csv")
        run(f"zoo predict {labels.stem} photos --out {predictions.name} --skip-bad", folder)
        return right(predictions, labels, truth)

    suggested, drawn, name = [], [], Path(encoder).name
    for seed in range(draws):
        labels = folder / f"suggested_{name}_{seed}.csv"
        run(f"zoo suggest {encoder} photos -n {n} --seed {seed} --out {labels.name} --skip-bad", folder)
        suggested.append(accuracy(labels))
        labels = folder / f"random_{name}_{seed}.csv"
        names = np.random.default_rng(seed).choice(sorted(truth), n, replace=False)
        labels.write_text("\n".join(["path", *names]))
        drawn.append(accuracy(labels))
    return suggested, drawn


def in_words(values: Sequence[float]) -> str:
    """The mean and the standard deviation."""
    return f"{np.mean(values):.1f} +- {np.std(values, ddof=1):.1f}"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description="Write what a new user types for 600 photos, and what is answered.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "own_photos.md")
    parser.add_argument("--folder", type=Path, help="an empty folder to work in, which is kept")
    parser.add_argument("--quick", action="store_true", help="60 photos, 4 epochs")
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, the commands would ignore it, too
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        images, epochs = (60, 4) if given.quick else (600, None)
        page = transcript(given.folder or Path(temporary), images, epochs, n=20)
    given.out.write_text(page)
    print(given.out)


if __name__ == "__main__":
    main()
