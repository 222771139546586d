"""`from_module`: any `torch.nn.Module`, from torchvision, timm or your own code, as an `Encoder`."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from functional import tree
from functional.base import BatchStats, Encoder, Key, Params
from functional.checks import check_images, check_rank


def from_module(module: nn.Module, *, feature_dim: int | None = None) -> Encoder:
    """A module's forward pass as pure functions, initialised with the module's own weights.

    The module is copied immediately and never modified: its weights, buffers and mode stay the same, and later changes
    to it do not affect the encoder.

    Args:
        module: from images `[B, C, H, W]` to features `[B, D]`. Remove the classifier first:
            `module.fc = torch.nn.Identity()` for torchvision's ResNets, `num_classes=0` in `timm.create_model`.
        feature_dim: D. Optional where it can be inferred: for timm's models, and if the last submodule is linear.
            Otherwise it is 0, and no head can be built on it.

    Returns:
        An encoder. `init` ignores its key and returns copies of the module's weights: `params` are the parameters and
        `batch_stats` the buffers, under the names of the module's state dict. In train mode `apply` runs every
        submodule in train mode and returns the updated buffers; its key is ignored.

    Raises:
        TypeError: if `module` is not an nn.Module (for example, a class).
        ValueError: from `apply`, in train mode if a submodule draws (dropout, drop path, ...), because torch's global
            generator takes no key; and if the outputs are not `[B, feature_dim]`.

    Example:
        >>> from functional import random
        >>> module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> encoder = from_module(module, feature_dim=8)
        >>> params, batch_stats = encoder.init(random.key(0))
        >>> list(tree.flatten(batch_stats))
        ['1.running_mean', '1.running_var']
        >>> features, batch_stats = encoder.apply(params, batch_stats, torch.ones(2, 3, 8, 8), train=True)
        >>> features.shape
        torch.Size([2, 8])

    Note:
        A parameter that does not require a gradient is in `batch_stats`, where no optimizer updates it. One that is
        used under several names (tied weights) appears once, under the first. The counters `num_batches_tracked` are
        left out unless batch norm reads them, that is, unless its momentum is None.

        Dropout is detected in the submodules; a literal `F.dropout(x, 0.5, self.training)` inside a forward method goes
        undetected. Evaluation mode works under `torch.func.vmap`; train mode changes buffers in place, which vmap
        refuses.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module: expected a torch.nn.Module, got {module!r}; call the class to make one")
    own = copy.deepcopy(module)
    shared: dict[int, Any] = {id(x): x for x in (*own.parameters(), *own.buffers())}
    modules = {True: copy.deepcopy(own, shared).train(), False: own.eval()}  # the same tensors in two modes
    parameters, state, counters = _leaves(own)
    drawing = [f"{name or 'module'} ({type(part).__name__})" for name, part in own.named_modules() if _draws(part)]
    feature_dim = _feature_dim(own) if feature_dim is None else feature_dim

    def init(key: Key, /) -> tuple[Params, BatchStats]:
        return tree.unflatten(_copies(parameters)), tree.unflatten(_copies(state))

    def apply(
        params: Params, batch_stats: BatchStats, images: Tensor, /, *, train: bool = False, key: Key | None = None
    ) -> tuple[Tensor, BatchStats]:
        check_images(images)
        if train and drawing:
            raise ValueError(
                f"from_module: train mode would draw from torch's global generator in {', '.join(drawing[:3])}; "
                "set the rates to 0 (timm: drop_rate=0, drop_path_rate=0)"
            )
        # A module can change its inputs and buffers in place, so it gets copies.
        new_stats, images = tree.map(torch.clone, (batch_stats, images))
        leaves = {**tree.flatten(params), **tree.flatten(new_stats), **_copies(counters)}
        features = torch.func.functional_call(modules[train], leaves, (images,), strict=True)
        check_rank("features of the module", features, "batch dim")
        if feature_dim and features.shape[1] != feature_dim:
            raise ValueError(
                f"feature_dim: expected {feature_dim}, but the module gives {features.shape[1]}; "
                f"pass from_module(module, feature_dim={features.shape[1]}), or remove the classifier"
            )
        return features, tree.detach(new_stats if train else batch_stats)

    return Encoder(init, apply, feature_dim)


def _leaves(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """By name: the trained parameters, the state, and the batch counters that batch norm does not read."""
    named: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    momentum = {name: getattr(part, "momentum", None) for name, part in module.named_modules()}
    unread = {f"{name}.num_batches_tracked".lstrip(".") for name in momentum if momentum[name] is not None}
    parameters = {name: x for name, x in named.items() if x.requires_grad}
    counters = {name: x for name, x in named.items() if name in unread}
    state = {name: x for name, x in named.items() if name not in parameters.keys() | unread}
    return parameters, state, counters


def _copies(leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: x.detach().clone() for name, x in leaves.items()}


def _draws(module: nn.Module) -> bool:
    """Whether the module itself, not a submodule, draws in train mode, by the names of torch, torchvision and timm."""
    kind = type(module).__name__.lower()
    dropout = "drop" in kind or kind == "stochasticdepth"
    rates = [x for name, x in vars(module).items() if "drop" in name or (dropout and name in ("p", "prob"))]
    return isinstance(module, nn.RReLU) or any(type(x) in (int, float) and x > 0 for x in rates)


def _feature_dim(module: nn.Module) -> int:
    """The number of features, from timm's attributes or a last linear layer; 0 if unknown."""
    features = getattr(module, "head_hidden_size", None) or getattr(module, "num_features", None)
    classes = getattr(module, "num_classes", None)
    if isinstance(features, int) and isinstance(classes, int):
        return classes or features
    *_, last = module.modules()
    return last.out_features if isinstance(last, nn.Linear) else 0
