"""On a GPU: the time of an epoch of SimCLR with ResNet-18, and several models at once under vmap.

Tensors are put on the device here by hand: keys and images live there, and all else follows from them.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.measuring import Check, Options, alternate, failed, line, missing, not_run
from benchmarks.step import RESNET18, S3A, Ours, Theirs, ours
from benchmarks.views import kornia_view, noise
from functional import random, training, tree
from functional.base import Batch

IMAGES = 50_000
MODELS = 8


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part."""
    if not torch.cuda.is_available():
        yield not_run("gpu", "no GPU here")
        return
    yield from measure_on("cuda", options)


def measure_on(device: str, options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part on a device; on a CPU they only show that everything runs."""
    wait = torch.cuda.synchronize if device == "cuda" else int
    yield from _epoch(device, options, wait)
    yield from _models(device, options, wait)


def _epoch(device: str, options: Options, wait: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    batch, count = (8, 16) if options.quick else (512, IMAGES)
    network = RESNET18._replace(setting=RESNET18.setting._replace(batch=batch))
    images = noise(count, 3, 32).to(device)
    indices = [index for index in torch.arange(count, device=device).split(batch) if len(index) == batch]
    forms = ("eager bfloat16",) if options.quick else ("eager bfloat16", "compiled bfloat16")
    turns: dict[str, Callable[[], Any]] = {
        form: partial(_our_epoch, ours(network, form, device), images, indices) for form in forms
    }
    name = f"ResNet-18, an epoch of {count:,} images, batch {batch}, bfloat16"
    if reason := missing("kornia") or missing("lightly"):
        yield not_run(f"{name}, against kornia and lightly", reason)
    else:
        params = ours(network, forms[0], device).state.params
        peer = Theirs(network, params, None, "bfloat16, channels-last", device)
        turns["theirs"] = partial(_their_epoch, peer, kornia_view(network.setting, "resample"), images, indices)
    runs = alternate(name, turns, options.repeats, synchronize=wait)
    theirs = runs["theirs"].seconds if "theirs" in runs else None
    label = "kornia, torch.nn in channels-last, lightly's loss" if theirs else None
    for form in forms:
        note = f"first epoch {runs[form].first:.1f} s"
        yield line(f"{name}, {form.split()[0]}", "s", runs[form].seconds, peer=label, theirs=theirs, note=note)


def _our_epoch(run: Ours, images: Tensor, indices: list[Tensor]) -> None:
    state, key = run.state, random.key(1, device=images.device)
    for index in indices:
        state, info = run.step(state, key, Batch(images[index], None, index))
        info["loss"].item()  # as zoo's loop, which looks at each loss


def _their_epoch(peer: Theirs, view: Callable[[Tensor], Tensor], images: Tensor, indices: list[Tensor]) -> None:
    for index in indices:
        with torch.no_grad():
            scaled = images[index].float() / 255
            views = [view(scaled), view(scaled)]
        peer.step(views)


def _models(device: str, options: Options, wait: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    """A step of several models with seeds of their own: all under vmap, against one after the other."""
    network = S3A._replace(setting=S3A.setting._replace(batch=8 if options.quick else 256))
    run = ours(network, "eager float32", device)
    keys = random.split(random.key(0, device=device), MODELS)
    states = [training.init(run.method, run.optimizer, key) for key in keys.unbind()]
    stacked = tree.stack(states)
    index = torch.arange(network.setting.batch, device=device)
    batch = Batch(noise(len(index), 1, 28).to(device), None, index)
    together = torch.func.vmap(run.step, in_dims=(0, 0, None))

    def one_by_one() -> Tensor:
        return torch.stack([run.step(state, key, batch)[1]["loss"] for state, key in zip(states, keys, strict=True)])

    name = f"{MODELS} models of s3a, a step at batch {len(index)}, float32"
    difference = (together(stacked, keys, batch)[1]["loss"] - one_by_one()).abs().max().item()
    if reason := failed([Check(f"{name}: difference of the losses", difference, 1e-3)]):
        yield not_run(name, reason)
        return
    turns = {"vmap": lambda: together(stacked, keys, batch), "one by one": one_by_one}
    runs = alternate(name, turns, options.repeats, synchronize=wait)
    ours_ms, theirs_ms = ([1e3 * seconds for seconds in runs[which].seconds] for which in turns)
    yield line(f"{name}, under vmap", "ms", ours_ms, peer="one after the other", theirs=theirs_ms)
