"""What goes wrong on a machine, at random moments and places: nothing may be lost, mixed or silently accepted.

    python scripts/faults.py --times 50 --seed 0          # `make faults`: about half an hour on two cores
    python scripts/faults.py --times 5 --scenario "SIGKILL in pull"

    SIGKILL in ...     the process ends at a random moment of the command. What is there is whole or absent; the same
                       command again ends with the same bits as one that was never killed.
    two ...            two processes do the same thing at the same time. Both end well, or the second says which process
                       is in its way; the bits are those of one alone. A reader beside a writer sees the old or the new.
    full: ...          the disk takes only so many bytes: by a limit of the process, and as root on a small file system.
                       One line on stderr, exit code 2, nothing broken is left; with room, the same bits.
    read-only: ...     nothing can be written. One line, exit code 2.
    cache: ...         a file of the cache is cut or gets other bits at a random place. It is noticed, named, and
                       fetched again where there is a network, or else refused.

Commands run in forked processes that have imported everything, so that a fault hits the work and not the start. The
network is a model hub on loopback (`tests/hub_server.py`). The exit code is 1 if anything was lost.
"""

import argparse
import collections
import contextlib
import functools
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoo.errors import ZooError

ROOT = Path(__file__).resolve().parents[1]
MODEL = "simclr-resnet8-digits"
MEASURED = ("seconds", "images_per_second", "peak_memory_bytes")  # what differs between equal runs
HUB = """
import sys
sys.path.insert(0, sys.argv[1])
from hub_server import TOKEN, running
with running() as hub:
    print(hub.url, TOKEN, flush=True)
    sys.stdin.read()
"""
Bits = dict[str, str]


class Lost(Exception):
    """Something was lost, mixed or accepted that should not be."""


class Done(NamedTuple):
    """What became of a process.

    Attributes:
        status: its exit code, or minus the number of a signal.
        stderr: what it wrote.
    """

    status: int
    stderr: str


class Place(NamedTuple):
    """Where a scenario works.

    Attributes:
        folder: its own folder.
        draw: its random numbers.
        times: how often it is to go wrong.
        hub: the address of an encoder on the hub, by its commit.
        found: what happened how often.
    """

    folder: Path
    draw: random.Random
    times: int
    hub: str
    found: collections.Counter[str]


class Action(NamedTuple):
    """A command and what it leaves.

    Attributes:
        command: its arguments.
        bits: digests of what is left, by name; part of it is missing if it is not finished.
        whole: raises `Lost` if what is left is neither whole nor absent.
        output: the file or folder that is left on this machine.
    """

    command: tuple[str, ...]
    bits: Callable[[], Bits]
    whole: Callable[[], None]
    output: Path


