"""Whether an encoder is what it claims to be: its files, its card, its features, and the figures that it ships with.

    configuration  config.json has the SHA-256 that the zoo has for the model; one in a directory is not pinned
    weights        model.safetensors has the SHA-256 in the configuration, and so has decoder.safetensors
    content        both load into the architecture, and their tensors have the content digest
    fingerprint    the features of a fixed image are those of the configuration, to 1e-4
    ledger         results.json was measured on a model of this name, recipe and data
    card           README.md is what configuration and ledger render
    metrics        probes of the encoder on the draws of its training seed give the figures of the ledger; the accuracy
                   on a machine of another type may be off by a point

Nothing is trusted because something else was found to be true: all checks run, and each says what it found.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from zoo.data.datasets import load_dataset
from zoo.data.names import NAMES, SUBSETS, cache_path, whole_dataset
from zoo.environment import environment, using_threads, what_differs
from zoo.errors import ZooError
from zoo.evaluation.protocol import SCORES, evaluate
from zoo.evaluation.reconstruction import ERRORS, reconstruction_error
from zoo.models.code import Code
from zoo.models.entries import SHIPPED_LICENCE
from zoo.models.loading import WEIGHTS, load, located
from zoo.models.pretrained import PretrainedEncoder, fingerprint
from zoo.reports.cards import HERE, Stated, render_card, stated
from zoo.reports.shipped import first_seed
from zoo.training.recipe import Recipe

FINGERPRINT_TOLERANCE = 1e-4  # of features; machines of different types sum in another order
FIGURES_TOLERANCE = 1e-2  # of accuracies, for the same reason; a few images on the border of two classes
RESULTS = "results.json"
OK, FAILED, NOT_CHECKED = "ok", "failed", "not checked"


class Check(NamedTuple):
    """One thing that was checked.

    Attributes:
        name: as at the top of this file.
        status: "ok", "failed" or "not checked".
        detail: what was found, or why it was not checked.
    """

    name: str
    status: str
    detail: str


@dataclass(frozen=True)
class Verification:
    """What was found about an encoder; it prints as a line per check.

    Attributes:
        model: the name or directory that was asked for.
        directory: where its files are.
        checks: one for each thing that was, or could not be, checked.
    """

    model: str
    directory: str
    checks: tuple[Check, ...]

    @property
    def verified(self) -> bool:
        """Whether no check failed."""
        return all(check.status != FAILED for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "verified": self.verified, "checks": [check._asdict() for check in self.checks]}

    def __str__(self) -> str:
        """The model and the verdict, then a line per check."""
        lines = [f"{self.model}: {'verified' if self.verified else 'NOT VERIFIED'}"]
        return "\n".join(lines + [f"  {name:13}  {status:11}  {detail}" for name, status, detail in self.checks])


def verify(name: str | Path, *, metrics: bool | None = None, code: Code | str | Path | None = None) -> Verification:
    """Check an encoder against what the zoo, its configuration, its ledger and its card say of it.

    Args:
        name: as for `zoo.load`.
        metrics: whether to measure its figures again; None if all datasets of the ledger are on this machine, so that
            nothing is downloaded.
        code: as for `zoo.load`.

    Raises:
        ZooError: if there is no such model or directory. What is wrong with one is in the report.

    Example:
        >>> report = verify("simclr-resnet8-digits", metrics=False)
        >>> report.verified, [check.name for check in report.checks if check.status == "ok"]
        (True, ['configuration', 'weights', 'content', 'fingerprint', 'ledger', 'card'])
    """
    directory, expected = located(name)
    path = directory / "config.json"
    if not path.is_file():
        raise ZooError(f"{directory}: not an encoder directory: it has no config.json")
    config = _json(path)
    checks = [_configuration(path, expected), *_files(directory, config)]
    try:
        model = load(directory, code=code, sha256=expected)
        checks += [Check("content", OK, f"digest {model.config['content_digest'][:12]}"), _fingerprint(model)]
    except ZooError as error:
        model = None
        checks.append(Check("content", FAILED, str(error)))
    if isinstance(config, dict):
        try:
            ledger = read_results(directory)
            checks.append(_ledger(config, ledger))
        except ZooError as error:
            ledger = {}
            checks.append(Check("ledger", FAILED, str(error)))
        checks.append(_card(directory, config, ledger))
        if model is not None and ledger:
            checks.append(_metrics(model, ledger, metrics))
    return Verification(str(name), str(directory), tuple(checks))


def read_results(directory: Path) -> dict[str, Any] | None:
    """The ledger beside the weights, as `scripts/make_tables.py` wrote it; None if there is none.

    Raises:
        ZooError: if it is not JSON.
    """
    if not (directory / RESULTS).is_file():
        return None
    found = _json(directory / RESULTS)
    if not isinstance(found, dict):
        raise ZooError(f"{directory / RESULTS}: expected the results of a model as JSON; copy or download it again")
    return found


def figures_again(model: PretrainedEncoder, ledger: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """The figures of the weights that ship, measured again: what each is, the ledger's value, and the one found.

    Args:
        model: the encoder.
        ledger: its ledger; the values of the first training seed are those of the weights that ship.

    Raises:
        ZooError: if the data are missing here, or others than the ledger's.
    """
    figures = []
    for name, digest in ledger["probes"].items():
        data = load_dataset(name)
        if data.digest != digest:
            raise ZooError(f"{name}: has other images or labels than the ledger's, whose digest is {digest[:12]}...")
        rows = [row for row in ledger["results"] if row["features"] == "encoder" and row["data"] == name]
        counts = [row["labels_per_class"] for row in rows]
        again = evaluate(
            model, data, labels_per_class=counts, draws=ledger["draws"], seed=ledger["seeds"][0], baselines=()
        )
        for row, found in zip(rows, again["results"], strict=True):
            for score in (score for score in SCORES if score in row):
                values = zip(first_seed(row[score], ledger)["values"], found[score]["values"], strict=True)
                figures += [(f"{score} with {row['labels']:,} labels of {name}", a, b) for a, b in values]
    if recorded := ledger.get("reconstruction"):
        data = load_dataset(recorded["data"])
        for how, part in (("", recorded), ("refined ", recorded.get("refined", {}))):
            if part:
                errors = reconstruction_error(model, data, steps=part.get("steps", 0))
                figures += [(f"{how}{name}", part[name]["values"][0], errors[name]) for name in ERRORS]
    return figures


def threads_of(record: Mapping[str, Any]) -> int:
    """The threads that a configuration or ledger was made with; one if it does not say."""
    found = (record.get("environment") or {}).get("threads")
    return found if isinstance(found, int) and 1 <= found <= 1024 else 1


def _configuration(path: Path, expected: str | None) -> Check:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if expected is None:
        return Check("configuration", NOT_CHECKED, f"SHA-256 {found[:12]}, which no entry of the zoo pins")
    if found != expected:
        return Check("configuration", FAILED, f"SHA-256 {found[:12]}, but the zoo says {expected[:12]}")
    return Check("configuration", OK, f"SHA-256 {found[:12]}, as the zoo says")


def _files(directory: Path, config: Any) -> list[Check]:
    """The checks of the files of weights that a configuration describes."""
    if not isinstance(config, dict):
        return []
    described = {"weights": ("model.safetensors", config)}
    if config.get("decoder") is not None:
        described["decoder"] = ("decoder.safetensors", config["decoder"])
    checks = []
    for kind, (file, about) in described.items():
        said = about.get("sha256") if isinstance(about, dict) else None
        if not (directory / file).is_file():
            checks.append(Check(kind, FAILED, f"{file} is missing"))
            continue
        found = hashlib.sha256((directory / file).read_bytes()).hexdigest()
        if said == found:
            checks.append(Check(kind, OK, f"SHA-256 {found[:12]}"))
        else:
            checks.append(Check(kind, FAILED, f"SHA-256 {found[:12]}, but config.json says {str(said)[:12]}"))
    return checks


def _fingerprint(model: PretrainedEncoder) -> Check:
    said = model.config.get("fingerprint")
    with using_threads(threads_of(model.config)):
        found = fingerprint(model)
    if not (isinstance(said, list) and len(said) == len(found) and all(type(x) in (int, float) for x in said)):
        return Check("fingerprint", FAILED, f"expected {len(found)} numbers in config.json, got {str(said)[:60]}")
    off = max(abs(a - b) / max(1.0, abs(b)) for a, b in zip(found, said, strict=True))
    if off == 0:
        return Check("fingerprint", OK, f"{len(found)} features, the same to the last digit")
    if off <= FINGERPRINT_TOLERANCE:
        return Check("fingerprint", OK, f"{len(found)} features, off by at most {off:.1e}")
    return Check("fingerprint", FAILED, f"features off by up to {off:.1e}, expected at most {FINGERPRINT_TOLERANCE:g}")


def _ledger(config: Mapping[str, Any], ledger: Any) -> Check:
    if ledger is None:
        return Check("ledger", NOT_CHECKED, f"no {RESULTS} here")
    try:
        about = {
            "name": (ledger["model"], config["name"]),
            "recipe": (_comparable(ledger["recipe"]), _comparable(config["recipe"])),
            "data": (ledger["dataset_digest"], config["dataset"]["digest"]),
        }
        values = sum(len(row["linear"]["values"]) for row in ledger["results"])
    except (KeyError, TypeError, AttributeError, ZooError) as error:
        return Check("ledger", FAILED, f"{RESULTS} or config.json lack a field or have a wrong one: {error}")
    if others := [what for what, (theirs, ours) in about.items() if theirs != ours]:
        return Check("ledger", FAILED, f"{RESULTS} is of another {' and '.join(others)} than config.json")
    return Check("ledger", OK, f"{values} accuracies over training seeds {', '.join(map(str, ledger['seeds']))}")


def _comparable(recipe: Mapping[str, Any]) -> Recipe:
    """A recipe without its seed, of which a ledger has several, and its precision, which each machine may decide."""
    return Recipe.from_record(recipe).replace(seed=0, precision="float32")


def _card(directory: Path, config: Mapping[str, Any], ledger: Any) -> Check:
    path = directory / "README.md"
    if not path.is_file():
        shipped = directory.parent == WEIGHTS
        return Check("card", FAILED if shipped else NOT_CHECKED, "no README.md here")
    try:
        card = path.read_text(encoding="utf-8")
        own = Stated(SHIPPED_LICENCE, directory.name) if directory.parent == WEIGHTS else stated(card, "README.md")
        source = own.source if own.source == config["name"] else HERE
        pictures = [f"pictures/{picture.name}" for picture in sorted((directory / "pictures").glob("*.png"))]
        expected = render_card(config, ledger, (), pictures, licence=own.licence, source=source)
    except ZooError as error:
        return Check("card", FAILED, str(error))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
        # A card is rendered from plain values of any form; those of a stranger may be of a wrong one.
        return Check("card", FAILED, f"config.json or {RESULTS} cannot be rendered: {type(error).__name__}: {error}")
    if card == expected:
        return Check(
            "card", OK, "what the configuration and the ledger say" if ledger else "what the configuration says"
        )
    return Check("card", FAILED, f"README.md, {_first_difference(card, expected)}")


def _first_difference(card: str, expected: str) -> str:
    """Where a text is not the expected one, with a few characters of both."""
    at = next((i for i, pair in enumerate(zip(card, expected, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(card), len(expected)) if at is None else at
    line, start = card.count("\n", 0, at) + 1, max(0, at - 20)
    return f"line {line}: expected {expected[start : at + 40]!r}, got {card[start : at + 40]!r}"


def _metrics(model: PretrainedEncoder, ledger: Mapping[str, Any], wanted: bool | None) -> Check:
    if wanted is False:
        return Check("metrics", NOT_CHECKED, "not asked for")
    try:
        if wanted is None and (missing := [name for name in _datasets(ledger) if not _is_at_hand(name)]):
            return Check("metrics", NOT_CHECKED, f"{', '.join(missing)} not on this machine; --metrics downloads")
        with using_threads(threads_of(ledger)):
            figures = figures_again(model, ledger)
    except ZooError as error:
        return Check("metrics", FAILED, str(error))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return Check("metrics", FAILED, f"{RESULTS} lacks a field or has a wrong one: {type(error).__name__}: {error}")
    if not figures:
        return Check("metrics", FAILED, f"{RESULTS} has no figures of the encoder")
    same = sum(said == found for _, said, found in figures)
    what, said, found = max(figures, key=lambda figure: abs(figure[1] - figure[2]))
    if same == len(figures):
        return Check("metrics", OK, f"all {same} figures of these weights, the same to the last digit")
    off = f"{same} of {len(figures)} figures the same, {what} off the most: {found:.4f} instead of {said:.4f}"
    if (differs := what_differs(ledger["environment"], environment())) and same < len(figures):
        off += f" (measured elsewhere: {differs})"
    return Check("metrics", OK if abs(said - found) <= FIGURES_TOLERANCE else FAILED, off)


def _datasets(ledger: Mapping[str, Any]) -> list[str]:
    reconstructed = ledger.get("reconstruction")
    return list(dict.fromkeys([*ledger["probes"], *([reconstructed["data"]] if reconstructed else [])]))


def _is_at_hand(name: str) -> bool:
    """Whether a dataset can be read without a download."""
    if name not in (*NAMES, *SUBSETS):
        return Path(name).exists()
    return name == "digits" or cache_path(whole_dataset(name)).is_file()


def _json(path: Path) -> Any:
    """The JSON in a file; None if it is none."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
