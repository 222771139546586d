"""Importing images: the same bits as the folder, going on after a kill, and decoding only what changed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.data.datasets import load_dataset, save_dataset
from zoo.data.importing import import_images
from zoo.data.mapping import MappedFile
from zoo.files import locked

RNG = np.random.default_rng(0)


def write(path, side=24, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (side, side + 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for split, n in (("train", 5), ("test", 2)):
        for name in ("cat", "dog"):
            for i in range(n):
                write(folder / split / name / f"{i}.png")
    return folder


def assert_same(found, folder, **options):
    expected = load_dataset(folder, **options)
    assert found.digest == expected.digest and found.classes == expected.classes
    for one, other in ((found.train, expected.train), (found.test, expected.test)):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one.images, other.images)
    assert found.file.metadata["digest"] == found.digest


def left_over(out):
    return sorted(path.name for path in out.parent.iterdir() if path.name.startswith(out.name))


def test_the_file_holds_what_the_folder_gives_and_is_mapped(photos, tmp_path):
    out = tmp_path / "new" / "photos.safetensors"
    dataset, decoded, unchanged = import_images(photos, out)
    assert (decoded, unchanged) == (14, 0)
    assert_same(dataset, photos)
    assert isinstance(dataset.file, MappedFile) and dataset.file.metadata["source"] == "zoo data import photos"
    assert left_over(out) == ["photos.safetensors", "photos.safetensors.index"]


def test_the_library_reads_it_too(photos, tmp_path):
    from safetensors.torch import load_file

    import_images(photos, tmp_path / "a.safetensors", size=16)
    tensors = load_file(tmp_path / "a.safetensors")
    assert torch.equal(tensors["test_images"], load_dataset(photos, size=16).test.images)


def test_a_second_import_changes_nothing(photos, tmp_path):
    out = tmp_path / "a.safetensors"
    import_images(photos, out, size=16)
    before = os.stat(out).st_ino, os.stat(out).st_mtime_ns
    for size in (None, 16):
        dataset, decoded, unchanged = import_images(photos, out, size=size)
        assert (decoded, unchanged) == (0, 14)
    assert (os.stat(out).st_ino, os.stat(out).st_mtime_ns) == before
    assert_same(dataset, photos, size=16)


def test_only_new_and_changed_files_are_decoded(photos, tmp_path):
    out = tmp_path / "a.safetensors"
    import_images(photos, out, size=16)
    write(photos / "train" / "ant" / "new.png")  # a new class, the first by name
    write(photos / "train" / "dog" / "0.png", side=30)
    (photos / "train" / "cat" / "1.png").unlink()
    (photos / "test" / "cat" / "0.png").rename(photos / "test" / "dog" / "9.png")
    dataset, decoded, unchanged = import_images(photos, out)
    assert (decoded, unchanged) == (3, 11)
    assert_same(dataset, photos, size=16)
    assert import_images(photos, out)[1:] == (0, 14)


def test_other_labels_in_a_csv_decode_nothing(photos, tmp_path):
    table, out = photos / "table.csv", tmp_path / "a.safetensors"
    names = [f"train/cat/{i}.png" for i in range(5)]
    table.write_text("path,label\n" + "".join(f"{name},x\n" for name in names))
    import_images(table, out)
    table.write_text("path,label\n" + "".join(f"{name},{'xy'[i % 2]}\n" for i, name in enumerate(names)))
    dataset, decoded, unchanged = import_images(table, out)
    assert (decoded, unchanged) == (0, 5) and dataset.classes == ("x", "y")
    assert_same(dataset, table)
    table.write_text("path\n" + "".join(f"{name}\n" for name in names))
    assert import_images(table, out).dataset.train.labels is None


def test_an_image_that_moves_to_the_test_split_is_moved(photos, tmp_path):
    table, out = photos / "table.csv", tmp_path / "a.safetensors"
    names = [f"train/cat/{i}.png" for i in range(5)]
    for tests in (1, 2):  # without labels, and in the same order
        rows = [f"{name},{'train' if i < 5 - tests else 'test'}\n" for i, name in enumerate(names)]
        table.write_text("path,split\n" + "".join(rows))
        assert_same(import_images(table, out).dataset, table)


def test_the_first_colour_among_grey_images_decodes_all_again(tmp_path):
    folder, out = tmp_path / "photos", tmp_path / "a.safetensors"
    for i in range(3):
        write(folder / f"{i}.png", mode="L")
    assert import_images(folder, out).dataset.train.images.shape[1] == 1
    write(folder / "9.png")
    assert import_images(folder, out)[1:] == (4, 0)
    assert_same(load_dataset(out), folder)


PROGRAM = """
import sys, time
from zoo.data import importing
def slowly(plan, positions, decoded=importing.decoded):
    for pixels in decoded(plan, positions):
        time.sleep(0.02)
        yield pixels
