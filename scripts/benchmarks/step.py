"""A whole step of SimCLR: two views, forward, backward, optimizer; ours against lightly's pipeline.

Ours is built from a recipe by zoo's own functions, so that it is the step of `zoo pretrain`. Theirs is lightly's
transform in a DataLoader with two workers, the same network with the same weights as `torch.nn` modules, lightly's
NTXentLoss and `torch.optim.SGD`. It runs in the default memory format and in channels-last, and the faster one counts.
Both process the views of a batch as one batch of twice the size.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

from benchmarks.measuring import Check, Options, alternate, best, failed, line, missing, not_run, say
from benchmarks.views import COLOUR_32, GREY_28, PilImages, Setting, in_workers, lightly_transform, noise, recipe_views
from functional import augmentations, losses, random, training, tree
from functional.base import Batch, Method, Optimizer, Views
from functional.training import TrainState
from zoo.environment import has_bfloat16
from zoo.models.architectures import build_encoder
from zoo.training.plan import Clock, build_method, build_optimizer, build_views, in_precision
from zoo.training.recipe import Recipe

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.06, 0.9, 5e-4


class Network(NamedTuple):
    """The network that is trained, and its views.

    Attributes:
        name: its name in the lines.
        encoder: a name in `zoo.models.architectures.ENCODERS`.
        options: options of the encoder.
        projector: widths of the head.
        setting: the setting of the views.
        batches: steps per turn.
    """

    name: str
    encoder: str
    options: dict[str, Any]
    projector: tuple[int, int]
    setting: Setting
    batches: int


S3A = Network("s3a, 28x28 grey", "s3a", {}, (256, 128), GREY_28._replace(batch=256), 32)
RESNET18 = Network(
    "ResNet-18, 32x32 colour", "resnet18", {"stem": "cifar"}, (2048, 256), COLOUR_32._replace(batch=256), 1
)
TEMPERATURE = 0.2
# Our form, their form, and the required ratio.
COMPARISONS = {
    S3A.name: (
        ("eager float32", "float32", 1.4),
        ("compiled float32", "float32", 2.5),
        ("eager bfloat16", "bfloat16", 1.4),
        ("compiled bfloat16", "bfloat16", 2.5),
    ),
    RESNET18.name: (
        ("eager float32", "float32", 1.0),
        ("eager bfloat16", "float32", 2.5),
        ("compiled bfloat16", "float32", 2.5),
    ),
}
CONVOLUTIONS = "the convolutions of a bfloat16 step alone"
BEST_FLOOR = 4.0  # the fastest of ours for s3a, against theirs in float32


class Ours(NamedTuple):
    """A run, built from a recipe as in `zoo pretrain`."""

    views: Views
    method: Method
    optimizer: Optimizer
    state: TrainState
    step: Callable[[TrainState, Tensor, Batch], tuple[TrainState, dict[str, Tensor]]]


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part."""
    for network in (S3A, RESNET18):
        if options.quick:
            quick = network.setting._replace(batch=8)
            network = network._replace(setting=quick, batches=2)
        yield from _compare(network, options)


