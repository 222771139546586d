"""Trees of tensors: map over them, name their leaves, measure and stack them.

A tree is a nested dict of tensors (`Params`, `BatchStats`), or a NamedTuple or tuple of such (a state). Names are
paths joined by dots: `params["layer1"]["0"]["conv1"]["weight"]` is `"layer1.0.conv1.weight"`, as in torch. Leaves come
in insertion order, and nothing may depend on it: if every leaf needs its own key, the key comes from the leaf's name or
from the code, never from its position.

This is the only file that imports `torch.utils._pytree`, which is private.
"""

from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree


def map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """The tree of `function(leaf, *leaves at the same place in rest)`.

    Example:
        >>> map(lambda x, y: x + y, {"a": torch.tensor(1)}, {"a": torch.tensor(2)})
        {'a': tensor(3)}
    """
    return _pytree.tree_map(function, tree, *rest)


def leaves(tree: Any) -> list[Tensor]:
    """The tensors of a tree, in insertion order.

    Example:
        >>> leaves({"a": torch.tensor(1), "b": {"c": torch.tensor(2)}})
        [tensor(1), tensor(2)]
    """
    return _pytree.tree_leaves(tree)


def flatten(tree: Any) -> dict[str, Tensor]:
    """The leaves by name.

    Args:
        tree: nested dicts, NamedTuples and tuples of tensors.

    Returns:
        `{"layer1.0.conv1.weight": tensor, ...}`. Empty dicts inside the tree are dropped.

    Raises:
        ValueError: if a dict's key is not a string, or contains a dot, which would make names ambiguous.
        TypeError: if a leaf is not a tensor.

    Example:
        >>> flatten({"conv1": {"weight": torch.zeros(2)}})
        {'conv1.weight': tensor([0., 0.])}
    """
    return dict(_named_leaves(tree, ""))


def unflatten(flat: Mapping[str, Tensor]) -> dict[str, Any]:
    """The nested dict that `flatten` maps to `flat`.

    Raises:
        ValueError: if a name is both a leaf and a branch (`"a"` beside `"a.b"`).

    Example:
        >>> unflatten({"conv1.weight": torch.zeros(2)})
        {'conv1': {'weight': tensor([0., 0.])}}
    """
    nested: dict[str, Any] = {}
    for name, leaf in flat.items():
        *branches, last = name.split(".")
        node = nested
        for branch in branches:
            node = node.setdefault(branch, {})
            if isinstance(node, Tensor):
                raise ValueError(f"{name}: {branch!r} is already a tensor; a name is a leaf or a branch, not both")
        if last in node:
            raise ValueError(f"{name}: is already a branch; a name is a leaf or a branch, not both")
        node[last] = leaf
    return nested


def unflatten_like(template: Any, flat: Mapping[str, Tensor]) -> Any:
    """The tree with the structure of `template` and the leaves of `flat`, by name.

    Args:
        template: nested dicts, NamedTuples and tuples of tensors; only its structure, shapes and dtypes matter.
        flat: a leaf for each leaf of the template, and no others.

    Raises:
        ValueError: if a leaf is missing, left over, or of a different shape or dtype; the message names it.

    Example:
        >>> unflatten_like({"a": (torch.zeros(1),)}, {"a.0": torch.ones(1)})
        {'a': (tensor([1.]),)}
    """
    wanted = flatten(template)
    missing, unknown = wanted.keys() - flat.keys(), flat.keys() - wanted.keys()
    if missing or unknown:
        raise ValueError(f"leaves differ: missing {_some(missing)}, unknown {_some(unknown)}")
    for name, leaf in wanted.items():
        if leaf.shape != flat[name].shape or leaf.dtype != flat[name].dtype:
            raise ValueError(
                f"{name}: expected {leaf.dtype} {list(leaf.shape)}, got {flat[name].dtype} {list(flat[name].shape)}"
            )
    return _pytree.tree_unflatten([flat[name] for name in wanted], _pytree.tree_structure(template))


def norm(tree: Any) -> Tensor:
    r"""The Euclidean norm over all leaves, $\sqrt{\sum_i \|x_i\|^2}$, a scalar in at least float32; 0 without leaves.

    Example:
        >>> norm({"a": torch.tensor([3.0]), "b": torch.tensor([4.0])})
        tensor(5.)
    """
    squares = [x.to(torch.promote_types(x.dtype, torch.float32)).square().sum() for x in leaves(tree)]
    return torch.stack(squares).sum().sqrt() if squares else torch.zeros((), dtype=torch.float32)


def stack(trees: list[Any]) -> Any:
    """Stack trees of one structure along a new first dimension, which `torch.func.vmap` can map over.

    Example:
        >>> stack([{"a": torch.tensor(1)}, {"a": torch.tensor(2)}])
        {'a': tensor([1, 2])}
    """
    return map(lambda *xs: torch.stack(xs), *trees)


def detach(tree: Any) -> Any:
    """The same values, detached from the graph that computed them.

    Example:
        >>> detach({"a": torch.ones(1, requires_grad=True)})
        {'a': tensor([1.])}
    """
    return map(Tensor.detach, tree)


def _named_leaves(tree: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield prefix, tree
        return
    if isinstance(tree, dict):
        children = tree.items()
    elif isinstance(tree, tuple):
        children = zip(getattr(tree, "_fields", [str(i) for i in range(len(tree))]), tree, strict=True)
    else:
        raise TypeError(f"{prefix}: expected a tensor, a dict or a tuple, got {type(tree).__name__}")
    for name, child in children:
        if not isinstance(name, str) or "." in name:
            raise ValueError(f"{name!r}: the names in a tree are strings without dots; nest a dict for every dot")
        yield from _named_leaves(child, f"{prefix}.{name}" if prefix else name)


def _some(names: Set[str]) -> str:
    shown = sorted(names)[:3]
    return (", ".join(shown) + (", ..." if len(names) > 3 else "")) or "none"
