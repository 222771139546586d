"""Two random views of every image of a batch: ours against torchvision, kornia and lightly, and a bare copy.

All apply the same operations in the same order to the same uint8 images (smooth noise: no cost depends on the values).
torchvision and lightly process single images in a DataLoader with two workers; kornia, like ours, processes whole
batches in this process. Ours is what `zoo pretrain` runs: `draw_views` on a batch gathered by index. Peers run
unmodified: lightly rotates to the nearest pixel and blurs with PIL's boxes, kornia draws one jitter order per batch.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from benchmarks.measuring import Check, Options, alternate, best, failed, line, missing, not_run
from functional import augmentations, random
from functional.base import Batch, Views
from zoo.training.catalogue import AUGMENTATIONS
from zoo.training.plan import build_views
from zoo.training.recipe import Recipe

WORKERS = 2


class Setting(NamedTuple):
    """The operations of a view, in the order of the fields from `scale` on; normalisation comes last.

    Attributes:
        name: its name in the lines.
        channels: 1 or 3.
        size: side of the images and views in pixels.
        batch: images per batch.
        batches: batches per turn; even, so that two workers share them equally.
        scale: range of the crop's area.
        flip: probability of a flip.
        degrees: the largest rotation; 0 for none.
        jitter: brightness, contrast, saturation, hue; with probability .8, in random order.
        grey: probability of grey.
        blur: probability of a blur, with sigma .1 to 2 and a kernel of a tenth of the side.
    """

    name: str
    channels: int
    size: int
    batch: int
    batches: int
    scale: tuple[float, float]
    flip: float = 0.0
    degrees: float = 0.0
    jitter: tuple[float, float, float, float] | None = None
    grey: float = 0.0
    blur: float = 0.0

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean per channel, for the normalisation."""
        return self.channels * (0.5,)

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation per channel, for the normalisation."""
        return self.channels * (0.25,)

    @property
    def kernel(self) -> int:
        """Side of the blur kernel in pixels."""
        return 2 * max(1, self.size // 20) + 1


COLOUR_32 = Setting("32x32 colour", 3, 32, 512, 8, (0.2, 1.0), 0.5, jitter=(0.4, 0.4, 0.4, 0.1), grey=0.2)
GREY_28 = Setting("28x28 grey", 1, 28, 512, 8, (0.4, 1.0), degrees=15.0)
COLOUR_224 = Setting(
    "224x224 colour, blur", 3, 224, 64, 2, (0.08, 1.0), 0.5, jitter=(0.8, 0.8, 0.8, 0.2), grey=0.2, blur=0.5
)
FLOORS = {  # the required ratios
    "32x32 colour, eager": {"torchvision": 3, "kornia": 2},
    "32x32 colour, compiled": {"torchvision": 10, "kornia": 5},
    "224x224 colour, blur, eager": {"lightly": 2},
    "224x224 colour, blur, compiled": {"lightly": 3},
}


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part."""
    for setting in (COLOUR_32, GREY_28, COLOUR_224):
        setting = setting._replace(batch=8, batches=2) if options.quick else setting
        yield from _compare(setting, options)
        if options.profile:
            yield from _profile(setting, options)


