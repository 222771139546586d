"""What model hubs read of a card: the metadata above its text, and the evaluation results in them.

A card is Markdown below a front matter in YAML, between two lines `---`. Hubs index `license`, `library_name`,
`pipeline_tag`, `tags`, `datasets` and `metrics`, and show the results in `model-index`; the newer form of the latter is
a file of its own, `.eval_results/*.yaml`, which `evaluation_results` makes from the same metadata. Nothing of this is
checked by the hubs' client, so it is checked here before anything is sent.

References:
    huggingface/hub-docs: modelcard.md, docs/hub/eval-results.md and docs/hub/repositories-licenses.md.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from zoo.errors import ZooError

LIBRARY, PIPELINE = "funczoo", "image-feature-extraction"
EVAL_RESULTS = ".eval_results/funczoo.yaml"  # where hubs look for the results of a model
# The sections that a reader needs before he relies on features; `zoo.reports.cards` writes all of them.
SECTIONS = ("Use", "Intended use and limits", "Data", "Results", "Training")
LICENCES = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m bsd
    bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
    cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
    creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 gemma gfdl gpl
    gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1
    openrail openrail++ osl-3.0 other pddl postgresql unknown unlicense wtfpl zlib
    """.split()
)


def read_card(card: str, where: str) -> tuple[dict[str, Any], str]:
    r"""The metadata and the Markdown text of a card.

    Args:
        card: the content of its file.
        where: its path, for messages.

    Raises:
        ZooError: if it has no front matter, or one that is no mapping in YAML.

    Example:
        >>> read_card("---\nlicense: mit\n---\n\n# A title\n", "README.md")
        ({'license': 'mit'}, '\n# A title\n')
    """
    found = re.match(r"---\r?\n(.*?\n)---\r?\n(.*)\Z", card, re.DOTALL)
    if found is None:
        raise ZooError(f"{where}: expected metadata between two lines '---' at its start; write the card again")
    try:
        repeats = any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(found[1]))
        metadata = None if repeats else yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ZooError(f"{where}: its metadata are not YAML ({' '.join(str(error).split())})") from error
    if repeats:  # a few lines of them can mean gigabytes
        raise ZooError(f"{where}: its metadata refer to parts of themselves by '*'; write these parts out")
    if not isinstance(metadata, dict):
        raise ZooError(f"{where}: expected metadata as `field: value`, got {type(metadata).__name__}")
    return metadata, found[2]


def require_publishable(card: str, where: str) -> None:
    """Reject a card that a hub would not index, or that leaves out what a reader has to know.

    Args:
        card: the content of its file.
        where: its path, for the message.

    Raises:
        ZooError: with every field and section that is missing or invalid.
    """
    metadata, text = read_card(card, where)
    problems = [
        f"{field}: {'missing' if metadata.get(field) is None else f'got {_shortened(metadata[field])}'}; {expected}"
        for field, (is_valid, expected) in _REQUIRED.items()
        if not is_valid(metadata.get(field))
    ]
    problems += [
        f"{field}: got {_shortened(metadata[field])}; {expected}"
        for field, (is_valid, expected) in _OPTIONAL.items()
        if field in metadata and not is_valid(metadata[field])
    ]
    if "model-index" in metadata and "metrics" not in metadata:
        problems.append("metrics: missing; name those of model-index, such as 'accuracy'")
    if metadata.get("license") == "other" and not _is_text(metadata.get("license_name")):
        problems.append("license_name: missing; give the licence 'other' a name")
    if not re.search(r"^# \S", text, re.MULTILINE):
        problems.append("title: missing; expected a line '# NAME'")
    problems += [f"section '## {name}': missing" for name in SECTIONS if not _section(text, name)]
    if "```python" not in _section(text, "Use"):
        problems.append("section '## Use': has no example; expected a block of Python that loads the encoder")
    if problems:
        raise ZooError(f"{where}: not complete enough to be published: {'; '.join(problems)}")