def ours(network: Network, form: str, device: str = "cpu") -> Ours:
    """Our step in a form such as `"compiled bfloat16"`, with its initial state."""
    kind, precision = form.split()
    recipe = Recipe(
        method="simclr",
        encoder=network.encoder,
        dataset="noise",
        views=recipe_views(network.setting),
        optimizer="sgd",
        learning_rate=LEARNING_RATE,
        epochs=1,
        batch_size=network.setting.batch,
        method_options={"projector": network.projector, "temperature": TEMPERATURE},
        encoder_options=network.options,
        optimizer_options={"momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY},
        precision=precision,
        compile=kind == "compiled",
    )
    setting = network.setting
    views = build_views(recipe, setting.mean, setting.std)
    encoder = build_encoder(recipe.encoder, setting.channels, recipe.encoder_options)
    method = build_method(recipe, in_precision(encoder, recipe.precision), views)
    optimizer = build_optimizer(recipe, Clock(steps_per_epoch=1000, epochs=recipe.epochs))
    state = training.init(method, optimizer, random.key(0, device=device))
    return Ours(
        views, method, optimizer, state, training.make_train_step(method.loss, optimizer, compile=recipe.compile)
    )


class TheirModel(nn.Module):
    """The encoder and the head as modules, with our initial weights."""

    def __init__(self, network: Network, params: dict[str, Any]) -> None:
        super().__init__()
        features = 512 if network.encoder == "resnet18" else 128
        self.encoder = _their_resnet18() if network.encoder == "resnet18" else _their_s3a()
        hidden, out = network.projector
        self.projector = nn.Sequential()
        self.projector.add_module("linear1", nn.Linear(features, hidden))
        self.projector.add_module("relu1", nn.ReLU())
        self.projector.add_module("linear2", nn.Linear(hidden, out))
        for module, part in ((self.encoder, "encoder"), (self.projector, "projector")):
            # strict=False because of the running statistics, which start like ours; missing parameters are found here.
            found = module.load_state_dict(tree.flatten(params[part]), strict=False)
            lacking = set(found.missing_keys) & {name for name, _ in module.named_parameters()}
            if lacking or found.unexpected_keys:
                raise RuntimeError(f"{part}: not the same network: {sorted(lacking)}, {found.unexpected_keys}")

    def forward(self, images: Tensor) -> Tensor:
        """Projections `[B, D]`."""
        return self.projector(self.encoder(images))


def _their_s3a() -> nn.Module:
    net = nn.Sequential()
    for i, (into, out) in enumerate(((1, 32), (32, 64)), start=1):
        net.add_module(f"conv{i}", nn.Conv2d(into, out, 3, padding=1))
        net.add_module(f"relu{i}", nn.ReLU())
        net.add_module(f"pool{i}", nn.MaxPool2d(2))
    net.add_module("flatten", nn.Flatten())
    net.add_module("linear", nn.Linear(64 * 7 * 7, 128))
    return net


def _their_resnet18() -> nn.Module:
    from torchvision.models import resnet18

    net = resnet18()
    net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    net.maxpool, net.fc = nn.Identity(), nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]: as is usual
    return net


class Theirs:
    """lightly's pipeline: `turn()` makes one pass over the loader."""

    def __init__(
        self, network: Network, params: dict[str, Any], loader: DataLoader | None, form: str, device: str = "cpu"
    ) -> None:
        from lightly.loss import NTXentLoss

        self.precision, _, order = form.partition(", ")
        self.order = torch.channels_last if order == "channels-last" else torch.contiguous_format
        self.model = TheirModel(network, params).to(device, memory_format=self.order)  # pyright: ignore[reportCallIssue]
        self.loss = NTXentLoss(temperature=TEMPERATURE)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )
        self.loader = loader

    def step(self, views: list[Tensor]) -> float:
        """Make one step on the given views; returns its loss."""
        images = torch.cat(views).contiguous(memory_format=self.order)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            z = self.model(images)
        loss = self.loss(*z.float().chunk(2))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def turn(self) -> None:
        """Train for one epoch."""
        assert self.loader is not None
        for views in self.loader:
            self.step(views)


def _compare(network: Network, options: Options) -> Iterator[dict[str, Any]]:
    setting, name = network.setting, network.name
    images = noise(setting.batch * network.batches, setting.channels, setting.size)
    comparisons = [each for each in COMPARISONS[name] if not (options.quick and each[0].startswith("compiled"))]
    if not has_bfloat16():
        for form in (form for form, _, _ in comparisons if "bfloat16" in form):
            yield not_run(f"{name}, {form}", "this processor has no instructions for bfloat16")
        comparisons = [each for each in comparisons if "bfloat16" not in each[0]]
    forms = [form for form, _, _ in comparisons]
    contenders: dict[str, Callable[[], Any]] = {
        form: partial(_our_turn, ours(network, form), images, setting.batch) for form in forms
    }
    if reason := missing("lightly"):
        yield not_run(f"{name} against lightly", reason)
    elif reason := failed(_same_step(network, images)):
        yield not_run(f"{name} against lightly", reason)
    else:
        loader = in_workers(PilImages(images, lightly_transform(setting)), setting)
        params = ours(network, forms[0]).state.params
        for precision in dict.fromkeys(precision for _, precision, _ in comparisons):
            for form in (precision, f"{precision}, channels-last"):
                contenders[f"lightly {form}"] = Theirs(network, params, loader, form).turn
    if network.encoder == RESNET18.encoder and "eager bfloat16" in forms:
        contenders[CONVOLUTIONS] = _convolutions_alone(network, images)
    torch.compiler.reset()
    runs = alternate(f"step {name}", contenders, options.repeats)

    rates = {form: run.rate(len(images)) for form, run in runs.items()}
    rows = [(f"{name}, {form}", form, precision, floor) for form, precision, floor in comparisons]
    if network.encoder == S3A.encoder:
        fastest = best(runs, forms)
        rows.append((f"{name}, {fastest}, the fastest form", fastest, "float32", BEST_FLOOR))
    if CONVOLUTIONS in runs:
        rows.append((f"{name}, {CONVOLUTIONS}: all that a step could reach here", CONVOLUTIONS, "float32", None))
    for named, form, precision, floor in rows:
        note = f"first call {runs[form].first:.1f} s" if form.startswith("compiled") else ""
        theirs = [contender for contender in runs if contender.startswith(f"lightly {precision}")]
        if not theirs:
            yield line(named, "images/s", rates[form], note=note)
            continue
        peer = best(runs, theirs)
        label = f"{peer}, 2 workers"
        yield line(named, "images/s", rates[form], peer=label, theirs=rates[peer], floor=floor, note=note)
    yield from _shares(network, images, options)


