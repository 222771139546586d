"""Photos from a folder: importing them once, and an epoch of SimCLR views, against decoding the files in every epoch.

The photos are JPEG files of 500 x 375 pixels with waves, whose length depends on the class, and noise. torchvision
decodes and resizes them in a DataLoader with two workers. lightly decodes them with PIL and transforms single images in
such a loader; ours draws views of batches from the imported file, which is mapped. Both make the same operations; that
they have the same distribution is checked in the part `views`. lightly crops the photo and ours its imported square.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.io import decode_image, write_jpeg
from torchvision.transforms import v2

from benchmarks.measuring import Check, Options, alternate, failed, line, missing, not_run
from benchmarks.views import COLOUR_224, WORKERS, Setting, in_workers, lightly_transform, two_views, zoo_views
from functional import random
from zoo.data.datasets import load_dataset
from zoo.data.importing import import_images

PHOTOS, CLASSES = 5_000, 10
WIDTH, HEIGHT = 500, 375
NOISE = 12.0  # standard deviation, in levels of 255
IMPORT_FLOOR = 1.5
# The sizes of the imported images, with the required ratio of the epochs' speed.
SETTINGS = (
    (COLOUR_224._replace(name="96x96", size=96, batch=256, batches=5), 8.0),
    (COLOUR_224._replace(name="224x224", batch=64, batches=4), 4.0),
)


def measure(options: Options) -> Iterator[dict[str, Any]]:
    """The lines of this part."""
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        write_photos(photos, 2 * CLASSES if options.quick else PHOTOS)
        for setting, floor in SETTINGS:
            setting = setting._replace(batch=4, batches=2) if options.quick else setting
            file = Path(folder) / f"{setting.size}.safetensors"
            yield from _compare_imports(photos, file, setting.size, options)
            yield from _compare_epochs(photos, file, setting, floor, options)


def write_photos(folder: Path, n: int) -> None:
    """Write n photos, the same in every run, into a folder for each class."""
    generator = torch.Generator().manual_seed(0)
    noise = NOISE * torch.randn(3, 2 * HEIGHT, 2 * WIDTH, generator=generator)
    for i in range(n):
        label = i % CLASSES
        path = folder / f"class_{label}" / f"{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        down, right = (int(torch.randint(side, (), generator=generator)) for side in (HEIGHT, WIDTH))
        photo = _waves(label, generator) + noise[:, down : down + HEIGHT, right : right + WIDTH]
        write_jpeg(photo.clamp(0, 255).byte(), str(path), quality=90)


class Resized(Dataset):
    """Photos as torchvision decodes and resizes them, in the order of an import."""

    def __init__(self, folder: Path, size: int) -> None:
        self.paths = sorted(folder.rglob("*.jpg"))
        self.transform = v2.Compose([v2.Resize(size, antialias=True), v2.CenterCrop(size)])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(decode_image(str(self.paths[index])))


class Decoded(Dataset):
    """Photos as PIL decodes them, transformed."""

    def __init__(self, folder: Path, n: int, transform: Callable[[Any], Any]) -> None:
        self.paths, self.transform = sorted(folder.rglob("*.jpg"))[:n], transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def _waves(label: int, generator: torch.Generator) -> Tensor:
    """A sum of eight plane waves in colours of their own, float `[3, HEIGHT, WIDTH]` about 128."""
    unit = torch.rand(8, 6, generator=generator)
    pixels, direction, phase, colours = 4.0 * (label + 2), 6.3 * unit[:, 0], 6.3 * unit[:, 1], unit[:, 2:5] - 0.5
    frequency = 6.3 / pixels * (0.5 + unit[:, 5])
    y = (frequency * direction.sin())[:, None] * torch.arange(HEIGHT) + phase[:, None]
    x = (frequency * direction.cos())[:, None] * torch.arange(WIDTH)
    # sin(x + y) by the addition theorem: two small matrix products for all waves
    down, right = torch.cat([y.sin(), y.cos()]), torch.cat([x.cos(), x.sin()])
    return 128 + 60 * (colours.repeat(2, 1).T[:, None] * down.T) @ right


def _compare_imports(photos: Path, file: Path, size: int, options: Options) -> Iterator[dict[str, Any]]:
    loader = DataLoader(Resized(photos, size), batch_size=64, num_workers=WORKERS, persistent_workers=True)
    peer, n = f"torchvision, {WORKERS} workers", len(Resized(photos, size))

    def ours() -> None:
        file.unlink(missing_ok=True)
        import_images(photos, file, size=size)

    runs = alternate(f"photos, import {size}", {"ours": ours, peer: partial(list, loader)}, options.repeats)
    imported, theirs = load_dataset(file).train.images[:64].float(), next(iter(loader)).float()
    # At 96 pixels ours decodes the JPEG at half its size, which blurs waves of 8 pixels and noise in another way.
    check = Check(f"import {size}: mean difference in levels", (imported - theirs).abs().mean().item(), 5.0)
    name = f"{n:,} JPEG files of {WIDTH}x{HEIGHT}, import at {size}x{size}"
    if wrong := failed([check]):
        yield not_run(name, wrong)
        return
    yield line(name, "images/s", runs["ours"].rate(n), peer=peer, theirs=runs[peer].rate(n), floor=IMPORT_FLOOR)


def _compare_epochs(
    photos: Path, file: Path, setting: Setting, floor: float, options: Options
) -> Iterator[dict[str, Any]]:
    data, n = load_dataset(file), setting.batch * setting.batches
    views, key = zoo_views(setting), random.key(0)
    torch.compiler.reset()
    compiled = torch.compile(two_views, backend="eager" if options.quick else "inductor")
    generator = torch.Generator().manual_seed(0)

    def epoch(drawn: Callable[..., Any]) -> None:
        with torch.no_grad():
            for index in torch.randperm(len(data.train.images), generator=generator)[:n].split(setting.batch):
                drawn(views, key, data.rows(data.train.images, index), index)

    turns: dict[str, Callable[[], Any]] = {"compiled": partial(epoch, compiled), "eager": partial(epoch, two_views)}
    peer = f"lightly, PIL, {WORKERS} workers"
    if absent := missing("lightly"):
        yield not_run(f"photos at {setting.name} against lightly", absent)
    else:
        loader = in_workers(Decoded(photos, n, lightly_transform(setting)), setting)
        turns[peer] = partial(_run_through, loader)
    runs = alternate(f"photos, views {setting.name}", turns, options.repeats)
    for ours in ("compiled", "eager"):
        yield line(
            f"SimCLR views of photos at {setting.name}, {ours}",
            "views/s",
            runs[ours].rate(2 * n),
            peer=peer if peer in runs else None,
            theirs=runs[peer].rate(2 * n) if peer in runs else None,
            floor=floor if ours == "compiled" and peer in runs else None,
            note="ours from the imported file",
        )


def _run_through(loader: DataLoader) -> None:
    for _ in loader:
        pass