def noise(n: int, channels: int, size: int) -> Tensor:
    """uint8 images `[N, C, H, W]`, drawn at a quarter of the size and smoothly enlarged."""
    generator = torch.Generator().manual_seed(0)
    images = torch.empty(n, channels, size, size, dtype=torch.uint8)
    for part in images.split(10_000):
        coarse = torch.rand(len(part), channels, size // 4, size // 4, generator=generator)
        part.copy_(255 * F.interpolate(coarse, (size, size), mode="bilinear"))
    return images


def recipe_views(setting: Setting) -> tuple[tuple[str, dict[str, Any]], ...]:
    """The operations in the form of a recipe."""
    steps: list[tuple[str, dict[str, Any]]] = [
        ("random_resized_crop", {"size": setting.size, "scale": setting.scale, "flip": setting.flip})
    ]
    if setting.degrees:
        steps.append(("rotate", {"degrees": setting.degrees}))
    if setting.jitter:
        names = ("brightness", "contrast", "saturation", "hue")
        steps.append(("color_jitter", dict(zip(names, setting.jitter, strict=True))))
    if setting.grey:
        steps.append(("grayscale", {"p": setting.grey}))
    if setting.blur:
        steps.append(("gaussian_blur", {"p": setting.blur, "kernel_size": setting.kernel}))
    return tuple(steps)


def zoo_views(setting: Setting) -> Views:
    """The operations as `zoo pretrain` builds them."""
    recipe = Recipe(
        method="simclr",
        encoder="s3a",
        dataset="mnist",
        views=recipe_views(setting),
        optimizer="sgd",
        learning_rate=1.0,
        epochs=1,
        batch_size=setting.batch,
    )
    return build_views(recipe, setting.mean, setting.std)


def lightly_transform(setting: Setting) -> Callable[[Any], Any]:
    """The transform by lightly that makes two views of a PIL image."""
    from lightly.transforms.simclr_transform import SimCLRTransform

    brightness, contrast, saturation, hue = setting.jitter or (0.0, 0.0, 0.0, 0.0)
    return SimCLRTransform(
        input_size=setting.size,
        cj_prob=0.8 if setting.jitter else 0.0,
        cj_strength=1.0,
        cj_bright=brightness,
        cj_contrast=contrast,
        cj_sat=saturation,
        cj_hue=hue,
        min_scale=setting.scale[0],
        random_gray_scale=setting.grey,
        gaussian_blur=setting.blur,
        hf_prob=setting.flip,
        rr_prob=1.0 if setting.degrees else 0.0,
        rr_degrees=setting.degrees or None,
        normalize={"mean": list(setting.mean), "std": list(setting.std)},
    )


def in_workers(dataset: Dataset, setting: Setting) -> DataLoader:
    """Batches of a dataset from persistent workers with one thread each, as is common."""
    return DataLoader(
        dataset, setting.batch, shuffle=True, drop_last=True, num_workers=WORKERS, persistent_workers=True
    )


class PilImages(Dataset):
    """PIL images, as from an image folder, with two views of each."""

    def __init__(self, images: Tensor, transform: Callable[[Any], Any]) -> None:
        self.arrays = images.permute(0, 2, 3, 1).squeeze(-1).contiguous().numpy()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> Any:
        return self.transform(Image.fromarray(self.arrays[index]))


class TensorImages(Dataset):
    """Images as uint8 tensors, with two views of each."""

    def __init__(self, images: Tensor, transform: Callable[[Any], Any]) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.transform(self.images[index])


class _Twice:
    """Two views by torchvision's transforms, for a PIL image or a tensor."""

    def __init__(self, view: Callable[[Any], Any]) -> None:
        self.view = view

    def __call__(self, image: Any) -> Any:
        return self.view(image), self.view(image)


def _torchvision_view(setting: Setting) -> Callable[[Any], Any]:
    from torchvision.transforms import InterpolationMode, v2

    steps: list[torch.nn.Module] = [v2.RandomResizedCrop(setting.size, setting.scale, antialias=True)]
    if setting.flip:
        steps.append(v2.RandomHorizontalFlip(setting.flip))
    if setting.degrees:
        steps.append(v2.RandomRotation(setting.degrees, InterpolationMode.BILINEAR))  # pyright: ignore[reportArgumentType]: it takes a number
    if setting.jitter:
        steps.append(v2.RandomApply([v2.ColorJitter(*setting.jitter)], 0.8))
    if setting.grey:
        steps.append(v2.RandomGrayscale(setting.grey))
    if setting.blur:
        steps.append(v2.RandomApply([v2.GaussianBlur(setting.kernel, (0.1, 2.0))], setting.blur))
    steps += [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(setting.mean), list(setting.std))]
    return v2.Compose(steps)


def kornia_view(setting: Setting, cropping_mode: str) -> torch.nn.Module:
    """A view of a batch in 0..1 by kornia, which crops by slicing each image, or by resampling all at once."""
    import kornia.augmentation as K

    side = (setting.size, setting.size)
    steps: list[torch.nn.Module] = [K.RandomResizedCrop(side, setting.scale, cropping_mode=cropping_mode)]
    if setting.flip:
        steps.append(K.RandomHorizontalFlip(setting.flip))
    if setting.degrees:
        steps.append(K.RandomRotation(setting.degrees, p=1.0))
    if setting.jitter:
        steps.append(K.ColorJitter(*setting.jitter, p=0.8))  # one order per batch: less work than the others
    if setting.grey:
        steps.append(K.RandomGrayscale(p=setting.grey))
    if setting.blur:
        steps.append(K.RandomGaussianBlur((setting.kernel, setting.kernel), (0.1, 2.0), p=setting.blur))
    return torch.nn.Sequential(*steps, K.Normalize(torch.tensor(setting.mean), torch.tensor(setting.std)))


