"""The contracts that every file of `functional` follows, stated once.

**Pairs of pure functions.** Anything with parameters or state is a NamedTuple of functions: `Encoder(init, apply)`,
`Optimizer(init, update)`, `Method(init, loss)`. `init` creates the trees; the other function maps trees to new trees.
No object holds state and nothing is changed in place: a call leaves its arguments unchanged.

**Trees.** `Params` and `BatchStats` are nested dicts of tensors with torchvision's names; states are NamedTuples.
Both are pytrees, so `torch.func` and `functional.tree` work on them directly.

**Argument order** is `params, state, key, data, *, hyperparameters`, without those a function does not need. Samplers
and augmentations take the key first. Functions return `(result, new_state)`, or `(loss, (new_state, info))`: the state
is passed to the next call, the info is logged.

**Keys.** A function that draws random numbers takes a key (`functional.random`). Use a key once: split it, or fold a
number in. No function returns an updated key. A function that takes keys `[B, 2]` gives every row of its batch its own
stream. A method draws from the key of the epoch, with one stream per purpose (`functional.streams`).

**Clocks.** A value that changes during training is a schedule `step -> value` (`functional.schedules`), and the step is
an argument: `Batch.step` for a method, the optimizer's own counter for an optimizer.

**Numbers.** Images are `[B, C, H, W]`: uint8 in 0..255, or floating point in 0..1. float32 is the default. Losses and
statistics promote half precision to float32; float64 stays float64.

References:
    The pairs follow optax (`GradientTransformation`) and jax.example_libraries.stax (`init_fun, apply_fun`).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

Key = Int32[Tensor, "*batch 2"]
Params = dict[str, Any]  # nested dicts of tensors
BatchStats = dict[str, Any]  # nested dicts of tensors
Info = dict[str, Tensor]  # scalars by name
Images = Float[Tensor, "batch channels height width"]
Features = Float[Tensor, "batch dim"]


class Batch(NamedTuple):
    """What a method's loss receives.

    Attributes:
        images: uint8 or floating point `[B, C, H, W]`.
        labels: int64 `[B]`, or None if there are none.
        index: int64 `[B]`, the positions of the images in their dataset. They select the keys of the views.
        step: int64 scalar, the number of updates made before this batch. The training step fills it in; a method's
            schedules read it.
    """

    images: Tensor
    labels: Tensor | None
    index: Int64[Tensor, " batch"]  # pyright: ignore[reportIncompatibleMethodOverride]: tuple.index is not needed
    step: Int64[Tensor, ""] = torch.zeros((), dtype=torch.int64)


@runtime_checkable
class Init(Protocol):
    """`key -> (params, batch_stats)`."""

    def __call__(self, key: Key, /) -> tuple[Params, BatchStats]: ...


@runtime_checkable
class Apply(Protocol):
    """`(params, batch_stats, inputs, *, train, key) -> (outputs, batch_stats)`.

    In evaluation mode (`train=False`) the statistics are returned unchanged and nothing is drawn. In train mode the
    batch is normalised by its own statistics, the running statistics are updated, and a layer that draws needs a key:
    `[2]` for the whole batch, or `[B, 2]` for a stream per row.
    """

    def __call__(
        self, params: Params, batch_stats: BatchStats, inputs: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]: ...


@runtime_checkable
class Tokens(Protocol):
    """`(params, batch_stats, images, *, keep, train, key) -> (tokens, batch_stats)`.

    The tokens of a transformer, `[B, L, feature_dim]`, before they are pooled to features. `keep` is int64 `[B, K]`,
    the positions of the patches that the transformer sees, in this order; None keeps them all. Tokens before the
    patches (a class token) are always kept.
    """

    def __call__(
        self,
        params: Params,
        batch_stats: BatchStats,
        images: Tensor,
        /,
        *,
        keep: Tensor | None = None,
        train: bool = False,
        key: Key | None = None,
    ) -> tuple[Tensor, BatchStats]: ...


class Encoder(NamedTuple):
    """A network from images `[B, C, H, W]` to features `[B, feature_dim]`.

    Attributes:
        init: initialises the parameters and running statistics.
        apply: maps images to features.
        feature_dim: the number of features per image.
        tokens: maps images to tokens, with the parameters of `apply`; None for a network without tokens.
    """

    init: Init
    apply: Apply
    feature_dim: int
    tokens: Tokens | None = None


@runtime_checkable
class Augmentation(Protocol):
    """`(keys [B, 2], images [B, C, H, W]) -> images`: one random view of each image, drawn from its own key."""

    def __call__(self, keys: Key, images: Tensor, /) -> Tensor: ...


# One augmentation for all views of a method, or one per view: asymmetric, or of several sizes.
Views = Augmentation | Sequence[Augmentation]


@runtime_checkable
class MethodInit(Protocol):
    """`key -> (params, state)`: what the optimizer updates, and the rest of the state of training."""

    def __call__(self, key: Key, /) -> tuple[Params, Any]: ...


@runtime_checkable
class Loss(Protocol):
    """`(params, state, key, batch) -> (loss, (state, info))`.

    The loss is a scalar, differentiable in `params`. State and info are returned detached. The key is that of the
    epoch: the views of an image are drawn from `fold_in(fold_in(key, index), view)`, so they depend only on the seed,
    the epoch, the image and the view.

    Target networks, queues and running matrices live in `state` and are updated inside the loss, by the clock
    `batch.step`. `info` holds scalars to log, including those that reveal a collapse of this method: a name that ends
    in `_std` is a spread (`metrics.feature_std`), 1 when outputs point in all directions and 0 when they are all
    equal. The names `loss` and `grad_norm` belong to the training step.
    """

    def __call__(self, params: Params, state: Any, key: Key, batch: Batch, /) -> tuple[Tensor, tuple[Any, Info]]: ...


@runtime_checkable
class Published(Protocol):
    """`(params, state) -> (params, batch_stats)`: the weights of a network that a method publishes.

    A teacher updated by `averaging.follow` is that of the last loss and lacks the update after it. This is harmless if
    the momentum ends at 1.
    """

    def __call__(self, params: Params, state: Any, /) -> tuple[Params, BatchStats]: ...


def online(params: Params, state: Any, /) -> tuple[Params, BatchStats]:
    """The encoder that the optimizer updates, `params["encoder"]`, with its statistics, `state.batch_stats`.

    Example:
        >>> from functional.methods.simclr import State
        >>> online({"encoder": {"w": torch.ones(1)}}, State(batch_stats={}))
        ({'w': tensor([1.])}, {})
    """
    return params["encoder"], state.batch_stats


class Method(NamedTuple):
    """A way to pretrain an encoder: the initial parameters, and the loss that trains them.

    Attributes:
        init: initialises parameters and state.
        loss: what training minimises.
        encoder: the encoder that is monitored, saved and evaluated; the teacher, if the method publishes one.
        decoder: the network from the encoder's features to the logits of images; None if the method trains none.
        project: `params -> params`, applied after every update (`optimizers.project`) and to the result of `init`, for
            example to keep prototypes at unit norm. None for no projection.
        advice: one sentence on what to change when the features collapse.
        labelled: whether the loss reads `batch.labels`. `zoo` passes labels to such methods only.
    """

    init: MethodInit
    loss: Loss
    encoder: Published = online
    decoder: Published | None = None
    project: Callable[[Params], Params] | None = None
    advice: str = "Lower the learning rate or the weight decay."
    labelled: bool = False


@runtime_checkable
class Schedule(Protocol):
    """`step -> value`: step counts updates from 0, an int or an integer tensor; the value is a float or a tensor."""

    def __call__(self, step: Any, /) -> Any: ...


@runtime_checkable
class OptimizerInit(Protocol):
    """`params -> opt_state`."""

    def __call__(self, params: Params, /) -> Any: ...


@runtime_checkable
class Update(Protocol):
    """`(grads, opt_state, params) -> (params, opt_state)`: the new parameters, not a step to be added."""

    def __call__(self, grads: Params, opt_state: Any, params: Params, /) -> tuple[Params, Any]: ...


class Optimizer(NamedTuple):
    """A first-order optimizer. Its state holds its own step counter, a tensor."""

    init: OptimizerInit
    update: Update
