"""Images that are too large or cut off are refused, memory is bounded, and what is read has the bits it always had."""

import hashlib
import io
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, ImageOps

import zoo
from zoo.data.datasets import load_dataset
from zoo.data.images import LARGEST_PIXELS, ImagePlan, fit_images, read_image

RNG = np.random.default_rng(0)
SMOOTH = Image.fromarray(RNG.integers(0, 256, (6, 7, 3), dtype=np.uint8)).resize((35, 24), Image.Resampling.BICUBIC)
SIXTEEN = Image.fromarray(RNG.integers(0, 2**16, (24, 35), dtype=np.uint16))


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


FILES = {
    "rgb.png": encoded(SMOOTH, "PNG"),
    "grey.png": encoded(SMOOTH.convert("L"), "PNG"),
    "bits.png": encoded(SMOOTH.convert("1"), "PNG"),
    "sixteen.png": encoded(SIXTEEN, "PNG"),
    "palette.png": encoded(SMOOTH.convert("P"), "PNG", transparency=b"\x00\x80"),
    "alpha.png": encoded(SMOOTH.convert("RGBA"), "PNG"),
    "turned.png": encoded(SMOOTH, "PNG", exif=turned()),
    "palette.gif": encoded(SMOOTH.convert("P"), "GIF"),
    "frames.gif": encoded(SMOOTH.convert("P"), "GIF", save_all=True, append_images=[SMOOTH.rotate(90).convert("P")]),
    "rgb.bmp": encoded(SMOOTH, "BMP"),
    "rgb.tiff": encoded(SMOOTH, "TIFF"),
    "lzw.tiff": encoded(SMOOTH, "TIFF", compression="tiff_lzw"),
    "deflate.tiff": encoded(SMOOTH, "TIFF", compression="tiff_adobe_deflate"),
    "lossless.webp": encoded(SMOOTH, "WEBP", lossless=True),
    "rgb.ppm": encoded(SMOOTH, "PPM"),
    "rgb.jpg": encoded(SMOOTH, "JPEG"),
    "progressive.jpg": encoded(SMOOTH, "JPEG", progressive=True),
    "cmyk.jpg": encoded(SMOOTH.convert("CMYK"), "JPEG"),
    "turned.jpg": encoded(SMOOTH, "JPEG", exif=turned()),
    "lossy.webp": encoded(SMOOTH, "WEBP"),
}


def as_before(data, shape):
    """The naive way, without limits."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if "transparency" in image.info:
        image = image.convert("RGBA")
    image = image.convert("L" if shape[0] == 1 else "RGB")
    fitted = ImageOps.fit(image, (shape[2], shape[1]), method=Image.Resampling.BILINEAR)
    return np.array(fitted).reshape(*shape[1:], shape[0]).transpose(2, 0, 1)


def test_the_bits_are_what_they_always_were(tmp_path):
    sha = hashlib.sha256()
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
        for shape in ((3, 16, 16), (1, 16, 16), (3, 24, 24), (1, 40, 30)):
            pixels = read_image(tmp_path / name, shape)
            assert np.array_equal(pixels, as_before(data, shape)), name
            if name.endswith(("png", "bmp", "tiff", "ppm")) and "palette" not in name:  # nothing lossy
                sha.update(np.ascontiguousarray(pixels).data)
    # Of the code before there were limits, with the same files.
    assert sha.hexdigest() == "fb850ff5deaae11cc950ccd16f536f5b814b23851345b545385dee3bb88b2bb1"


@pytest.mark.parametrize("form", ["JPEG", "MPO"])
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"exif": turned()}], ids=["plain", "progressive", "turned"]
)
def test_a_large_photo_is_decoded_at_a_part_of_its_size(tmp_path, monkeypatch, form, options):
    """The pixels are nearly those of the whole, in each direction 1.5 times those needed or more are decoded."""
    data = encoded(SMOOTH.resize((700, 480)), form, quality=95, **options)
    (tmp_path / "a.jpg").write_bytes(data)
    sizes, load = [], ImageFile.ImageFile.load

    def noted(image):
        sizes.append(image.size)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", noted)
    for side, decoded in ((80, (175, 120)), (81, (350, 240)), (160, (350, 240)), (161, (700, 480))):
        sizes.clear()
        pixels = read_image(tmp_path / "a.jpg", (3, side, side))
        assert sizes[0] == decoded, side
        difference = np.abs(pixels.astype(int) - as_before(data, (3, side, side)))
        assert difference.mean() < 1.0 and (difference == 0).all() == (decoded == (700, 480))
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(zoo.ZooError, match="a.jpg"):
        read_image(tmp_path / "a.jpg", (3, 32, 32))


@pytest.mark.parametrize("name", FILES)
def test_every_truncation_is_refused_or_changes_nothing(tmp_path, name):
    whole, path = FILES[name], tmp_path / name
    path.write_bytes(whole)
    shape = (3, 24, 35)
    pixels, refused = read_image(path, shape), 0
    for length in range(0, len(whole), 1 if len(whole) < 1000 else 7):
        path.write_bytes(whole[:length])
        try:
            assert np.array_equal(read_image(path, shape), pixels), length
        except zoo.ZooError as error:
            assert name in str(error) and str(error).isprintable()
            refused += 1
    assert refused > 10


def png(width, height, depth, colour, rows, *, interlaced=False, level=9):
    """A PNG by the book, with valid checksums and the rows that are given."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, level)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("depth,colour,size", [(8, 2, 3 * 20), (8, 0, 20), (16, 0, 40), (1, 0, 3), (8, 6, 80)])
