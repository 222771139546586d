r"""Training as a pure step: `(train_state, key, batch) -> (train_state, info)`.

    train_state = training.init(method, optimizer, key)
    step = training.make_train_step(method.loss, optimizer)
    for batch in batches:
        train_state, info = step(train_state, key_epoch, batch)

Everything that training changes is in the `TrainState`: a run resumes from it and the keys alone, and
`torch.func.vmap` of the step over stacked states trains several seeds at once.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from functional import tree
from functional.base import Batch, Info, Key, Loss, Method, Optimizer, Params

RESERVED = {"loss", "grad_norm"}  # names in the info that belong to the training step


class TrainState(NamedTuple):
    """Everything that training changes.

    Attributes:
        params: what the optimizer updates.
        state: the method's state: batch statistics, target networks, queues.
        opt_state: the optimizer's state.
        step: int64 scalar, the number of steps taken.
    """

    params: Params
    state: Any
    opt_state: Any
    step: Tensor


def init(method: Method, optimizer: Optimizer, key: Key) -> TrainState:
    """The state before the first step, on the device of the key, with the parameters projected by `method.project`.

    Args:
        method: the method to train.
        optimizer: the optimizer that trains it.
        key: `[2]`.

    Example:
        >>> from functional import encoders, methods, optimizers, random
        >>> from functional.augmentations import horizontal_flip
        >>> method = methods.simclr(encoders.resnet8(1, width=4), views=horizontal_flip, projector=(8,))
        >>> init(method, optimizers.sgd(0.1), random.key(0)).step
        tensor(0)
    """
    params, state = method.init(key)
    if method.project is not None:
        params = method.project(params)
    return TrainState(params, state, optimizer.init(params), torch.zeros((), dtype=torch.int64, device=key.device))


def make_train_step(
    loss: Loss, optimizer: Optimizer, *, compile: bool = False
) -> Callable[[TrainState, Key, Batch], tuple[TrainState, Info]]:
    """One step of training: the loss, its gradient, the optimizer's update.

    Args:
        loss: the loss of a method.
        optimizer: the optimizer that updates the parameters.
        compile: as for `value_and_grad`; on a GPU the update is compiled too.

    Returns:
        `step(train_state, key, batch) -> (train_state, info)`; the key is that of the epoch. The loss sees the batch
        with `batch.step` set to the number of updates made. The info is that of the loss plus `"loss"` and
        `"grad_norm"`, the norm of the gradient over all parameters before the update. No result carries a graph.

    Raises:
        ValueError: at the first step, if the info of the loss has one of these two names.

    Example:
        >>> from functional import encoders, methods, optimizers, random
        >>> from functional.augmentations import horizontal_flip
        >>> method = methods.simclr(encoders.resnet8(1, width=4), views=horizontal_flip, projector=(8,))
        >>> optimizer = optimizers.sgd(0.1)
        >>> step = make_train_step(method.loss, optimizer)
        >>> batch = Batch(random.uniform(random.key(1), (4, 1, 8, 8)), None, torch.arange(4))
        >>> state, info = step(init(method, optimizer, random.key(0)), random.key(2), batch)
        >>> int(state.step), sorted(info)
        (1, ['grad_norm', 'loss', 'positive_cosine', 'projection_std'])
    """
    gradient = value_and_grad(loss, compile=compile)

    def update(grads: Params, opt_state: Any, params: Params) -> tuple[Params, Any, Tensor]:
        return *optimizer.update(grads, opt_state, params), tree.norm(grads)

    # On a GPU the update is hundreds of kernels that run for less time than it takes to start them. On a CPU it is a
    # small part of the step, and a compiler would round it otherwise than published weights were trained.
    compiled_update = torch.compile(update) if compile else update

    def step(train_state: TrainState, key: Key, batch: Batch) -> tuple[TrainState, Info]:
        batch = batch._replace(step=train_state.step)
        (value, (state, info)), grads = gradient(train_state.params, train_state.state, key, batch)
        if taken := RESERVED & info.keys():
            raise ValueError(f"info: {', '.join(sorted(taken))} belongs to the training step; rename it in the method")
        apply = compiled_update if train_state.step.is_cuda else update
        params, opt_state, grad_norm = apply(grads, train_state.opt_state, train_state.params)
        info = {**info, "loss": value, "grad_norm": grad_norm}
        return tree.detach((TrainState(params, state, opt_state, train_state.step + 1), info))

    return step


def value_and_grad(
    loss: Callable[..., tuple[Tensor, Any]], *, compile: bool = False
) -> Callable[..., tuple[tuple[Tensor, Any], Params]]:
    """The value of a loss and its gradient with respect to the first argument.

    Args:
        loss: `(params, *args) -> (scalar, aux)`.
        compile: compile the loss with `torch.compile`. The first call takes seconds to a minute; later calls save
            much of the time of views and activations, but none of that of convolutions and matrix products. Not for
            `torch.func` transformations, which refuse compiled functions.

    Returns:
        `(params, *args) -> ((scalar, aux), grads)`, the gradients in the structure of `params`, with zeros for a leaf
        that the loss does not use. With `compile` no result carries a graph; without it, derivatives of any order can
        be taken.

    Example:
        >>> square = lambda params, x: ((params["w"] * x) ** 2, {"x": x})
        >>> value_and_grad(square)({"w": torch.tensor(3.0)}, torch.tensor(2.0))
        ((tensor(36.), {'x': tensor(2.)}), {'w': tensor(24.)})
    """
    if not compile:
        transformed = torch.func.grad_and_value(loss, has_aux=True)

        def value_and_grad_of_loss(params: Params, *args: Any) -> tuple[tuple[Tensor, Any], Params]:
            grads, value_and_aux = transformed(params, *args)
            return value_and_aux, grads

        return value_and_grad_of_loss

    compiled = torch.compile(loss)

    def value_and_grad_of_compiled_loss(params: Params, *args: Any) -> tuple[tuple[Tensor, Any], Params]:
        params = tree.map(lambda p: p.detach().requires_grad_(), params)
        value, aux = compiled(params, *args)
        grads = torch.autograd.grad(value, tree.leaves(params), materialize_grads=True)
        return tree.detach((value, aux)), tree.unflatten_like(
            params, dict(zip(tree.flatten(params), grads, strict=True))
        )

    return value_and_grad_of_compiled_loss
