"""Damage of every kind, drawn from a `random.Random`: bytes, lengths, JSON, text, and the formats that hold them.

A mutator is `(rng, data) -> data`. Those of a format with checksums or lengths (zip, gzip, tar, safetensors) damage
what is inside and write a valid wrapping again, so that the damage gets past the first check.
"""

import copy
import gzip
import io
import json
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

Mutator = Callable[[random.Random, bytes], bytes]
INTEGERS = (0, 1, -1, 2, 255, 65_535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, 10**9, 10**30, -(2**63))
NUMBERS = (*INTEGERS, 0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), -float("inf"))
TEXTS = ("", "x", "\0", "\x1b[31m\x07", "../../../etc/passwd", "~nosuchuser/x", "/dev/zero", "é\u202e\ufeff", "\ud800")
TEXTS = (*TEXTS, "a" * 5_000, "%s%n{0}", "1", "null", "random", "*", "__class__", "con.py", "./x.py", "\U0001f600")


def in_turn(*mutators: Mutator) -> Mutator:
    """One of several, at random."""
    return lambda rng, data: rng.choice(mutators)(rng, data)


def damage(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, repeat, move or overwrite bytes."""
    return rng.choice((_flip, _flip, _cut, _drop, _repeat, _swap, _overwrite, _extend, _length))(rng, data)


def json_damage(rng: random.Random, data: bytes) -> bytes:
    """Replace, remove, rename, nest or repeat a part of a JSON document; or another spelling of the same document."""
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        value = _changed(rng, value)
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 2)))
    if rng.random() < 0.1:
        text = _repeated_name(rng, text)
    if rng.random() < 0.02:
        text = text.replace(":", ":" + "[" * 100_000 + "]" * 100_000 + ",", 1)
    if rng.random() < 0.1:
        text = rng.choice(("\ufeff", " \n", "[" * 3_000, "")) + text + rng.choice((" ", "\n\n", "}", "\0"))
    return text.encode("utf-8", "surrogatepass")


def respelt(rng: random.Random, data: bytes) -> bytes:
    """The same JSON document in another spelling: it must be read, and give the same."""
    return json.dumps(json.loads(data), indent=rng.choice((None, 1, 3))).encode() + rng.choice((b"", b"\n", b"  "))


def text_damage(rng: random.Random, data: bytes) -> bytes:
    """Insert, remove, repeat or reorder lines and characters."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    i, j = (rng.randrange(len(lines)) for _ in range(2))
    kind = rng.randrange(7)
    if kind == 0:
        lines[i] = lines[i][: rng.randrange(len(lines[i]) + 1)]
    elif kind == 1:
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == 2:
        lines.insert(i, lines[j])
    elif kind == 3:
        del lines[i]
    elif kind == 4:
        at = rng.randrange(len(lines[i]) + 1)
        piece = rng.choice((*TEXTS, ",", '"', "'", ":", "- ", "&a *a", "\t", "\r", "---", "!!python/name:os.system"))
        lines[i] = lines[i][:at] + piece + lines[i][at:]
    elif kind == 5:
        return data.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-8-sig", "utf-32")))
    else:
        lines[i] = lines[i].replace(rng.choice(lines[i] or "x"), rng.choice(TEXTS))
    return (rng.choice(("\n", "\n", "\r\n", "\r")).join(lines)).encode("utf-8", "surrogatepass")


def inside_safetensors(rng: random.Random, data: bytes) -> bytes:
    """Damage the header of a safetensors file, and write its length again."""
    length = int.from_bytes(data[:8], "little")
    header = in_turn(json_damage, json_damage, damage)(rng, data[8 : 8 + length])
    body = data[8 + length :]
    if rng.random() < 0.1:
        body = damage(rng, body)
    return struct.pack("<Q", len(header)) + header + body


def inside_zip(rng: random.Random, data: bytes) -> bytes:
    """Damage a member of a zip archive, its name, or its header as an array; the checksums are right again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    i = rng.randrange(len(members))
    name, content = members[i]
    kind = rng.randrange(6)
    if kind == 0:
        members[i] = name, damage(rng, content)
    elif kind == 1:
        members[i] = name, _npy_header(rng, content)
    elif kind == 2:
        members[i] = rng.choice((*TEXTS[:-1], "images.npy", "labels.npy", "../labels.npy", "images")), content
    elif kind == 3:
        members.append((name, damage(rng, content)))
    elif kind == 4:
        del members[i]
    else:
        members[i] = name, rng.choice((b"", b"cos\nsystem\n(S'true'\ntR.", b"\x80\x04.", b"\x93NUMPY", content[:10]))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members:
            archive.writestr(_as_text(name).replace("\0", "") or "/", content)
    return out.getvalue()


def inside_gzip(rng: random.Random, data: bytes) -> bytes:
    """Damage the content of a gzip file, and compress it again."""
    return gzip.compress(damage(rng, gzip.decompress(data)), compresslevel=1, mtime=0)


def inside_tar(rng: random.Random, data: bytes) -> bytes:
    """Damage, rename, repeat, remove or replace a member of a `.tar.gz`."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = [(member.name, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]
    i = rng.randrange(len(members))
    name, content = members[i]
    kind, link = rng.randrange(5), b""
    if kind == 0:
        members[i] = name, damage(rng, content)
    elif kind == 1:
        members[i] = rng.choice(("../../escaped.bin", "/tmp/escaped.bin", f"deep/{name}", "data_batch_1.bin")), content
    elif kind == 2:
        members.append((name, damage(rng, content)))
    elif kind == 3:
        del members[i]
    else:
        link = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for j, (name, content) in enumerate(members):
            member = tarfile.TarInfo(_as_text(name))
            if link and i == j:
                member.type, member.linkname, content = link, "/etc/passwd", b""
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def _flip(rng: random.Random, data: bytes) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8, 64))):
        if found:
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.choice((rng.randrange(len(data) + 1), len(data) - 1, rng.randrange(17)))]


