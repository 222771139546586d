"""Draw photos of small parts, for trials of what a new user does: four classes, all formats and sizes, a few broken.

    python scripts/photos.py photos --images 600 --seed 0

writes `photos/0000.jpg` and so on, in no order of the classes, and `photos.csv` beside the folder, with the truth:
gears, nuts, screws and washers of any size, colour, place and rotation, on tables of any pattern. No model of the zoo
was trained on them.
"""

import argparse
import csv
import io
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

CLASSES = ("gear", "nut", "screw", "washer")
SCALE = 3  # shapes are drawn larger, and made smaller again, which smooths their edges
BROKEN = {"broken_1.jpg": b"this is no image", "broken_2.png": b"", "broken_3.jpg": None}  # the last is cut in half


def polygon(corners: int, radius: float, phase: float) -> list[tuple[float, float]]:
    """The corners of a regular polygon around 0."""
    angles = [phase + 2 * math.pi * i / corners for i in range(corners)]
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]


def outline(name: str, rng: np.random.Generator, phase: float) -> tuple[list[list[tuple[float, float]]], float]:
    """The polygons of a part of radius 1, and the radius of its hole."""
    hole = rng.uniform(0.3, 0.6)
    if name == "nut":
        return [polygon(6, 1.0, phase)], hole
    if name == "washer":
        return [polygon(60, 1.0, phase)], hole
    if name == "gear":
        teeth = int(rng.integers(9, 15))
        steps = ((0.78, 0.0), (0.78, 0.25), (1.0, 0.35), (1.0, 0.65), (0.78, 0.75))
        angles = [(r, phase + 2 * math.pi * (i + at) / teeth) for i in range(teeth) for r, at in steps]
        return [[(r * math.cos(a), r * math.sin(a)) for r, a in angles]], hole * 0.6
    width, head = rng.uniform(0.12, 0.2), rng.uniform(0.3, 0.42)
    bars = [
        [(-0.7, -width), (1.0, -width), (1.0, width), (-0.7, width)],
        [(-1.0, -head), (-0.7, -head), (-0.7, head), (-1.0, head)],
    ]
    turn = np.array([[math.cos(phase), -math.sin(phase)], [math.sin(phase), math.cos(phase)]])
    return [[(x, y) for x, y in (turn @ np.array(bar).T).T.tolist()] for bar in bars], 0.0


def table(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A background of slowly and quickly varying colour, `[H, W, 3]`."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    tone = rng.uniform(40, 200, 3)
    grain = rng.uniform(10, 80, 2) * rng.choice([0.1, 1.0], 2)
    waves = 12 * np.sin(2 * math.pi * (grain[0] * x + grain[1] * y) + 3 * np.sin(6 * x + rng.uniform(0, 6)))
    light = 50 * (rng.uniform(-1, 1) * x + rng.uniform(-1, 1) * y)
    return tone + (waves + light)[..., None] + rng.normal(0, 6, (height, width, 3))


def photo(name: str, rng: np.random.Generator) -> Image.Image:
    """A photo of one part."""
    height, width = (int(side) for side in rng.integers(100, 320, 2))
    radius = min(height, width) * rng.uniform(0.28, 0.42)
    centre = [side / 2 + rng.uniform(-0.1, 0.1) * side for side in (width, height)]
    shapes, hole = outline(name, rng, rng.uniform(0, 2 * math.pi))
    mask = Image.new("L", (SCALE * width, SCALE * height))
    draw = ImageDraw.Draw(mask)

    def placed(corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(SCALE * (centre[0] + radius * x), SCALE * (centre[1] + radius * y)) for x, y in corners]

    for shape in shapes:
        draw.polygon(placed(shape), fill=255)
    if hole:
        draw.polygon(placed(polygon(60, hole, 0.0)), fill=0)
    part = np.asarray(mask.resize((width, height), Image.Resampling.BOX), np.float32)[..., None] / 255
    shadow = Image.fromarray((255 * part[..., 0]).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius / 12))
    dark = np.roll(np.asarray(shadow, np.float32), int(radius / 10), (0, 1))[..., None] / 255
    metal = rng.uniform(90, 235) + rng.normal(0, 12, 3)
    y, x = np.mgrid[:height, :width]
    shine = 35 * np.sin((x * rng.normal() + y * rng.normal()) / radius)[..., None]
    pixels = table(height, width, rng) * (1 - 0.5 * dark)
    pixels = pixels * (1 - part) + (metal + shine + rng.normal(0, 5, pixels.shape)) * part
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: int) -> tuple[str, bytes]:
    """The ending and the bytes of a file, in one of the forms that photos come in."""
    grey16 = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    forms = (
        *(("jpg", "JPEG", image, {"quality": 88}),) * 5,
        ("jpeg", "JPEG", image, {"exif": turned}),
        ("png", "PNG", image, {}),
        ("png", "PNG", image.convert("RGBA"), {}),
        ("png", "PNG", grey16, {}),
        ("webp", "WEBP", image, {"quality": 85}),
        ("tiff", "TIFF", image, {}),
        ("bmp", "BMP", image, {}),
        ("gif", "GIF", image.convert("P", palette=Image.Palette.ADAPTIVE), {}),
    )
    ending, form, shown, options = forms[kind % len(forms)]
    buffer = io.BytesIO()
    shown.save(buffer, form, **options)
    return ending, buffer.getvalue()


def write_photos(folder: Path, images: int, seed: int) -> Path:
    """Write the photos into a new folder, and the table of their classes beside it; returns its path."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    rows = []
    for i, name in enumerate(rng.permutation([CLASSES[i % len(CLASSES)] for i in range(images)])):
        ending, data = encoded(photo(str(name), rng), int(rng.integers(1_000)))
        path = folder / f"{i:04}.{ending}"
        path.write_bytes(data)
        rows.append((f"{folder.name}/{path.name}", name))
    for bad, data in BROKEN.items():
        if data is None:
            data = (whole := encoded(photo("nut", rng), 0)[1])[: len(whole) // 2]
        (folder / bad).write_bytes(data)
    truth = folder.with_name(f"{folder.name}.csv")
    with open(truth, "w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *rows])
    return truth


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw photos of small parts.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(write_photos(given.folder, given.images, given.seed))
