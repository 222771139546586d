"""Training without a run directory, for short runs on few images whose checkpoints nobody needs.

`zoo.training.loop` writes a checkpoint and measures features after every epoch. Where an epoch is a step or two, this
takes longer than the steps themselves.
"""

import math

import torch
from tqdm import tqdm

from functional import tree
from zoo.data.datasets import Dataset
from zoo.errors import ZooError
from zoo.models.code import NO_CODE, Code
from zoo.models.pretrained import PretrainedEncoder
from zoo.training.catalogue import catalogue, check_names
from zoo.training.memory import keep_freed_memory
from zoo.training.naming import name_of_run
from zoo.training.plan import decide_precision, make_plan, updates
from zoo.training.recipe import Recipe


def train_in_memory(recipe: Recipe, data: Dataset, *, code: Code = NO_CODE) -> PretrainedEncoder:
    """Train an encoder on the CPU and write nothing.

    Args:
        recipe: what to train; its dataset is not read.
        data: the images to train on, with labels if the method learns from them.
        code: your own methods, encoders and augmentations (`zoo.models.code`).

    Returns:
        The encoder, equal bit for bit to that of `zoo.pretrain`. Its configuration has what `features` needs; it does
        not have the records of the data, the training and the machine.

    Raises:
        ZooError: for an invalid recipe, data that it cannot be trained on, or a loss that is no longer finite.

    Example:
        >>> import zoo
        >>> recipe = Recipe(
        ...     method="supervised",
        ...     encoder="resnet8",
        ...     dataset="digits",
        ...     views=[("rotate", {"degrees": 15})],
        ...     optimizer="adamw",
        ...     learning_rate=1e-3,
        ...     epochs=1,
        ...     batch_size=256,
        ...     encoder_options={"width": 4},
        ... )
        >>> train_in_memory(recipe, zoo.load_dataset("digits")).feature_dim
        16
    """
    check_names(recipe, catalogue(code))
    if recipe.compile:
        torch.compiler.reset()  # after eight runs, torch would stop compiling what it has compiled for others
    keep_freed_memory()
    plan = make_plan(decide_precision(recipe), data=data, code=code)
    state, steps = plan.init(), plan.clock.steps(recipe.epochs)
    made = tqdm(updates(plan, state), "train", steps, leave=False, unit=" steps", delay=2, disable=None)
    for state, info in made:
        if not math.isfinite(info["loss"]):
            raise ZooError(f"step {int(state.step)} of {steps}: loss {info['loss']:g}; lower the learning rate")
    plan.data.require_unchanged()
    params, batch_stats = tree.detach(plan.method.encoder(state.params, state.state))
    config = {
        "name": name_of_run(recipe),
        "input_shape": list(plan.data.train.images.shape[1:]),
        "feature_dim": plan.encoder.feature_dim,
        "mean": list(plan.mean),
        "std": list(plan.std),
        "recipe": plan.recipe.to_dict(),
    }
    return PretrainedEncoder(plan.encoder, params, batch_stats, config)
