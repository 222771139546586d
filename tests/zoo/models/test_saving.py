"""A directory holds one encoder, whole, whoever reads or writes it meanwhile and whatever ends them."""

import dataclasses
import os
import subprocess
import sys

import pytest
import torch

import zoo
from zoo.models import loading
from zoo.models.pretrained import untrained


def names(directory):
    return {path.name for path in directory.iterdir()}


WHOLE = {"README.md", "config.json", "model.safetensors"}


def weights(model):
    return model.config["content_digest"]


def test_another_encoder_is_replaced_only_when_asked(model, tmp_path):
    directory = tmp_path / "encoder"
    zoo.save(model, directory)
    other = untrained(model)
    for kept in (other, zoo.load("byol-resnet8-digits")):
        with pytest.raises(zoo.ZooError, match="encoder: holds another encoder, .*pass overwrite=True to replace it"):
            zoo.save(kept, directory)
    assert weights(zoo.load(directory)) == weights(model)
    zoo.save(model, directory)  # the same one
    assert weights(zoo.save(other, directory, overwrite=True)) == weights(zoo.load(directory)) != weights(model)
    assert names(directory) == WHOLE


def test_other_weights_or_preprocessing_of_an_encoder_are_another_encoder(model, tmp_path):
    zoo.save(model, tmp_path / "encoder")
    with pytest.raises(zoo.ZooError, match="holds another encoder, or other weights or preprocessing of this one"):
        zoo.save(model, tmp_path / "encoder", dtype="bfloat16")
    brighter = dataclasses.replace(model, config={**model.config, "mean": [0.25]})
    with pytest.raises(zoo.ZooError, match="holds another encoder, or other weights or preprocessing of this one"):
        zoo.save(brighter, tmp_path / "encoder")
    assert zoo.load(tmp_path / "encoder").config["mean"] == model.config["mean"]