def main() -> None:
    """Run the scenarios and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50, help="faults per scenario [default: %(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments and places [default: %(default)s]")
    parser.add_argument("--scenario", action="append", metavar="NAME", help="only this one; may be repeated")
    arguments = parser.parse_args()
    if unknown := set(arguments.scenario or ()) - set(SCENARIOS):
        parser.error(f"--scenario: expected one of {', '.join(SCENARIOS)}, got {unknown.pop()!r}")
    failed = []
    with tempfile.TemporaryDirectory() as folder, _hub(Path(folder)) as address:
        print(f"{'scenario':28}{'times':>6}{'seconds':>9}  what happened (seed {arguments.seed})")
        for number, name in enumerate(arguments.scenario or SCENARIOS):
            draw, found, started = random.Random(f"{arguments.seed}/{name}"), collections.Counter(), time.perf_counter()
            place = Path(folder) / f"{number}"
            place.mkdir()
            try:
                SCENARIOS[name](Place(place, draw, arguments.times, address, found))
                said = ", ".join(f"{n} {what}" for what, n in sorted(found.items()))
            except (Lost, ZooError, OSError) as error:
                failed.append(name)
                said = f"FAILED after {dict(found)}: {error}"
            print(f"{name:28}{arguments.times:6}{time.perf_counter() - started:9.0f}  {said}", flush=True)
    sys.exit(1 if failed else 0)


@contextlib.contextmanager
def _hub(folder: Path) -> Iterator[str]:
    """A hub with an encoder, in a process of its own; the environment leads there."""
    command = [sys.executable, "-c", HUB, str(ROOT / "tests")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        url, token = process.stdout.readline().split()
        os.environ |= {"HF_ENDPOINT": url, "HF_TOKEN": token, "no_proxy": "127.0.0.1", "OMP_NUM_THREADS": "1"}
        os.environ |= {"FUNCZOO_MODELS": str(folder / "models"), "FUNCZOO_DATA": str(folder / "data")}
        import torch

        import zoo

        torch.set_num_threads(1)  # processes are forked, and a pool of threads is not
        warnings.simplefilter("ignore")
        address = zoo.publish(MODEL, f"hf://me/{MODEL}").address
        try:
            _import_all(address)
            yield address
        finally:
            process.communicate("")


def _import_all(address: str) -> None:
    """Run each command once in this process, so that those that are forked find everything imported."""
    from zoo.commands import main as command

    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), random.Random(0), 0, address, collections.Counter())
        for make in (_publish, _pull, _pretrain, _embed):
            action = make(place)
            quiet = io.StringIO()
            with contextlib.suppress(SystemExit), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
                command(list(action.command), prog_name="zoo")
            _remove(action.output)


# The actions


def _pretrain(place: Place, out: str = "run") -> Action:
    """A run of many short epochs on 256 images, with a wide head, so that writing takes much of the time."""
    import numpy as np

    import zoo

    images, path, run = place.folder / "i.npz", place.folder / "recipe.json", place.folder / out
    np.savez(images, images=np.random.default_rng(0).integers(0, 256, (256, 8, 8), np.uint8))
    recipe = zoo.Recipe.from_record(dict(zoo.load(MODEL).config["recipe"])).replace(
        dataset=str(images), epochs=8, warmup_epochs=1, batch_size=64, encoder_options={"width": 4}, precision="float32"
    )
    path.write_text(recipe.to_json())

    def bits() -> Bits:
        lines = [json.loads(line) for line in _text(run / "metrics.jsonl").splitlines()]
        kept = [{name: value for name, value in line.items() if name not in MEASURED} for line in lines]
        files = [run / "checkpoint.safetensors", run / "encoder" / "model.safetensors"]
        return {**{file.name: _sha256(file) for file in files}, "metrics": _digest(json.dumps(kept).encode())}

    def whole() -> None:
        if (run / "encoder" / "config.json").is_file():
            _loads(run)

    command = ("pretrain", str(path), "--out", str(run))
    return Action(command, bits, whole, run)


def _embed(place: Place) -> Action:
    """Features of 300 images, to a file of one of the formats."""
    import numpy as np

    out, images = (
        place.folder / f"features{place.draw.choice(('.npz', '.safetensors', '.csv'))}",
        place.folder / "x.npz",
    )
    np.savez(images, images=np.random.default_rng(0).integers(0, 256, (300, 8, 8), np.uint8))
    whole = set()

    def require_whole() -> None:
        if out.exists() and _sha256(out) not in whole:
            raise Lost(f"{out.name} is not whole")

    command = ("embed", MODEL, str(images), "--out", str(out))
    action = Action(command, lambda: _bits(out), require_whole, out)
    _finish(action)
    whole.add(_sha256(out))
    _remove(action.output)
    return action


def _publish(place: Place) -> Action:
    """To a directory."""
    target = place.folder / "published"

    def whole() -> None:
        if target.exists():
            _loads(target)

    return Action(("publish", MODEL, "--to", str(target)), lambda: _bits(target), whole, target)


def _publish_to_hub(place: Place) -> Action:
    """To a repository that is new each time: a hub forgets nothing."""
    import zoo
    from zoo.models import hub
    from zoo.models.addresses import HubAddress

    name = f"me/model-{place.draw.randrange(2**40):x}"

    def bits() -> Bits:
        address = HubAddress(name)
        commit = hub.commit_of(address)
        found = zoo.pull(f"hf://{name}@{commit}")
        tags = {tag: str(tagged == commit) for tag, tagged in hub.tags_of(address).items()}
        return {"config": found.config_sha256, "files": str(hub.files_of(address, commit)), **tags}

    return Action(("publish", MODEL, "--to", f"hf://{name}"), bits, lambda: None, place.folder / "none")


def _pull(place: Place) -> Action:
    cache = Path(os.environ["FUNCZOO_MODELS"])

    def whole() -> None:
        """Whatever lies in the cache, what is loaded from it is what the hub has."""

    return Action(("pull", place.hub), lambda: _bits(cache), whole, cache)


ACTIONS: dict[str, Callable[[Place], Action]] = {
    "publish": _publish,
    "publish to a hub": _publish_to_hub,
    "pull": _pull,
    "pretrain": _pretrain,
    "embed": _embed,
}


# The scenarios


def _killed(make: Callable[[Place], Action], place: Place) -> None:
    action = make(place)
    _remove(action.output)
    started = time.perf_counter()
    _finish(action)
    seconds, expected = time.perf_counter() - started, action.bits()
    for _ in range(place.times):
        if make is _publish_to_hub:
            action = make(place)
        _remove(action.output)
        done = _run(action.command, kill_after=place.draw.uniform(0, seconds))
        if done.status not in (0, -signal.SIGKILL):
            raise Lost(f"exit code {done.status}: {done.stderr}")
        begun = any(path.suffix == ".part" for path in place.folder.rglob("*"))
        place.found["finished first" if done.status == 0 else "killed, half a file" if begun else "killed"] += 1
        action.whole()
        _finish(action)
        _require_bits(action, expected)


def _two(make: Callable[[Place], Action], place: Place) -> None:
    action = make(place)
    _remove(action.output)
    _finish(action)
    expected = action.bits()
    for _ in range(place.times):
        _remove(action.output)
        first = _start(action.command)
        time.sleep(place.draw.choice((0, 0, 0.01, 0.1)))
        ends = [_end(process) for process in (first, _start(action.command))]
        if {end.status for end in ends} - {0, 2} or all(end.status for end in ends):
            raise Lost(f"{ends}")
        for end in ends:
            if end.status == 2:
                _require_one_line(end)
                if "already exists" not in end.stderr and "process " not in end.stderr:
                    raise Lost(f"the second does not say what is in its way: {end.stderr}")
        place.found["both ended well" if not any(end.status for end in ends) else "the second was refused"] += 1
        _require_bits(action, expected)


def _saver_and_loader(place: Place) -> None:
    """A process saves one encoder and another, again and again; this one loads what is there meanwhile."""
    import zoo
    from zoo.models.pretrained import untrained

    directory, digests = place.folder / "encoder", {}
    models = {"trained": zoo.load(MODEL), "untrained": untrained(zoo.load(MODEL))}
    for name, model in models.items():
        zoo.save(model, directory, overwrite=True)
        digests[_loads(directory)] = name
    stop = place.folder / "stop"

    def save() -> None:
        while not stop.exists():
            for model in models.values():
                zoo.save(model, directory, overwrite=True)

    saver = _fork(save)
    try:
        for _ in range(place.times):
            if (digest := _loads(directory)) not in digests:
                raise Lost("the loader saw a mixture")
            place.found[f"saw the {digests[digest]} one"] += 1
            time.sleep(place.draw.uniform(0, 0.05))
    finally:
        stop.touch()
        end = _end(saver)
    if end.status:
        raise Lost(f"the saver: {end.stderr}")


def _without_room(make: Callable[[Place], Action], place: Place) -> None:
    action = make(place)
    _remove(action.output)
    _finish(action)
    expected = action.bits()
    files = [action.output] if action.output.is_file() else action.output.rglob("*")
    largest = max(path.stat().st_size for path in files if path.is_file())
    for _ in range(place.times):
        _remove(action.output)
        limit = place.draw.randrange(4_096, largest)  # more than a message on stderr
        done = _run(action.command, before=functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit)))
        if done.status != 2:
            raise Lost(f"exit code {done.status} with room for {limit:,} bytes: {done.stderr}")
        _require_one_line(done)
        place.found["refused in one line"] += 1
        action.whole()
        _finish(action)
        _require_bits(action, expected)


def _small_file_system(place: Place) -> None:
    """Each command in turn writes to a file system of random size."""
    if os.geteuid():
        place.found["not root: left out"] += 1
        return
    makers = (_publish, _pretrain, _embed)
    for i in range(place.times):
        mount = place.folder / f"{i}"
        mount.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "none", mount], capture_output=True)
        if mounted.returncode:
            place.found["no right to mount: left out"] += 1
            return
        try:
            action, size = (
                place.draw.choice(makers)(place._replace(folder=mount)),
                place.draw.randrange(80_000, 300_000),
            )
            subprocess.run(["mount", "-o", f"remount,size={size}", mount], check=True)
            done = _run(action.command)
            if done.status not in (0, 2):
                raise Lost(f"exit code {done.status} on {size:,} bytes: {done.stderr}")
            if done.status == 2:
                _require_one_line(done)
            place.found["refused in one line" if done.status else "had room"] += 1
            action.whole()
            subprocess.run(["mount", "-o", "remount,size=100m", mount], check=True)
            _finish(action)
        finally:
            subprocess.run(["umount", mount], check=True)


def _read_only(place: Place) -> None:
    """A folder without the right to write; as root, in a process that gives its rights up."""
    place.folder.parent.chmod(0o755)
    locked = place.folder / "locked"
    locked.mkdir(mode=0o755)
    for make in (_pretrain, _embed):
        make(place)  # writes what the command reads
    names = ("publish", "pretrain", "embed", "pull")
    locked.chmod(0o555)
    place.folder.chmod(0o555)
    cache = Path(os.environ["FUNCZOO_MODELS"])
    _remove(cache)
    cache.mkdir(mode=0o555)

    def give_up() -> None:
        if os.geteuid() == 0:
            os.setuid(65_534)

    try:
        for i in range(place.times):
            name = names[i % len(names)]
            action = _read_only_action(name, place)
            done = _run(action, before=give_up)
            if done.status != 2:
                raise Lost(f"{name}: exit code {done.status}: {done.stderr}")
            _require_one_line(done)
            place.found[f"{name} refused"] += 1
    finally:
        place.folder.chmod(0o755)
        _remove(cache)


def _read_only_action(name: str, place: Place) -> tuple[str, ...]:
    target = str(place.folder / "locked" / "x")
    return {
        "publish": ("publish", MODEL, "--to", target),
        "pretrain": ("pretrain", str(place.folder / "recipe.json"), "--out", target),
        "embed": ("embed", MODEL, str(place.folder / "x.npz"), "--out", f"{target}.npz"),
        "pull": ("pull", place.hub),
    }[name]


def _damaged_models(place: Place) -> None:
    """Twice as many places: half of them with the network, half of them without."""
    cache, action = Path(os.environ["FUNCZOO_MODELS"]), _pull(place)
    _remove(action.output)
    _finish(action)
    expected, features = action.bits(), _loads(place.hub)
    for i in range(2 * place.times):
        files = sorted(path for path in cache.rglob("*") if path.is_file() and path.stat().st_size)
        path = place.draw.choice(files)
        whole = path.read_bytes()
        what = _damage(path, place.draw)
        with warnings.catch_warnings(record=True) as said, _environment(HF_HUB_OFFLINE="1" if i % 2 else ""):
            warnings.simplefilter("always")
            try:
                found = _loads(place.hub)
            except ZooError as error:
                of_an_address = path.parent.name == "addresses"  # what it held last; it is not an encoder's
                if not i % 2 or not (of_an_address or path.parent.name in str(error)):
                    raise Lost(f"{path.name} {what}: {error}") from error
                place.found[f"{path.suffix[1:]}: refused without a network"] += 1
                path.write_bytes(whole)
                continue
        if found != features:
            raise Lost(f"{path.name} {what}: other features")
        noticed = any(path.name in str(warning.message) for warning in said)
        if action.bits() == expected:
            place.found[f"{path.suffix[1:]}: {'named and ' if noticed else ''}fetched again"] += 1
        else:
            place.found[f"{path.suffix[1:]}: not needed"] += 1  # which address was looked up when
        path.write_bytes(whole)


def _damaged_datasets(place: Place) -> None:
    """A dataset of the cache: the format of MNIST, with few images and their digest instead of the official one."""
    import numpy as np

    import zoo
    from zoo.data import official
    from zoo.data.downloads import write_dataset
    from zoo.data.names import CLASSES, cache_path

    rng, path = np.random.default_rng(0), cache_path("mnist")
    arrays = {}
    for split, n in (("train", 200), ("test", 50)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (n, 1, 28, 28), np.uint8)
        arrays[f"{split}_labels"] = np.arange(n) % 10
    path.parent.mkdir(parents=True, exist_ok=True)
    write_dataset(path, arrays, name="mnist", classes=CLASSES["mnist"], source="made here")
    official.OFFICIAL["mnist"] = zoo.load_dataset(path).digest
    whole = path.read_bytes()
    for _ in range(2 * place.times):
        path.write_bytes(whole)
        expected = zoo.load_dataset("mnist").digest  # checked, and remembered by size and time
        what = _damage(path, place.draw)
        try:
            found = zoo.load_dataset("mnist")
        except ZooError as error:
            if path.name not in str(error) or "zoo data fetch mnist" not in str(error):
                raise Lost(f"{what}: {error}") from error
            place.found[f"{what}: refused and named"] += 1
            continue
        if found.digest != expected or path.read_bytes() == whole:
            raise Lost(f"{path.name} {what}: other images")
        place.found[f"{what}: in what is not used, the same images"] += 1  # the name of where it came from
    path.unlink()


SCENARIOS: dict[str, Callable[[Place], None]] = {
    **{f"SIGKILL in {name}": functools.partial(_killed, make) for name, make in ACTIONS.items()},
    **{f"two {name}": functools.partial(_two, ACTIONS[name]) for name in ("pull", "pretrain", "publish", "embed")},
    "two: a saver and a loader": _saver_and_loader,
    **{
        f"full: {name}": functools.partial(_without_room, ACTIONS[name])
        for name in ("publish", "pull", "pretrain", "embed")
    },
    "full: a small file system": _small_file_system,
    "read-only: a folder": _read_only,
    "cache: models": _damaged_models,
    "cache: datasets": _damaged_datasets,
}


# Processes, files and digests

_Process = tuple[int, Path]


def _run(command: Sequence[str], *, kill_after: float | None = None, before: Callable[[], Any] | None = None) -> Done:
    process = _start(command, before)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(process[0], signal.SIGKILL)
    return _end(process)


def _start(command: Sequence[str], before: Callable[[], Any] | None = None) -> _Process:
    """A process that runs the command `zoo`."""
    from zoo.commands import main

    return _fork(lambda: main(list(command), prog_name="zoo"), before)


def _fork(act: Callable[[], Any], before: Callable[[], Any] | None = None) -> _Process:
    descriptor, name = tempfile.mkstemp()
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.close(descriptor)
        return child, Path(name)
    status = 1
    try:
        os.dup2(descriptor, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w")
        if before is not None:
            before()
        try:
            act()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _end(process: _Process) -> Done:
    child, errors = process
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    text = errors.read_text(errors="replace")
    errors.unlink()
    return Done(status, text)


def _finish(action: Action) -> None:
    """Run a command to its end; a file that is finished already is refused by some, and is then what was wanted."""
    done = _run(action.command)
    if done.status == 2 and "already exists" in done.stderr:
        return
    if done.status:
        raise Lost(f"cannot be repeated: {done.stderr}")


def _require_bits(action: Action, expected: Bits) -> None:
    found = action.bits()
    if differing := sorted(name for name in expected.keys() | found.keys() if found.get(name) != expected.get(name)):
        raise Lost(f"other bits: {', '.join(differing)}")


def _require_one_line(done: Done) -> None:
    lines = [line for line in done.stderr.splitlines() if line.startswith("zoo: ") and "warning" not in line]
    if len(lines) != 1 or "Traceback" in done.stderr:
        raise Lost(f"expected one line: {done.stderr}")


def _loads(name: str | Path) -> str:
    """The digest of features of an encoder; it must load."""
    import numpy as np

    import zoo

    model = zoo.load(name)
    images = np.arange(2 * np.prod(model.input_shape), dtype=np.int64).astype(np.uint8).reshape(2, *model.input_shape)
    return _digest(model.features(images).numpy().tobytes())


def _damage(path: Path, draw: random.Random) -> str:
    """Cut a file, or flip a bit of it, in place."""
    data = bytearray(path.read_bytes())
    at = draw.randrange(len(data))
    if draw.random() < 0.5:
        path.write_bytes(data[:at])
        return "cut"
    data[at] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return "flipped"


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ |= values
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def _bits(path: Path) -> Bits:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file() and file.name != "lock"]
    return {str(file.relative_to(path.parent)): _sha256(file) for file in sorted(files)}


def _sha256(path: Path) -> str:
    return _digest(path.read_bytes()) if path.is_file() else "missing"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _remove(path: Path) -> None:
    """Remove a file or a folder, and what a killed process left beside it."""
    shutil.rmtree(path, ignore_errors=True)
    for beside in (path, *path.parent.glob(f"*{path.name}*.part")):
        if beside.is_dir():
            shutil.rmtree(beside)
        else:
            beside.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
