"""How a run is doing, on stderr: a bar in a terminal, else a line per epoch."""

import sys
import time
from collections.abc import Mapping

from tqdm import tqdm

from zoo.training.recipe import Recipe

# The bar comes last: a narrow terminal cuts it first, and the loss, the rate and the time left never.
_FORMAT = "{desc} {rate_fmt} {remaining} left{postfix} {bar}"


class Progress:
    """A context in which a run tells its steps and epochs.

    Args:
        recipe: what is trained.
        steps: per epoch.
        images: to train on.
        first_epoch: how many epochs are done already.
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
        """A batch of epoch `epoch`, counted from 0, was trained on."""
        self._bar.set_description_str(f"{epoch + 1}/{self._recipe.epochs}", refresh=False)
        self._bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
        self._bar.update(self._recipe.batch_size)

    def epoch(self, line: Mapping[str, float]) -> None:
        """An epoch is done, with this line of metrics."""
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
    words = f"{recipe.name}: {images:,} images, {steps:,} batches of {recipe.batch_size:,} an epoch"
    left_over = images - steps * recipe.batch_size
    if left_over:
        words += f"; {left_over:,} images, others in every epoch, fill no batch and are left out of it"
    return words