def with_license(card: str, license: str, where: str) -> str:
    r"""A card that states the licence of its weights.

    Args:
        card: the content of its file.
        license: its name on the Hub, such as "apache-2.0".
        where: its path, for messages.

    Raises:
        ZooError: as in `read_card`; or if the card states another licence, which is its owner's word.

    Example:
        >>> print(with_license("---\ntags: [a]\n---\n# A title\n", "mit", "README.md"))
        ---
        license: mit
        tags:
        - a
        ---
        # A title
        <BLANKLINE>
    """
    metadata, text = read_card(card, where)
    stated = metadata.pop("license", None)
    if stated == license:
        return card
    if stated is not None:
        raise ZooError(f"{where}: states the licence {_shortened(stated)}, not {license!r}; change it there")
    return to_front_matter({"license": license, **metadata}) + text


def to_front_matter(metadata: Mapping[str, Any]) -> str:
    """Metadata as the front matter of a card, in the order given, with the two lines around it."""
    return f"---\n{_to_yaml(dict(metadata))}---\n"


def evaluation_results(card: str, where: str) -> str | None:
    """The content of `EVAL_RESULTS` for a card: the accuracies in its `model-index` on datasets that hubs have.

    Args:
        card: the content of its file, as `require_publishable` accepts it.
        where: its path, for messages.

    Returns:
        YAML; None if there is no such result.

    Raises:
        ZooError: as in `read_card`.
    """
    metadata, _ = read_card(card, where)
    entries = [
        {
            "dataset": {"id": result["dataset"]["type"], "task_id": "default"},
            "value": metric["value"],
            "notes": ", ".join(filter(None, (metric.get("name"), result["task"].get("name")))),
        }
        for model in metadata.get("model-index", ())
        for result in model["results"]
        for metric in result["metrics"]
        if _is_hub_id(result["dataset"]["type"])
    ]
    return _to_yaml(entries) if entries else None


def _section(text: str, name: str) -> str:
    """What stands below the heading of a section, up to the next one; "" if there is nothing."""
    found = re.search(rf"^## {re.escape(name)}[ \t]*\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return found[1].strip() if found else ""


def _to_yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10_000)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_hub_id(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", value, re.ASCII) is not None


def _are_hub_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_hub_id, value))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < float("inf")


def _is_metric(value: Any) -> bool:
    return isinstance(value, dict) and _is_text(value.get("type")) and _is_number(value.get("value"))


def _is_result(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    task, dataset, metrics = (value.get(field) for field in ("task", "dataset", "metrics"))
    return (
        isinstance(task, dict)
        and _is_text(task.get("type"))
        and isinstance(dataset, dict)
        and all(_is_text(dataset.get(field)) for field in ("type", "name"))
        and isinstance(metrics, list)
        and bool(metrics)
        and all(map(_is_metric, metrics))
    )


def _is_model_index(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 1
        and isinstance(value[0], dict)
        and _is_text(value[0].get("name"))
        and isinstance(value[0].get("results"), list)
        and bool(value[0]["results"])
        and all(map(_is_result, value[0]["results"]))
    )


_Check = tuple[Callable[[Any], bool], str]
_REQUIRED: dict[str, _Check] = {
    "license": (
        lambda value: isinstance(value, str) and value in LICENCES,
        "expected a licence by its name on the Hub, such as apache-2.0, mit or cc-by-4.0; `--license NAME` adds it",
    ),
    "library_name": (lambda value: value == LIBRARY, f"expected '{LIBRARY}'"),
    "pipeline_tag": (lambda value: value == PIPELINE, f"expected '{PIPELINE}'"),
    "tags": (_are_texts, "expected a list of words, such as the method and the encoder"),
}
_OPTIONAL: dict[str, _Check] = {
    "datasets": (_are_hub_ids, "expected a list of datasets as OWNER/NAME"),
    "metrics": (_are_texts, "expected a list of names, such as 'accuracy'"),
    "model-index": (
        _is_model_index,
        "expected one model with its name and its results, each with task (type), dataset (type, name) and metrics "
        "(type, and value, a number)",
    ),
}


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