def test_a_png_with_missing_rows_is_truncated(tmp_path, depth, colour, size):
    path = tmp_path / "a.png"
    row = bytes([0, *([200] * size)])
    for rows in (0, 1, 7, 9):
        path.write_bytes(png(20, 10, depth, colour, rows * row))
        for read in (lambda: read_image(path, (3, 8, 8)), lambda: load_dataset(tmp_path)):
            with pytest.raises(zoo.ZooError, match="a.png.*truncated"):
                read()
    black = bytes(1 + size)
    for whole in (10 * row, 9 * row + black, 10 * black, 12 * row):
        path.write_bytes(png(20, 10, depth, colour, whole))
        read_image(path, (3, 8, 8))


def test_a_png_with_a_flipped_bit_is_refused(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path)
    whole = path.read_bytes()
    start = whole.index(b"IDAT") + 4
    for at in range(start, start + int.from_bytes(whole[start - 8 : start - 4], "big") + 4):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        with pytest.raises(zoo.ZooError, match="a.png"):
            read_image(path, (1, 8, 8))


def test_an_interlaced_png_with_missing_rows_is_truncated(tmp_path):
    path = tmp_path / "a.png"
    for width, height in ((9, 11), (1, 1), (8, 1), (1, 8), (3, 5), (16, 16)):
        passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
        rows = b"".join(
            bytes([0, *([200] * len(range(x, width, dx)))]) * len(range(y, height, dy))
            for x, y, dx, dy in passes
            if x < width
        )
        path.write_bytes(png(width, height, 8, 0, rows, interlaced=True))
        assert (read_image(path, (1, height, width)) == 200).all()
        path.write_bytes(png(width, height, 8, 0, rows[:-1], interlaced=True))
        with pytest.raises(zoo.ZooError, match="truncated"):
            read_image(path, (1, 8, 8))


@pytest.mark.parametrize("width,height", [(12_000, 12_500), (7_500, 7_500), (100_000, 100_000), (2**31 - 1, 1)])
def test_an_image_of_too_many_pixels_is_refused_by_its_header(tmp_path, width, height):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(width, height, 1, 0, b""))
    assert path.stat().st_size < 80
    with pytest.raises(
        zoo.ZooError, match=f"bomb.png .*pixels.* at most {LARGEST_PIXELS:,} are decoded; make it small"
    ):
        load_dataset(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with pytest.raises(zoo.ZooError, match=f"bomb.png: .*pixels.* at most {LARGEST_PIXELS:,} are decoded"):
            read_image(path, (3, 8, 8))
    (tmp_path / "ok.png").write_bytes(FILES["rgb.png"])
    with pytest.warns(UserWarning, match="1 of 2 files cannot be used: bomb.png") as warned:
        assert len(load_dataset(tmp_path, skip_bad=True).train.images) == 1
    assert len(warned) == 1


def test_a_size_beyond_the_limit_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(FILES["rgb.png"])
    for size in (10**5, 10**30):
        with pytest.raises(zoo.ZooError, match="size: expected 7,155 pixels or fewer, got 10"):
            load_dataset(tmp_path, size=size)


def test_another_format_is_named(tmp_path):
    (tmp_path / "a.ico").write_bytes(encoded(SMOOTH, "ICO"))
    with pytest.raises(zoo.ZooError, match=r"a.ico \(the format is ICO; convert it to one of AVIF, BMP, GIF"):
        load_dataset(tmp_path)


PROGRAM = """
import os, re, sys
from pathlib import Path
os.cpu_count = os.process_cpu_count = lambda: 8
from zoo.data.images import read_images
def peak():  # of this program; getrusage has that of the program that started it, too
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
assert len(read_images(Path(sys.argv[1]), size=32)["train_images"]) == 8
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_few_pixels_are_decoded_at_a_time_whatever_the_threads(tmp_path):
    side = 4_900  # room for two: 24 million pixels of 4 bytes each
    large = encoded(Image.new("RGB", (side, side), "teal"), "JPEG")
    for i in range(8):
        (tmp_path / f"{i}.jpg").write_bytes(large)
    grown = int(subprocess.run([sys.executable, "-c", PROGRAM, tmp_path], capture_output=True, check=True).stdout)
    # Beside the two, glibc keeps up to 32 MiB at the top of the heap of each thread, which malloc_trim does not return.
    assert grown < 5 * 4 * side**2, f"{grown:,} bytes"


def test_few_images_are_decoded_ahead_if_they_are_large():
    ahead = [ImagePlan([], (3, side, side)).ahead for side in (32, 224, 1_000, 4_000, 16_000)]
    assert ahead == [128, 128, 85, 5, 1]


def test_arrays_are_fitted_as_files_are(tmp_path):
    images = RNG.integers(0, 256, (5, 20, 30, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    for shape in ((3, 8, 8), (1, 8, 8), (3, 40, 50)):
        expected = np.stack([read_image(tmp_path / f"{i}.png", shape) for i in range(5)])
        assert np.array_equal(fit_images(images.transpose(0, 3, 1, 2), shape), expected)
    grey = images[:, None, :, :, 0]
    assert fit_images(grey, (1, 20, 30)) is grey
    coloured = torch.from_numpy(fit_images(grey, (3, 20, 30)))
    assert torch.equal(coloured, torch.from_numpy(grey).expand(5, 3, 20, 30))
