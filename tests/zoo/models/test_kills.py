"""SIGKILL at random moments of publishing and fetching: what is there is whole, and the next try ends well.

`FUNCZOO_KILLS` is the number of kills of each kind, and `FUNCZOO_SEED` the seed of their moments, which is printed.
"""

import json
import os
import subprocess
import sys

import pytest
from hub_server import TOKEN, running

import zoo
from zoo.models import loading

NAME = "simclr-resnet8-digits"
KILLS = int(os.environ.get("FUNCZOO_KILLS", "5"))
SEED = int(os.environ.get("FUNCZOO_SEED", "0"))

# Children are forked by a process with one thread that has imported everything, so that a kill hits the work.
PROGRAM = """
import json, os, random, shutil, signal, sys, time
import huggingface_hub.hf_api
import zoo
from zoo.models import loading, publishing

kind, address, folder, kills, seed = sys.argv[1:]
draw, found = random.Random(int(seed)), {"killed": 0, "finished": 0}
target, models = os.path.join(folder, "to"), os.path.join(folder, "models")
os.environ["FUNCZOO_MODELS"] = models

def act():
    if kind == "pull":
        zoo.pull(address)
    else:
        zoo.publish("simclr-resnet8-digits", address if kind == "publish to a hub" else target)

def whole(directory):
    names = os.listdir(directory)
    assert "config.json" in names, names
    zoo.load(directory)

def run(moment):
    child = os.fork()
    if not child:
        try:
            act()
        except BaseException as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if moment is not None:
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

assert run(None) == 0
shutil.rmtree(folder)
os.mkdir(folder)
start = time.monotonic()
assert run(None) == 0  # warm, as the others will be
duration = time.monotonic() - start
for _ in range(int(kills)):
    if draw.random() < 0.5:  # else the next one goes over what is there
        shutil.rmtree(folder)
        os.mkdir(folder)
    status = run(draw.uniform(0, duration))
    assert status in (0, -9), status
    found["killed" if status else "finished"] += 1
    duration *= 1.2 if status else 0.8  # so that about half of the kills hit the work
    if os.path.lexists(target):
        whole(target)  # it appears at once, or not at all
    assert run(None) == 0  # the next try ends well, whatever was left behind
    if kind == "pull":
        directory = zoo.pull(address).directory
        assert not list(directory.glob("*.part")), list(directory.iterdir())
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pull", "publish to a hub", "publish to a directory"])
def test_killed_at_any_moment(kind, tmp_path):
    with running() as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_TOKEN", TOKEN)
        patch.setenv("FUNCZOO_MODELS", str(tmp_path / "ours"))
        address = f"hf://me/{NAME}"
        if kind == "pull":
            address = zoo.publish(loading.WEIGHTS / NAME, address).address
        (tmp_path / "folder").mkdir()
        program = [sys.executable, "-c", PROGRAM, kind, address, tmp_path / "folder", str(KILLS), str(SEED)]
        done = subprocess.run(program, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        print(f"seed {SEED}, {kind}: {done.stdout.strip()}")
        assert sum(json.loads(done.stdout).values()) == KILLS
        if kind == "publish to a hub":  # one commit, whatever was killed, with its tag
            repository = hub.repositories[f"me/{NAME}"]
            assert len(repository.commits) == 2 and set(repository.tags.values()) == {repository.branches["main"]}
            assert zoo.load(f"{address}@main").name == NAME
