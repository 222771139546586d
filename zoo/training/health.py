"""The health of a run: numbers that stay finite, and features that do not collapse."""

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


def watch(plan: Plan, state: TrainState, key_epoch: Key) -> dict[str, float]:
    """Statistics of the features of a few training images: alignment of two views, uniformity, spread and rank."""
    index = torch.arange(min(_WATCHED, len(plan.data.train.images)), device=key_epoch.device)
    view = plan.views[0] if isinstance(plan.views, Sequence) else plan.views
    views = augmentations.draw_views(view, key_epoch, Batch(plan.data.train.images[index], None, index))
    with torch.no_grad():
        a, b = (plan.encoder.apply(*plan.method.encoder(state.params, state.state), x)[0] for x in views)
    return {
        "alignment": metrics.alignment(a, b).item(),
        "uniformity": metrics.uniformity(a).item(),
        "feature_std": metrics.feature_std(a).item(),
        "effective_rank": metrics.effective_rank(a).item(),
    }


def warn_of_collapse(line: dict[str, float], advice: str) -> bool:
    """Whether the features of an epoch have collapsed, with a warning and the method's advice if so."""
    collapsed = line["feature_std"] < 0.01 or line["effective_rank"] < 1.5
    if collapsed:
        warnings.warn(
            f"epoch {line['epoch']}: the encoder has collapsed: it gives nearly the same features to all images "
            f"(feature_std {line['feature_std']:.3g}, effective_rank {line['effective_rank']:.3g}). {advice}",
            stacklevel=4,
        )
    return collapsed


def require_finite(info: dict[str, Tensor], state: TrainState, epoch: int, out: Path) -> None:
    """Stop at a loss or a gradient that is not finite.

    Raises:
        ZooError: that names the step.
    """
    if not math.isfinite(info["loss"]) or not math.isfinite(info["grad_norm"]):
        found = f"loss {info['loss']:g}, gradient norm {info['grad_norm']:g}"
        raise _diverged(f"step {int(state.step)} (epoch {epoch + 1}): {found}", out)


def require_finite_state(state: TrainState, out: Path) -> None:
    """Stop before a state that is not finite replaces a good checkpoint.

    Raises:
        ZooError: that names the step and the leaf.
    """
    for name, x in tree.flatten(state).items():
        if x.is_floating_point() and not x.isfinite().all():
            raise _diverged(f"step {int(state.step)}: {name} is no longer finite", out)


def _diverged(what: str, out: Path) -> ZooError:
    kept = out / "checkpoint.safetensors"
    where = f"the last good checkpoint is kept in {kept}" if kept.is_file() else "there is no checkpoint yet"
    return ZooError(f"{what}; training stopped, {where}. Lower the learning rate")
