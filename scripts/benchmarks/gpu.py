"""On a GPU: agreement with the CPU, an epoch of SimCLR with ResNet-18, and several models under vmap.

Keys and images are moved to the device explicitly; everything else follows from them.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measuring import Check, Options, alternate, failed, line, missing, not_run
from benchmarks.step import RESNET18, S3A, Network, Ours, Theirs, ours
from benchmarks.views import COLOUR_32, COLOUR_224, GREY_28, Setting, kornia_view, noise, zoo_views
from functional import augmentations, random, training, tree
from functional.base import Batch
from zoo.environment import has_bfloat16

IMAGES = 50_000
MODELS = (1, 2, 4, 8, 16)


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part."""
    if not torch.cuda.is_available():
        yield not_run("gpu", "no GPU here")
        return
    yield from measure_on("cuda", options)


def measure_on(device: str, options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part on a device; on a CPU they only test that everything runs."""
    wait = torch.cuda.synchronize if device == "cuda" else int
    yield from _agreement(device, options)
    yield from _epoch(device, options, wait)
    for network in (S3A, RESNET18):
        for models in MODELS[1:2] if options.quick else MODELS:
            yield from _models(network, models, device, options, wait)


def _agreement(device: str, options: Options) -> Iterator[dict[str, Any]]:
    """Check that random bits equal those of the CPU exactly, and views to 1e-5."""
    bits, their_bits = (random.bits(random.key(0, device=where), (10_000,)).cpu() for where in (device, "cpu"))
    equal = Check("bits that differ from the CPU's", (bits != their_bits).sum().item(), 0)
    for setting in (COLOUR_32, GREY_28, COLOUR_224):
        setting = setting._replace(batch=8) if options.quick else setting
        name = f"{setting.name}: difference of the views to those of the CPU"
        difference = (_drawn(setting, device) - _drawn(setting, "cpu")).abs().max().item()
        if reason := failed([equal, Check(name, difference, 1e-5)]):
            yield not_run(name, reason)
        else:
            yield line(name, "of 1", [difference], ceiling=1e-5, note=f"{len(bits):,} draws are equal in all bits")


def _drawn(setting: Setting, device: str) -> Tensor:
    images, index = noise(setting.batch, setting.channels, setting.size), torch.arange(setting.batch)
    batch = Batch(images.to(device), None, index.to(device))
    return torch.cat(augmentations.draw_views(zoo_views(setting), random.key(0, device=device), batch)).cpu()


def _epoch(device: str, options: Options, wait: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    batch, count = (8, 16) if options.quick else (512, IMAGES)
    network = RESNET18._replace(setting=RESNET18.setting._replace(batch=batch))
    images = noise(count, 3, 32).to(device)
    indices = [index for index in torch.arange(count, device=device).split(batch) if len(index) == batch]
    precision = "bfloat16" if device != "cpu" or has_bfloat16() else "float32"
    forms = [f"{kind} {precision}" for kind in (("eager",) if options.quick else ("eager", "compiled"))]
    turns: dict[str, Callable[[], Any]] = {
        form: partial(_our_epoch, ours(network, form, device), images, indices) for form in forms
    }
    name = f"ResNet-18, an epoch of {count:,} images, batch {batch}, {precision}"
    if reason := missing("kornia") or missing("lightly"):
        yield not_run(f"{name}, against kornia and lightly", reason)
    else:
        params = ours(network, forms[0], device).state.params
        peer = Theirs(network, params, None, f"{precision}, channels-last", device)
        turns["theirs"] = partial(_their_epoch, peer, kornia_view(network.setting, "resample"), images, indices)
    runs = alternate(name, turns, options.repeats, synchronize=wait)
    theirs = runs["theirs"].seconds if "theirs" in runs else None
    label = "kornia, torch.nn in channels-last, lightly's loss" if theirs else None
    rate, needed = _matrix_rate(device, options, wait), _operations(ours(network, forms[0], device), images, indices)
    for form in forms:
        seconds = runs[form].seconds
        note = f"first epoch {runs[form].first:.1f} s"
        ceiling = None if options.quick else 4.0
        named = f"{name}, {form.split()[0]}"
        yield line(named, "s", seconds, peer=label, theirs=theirs, ceiling=ceiling, note=note)
        shares = [100 * needed / each / rate for each in seconds]
        note = f"of {rate / 1e12:.1f} Tflop/s, measured in a product of bfloat16 matrices"
        yield line(f"{named}: part of the matrix rate that is used", "%", shares, note=note)


def _matrix_rate(device: str, options: Options, wait: Callable[[], Any]) -> float:
    """Operations per second in the product of two square matrices, in the best of ten turns."""
    side = 64 if options.quick else 8192
    a, b = torch.randn(2, side, side, device=device, dtype=torch.bfloat16)
    runs = alternate("matrix product", {"product": lambda: a @ b}, 10, synchronize=wait)
    return 2 * side**3 / min(runs["product"].seconds)


def _operations(run: Ours, images: Tensor, indices: list[Tensor]) -> int:
    """Multiplications and additions per epoch, as torch counts them: those of matrix products and convolutions."""
    batch = Batch(images[indices[0]], None, indices[0])
    with FlopCounterMode(display=False) as counter:
        run.step(run.state, random.key(1, device=images.device), batch)
    return len(indices) * counter.get_total_flops()


def _our_epoch(run: Ours, images: Tensor, indices: list[Tensor]) -> None:
    state, key = run.state, random.key(1, device=images.device)
    for index in indices:
        state, info = run.step(state, key, Batch(images[index], None, index))
        info["loss"].item()  # as in zoo's loop, which reads each loss


def _their_epoch(peer: Theirs, view: Callable[[Tensor], Tensor], images: Tensor, indices: list[Tensor]) -> None:
    for index in indices:
        with torch.no_grad():
            scaled = images[index].float() / 255
            views = [view(scaled), view(scaled)]
        peer.step(views)


def _models(
    network: Network, models: int, device: str, options: Options, wait: Callable[[], Any]
) -> Iterator[dict[str, Any]]:
    """A step of several models with different seeds: all under vmap, against one after the other."""
    network = network._replace(setting=network.setting._replace(batch=8 if options.quick else 256))
    run = ours(network, "eager float32", device)
    keys = random.split(random.key(0, device=device), models)
    states = [training.init(run.method, run.optimizer, key) for key in keys.unbind()]
    stacked = tree.stack(states)
    index = torch.arange(network.setting.batch, device=device)
    batch = Batch(noise(len(index), network.setting.channels, network.setting.size).to(device), None, index)
    together = torch.func.vmap(run.step, in_dims=(0, 0, None))

    def one_by_one() -> Tensor:
        return torch.stack([run.step(state, key, batch)[1]["loss"] for state, key in zip(states, keys, strict=True)])

    name = f"{models} x {network.name}, a step at batch {len(index)}, float32"
    difference = (together(stacked, keys, batch)[1]["loss"] - one_by_one()).abs().max().item()
    if reason := failed([Check(f"{name}: difference of the losses", difference, 1e-3)]):
        yield not_run(name, reason)
        return
    turns = {"vmap": lambda: together(stacked, keys, batch), "one by one": one_by_one}
    runs = alternate(name, turns, options.repeats, synchronize=wait)
    ours_ms, theirs_ms = ([1e3 * seconds for seconds in runs[which].seconds] for which in turns)
    yield line(f"{name}, under vmap", "ms", ours_ms, peer="one after the other", theirs=theirs_ms)