def _compare(setting: Setting, options: Options) -> Iterator[dict[str, Any]]:
    images = noise(setting.batch * setting.batches, setting.channels, setting.size)
    indices = torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).split(setting.batch)
    views, key = zoo_views(setting), random.key(0)
    torch.compiler.reset()  # else a new size would compile for dynamic sizes, which is slower
    compiled = torch.compile(two_views, backend="eager" if options.quick else "inductor")
    torch.manual_seed(0)

    def whole_batches(draw: Callable[[Tensor], Any]) -> Callable[[], Any]:
        def turn() -> None:
            with torch.no_grad():
                for index in indices:
                    draw(index)

        return turn

    def kornia_draw(view: Callable[[Tensor], Tensor], index: Tensor) -> Any:
        scaled = images[index].float() / 255
        return view(scaled), view(scaled)

    # `draws` makes a contender's views of the first batch, for the check; `turns` is its work in a turn.
    draws: dict[str, Callable[[Tensor], Any]] = {
        "eager": lambda index: two_views(views, key, images[index], index),
        "compiled": lambda index: compiled(views, key, images[index], index),
        "copy": lambda index: [images[index].float() / 255 for _ in range(2)],
    }
    turns = {name: whole_batches(draw) for name, draw in draws.items()}
    per_image: dict[str, Dataset] = {
        "torchvision, PIL images": PilImages(images, _Twice(_torchvision_view(setting))),
        "torchvision, uint8 tensors": TensorImages(images, _Twice(_torchvision_view(setting))),
    }
    if absent_lightly := missing("lightly"):
        yield not_run(f"{setting.name} against lightly", absent_lightly)
    else:
        per_image["lightly"] = PilImages(images, lightly_transform(setting))
    for name, dataset in per_image.items():
        draws[name] = partial(_collate, dataset)
        turns[name] = partial(_run_through, in_workers(dataset, setting))
    if absent_kornia := missing("kornia"):
        yield not_run(f"{setting.name} against kornia", absent_kornia)
    else:
        for mode in ("slice", "resample"):
            draws[f"kornia, {mode}"] = partial(kornia_draw, kornia_view(setting, mode))
            turns[f"kornia, {mode}"] = whole_batches(draws[f"kornia, {mode}"])

    started = time.perf_counter()
    with torch.no_grad():
        draws["compiled"](indices[0])
    compile_note = f"compiled in {time.perf_counter() - started:.0f} s"
    wrong = {name: failed(_alike(setting, name, draws, indices[0])) for name in draws if name not in ("eager", "copy")}
    if wrong["compiled"]:
        yield not_run(f"{setting.name}, compiled", wrong["compiled"])
    for name, reason in wrong.items():
        if reason:
            del turns[name]
    runs = alternate(f"views {setting.name}", turns, options.repeats)

    rates = {name: run.rate(2 * len(images)) for name, run in runs.items()}
    for ours in (name for name in ("eager", "compiled") if name in runs):
        note = compile_note if ours == "compiled" else ""
        for peer in ("torchvision", "kornia", "lightly"):
            names = [name for name in runs if name.startswith(peer)]
            if not names:
                reasons = [reason for name, reason in wrong.items() if name.startswith(peer) and reason]
                if reasons:
                    yield not_run(f"{setting.name}, {ours}, against {peer}", reasons[0])
                continue
            chosen = best(runs, names)
            where = f"batches of {setting.batch}" if peer == "kornia" else f"{WORKERS} workers"
            label, theirs = f"{chosen}, {where}", rates[chosen]
            what = f"{setting.name}, {ours}"
            floor = FLOORS.get(what, {}).get(peer)
            yield line(what, "views/s", rates[ours], peer=label, theirs=theirs, floor=floor, note=note)
        copies = statistics.median(rates["copy"])
        shares = [100 * rate / copies for rate in rates[ours]]
        note = f"{copies:,.0f} copies/s: gather, to float32, scale"
        yield line(f"{setting.name}, {ours}: part of the speed of a bare copy", "%", shares, note=note)