def _drop(rng: random.Random, data: bytes) -> bytes:
    start, stop = _span(rng, data)
    return data[:start] + data[stop:]


def _repeat(rng: random.Random, data: bytes) -> bytes:
    start, stop = _span(rng, data)
    return data[:stop] + data[start:]


def _swap(rng: random.Random, data: bytes) -> bytes:
    (a, b), (c, d) = sorted((_span(rng, data), _span(rng, data)))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:] if b <= c else data[::-1]


def _overwrite(rng: random.Random, data: bytes) -> bytes:
    start, stop = _span(rng, data)
    new = rng.choice((bytes(stop - start), b"\xff" * (stop - start), rng.randbytes(stop - start)))
    return data[:start] + new + data[stop:]


def _extend(rng: random.Random, data: bytes) -> bytes:
    return data + rng.choice((b"\0", rng.randbytes(rng.randrange(1, 64)), data[: rng.randrange(len(data) + 1)]))


def _length(rng: random.Random, data: bytes) -> bytes:
    """Overwrite what may be a length, most of all near the start."""
    size = rng.choice((1, 2, 4, 8))
    value = (rng.choice(INTEGERS) % 256**size).to_bytes(size, rng.choice(("little", "big")))
    at = rng.randrange(min(len(data), rng.choice((8, 64, 1024))) + 1)
    return data[:at] + value + data[at + size :]


def _span(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 4, 16, 256, 4096)))


def _changed(rng: random.Random, value: Any) -> Any:
    """The value with one part of it changed."""
    value = copy.deepcopy(value)
    holders = [(holder, key) for holder in _holders(value) for key in _keys(holder)]
    if not holders:
        return _extreme(rng)
    holder, key = rng.choice(holders)
    kind = rng.randrange(8)
    if kind < 4:
        holder[key] = _extreme(rng)
    elif kind == 4:
        del holder[key]
    elif kind == 5 and isinstance(holder, dict):
        holder[rng.choice((*TEXTS, f"{key}x"))] = holder.pop(key) if rng.random() < 0.5 else _extreme(rng)
    elif kind == 6:
        other, name = rng.choice(holders)
        holder[key] = copy.deepcopy(other[name])
    elif isinstance(holder[key], int | float | str) and not isinstance(holder[key], bool):
        holder[key] = _near(rng, holder[key])
    else:
        holder[key] = rng.choice(([holder[key]], {"x": holder[key]}, [holder[key]] * 3))
    return value


def _holders(value: Any) -> list[Any]:
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(holder for x in inner for holder in _holders(x))]


def _keys(holder: Any) -> Sequence[Any]:
    return list(holder) if isinstance(holder, dict) else range(len(holder))


def _extreme(rng: random.Random) -> Any:
    nested: Any = 1
    for _ in range(rng.choice((3, 150))):
        nested = [nested]
    value = rng.choice((rng.choice(NUMBERS), rng.choice(TEXTS), None, True, False, [], {}, nested))
    return value if rng.random() < 0.8 else rng.choice(([value], [value, value], {"x": value}, [["x", {"x": value}]]))


def _near(rng: random.Random, value: Any) -> Any:
    if isinstance(value, str):
        return _as_text(damage(rng, value.encode("utf-8", "surrogatepass")))
    return rng.choice((value + 1, value - 1, -value, value * 1000, float(value), str(value)))


def _repeated_name(rng: random.Random, text: str) -> str:
    """Write one of the names of an object a second time."""
    if not (at := [i for i, c in enumerate(text) if c == "{"]):
        return text
    i = rng.choice(at)
    name, colon, _ = text[i + 1 :].partition(":")
    return f"{text[: i + 1]}{name}: 3, {text[i + 1 :]}" if colon and '"' in name else text


def _npy_header(rng: random.Random, content: bytes) -> bytes:
    """Another dtype, order or shape in the header of an array, of the same length where that is possible."""
    length = int.from_bytes(content[8:10], "little")
    header = content[10 : 10 + length].decode("latin-1").rstrip()
    old, new = rng.choice(
        (
            ("|u1", rng.choice(("|O", "|O8", "<f8", "|S1", ">u2", "<U1", "|V1", "<m8"))),
            ("<i8", rng.choice(("|O", "<u8", "<f8", ">i8", "|b1"))),
            ("False", rng.choice(("True", "None", "1", "__import__('os').system('true')"))),
            ("(", "(" + str(rng.choice(INTEGERS)) + ", "),
            ("'shape'", "'shapes'"),
            ("{", "[" * rng.choice((1, 500))),
        )
    )
    damaged = header.replace(old, new, 1).encode("latin-1").ljust(length - 1) + b"\n"
    return content[:8] + struct.pack("<H", len(damaged)) + damaged + content[10 + length :]


def _as_text(text: str | bytes) -> str:
    """A text that a file can hold, without half pairs of UTF-16."""
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    return raw.decode("utf-8", "replace")
