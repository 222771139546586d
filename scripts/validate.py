"""Train a recipe and probe it during training on the last tenth of the training images; every choice is based on this.

    python scripts/validate.py scripts/recipes/simclr_s3a_mnist_24k.py --labels mnist_labels_6k --set epochs=10
    python scripts/validate.py RECIPE --labels mnist_labels_6k --every 1 --until 97     # the time to reach 97 %

The test images are not used. The recipe does not train on the last tenth either: the subsets `mnist_24k`, `mnist_54k`
and `cifar10_40k` end before it, and it is cut off from other datasets. Seconds count from the start of the process and
include probing.
"""

import time

STARTED = time.perf_counter()  # before the imports, to include them

import argparse
import tempfile
from pathlib import Path

import zoo
from zoo.data.names import SUBSETS
from zoo.errors import exit_on_bad_input
from zoo.evaluation.held_out import first_nine_tenths, held_out
from zoo.evaluation.protocol import evaluate
from zoo.models.pretrained import PretrainedEncoder
from zoo.training.recipe import read_change, read_recipe


def main() -> None:
    """Train and probe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--labels", required=True, help="dataset whose labels the probe is fitted on")
    parser.add_argument("--labels-per-class", type=counts, default="all", help="comma-separated [default: all]")
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field of the recipe"
    )
    parser.add_argument("--every", type=int, default=0, help="epochs between probes [default: 0, one at the end]")
    parser.add_argument("--until", type=float, default=101, help="stop at this accuracy in %% with all labels")
    parser.add_argument("--out", type=Path, help="run directory, to resume later")
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe).replace(**dict(read_change(change) for change in arguments.set))
    data, images = held_out(arguments.labels), None if recipe.dataset in SUBSETS else first_nine_tenths(recipe.dataset)

    def probe(epoch: int, model: PretrainedEncoder) -> None:
        last = epoch == recipe.epochs
        if not last and (not arguments.every or epoch % arguments.every):
            return
        rows = evaluate(model, data, labels_per_class=arguments.labels_per_class, baselines=())["results"]
        accuracies = {row["labels_per_class"]: 100 * row["linear"]["mean"] for row in rows}
        found = "  ".join(f"{count}: {accuracy:.2f} %" for count, accuracy in accuracies.items())
        print(f"{time.perf_counter() - STARTED:7.1f} s  epoch {epoch:3}  {found}", flush=True)
        if accuracies.get("all", 0) >= arguments.until:
            raise SystemExit(0)

    with tempfile.TemporaryDirectory() as folder:
        zoo.pretrain(recipe, data=images, out=arguments.out or Path(folder) / "run", progress=True, on_epoch=probe)


def counts(text: str) -> list[int | str]:
    """Parse `"10,100,all"` for `zoo.evaluate`."""
    return [count if count == "all" else int(count) for count in text.split(",")]


if __name__ == "__main__":
    with exit_on_bad_input():
        main()
