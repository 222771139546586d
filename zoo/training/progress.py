"""The progress of a run on stderr: a bar in a terminal, else a line per epoch."""

import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

from zoo.training.recipe import Recipe

# The bar comes last: a narrow terminal truncates it first, and never the loss, the rate or the time left.
_FORMAT = "{desc} {rate_fmt} {remaining} left{postfix} {bar}"


class Progress:
    """A context manager that reports the steps and epochs of a run.

    Args:
        recipe: the recipe of the run.
        steps: steps per epoch.
        images: number of training images.
        first_epoch: number of epochs already completed.
        shown: whether anything is written at all.
    """

    def __init__(self, recipe: Recipe, steps: int, images: int, *, first_epoch: int, shown: bool) -> None:
        self._recipe, self._shown = recipe, shown
        self._in_terminal = shown and sys.stderr.isatty()
        self._first, self._started = first_epoch, time.perf_counter()
        self._bar = tqdm(
            total=recipe.epochs * steps * recipe.batch_size,
            initial=first_epoch * steps * recipe.batch_size,
            desc=f"{first_epoch + 1}/{recipe.epochs}",
            unit=" img",
            unit_scale=True,
            bar_format=_FORMAT,
            dynamic_ncols=True,
            disable=not self._in_terminal,
        )
        if first_epoch < recipe.epochs:
            self._say(_batches_in_words(recipe, steps, images))

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self, epoch: int, loss: float) -> None:
        """Report a completed step in epoch `epoch`, counted from 0."""
        self._bar.set_description_str(f"{epoch + 1}/{self._recipe.epochs}", refresh=False)
        self._bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
        self._bar.update(self._recipe.batch_size)

    def epoch(self, line: Mapping[str, float]) -> None:
        """Report a completed epoch with its line of metrics."""
        done, epochs = int(line["epoch"]), self._recipe.epochs
        left = (time.perf_counter() - self._started) / (done - self._first) * (epochs - done)
        if self._shown and not self._in_terminal:
            self._say(
                f"epoch {done}/{epochs}  loss {line['loss']:.3f}  {line['images_per_second']:,.0f} img/s  "
                f"{tqdm.format_interval(left)} left"
            )

    def _say(self, text: str) -> None:
        if self._shown:
            tqdm.write(text, file=sys.stderr)
            sys.stderr.flush()


def _batches_in_words(recipe: Recipe, steps: int, images: int) -> str:
    batches = "batch" if steps == 1 else "batches"
    words = f"{recipe.name}: {images:,} images, {steps:,} {batches} of {recipe.batch_size:,} per epoch"
    left_over = images - steps * recipe.batch_size
    if left_over:
        words += f"; {left_over:,} images, different ones in each epoch, do not fill a batch and are skipped"
    return words