importing.decoded, importing._AT_ONCE = slowly, 4
importing.import_images(sys.argv[1], sys.argv[2], size=16)
"""


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL and SIGINT")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_import_goes_on(photos, tmp_path, number):
    for i in range(60):
        write(photos / "train" / "ant" / f"{i}.png")
    out = tmp_path / "a.safetensors"
    index = tmp_path / "a.safetensors.unfinished.index"
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, photos, out], stderr=subprocess.DEVNULL)
    while not (index.exists() and index.read_bytes().count(b"\n") > 12):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    process.wait()
    assert not out.exists() and index.read_bytes().count(b"\n") < 60
    with open(index, "ab") as file:  # a line that a power cut left unfinished
        file.write(b'["train/dog/0.p')
    with open(tmp_path / "a.safetensors.unfinished", "ab") as file:  # and pixels of which the index does not know
        file.write(b"some")
    (photos / "train" / "ant" / "0.png").unlink()  # it had been decoded, and is gone
    dataset, decoded, unchanged = import_images(photos, out, size=16)
    assert decoded + unchanged == 73 and unchanged >= 11
    assert_same(dataset, photos, size=16)
    assert left_over(out) == ["a.safetensors", "a.safetensors.index"]


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize("json", [[], ["--json"]])
def test_a_stopped_command_says_how_to_go_on(photos, tmp_path, json):
    slow = PROGRAM.partition("importing.import_images")[0] + "from zoo.commands import main; main(sys.argv[1:])"
    for i in range(60):
        write(photos / "train" / "ant" / f"{i}.png")
    out = tmp_path / "a.safetensors"
    arguments = ["data", "import", photos, "--out", out, *json]
    process = subprocess.Popen([sys.executable, "-c", slow, *arguments], stderr=subprocess.PIPE, text=True)
    while not out.with_name("a.safetensors.unfinished").exists():
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    line = process.communicate()[1].strip().splitlines()[-1]
    assert process.returncode == 1
    assert "stopped; what was decoded is kept: repeat the command to go on" in line
    assert ('"error"' in line) == bool(json)


def test_bad_files_are_named_and_what_was_decoded_is_kept(photos, tmp_path):
    out = tmp_path / "a.safetensors"
    (photos / "train" / "cat" / "0.png").write_bytes(b"no image")
    with pytest.raises(zoo.ZooError, match=r"1 of 14 files cannot be used: train/cat/0.png \(not an image\)"):
        import_images(photos, out)
    assert not out.exists()
    with pytest.warns(UserWarning, match="1 of 14 files cannot be used"):
        dataset, decoded, unchanged = import_images(photos, out, skip_bad=True)
    assert (decoded, unchanged) == (0, 13)
    with pytest.warns(UserWarning):
        assert_same(dataset, photos, skip_bad=True)


def test_nothing_else_is_overwritten(photos, tmp_path):
    out, other = tmp_path / "a.safetensors", tmp_path / "other"
    write(other / "0.png")
    save_dataset(load_dataset(other), out, source="by hand")
    with pytest.raises(zoo.ZooError, match="already exists, and was not imported from .*photos; choose another name"):
        import_images(photos, out)
    out.unlink()
    import_images(other, out)
    with pytest.raises(zoo.ZooError, match="already exists, and was not imported from .*photos"):
        import_images(photos, out)
    with pytest.raises(zoo.ZooError, match="already exists, with 24x24 pixels; for 8x8, choose another name"):
        import_images(other, out, size=8)
    with locked(tmp_path / "a.safetensors.lock", "importing"), pytest.raises(zoo.ZooError, match="is importing here"):
        import_images(other, out)


def test_damaged_pixels_are_not_used_again(photos, tmp_path):
    out = tmp_path / "a.safetensors"
    import_images(photos, out, size=16)
    data = bytearray(out.read_bytes())
    data[-1] ^= 1
    out.write_bytes(data)
    write(photos / "train" / "cat" / "9.png")
    with pytest.raises(zoo.ZooError, match="a.safetensors: the file was changed since images were imported into it"):
        import_images(photos, out)


def test_a_full_disk_is_seen_before_anything_is_decoded(photos, tmp_path):
    for i in range(2_000):
        os.link(photos / "train" / "cat" / "0.png", photos / "train" / "cat" / f"again_{i}.png")
    with pytest.raises(zoo.ZooError, match=r"2,014 images of 7000x7000 pixels need [\d,.]+ GB while they are imported"):
        import_images(photos, tmp_path / "a.safetensors", size=7_000)
    assert not list(tmp_path.glob("a.safetensors"))


GROWTH = """
import re, sys
from pathlib import Path
from zoo.data.importing import import_images
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
import_images(sys.argv[1], sys.argv[2] + ".first.safetensors", size=8)
before = peak()
import_images(sys.argv[1], sys.argv[2], size=512)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_images(tmp_path):
    folder = tmp_path / "photos"
    write(folder / "0.png")
    for i in range(600):
        os.link(folder / "0.png", folder / f"again_{i}.png")
    done = subprocess.run([sys.executable, "-c", GROWTH, folder, tmp_path / "a.safetensors"], capture_output=True)
    assert int(done.stdout) < 0.5 * 601 * 3 * 512**2, f"{int(done.stdout):,}"
