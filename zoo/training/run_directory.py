"""The files of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from functional import tree
from zoo.errors import ZooError
from zoo.files import load_tensors, save_tensors


def save_checkpoint(path: str | Path, state: Any, metadata: Mapping[str, Any]) -> None:
    """Write a tree of tensors (a `TrainState`) under the names of its leaves."""
    save_tensors(path, tree.flatten(state), metadata)


def load_checkpoint(path: str | Path, template: Any) -> tuple[Any, dict[str, Any]]:
    """The tree that `save_checkpoint` wrote, with the structure of `template`, and its metadata.

    Raises:
        ZooError: if the file is not whole, or its leaves are not the template's; the message names the leaf.
    """
    flat, metadata = load_tensors(path)
    try:
        return tree.unflatten_like(template, flat), metadata
    except ValueError as error:
        raise ZooError(f"{path}: {error}") from error