@pytest.mark.parametrize("name", ["README.md", "thesis.tex", "model.safetensors", "recipe.json"])
def test_a_directory_of_anything_else_is_left_alone_unless_asked(model, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(zoo.ZooError, match=f"holds '{name}', and is not an encoder directory; .*overwrite=True"):
        zoo.save(model, tmp_path)
    assert names(tmp_path) == {name} and (tmp_path / name).read_text() == "mine"
    zoo.save(model, tmp_path, overwrite=True)
    assert names(tmp_path) == WHOLE | {name} and weights(zoo.load(tmp_path)) == weights(model)


@pytest.mark.parametrize("text", ["{", "[]", '{"name": []}', "\xff"])
def test_a_configuration_that_cannot_be_read_is_another_encoder(model, tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(zoo.ZooError, match="holds another encoder"):
        zoo.save(model, tmp_path)
    assert weights(zoo.save(model, tmp_path, overwrite=True)) == weights(model)


# Children are forked by a process with one thread that has imported everything, so that a kill hits the work.
KILLED = """
import os, random, shutil, signal, sys, time
from pathlib import Path
import zoo
from zoo.models import loading
from zoo.models.pretrained import untrained

old, new, directory = zoo.load(sys.argv[1]), zoo.load(sys.argv[2]), Path(sys.argv[3])
kills, draw = int(sys.argv[4]), random.Random(int(sys.argv[5]))

def save():
    child = os.fork()
    if not child:
        zoo.save(new, directory, overwrite=True)
        os._exit(0)
    return child

def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

zoo.save(old, directory)
started = time.monotonic()
assert ended(save()) == 0
seconds, found = time.monotonic() - started, {}
for _ in range(kills):
    zoo.save(old, directory, overwrite=True)
    child = save()
    time.sleep(draw.uniform(0, seconds))
    os.kill(child, signal.SIGKILL)
    status = ended(child)
    there = zoo.load(directory)
    which = [model for model in (old, new) if model.config["content_digest"] == there.config["content_digest"]]
    assert len(which) == 1 and which[0].has_decoder == there.has_decoder
    left = {path.name for path in directory.iterdir()} - {"README.md", "config.json"}
    kind = f"{'old' if which[0] is old else 'new'}, {'finished' if status == 0 else 'killed'}, {len(left)} files"
    found[kind] = found.get(kind, 0) + 1
    seconds *= 1.1 if status else 0.9  # so that about half of the kills hit the work
    assert zoo.save(new, directory, overwrite=True).config["content_digest"] == new.config["content_digest"]
    left = {path.name for path in directory.iterdir()} - {"README.md", "config.json", "model.safetensors"}
    assert left == ({"decoder.safetensors"} if new.has_decoder else set()), left
print(found)
"""
KILLS, SEED = os.environ.get("FUNCZOO_KILLS", "10"), os.environ.get("FUNCZOO_SEED", "0")


@pytest.mark.slow
@pytest.mark.parametrize("which", ["with a decoder by one without", "without one by one with"])
def test_a_save_that_is_killed_leaves_the_old_encoder_or_the_new_one(run, decoding_run, tmp_path, which):
    pair = [decoding_run, run] if which.startswith("with a") else [run, decoding_run]
    program = [sys.executable, "-c", KILLED, *pair, tmp_path / "encoder", KILLS, SEED]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    print(f"seed {SEED}: {done.stdout.strip()}")


STEPS = """
import itertools, os, shutil, signal, sys
from pathlib import Path
import zoo

old, new, folder = zoo.load(sys.argv[1]), zoo.load(sys.argv[2]), Path(sys.argv[3])
left, really = 0, (os.replace, os.unlink)

def counted(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call

for step in itertools.count(1):
    directory = folder / str(step)
    zoo.save(old, directory)
    child = os.fork()
    if not child:
        left, os.replace, os.unlink = step, *map(counted, really)
        zoo.save(new, directory, overwrite=True)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    digest = zoo.load(directory).config["content_digest"]
    print({old.config["content_digest"]: "old", new.config["content_digest"]: "new"}[digest])
    zoo.save(new, directory, overwrite=True)
    assert {path.name for path in directory.iterdir()} == {"README.md", "config.json", "model.safetensors"}
    if status == 0:
        break
"""


@pytest.mark.slow
def test_a_save_that_is_killed_before_any_of_its_steps_leaves_one_of_the_two(run, decoding_run, tmp_path):
    done = subprocess.run([sys.executable, "-c", STEPS, decoding_run, run, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = done.stdout.split()
    assert seen == sorted(seen, reverse=True) and seen.count("new") > 2 and seen.count("old") > 2, seen


SAVER = """
import os, sys
import zoo
directory, stop, *paths = sys.argv[1:]
models, saves = [zoo.load(path) for path in paths], 0
while not os.path.exists(stop) or saves < 6:
    zoo.save(models[saves % 2], directory, overwrite=True)
    saves += 1
print(saves)
"""
LOADER = """
import collections, os, sys, time
import torch
import zoo
seen, pixels = collections.Counter(), torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8)
while not os.path.exists(os.path.join(sys.argv[1], "config.json")):
    time.sleep(0.01)
zoo.load(sys.argv[1])  # imports what it needs
end = time.monotonic() + 4
while time.monotonic() < end:
    model = zoo.load(sys.argv[1])
    features, config = model.features(pixels)[0, :4].tolist(), model.config
    seen[str(features), config["content_digest"], config["mean"][0]] += 1
for key, times in seen.items():
    print(*key, times, sep="|")
"""


@pytest.mark.slow
def test_loaders_beside_a_saver_see_the_old_encoder_or_the_new_one(run, model, tmp_path):
    """Their features, their weights and their preprocessing belong together."""
    other = zoo.save(dataclasses.replace(untrained(model), config={**model.config, "mean": [0.25]}), tmp_path / "other")
    directory, stop = tmp_path / "encoder", tmp_path / "stop"
    pixels = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8)
    commands = [[LOADER, directory]] * 4 + [[SAVER, directory, stop, run, tmp_path / "other"]]
    *loaders, saver = (
        subprocess.Popen([sys.executable, "-c", *command], stdout=subprocess.PIPE, text=True) for command in commands
    )
    outputs = [loader.communicate()[0] for loader in loaders]
    stop.touch()
    saves = int(saver.communicate()[0])
    assert [process.returncode for process in (*loaders, saver)] == [0] * 5
    seen = [line.rpartition("|")[::2] for output in outputs for line in output.splitlines()]
    whole = {f"{m.features(pixels)[0, :4].tolist()}|{weights(m)}|{m.config['mean'][0]}" for m in (model, other)}
    assert {key for key, _ in seen} <= whole
    print(f"{saves} saves beside {sum(int(times) for _, times in seen)} loads in 4 processes")


def test_a_loader_that_opened_files_of_two_encoders_reads_again(model, tmp_path, monkeypatch):
    """Another encoder is saved between its opening of config.json and of the weights, twice."""
    directory, others = tmp_path / "encoder", [untrained(model, seed) for seed in (1, 2)]
    zoo.save(model, directory)
    left = list(others)

    def open_and_wait(path, mode):
        file = open(path, mode)
        if path.name == "config.json" and left:
            other = left.pop()  # before the save, which loads the directory too
            zoo.save(other, directory, overwrite=True)
        return file

    monkeypatch.setattr(loading, "open", open_and_wait, raising=False)
    there = zoo.load(directory)
    assert not left and weights(there) in {weights(zoo.save(x, tmp_path / str(i))) for i, x in enumerate(others)}
    assert weights(there) == weights(zoo.load(directory))


@pytest.mark.slow
def test_two_savers_take_turns(run, model, tmp_path):
    other, stop = zoo.save(untrained(model), tmp_path / "other"), tmp_path / "stop"
    stop.touch()
    command = [sys.executable, "-c", SAVER, tmp_path / "encoder", stop, run, tmp_path / "other"]
    savers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [saver.communicate() for saver in savers] == [("6\n", "")] * 2
    assert names(tmp_path / "encoder") == WHOLE
    assert weights(zoo.load(tmp_path / "encoder")) in {weights(model), weights(other)}


CANNOT_WRITE = """
import ctypes, os, resource, sys
import zoo

new, directory = zoo.load(sys.argv[1]), sys.argv[2]
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
sizes = sorted({0, 100, 2_000, 3_000, 5_000, 10_000, os.path.getsize(os.path.join(directory, "model.safetensors")) - 1})

def attempt(what):
    try:
        zoo.save(new, directory, overwrite=True)
        print("saved")
    except OSError as error:
        print(what, error.strerror, error.filename, sep="|")

for size in sizes:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    attempt(size)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

# Root may write even where the mode forbids it: drop that capability.
libc, header, capabilities = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(header, capabilities) == 0
capabilities[0] &= ~(1 << 1)
assert libc.capset(header, capabilities) == 0
os.chmod(directory, 0o555)
attempt("read-only")
assert zoo.load(directory).name
os.chmod(directory, 0o755)
"""


def test_a_full_disk_or_a_read_only_directory_leaves_the_old_encoder(model, tmp_path):
    directory = tmp_path / "encoder"
    zoo.save(model, directory)
    zoo.save(untrained(model), tmp_path / "other")
    done = subprocess.run(
        [sys.executable, "-c", CANNOT_WRITE, tmp_path / "other", directory], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    *full, forbidden = done.stdout.splitlines()
    assert full and all("|File too large|" in line for line in full), full
    assert forbidden == f"read-only|Permission denied|{directory}/save.lock"
    assert weights(zoo.load(directory)) == weights(model)
    zoo.save(model, directory)
    assert names(directory) == WHOLE