def _our_turn(run: Ours, images: Tensor, batch: int) -> None:
    state, key = run.state, random.key(1)
    for index in torch.randperm(len(images)).split(batch):
        state, info = run.step(state, key, Batch(images[index], None, index))
        info["loss"].item()  # as in zoo's loop and theirs, which read each loss


def _same_step(network: Network, images: Tensor) -> list[Check]:
    """Check that equal views, weights and optimizers give equal losses before and after a step, and the loss alone."""
    from lightly.loss import NTXentLoss

    index = torch.arange(network.setting.batch)
    batch, key = Batch(images[: len(index)], None, index), random.key(1)
    run = ours(network, "eager float32")
    views = augmentations.draw_views(run.views, key, batch)
    a, b = random.normal(key, (2, 64, 32))
    found = losses.nt_xent(a, b, temperature=TEMPERATURE).mean() - NTXentLoss(TEMPERATURE)(a, b)
    checks = [Check("NT-Xent: difference to lightly's", found.abs().item(), 1e-5)]
    theirs, state = Theirs(network, run.state.params, None, "float32"), run.state
    for moment in ("before", "after"):
        started = time.perf_counter()
        expected = theirs.step(views)
        state, info = run.step(state, key, batch)
        difference = abs(info["loss"].item() - expected)
        checks.append(Check(f"{network.name}: difference of the losses {moment} a step", difference, 1e-3))
        say(f"{network.name}: two steps compared in {time.perf_counter() - started:.1f} s")
    return checks


class Convolutions(TorchDispatchMode):
    """Records every convolution inside the context, forward and backward, in `calls`, to run them again."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], Any]] = []

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if operator in (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default):
            self.calls.append(partial(operator, *args))
        return operator(*args, **(kwargs or {}))


def _convolutions_alone(network: Network, images: Tensor) -> Callable[[], None]:
    """Only the convolutions of our steps in bfloat16, on the same number of batches."""
    run, index = ours(network, "eager bfloat16"), torch.arange(network.setting.batch)
    with Convolutions() as convolutions:
        run.step(run.state, random.key(1), Batch(images[index], None, index))

    @torch.no_grad()
    def turn() -> None:
        for call in network.batches * convolutions.calls:
            call()

    return turn


def _shares(network: Network, images: Tensor, options: Options) -> Iterator[dict[str, Any]]:
    """The share of our step that the views and the optimizer take; each is timed alone, as is the whole step."""
    batch = Batch(images[: network.setting.batch], None, torch.arange(network.setting.batch))
    run, key = ours(network, "eager float32"), random.key(1)
    state = run.state
    turns: dict[str, Callable[[], Any]] = {
        "views": lambda: augmentations.draw_views(run.views, key, batch),
        "optimizer": lambda: run.optimizer.update(state.params, state.opt_state, state.params),
        "step": lambda: run.step(state, key, batch),
    }
    runs = alternate(f"shares {network.name}", turns, options.repeats)
    parts = {name: statistics.median(run.seconds) for name, run in runs.items()}
    shares = [100 * sum(turn[:2]) / turn[2] for turn in zip(*(runs[name].seconds for name in turns), strict=True)]
    note = ", ".join(f"{name} {100 * parts[name] / parts['step']:.1f} %" for name in ("views", "optimizer"))
    named = f"{network.name}, eager float32: part of a step that is views and optimizer"
    yield line(named, "%", shares, ceiling=10.0, note=note)
