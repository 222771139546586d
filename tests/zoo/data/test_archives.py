"""npz archives: every damage is named, and nothing is allocated that the file does not hold."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

import zoo
from zoo.data.archives import read_npz
from zoo.data.datasets import load_dataset

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 3, 4, 4), dtype=np.uint8)


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def header(text, data=b"", version=b"\x01\x00"):
    text = text.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


def archive(path, *members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in members:
            file.writestr(name, data)
    return path


U8 = "{'descr': '|u1', 'fortran_order': False, 'shape': %s}"
DAMAGED = {
    "10**12 bytes": (header(U8 % "(10**12,)".replace("10**12", str(10**12)), b"x"), "says that it holds 1,000,000,000"),
    "negative": (header(U8 % "(-1, -1)", b"x"), "has the shape"),
    "more": (header(U8 % "(1,)", b"xy"), "says that it holds 1 bytes, and holds 2"),
    "no npy": (b"hello", "npy|magic"),
    "empty": (b"", "EOF|magic|header"),
    "objects": (npy(np.array([{}], dtype=object)), "holds Python objects"),
    "version": (header(U8 % "(1,)", b"x", b"\x09\x00"), "version"),
    "no literal": (header("__import__('os').abort()"), "malformed|header"),
    "a long header": (header("(" * 60_000), "header|large|nested"),
    "no dtype": (header("{'descr': 'zz', 'fortran_order': False, 'shape': (1,)}", b"x"), "descr"),
    "fields": (header("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}", b"x"), "Python objects"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_member_is_named(tmp_path, damage):
    data, words = DAMAGED[damage]
    path = archive(tmp_path / "d.npz", ("images.npy", data))
    tracemalloc.start()
    with pytest.raises(zoo.ZooError, match=f"d.npz: not a readable .npz archive of arrays .*({words})") as error:
        load_dataset(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000 and str(error.value).isprintable() and len(str(error.value)) < 1000


def test_members_that_are_no_arrays_or_doubled_are_refused(tmp_path):
    images = ("images.npy", npy(IMAGES))
    with pytest.raises(zoo.ZooError, match="'read\\\\x1bme.txt' is no array: its name does not end in .npy"):
        load_dataset(archive(tmp_path / "d.npz", images, ("read\x1bme.txt", b"hello")))
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive(tmp_path / "d.npz", images, images)
    with pytest.raises(zoo.ZooError, match="two arrays have the same name"):
        load_dataset(tmp_path / "d.npz")


def test_an_archive_that_grows_a_thousandfold_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "d.npz", images=np.zeros((300, 1, 1000, 1000), np.uint8))
    with pytest.raises(zoo.ZooError, match=r"[\d,]+ bytes that become 300,000,128; expected at most 100 times"):
        load_dataset(tmp_path / "d.npz")
    np.savez_compressed(tmp_path / "d.npz", images=np.zeros((10, 1, 1000, 1000), np.uint8))
    assert load_dataset(tmp_path / "d.npz").train.images.shape == (10, 1, 1000, 1000)


def test_a_size_in_the_directory_that_is_not_true_is_found(tmp_path):
    path = archive(tmp_path / "d.npz", ("images.npy", npy(IMAGES)), compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    start = data.index(b"PK\x01\x02") + 24  # the size of the member
    for size in (10**9, 10, 0):
        data[start : start + 4] = size.to_bytes(4, "little")
        path.write_bytes(data)
        with pytest.raises(zoo.ZooError, match="d.npz: not a readable .npz archive"):
            load_dataset(path)


def test_every_order_and_rank_is_read_as_numpy_does(tmp_path):
    arrays = {
        "fortran": np.asfortranarray(RNG.normal(size=(3, 4, 5))),
        "scalar": np.array(3),
        "none": np.zeros((0, 3), np.int16),
        "strings": np.array(["a", "bcd", "é"]),
        "big": np.arange(5, dtype=">i4"),
        "bool": np.array([[True, False]]),
        "large": RNG.integers(0, 256, 3_000_000, dtype=np.uint8),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "d.npz", **arrays)
        found = read_npz(tmp_path / "d.npz")
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
            assert found[name].flags.writeable
    np.savez(tmp_path / "d.npz", images=np.asfortranarray(IMAGES))
    assert np.array_equal(load_dataset(tmp_path / "d.npz").train.images.numpy(), IMAGES)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_truncation_and_every_flipped_bit_of_the_data_is_found(tmp_path, save):
    path = tmp_path / "d.npz"
    save(path, images=IMAGES, labels=np.arange(6))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(zoo.ZooError, match="not a readable .npz archive"):
            load_dataset(path)
    for position in RNG.integers(0, len(whole), 300).tolist():
        data = bytearray(whole)
        data[position] ^= 1 << int(RNG.integers(8))
        path.write_bytes(data)
        try:
            assert np.array_equal(load_dataset(path).train.images.numpy(), IMAGES)
        except zoo.ZooError as error:
            assert "d.npz" in str(error)
