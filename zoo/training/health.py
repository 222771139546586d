"""The health of a run: all numbers are finite, and the features do not collapse."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from functional import augmentations, metrics, tree
from functional.base import Batch, Key
from functional.training import TrainState
from zoo.errors import ZooError
from zoo.training.plan import Plan

_WATCHED = 256  # training images whose features are measured after every epoch
_COLLAPSED_SPREAD = 0.1  # outputs of a method with a lower spread are all alike; healthy ones have .5 or more


def watch(plan: Plan, state: TrainState, key_epoch: Key) -> dict[str, float]:
    """Feature statistics of a few training images: alignment of two views, uniformity, spread and rank."""
    index = torch.arange(min(_WATCHED, len(plan.data.train.images)), device=key_epoch.device)
    view = plan.views[0] if isinstance(plan.views, Sequence) else plan.views
    views = augmentations.draw_views(view, key_epoch, Batch(plan.data.rows(plan.data.train.images, index), None, index))
    with torch.no_grad():
        a, b = (plan.encoder.apply(*plan.method.encoder(state.params, state.state), x)[0] for x in views)
    return {
        "alignment": metrics.alignment(a, b).item(),
        "uniformity": metrics.uniformity(a).item(),
        "feature_std": metrics.feature_std(a).item(),
        "effective_rank": metrics.effective_rank(a).item(),
    }


def warn_of_collapse(line: dict[str, float], features: int, advice: str) -> bool:
    """Whether the features of an epoch, or the outputs of its method, have collapsed; if so, warn.

    Args:
        line: the metrics of the epoch. Besides those of the features, every spread in the method's info is checked,
            that is every name that ends in `_std`.
        features: the number of features.
        advice: the method's advice, which ends the warning.
    """
    spreads = {name: value for name, value in line.items() if name.endswith("_std") and name != "feature_std"}
    low = [f"{name} {value:.3g}" for name, value in spreads.items() if value < _COLLAPSED_SPREAD]
    if _nearly_equal(line, features):
        what = "the encoder has collapsed: it gives nearly the same features for all images"
        low = [f"feature_std {line['feature_std']:.3g}", f"effective_rank {line['effective_rank']:.3g}"]
    elif low:
        what = "the method has collapsed: its head gives nearly the same output for all images"
    else:
        return False
    warnings.warn(f"epoch {line['epoch']}: {what} ({', '.join(low)}). {advice}", stacklevel=4)
    return True


def _nearly_equal(line: dict[str, float], features: int) -> bool:
    """Whether the features of all images have nearly the same direction, or lie on one line through 0.

    The rank of a few features is low even when they are healthy: it is at most their number, and a mean far from 0
    lowers it. A rank in the lowest tenth of the logarithmic scale from 1 to this maximum is a collapse; for 58 features
    or more, one below 1.5 is. A single feature has no direction but its sign, and cannot be judged.
    """
    if features == 1:
        return False
    return line["feature_std"] < 0.01 or line["effective_rank"] < min(1.5, features**0.1)


def require_finite(info: dict[str, Tensor], state: TrainState, epoch: int, out: Path) -> None:
    """Stop at a loss or a gradient that is not finite.

    Raises:
        ZooError: the message names the step.
    """
    if not math.isfinite(info["loss"]) or not math.isfinite(info["grad_norm"]):
        found = f"loss {info['loss']:g}, gradient norm {info['grad_norm']:g}"
        raise _diverged(f"step {int(state.step)} (epoch {epoch + 1}): {found}", out)


def require_finite_state(state: TrainState, out: Path) -> None:
    """Stop before a state that is not finite replaces a good checkpoint.

    Raises:
        ZooError: the message names the step and the leaf.
    """
    for name, x in tree.flatten(state).items():
        if x.is_floating_point() and not x.isfinite().all():
            raise _diverged(f"step {int(state.step)}: {name} is no longer finite", out)


def _diverged(what: str, out: Path) -> ZooError:
    kept = out / "checkpoint.safetensors"
    where = f"the last good checkpoint is {kept}" if kept.is_file() else "there is no checkpoint yet"
    return ZooError(f"{what}; training stopped, and {where}. Lower the learning rate")