def two_views(views: Views, key: Tensor, images: Tensor, index: Tensor) -> list[Tensor]:
    """Two views of each image of a batch, by the positions of the images in the dataset."""
    return augmentations.draw_views(views, key, Batch(images, None, index))


def _collate(dataset: Dataset, index: Tensor) -> Any:
    return default_collate([dataset[int(i)] for i in index])


def _run_through(loader: DataLoader) -> None:
    for _ in loader:
        pass


def _ten_times(step: Callable[[], Any]) -> None:
    for _ in range(10):
        step()


def _alike(setting: Setting, name: str, draws: dict[str, Callable[[Tensor], Any]], index: Tensor) -> list[Check]:
    with torch.no_grad():
        ours, theirs = (torch.cat(list(draws[which](index))) for which in ("eager", name))
    return alike(f"{setting.name}, {name}", ours, theirs)


def alike(name: str, ours: Tensor, theirs: Tensor) -> list[Check]:
    """Whether two sets of views `[N, C, H, W]` have the same distribution of means, spreads and colours, to six errors.

    The library's tests check that an operation gives the same pixels for the same parameters. This check detects
    colour changes or black corners that are missing or configured differently. It does not detect different crops or
    blurs. Interpolation may differ, by .05 of a standard deviation.
    """
    if ours.shape != theirs.shape:
        return [Check(f"{name}: shape {list(theirs.shape)}, ours {list(ours.shape)}", torch.nan, 0)]
    checks, root = [], (2 * len(ours)) ** 0.5
    for what, of in (("mean", _mean), ("spread", _spread), ("colour", _colour)):
        a, b = of(ours), of(theirs)
        error = (a.var() + b.var()).sqrt().item()
        for moment, found, margin in (
            ("mean", a.mean() - b.mean(), error / len(ours) ** 0.5),
            ("deviation", a.std() - b.std(), error / root),
        ):
            checks.append(Check(f"{name}: {moment} of the {what}", found.abs().item(), 6 * margin + 0.05))
    return checks


def _mean(views: Tensor) -> Tensor:
    return views.flatten(1).mean(1)


def _spread(views: Tensor) -> Tensor:
    return views.flatten(1).std(1)


def _colour(views: Tensor) -> Tensor:
    """How much the channels of a pixel differ; 0 for grey."""
    return views.std(1, correction=0).flatten(1).mean(1)


def _profile(setting: Setting, options: Options) -> Iterator[dict[str, Any]]:
    """Every operation alone, for one view of a batch: milliseconds, and its share of the sum."""
    images = noise(setting.batch, setting.channels, setting.size)
    scaled, index, key = images.float() / 255, torch.arange(setting.batch), random.key(0)
    keys = random.fold_in(key, index)
    steps: dict[str, Callable[[], Any]] = {
        "scale": partial(augmentations.to_float, images),
        "keys": partial(random.fold_in, keys, 0),
        **{name: partial(AUGMENTATIONS[name], keys, scaled, **chosen) for name, chosen in recipe_views(setting)},
        "normalize": partial(augmentations.normalize, None, scaled, mean=setting.mean, std=setting.std),
    }
    for form in ("eager", "compiled"):
        torch.compiler.reset()
        backend = "eager" if options.quick else "inductor"
        ready = {
            name: torch.compile(step, backend=backend) if form == "compiled" else step for name, step in steps.items()
        }
        turns = {name: partial(_ten_times, step) for name, step in ready.items()}
        runs = alternate(f"profile {setting.name}, {form}", turns, options.repeats)
        medians = {name: line(name, "ms", [1e3 * s / 10 for s in run.seconds]) for name, run in runs.items()}
        total = sum(each["ours"]["median"] for each in medians.values())
        for name, each in medians.items():
            share = f"{100 * each['ours']['median'] / total:.0f} % of the sum, a view of {setting.batch} images"
            yield {**each, "name": f"{setting.name}, {form}, {name} alone", "note": share}
