"""Your own images: what is on disk is what is read, in a stated order and size, and nothing is skipped silently."""

import json
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image, features

import zoo
from zoo.commands import main
from zoo.data.datasets import load_dataset
from zoo.data.images import FORMATS

RNG = np.random.default_rng(0)


def picture(path, size=(12, 8), mode="RGB", colour=None, **options):
    """Write an image: one colour, or noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.new("RGB", size, colour) if colour else Image.fromarray(noise)
    image.convert(mode).save(path, **options)
    return path


def photos(root, names=("cat/1.png", "cat/deep/2.jpg", "dog/3.png")):
    for name in names:
        picture(root / name)
    return root


def zoo_data(*arguments):
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


def test_class_folders_in_the_order_of_their_paths(tmp_path):
    for name, colour in (("b/2.png", "red"), ("b/10.png", "lime"), ("a/x/1.png", "blue"), ("a/.hidden.png", "white")):
        picture(tmp_path / name, colour=colour)
    data = load_dataset(tmp_path, size=4)
    assert data.classes == ("a", "b") and data.train.labels.tolist() == [0, 1, 1] and data.test is None
    means = data.train.images.float().mean((2, 3))
    assert means.tolist() == [[0, 0, 255], [0, 255, 0], [255, 0, 0]]  # bytes: 10.png comes before 2.png


def test_a_flat_folder_has_no_labels_and_one_class_is_enough(tmp_path):
    data = load_dataset(photos(tmp_path / "flat", ("1.png", "2.webp", "3.gif")))
    assert data.train.images.shape == (3, 3, 8, 8) and data.train.labels is None and data.classes == ()
    assert load_dataset(photos(tmp_path / "one", ("cat/1.png",))).classes == ("cat",)


def test_train_and_test_folders_are_the_official_splits(tmp_path):
    photos(tmp_path, ("train/cat/1.png", "train/dog/2.png", "test/dog/3.png"))
    data = load_dataset(tmp_path)
    assert data.train.labels.tolist() == [0, 1] and data.test.labels.tolist() == [1]
    photos(tmp_path, ("val/cat/4.png",))
    with pytest.raises(zoo.ZooError, match="folders train and val; only train and test"):
        load_dataset(tmp_path)


def test_the_size_is_the_median_shorter_side_at_most_224(tmp_path):
    for i, size in enumerate([(9, 30), (40, 10), (50, 50)]):
        picture(tmp_path / f"{i}.png", size)
    assert load_dataset(tmp_path).train.images.shape[2:] == (10, 10)
    assert load_dataset(tmp_path, size=7).train.images.shape[2:] == (7, 7)
    assert load_dataset(picture(tmp_path / "large" / "0.png", (500, 300)).parent).train.images.shape[2:] == (224, 224)
    with pytest.raises(zoo.ZooError, match="size: expected 1 pixel or more, got 0"):
        load_dataset(tmp_path, size=0)
    with pytest.raises(zoo.ZooError, match="size: applies only to a folder or CSV"):
        load_dataset("digits", size=4)


def test_pixels_are_those_of_the_file_or_resized_as_torchvision_does(tmp_path):
    from torchvision.transforms.v2 import functional as tv

    picture(tmp_path / "a.png", (20, 20))
    exact = torch.from_numpy(np.array(Image.open(tmp_path / "a.png"))).permute(2, 0, 1)
    assert torch.equal(load_dataset(tmp_path).train.images[0], exact)
    smooth = Image.fromarray(RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)).resize((90, 60), Image.Resampling.BICUBIC)
    smooth.save(tmp_path / "a.png")
    expected = tv.center_crop(tv.resize(tv.pil_to_tensor(smooth), [16], antialias=True), [16, 16])
    difference = load_dataset(tmp_path, size=16).train.images[0].int() - expected.int()
    assert difference.abs().max() <= 1


def test_an_encoder_sees_the_same_pixels_in_a_path_as_in_the_dataset(tmp_path, model):
    paths = [picture(tmp_path / f"{i}.jpg", (30 + i, 20), mode="L") for i in range(3)]
    paths += [picture(tmp_path / "3.png", mode="1"), picture(tmp_path / "4.png", mode="LA"), tmp_path / "5.png"]
    Image.fromarray(RNG.integers(0, 2**16, (20, 30), dtype=np.uint16)).save(paths[-1])  # 16 bits
    data = load_dataset(tmp_path, size=8)
    assert torch.equal(model.pixels(paths), model.pixels(data.train.images))
    assert torch.equal(model.pixels([Image.open(path) for path in paths]), model.pixels(data.train.images))


def test_a_path_that_is_not_an_image_gives_the_same_reason_as_the_dataset(tmp_path, model):
    broken = picture(tmp_path / "broken.png", (64, 64))
    broken.write_bytes(broken.read_bytes()[:900])
    os.mkfifo(tmp_path / "pipe.png")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tiff")
    reasons = {"broken.png": "truncated", "pipe.png": "not a regular file", "float.tiff": "32 bits per pixel"}
    for name, reason in reasons.items():
        with pytest.raises(zoo.ZooError, match=f"{name}: not a readable image .*{reason}"):
            model.features([tmp_path / name])
        with pytest.raises(zoo.ZooError, match=f"{name} .*{reason}"):
            load_dataset(tmp_path)
    with pytest.raises(zoo.ZooError, match="images: not a readable image .32 bits"):
        model.features([Image.fromarray(np.zeros((4, 4), np.float32))])


def test_channels_are_read_from_the_files(tmp_path):
    for mode in ("L", "1", "LA"):
        picture(tmp_path / f"{mode}.png", mode=mode)
    sixteen = np.full((8, 8), 0x80FF, np.uint16)
    Image.fromarray(sixteen).save(tmp_path / "sixteen.png")
    images = load_dataset(tmp_path).train.images
    assert images.shape == (4, 1, 8, 8) and (images[3] == 0x80).all()
    picture(tmp_path / "palette.gif", colour="red", mode="P")
    picture(tmp_path / "cmyk.jpg", mode="CMYK")
    picture(tmp_path / "transparent.png", mode="P", transparency=b"\x00\x80")
    assert load_dataset(tmp_path).train.images.shape == (7, 3, 8, 8)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow was built without AVIF")
def test_every_format_is_read_at_any_depth_by_its_content(tmp_path):
    shown, hidden = Image.new("RGB", (16, 12), (250, 10, 120)), Image.new("RGB", (16, 12), "lime")
    for depth, name in enumerate(FORMATS):
        path = tmp_path / "cat" / "/".join(depth * ["deep"]) / f"{name}.img"
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = {"save_all": True, "append_images": [hidden]} if name in ("AVIF", "GIF", "MPO", "PNG", "WEBP") else {}
        shown.save(path, name, **frames)
        with Image.open(path) as image:
            assert image.format == name
    data = load_dataset(tmp_path)
    assert data.classes == ("cat",) and data.train.images.shape == (len(FORMATS), 3, 12, 12)
    assert (data.train.images.int() - torch.tensor([250, 10, 120]).view(3, 1, 1)).abs().max() <= 8


def test_grey_and_sixteen_bit_and_transparent_images_among_colour_ones(tmp_path):
    for name in ("a.png", "b.tiff"):
        Image.fromarray(np.full((8, 8), 0x80FF, np.uint16)).save(tmp_path / name)
    Image.new("L", (8, 8), 7).save(tmp_path / "c.png")
    Image.new("RGBA", (8, 8), (1, 2, 3, 100)).save(tmp_path / "d.png")
    images = load_dataset(tmp_path).train.images
    assert images[..., 0, 0].tolist() == [[128] * 3, [128] * 3, [7] * 3, [1, 2, 3]]
    assert images.flatten(2).unique(dim=2).shape == (4, 3, 1)


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (16, 16), "red")
    image.paste("blue", (0, 0, 16, 8))  # blue above red
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: blue to the right
    image.save(tmp_path / "a.png", exif=exif)
    (pixels,) = load_dataset(tmp_path).train.images
    assert pixels[:, 0, 0].tolist() == [255, 0, 0] and pixels[:, 0, 15].tolist() == [0, 0, 255]


def bad_folder(root):
    """Three photos, and files that are not images."""
    photos(root)
    broken = picture(root / "cat" / "broken.jpg", (64, 64))
    broken.write_bytes(broken.read_bytes()[:900])
    (root / "cat" / "notes.txt").write_text("no image")
    (root / "cat" / "empty.png").write_bytes(b"")
    (root / "cat" / "link.png").symlink_to("nowhere.png")
    (root / "README.md").write_text("no image either")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(root / "dog" / "float.tiff")
    (root / "horse").mkdir()
    os.mkfifo(root / "dog" / "pipe.png")
    return root


def test_bad_files_are_named_and_skipped_only_on_request(tmp_path):
    root = bad_folder(tmp_path / "photos")
    with pytest.raises(zoo.ZooError) as error:
        load_dataset(root)
    for words in (
        "8 of 11 files cannot be used",
        "README.md (beside the class folders, so it has no class)",
        "cat/broken.jpg (",
        "cat/empty.png (not an image)",
        "cat/link.png (no such file)",
        "cat/notes.txt (not an image) and 3 more",
        "--skip-bad",
    ):
        assert words in str(error.value)
    with pytest.warns(UserWarning, match="8 of 11 files cannot be used: README.md .* and 3 more; skipped"):
        data = load_dataset(root, skip_bad=True)
    assert len(data.train.images) == 3 and data.classes == ("cat", "dog")
    for name in ("README.md", "cat/empty.png", "cat/notes.txt", "cat/broken.jpg", "cat/link.png"):
        (root / name).unlink()
    with pytest.raises(zoo.ZooError) as error:
        load_dataset(root)
    for words in ("dog/float.tiff (32 bits per pixel", "dog/pipe.png (not a regular file)", "horse (an empty class"):
        assert words in str(error.value)


def test_a_folder_without_images_is_an_error(tmp_path):
    with pytest.raises(zoo.ZooError, match="holds no images"):
        load_dataset(tmp_path)
    (tmp_path / "a.txt").write_text("")
    with pytest.warns(UserWarning), pytest.raises(zoo.ZooError, match="none of the 1 files for train is a readable"):
        load_dataset(tmp_path, skip_bad=True)
    with pytest.raises(zoo.ZooError, match="no such file or folder"):
        load_dataset(tmp_path / "nowhere")
    with pytest.raises(zoo.ZooError, match="expected a folder, or a file ending in"):
        load_dataset(tmp_path / "a.txt")


def test_links_that_lead_back_are_not_followed_for_ever(tmp_path):
    root = photos(tmp_path / "photos")
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "deep" / "again").symlink_to(root / "cat")
    data = load_dataset(root)
    assert data.train.labels.tolist() == [0, 0, 1]


def test_names_need_not_be_utf8(tmp_path):
    root = tmp_path / os.fsdecode(b"photos \xe9")
    photos(root, (os.fsdecode(b"caf\xe9/1.png"), os.fsdecode(b"bar/\xff\n.png")))
    data = load_dataset(root)
    assert data.classes == ("bar", "caf\\xe9")
    result = zoo_data("import", root, "--out", tmp_path / "d.safetensors")
    assert result.exit_code == 0 and load_dataset(tmp_path / "d.safetensors").classes == data.classes
    (root / os.fsdecode(b"bar/\xfe\n.png")).write_text("")
    result = zoo_data("show", root)
    assert result.exit_code == 2 and "bar/\\xfe\\n.png (not an image)" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_a_name_that_is_also_a_path_must_be_made_clear(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / name)
    with pytest.raises(zoo.ZooError, match=f"both a dataset's name and a path here; write './{name}'"):
        load_dataset(name)
    assert load_dataset(f"./{name}").classes == load_dataset(tmp_path / name).classes == ("cat", "dog")


def table(path, text):
    path.write_text(text)
    return path


def test_a_csv_of_paths_and_labels(tmp_path):
    photos(tmp_path / "photos")
    rows = "\ufefflabel, path\ndog,photos/dog/3.png\ncat,photos/cat/1.png\n\n"
    data = load_dataset(table(tmp_path / "labels.csv", rows))
    assert data.classes == ("cat", "dog") and data.train.labels.tolist() == [1, 0]
    assert torch.equal(data.train.images, load_dataset(tmp_path / "photos").train.images[[2, 0]])
    data = load_dataset(table(tmp_path / "paths.csv", f"path\n{tmp_path / 'photos/dog/3.png'}\n"))
    assert data.train.labels is None and len(data.train.images) == 1


@pytest.mark.parametrize(
    "text,words",
    [
        ("", "expected the columns path, and optionally label and split, in the first line; got nothing"),
        ("path,label\n", "has no lines below its header"),
        ("path,lable\na.png,x\n", "unknown column 'lable'; did you mean 'label'?"),
        ("path,lable\na.png,x\n", "expected the columns path, and optionally label and split"),
        ("image,label\na.png,x\n", "unknown column 'image'; known: class, file, filename, label, path, split"),
        ("path,file\na.png,a.png\n", "two columns mean path; expected one of path, file, filename"),
        ("path,class,label\na.png,x,x\n", "two columns mean label; expected one of label, class"),
        ("path;label\na.png;x\n", "the fields are separated by semicolons; expected commas"),
        ("path\tlabel\na.png\tx\n", "the fields are separated by tabs; expected commas"),
        ("path,label\na.png,x\n,x\n", "line 3: expected the path of an image, got nothing"),
        (",path,label\n0,a.png,x\n", "a column has no name; remove it, as pandas does with to_csv(..., index=False)"),
        ("path,label\na.png,x\nb\0.png,x\n", "not a CSV (line 3 contains a NUL"),
        ("path,label\na.png,x\n" + 1_000_001 * "a", "not a CSV (line 3 has more than 1,000,000 characters)"),
        ("path,label\na.png," + 200_000 * "x", "not a CSV (field larger than field limit (131072))"),
        ("path,label\n" + 60 * "a.png,", "line 2: expected 2 fields, got 61"),
        ("path,split\na.png,\x1b[31m" + 999 * "x", "split: expected train or test, got '\\x1b[31mxxx"),
        ("\x1b[31mpath\na.png\n", "unknown column '\\x1b[31mpath'; did you mean 'path'?"),
        ("a.png,x\n", "expected the columns path, and optionally label and split, in the first line; unknown column"),
        ("label\nx\n", "in the first line; path is missing"),
        ("path,split\na.png,val\n", "line 2: split: expected train or test, got 'val'"),
        ("path,split\na.png,test\nb.png,test\n", "all 2 images are test images; expected training images"),
        ("path,label\na.png,x\nb.png,y\n./a.png,x\n", "line 4 names the same image as line 2"),
        ("path,label\na.png,x\nb.png\n", "line 3: expected 2 fields, got 1"),
        ("path,label\na.png,x\nnone.png,x\n", "1 of 2 files cannot be used: none.png (no such file)"),
        ('path,label\n"a.png,x\n', "expected 2 fields, got 1"),
    ],
)
def test_a_csv_that_is_not_one_says_why(tmp_path, text, words):
    photos(tmp_path, ("a.png", "b.png"))
    with pytest.raises(zoo.ZooError) as error:
        load_dataset(table(tmp_path / "labels.csv", text))
    assert words in str(error.value) and "labels.csv" in str(error.value)
    assert str(error.value).isprintable() and len(str(error.value)) < 500
    with pytest.raises(zoo.ZooError, match="none.csv: no such file"):
        load_dataset(tmp_path / "none.csv")


def test_a_csv_may_use_the_names_of_other_programs(tmp_path):
    photos(tmp_path, ("a.png", "b.png"))
    expected = load_dataset(table(tmp_path / "labels.csv", "path,label\na.png,x\nb.png,y\n"))
    for header in ("filename,class", "file,label", " path , class ", "Path,Label"):
        data = load_dataset(table(tmp_path / "labels.csv", f"{header}\na.png,x\nb.png,y\n"))
        assert data.digest == expected.digest and data.classes == ("x", "y")


def test_a_csv_of_a_spreadsheet_has_empty_rows_and_capitals(tmp_path):
    photos(tmp_path, ("a.png", "b.png"))
    expected = load_dataset(table(tmp_path / "labels.csv", "path,label,split\na.png,x,train\nb.png,x,test\n"))
    data = load_dataset(table(tmp_path / "labels.csv", "path,label,split\n,,\na.png,x,Train\nb.png,x,TEST\n,,\n"))
    assert data.digest == expected.digest


def test_a_csv_in_utf16_says_so(tmp_path):
    photos(tmp_path, ("a.png",))
    for encoding in ("utf-16", "utf-16-be"):
        (tmp_path / "labels.csv").write_bytes("\ufeffpath,label\na.png,x\n".encode(encoding))
        with pytest.raises(zoo.ZooError, match="labels.csv: not a CSV .it is in UTF-16; save it as CSV in UTF-8"):
            load_dataset(tmp_path / "labels.csv")


def test_a_csv_has_splits(tmp_path):
    photos(tmp_path / "photos")
    rows = "path,split,label\nphotos/dog/3.png,test,dog\nphotos/cat/1.png,train,cat\nphotos/cat/deep/2.jpg,,dog\n"
    data, whole = load_dataset(table(tmp_path / "splits.csv", rows)), load_dataset(tmp_path / "photos").train.images
    assert data.classes == ("cat", "dog") and data.train.labels.tolist() == [0, 1] and data.test.labels.tolist() == [1]
    assert torch.equal(data.train.images, whole[:2]) and torch.equal(data.test.images, whole[2:])
    data = load_dataset(table(tmp_path / "paths.csv", "split,path\ntest,photos/dog/3.png\n,photos/cat/1.png\n"))
    assert data.train.labels is data.test.labels is None and len(data.train.images) == len(data.test.images) == 1


def test_labels_of_a_split_are_kept_where_all_of_its_images_have_one(tmp_path):
    photos(tmp_path, [f"{name}.png" for name in "abcde"])
    text = "path,label,split\na.png,x,\nb.png,,\nc.png, ,\nd.png,y,test\ne.png,x,test\n"
    words = re.escape("labels.csv: only 1 of 3 training images have a label; the labels of this split are not used")
    with pytest.warns(UserWarning, match=words) as warned:
        data = load_dataset(table(tmp_path / "labels.csv", text))
    assert len(warned) == 1 and data.train.labels is None and len(data.train.images) == 3
    assert data.test.labels.tolist() == [1, 0] and data.classes == ("x", "y")
    data = load_dataset(table(tmp_path / "none.csv", "path,label\na.png,\nb.png,\n"))  # no warning
    assert data.train.labels is None and data.classes == ()


def test_import_writes_one_file_of_the_same_content(tmp_path):
    root = bad_folder(tmp_path / "photos")
    out = tmp_path / "new" / "photos.safetensors"
    refused = zoo_data("import", root, "--out", out)
    assert refused.exit_code == 2 and "8 of 11 files" in refused.stderr and not out.exists()
    with pytest.warns(UserWarning, match="skipped"):
        result = zoo_data("import", root, "--out", out, "--size", 6, "--skip-bad", "--json")
        data = load_dataset(root, size=6, skip_bad=True)
    written = json.loads(result.stdout)
    assert written["shape"] == [3, 6, 6] and written["train"]["per_class"] == {"cat": 2, "dog": 1}
    assert load_dataset(out).digest == data.digest == written["digest"] and load_dataset(out).classes == data.classes
    assert "already exists" in zoo_data("import", root / "cat", "--out", out).stderr
    assert "ending in .safetensors" in zoo_data("import", root, "--out", "x.npz").stderr
    np.savez(tmp_path / "d.npz", images=np.zeros((3, 4, 4), np.uint8), test_images=np.ones((2, 4, 4), np.uint8))
    assert zoo_data("import", tmp_path / "d.npz", "--out", tmp_path / "d.safetensors").exit_code == 0
    assert load_dataset(tmp_path / "d.npz").digest == load_dataset(tmp_path / "d.safetensors").digest


def test_show_counts_and_draws(tmp_path):
    for i in range(12):
        picture(tmp_path / "photos" / ("blue" if i < 11 else "red") / f"{i}.png", colour="blue" if i < 11 else "red")
    result = zoo_data("show", tmp_path / "photos", "--sheet", tmp_path / "deep" / "sheet.png")
    assert "photos: 12 training images, 8x8 colour, 2 classes" in result.stdout and "blue        11" in result.stdout
    assert result.stderr == "resized to 8x8, the median shorter side, at most 224; change it with --size\n"
    counts = {colour: n for n, colour in Image.open(tmp_path / "deep" / "sheet.png").convert("RGB").getcolors(2**24)}
    assert counts[(0, 0, 255)] == 10 * counts[(255, 0, 0)] == 10 * 72 * 72
    shown = json.loads(zoo_data("show", "digits", "--sheet", tmp_path / "digits.png", "--json").stdout)
    assert shown["test"]["images"] == 500 and shown["shape"] == [1, 8, 8] and sum(shown["train"]["per_class"].values())
    np.savez(tmp_path / "d.npz", images=RNG.integers(0, 256, (23, 3, 300, 90), dtype=np.uint8))
    result = zoo_data("show", tmp_path / "d.npz", "--sheet", tmp_path / "d.png")
    assert "no labels" in result.stdout
    with Image.open(tmp_path / "d.png") as sheet:  # three rows: ten, ten and three images
        assert sheet.height > 3 * 72 and sheet.width < 10 * 72
    assert "expected a path ending in .png" in zoo_data("show", "digits", "--sheet", tmp_path / "d.jpg").stderr
    mine = tmp_path / "photos" / "blue" / "0.png"
    before = mine.read_bytes()
    assert "0.png: already exists" in zoo_data("show", tmp_path / "photos", "--sheet", mine).stderr
    assert mine.read_bytes() == before
    assert "unknown command 'shwo'; did you mean 'show'" in zoo_data("shwo").stderr


def test_three_hundred_photos_are_trained_on_and_probed_with_thirty_labels(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    formats = ("png", "jpg", "webp", "bmp", "gif")
    for i in range(298):
        size = (int(RNG.integers(16, 40)), int(RNG.integers(16, 40)))
        colour = "red" if i % 2 else "blue"
        picture(Path("photos", f"{i:03}.{formats[i % 5]}"), size, colour=None if i % 3 else colour)
    broken = picture(Path("photos/broken.jpg"), (64, 64))
    broken.write_bytes(broken.read_bytes()[:900])
    Path("photos/text.jpg").write_text("not an image")
    views = (("random_resized_crop", {"size": 16}), ("horizontal_flip", {}))
    Path("recipe.json").write_text(
        recipe.replace(views=views, image_size=16, batch_size=64, epochs=1, warmup_epochs=0).to_json()
    )
    command = ["pretrain", "recipe.json", "--data", "photos", "--out", "run"]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 2 and refused.stderr.count("\n") == 1 and not Path("run").exists()
    for words in ("2 of 300 files cannot be used", "broken.jpg (", "text.jpg (not an image)", "--skip-bad"):
        assert words in refused.stderr
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        result = CliRunner().invoke(main, [*command, "--skip-bad"])
    assert result.exit_code == 0, result.stderr
    assert re.search(r"warning: .*2 of 300 files .*broken.jpg.*text.jpg.*skipped", result.stderr)
    model = zoo.load("./run")
    assert model.input_shape == (3, 16, 16) and model.config["dataset"]["images"] == 298

    lines = [f"photos/{i:03}.{formats[i % 5]},{'red' if i % 2 else 'blue'}" for i in range(0, 90, 3)]
    table(Path("labels.csv"), "path,label\n" + "\n".join(lines))
    probed = CliRunner().invoke(main, ["probe", "run", "--data", "labels.csv", "--json"])
    assert probed.exit_code == 0, probed.stderr
    found = json.loads(probed.stdout)
    assert found["folds"] == 5 and found["accuracy"] > 0.9
    assert {name: row["images"] for name, row in found["per_class"].items()} == {"blue": 15, "red": 15}
