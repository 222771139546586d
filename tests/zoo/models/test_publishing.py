"""Publishing: what is sent was loaded and checked, and nothing that is there already is mixed, moved or lost."""

import json
import os
import shutil
import time

import pytest
import torch
import yaml
from hub_server import TOKEN, Repository, running
from huggingface_hub import parse_eval_result_entries

import zoo
from zoo.models import loading

NAME = "simclr-resnet8-digits"
SHIPPED = loading.WEIGHTS / NAME
TAG = f"config-{zoo.entry(NAME).config_sha256[:12]}"


@pytest.fixture(scope="module")
def server():
    with running() as server:
        yield server


@pytest.fixture
def hub(server, monkeypatch):
    """An empty hub."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for kept in (server.repositories, server.faults, server.requests):
        kept.clear()
    return server


@pytest.fixture
def directory(tmp_path):
    """A copy of an encoder directory, to be changed."""
    return shutil.copytree(SHIPPED, tmp_path / "encoder")


def refused(*arguments, **options):
    with pytest.raises(zoo.ZooError) as error:
        zoo.publish(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def contents(directory):
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_directory_appears_with_all_files_and_nothing_else(tmp_path):
    done = zoo.publish(NAME, tmp_path / "a" / "b")
    assert contents(tmp_path / "a" / "b") == contents(SHIPPED) and done.tags == ()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
    assert zoo.load(done.address).config == zoo.load(NAME).config


def test_what_belongs_to_no_encoder_is_not_sent(directory, tmp_path):
    for path in ("notes.txt", "checkpoint.safetensors", "pictures/a.txt", ".env"):
        (directory / path).write_text("secret")
    zoo.publish(directory, tmp_path / "to")
    assert contents(tmp_path / "to") == contents(SHIPPED)


def test_a_licence_is_added_to_a_card_that_states_none(directory, tmp_path):
    card = directory / "README.md"
    whole = card.read_text()
    card.write_text(whole.replace("license: apache-2.0\n", ""))
    assert "`--license NAME`" in refused(directory, tmp_path / "to")
    assert "got 'free'" in refused(directory, tmp_path / "to", license="free")
    zoo.publish(directory, tmp_path / "to", license="apache-2.0")
    assert (tmp_path / "to" / "README.md").read_text() == whole and "license:" not in card.read_text()
    card.write_text(whole)
    assert "states the licence 'apache-2.0', not 'mit'" in refused(directory, tmp_path / "to", license="mit")


def test_a_dry_run_touches_nothing(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    there = zoo.publish(NAME, "hf://me/m", tag="v1", dry_run=True)
    assert there.address == "hf://me/m" and there.tags == (TAG, "v1")
    here = zoo.publish(NAME, tmp_path / "to", dry_run=True)
    assert here.files == there.files and {file.path for file in here.files} == contents(SHIPPED).keys()
    assert not (tmp_path / "to").exists() and hub.requests == []


def test_the_same_encoder_again_changes_only_what_differs(directory, tmp_path):
    to = tmp_path / "to"
    zoo.publish(directory, to)
    weights = (to / "model.safetensors").read_bytes()
    (directory / "pictures" / "tsne.png").unlink()
    (to / "model.safetensors").write_bytes(b"damaged")
    (to / "pictures" / "tsne.png.0123abcd.part").write_bytes(b"of a process that was killed")
    zoo.publish(directory, to)
    assert contents(to) == contents(directory) and (to / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("there", ["notes.txt", "pictures/notes.txt", "other encoder", "file", "another config"])
def test_a_directory_that_holds_something_else_is_left_alone(tmp_path, there):
    to = tmp_path / "to"
    if there == "file":
        to.write_text("mine")
    elif there == "other encoder":
        shutil.copytree(loading.WEIGHTS / "byol-resnet8-digits", to)
    elif there == "another config":
        shutil.copytree(SHIPPED, to)
        edit(to / "config.json", extra=1)
    else:
        (to / there).parent.mkdir(parents=True)
        (to / there).write_text("mine")
    before = contents(tmp_path)
    for dry_run in (True, False):
        text = refused(NAME, to, dry_run=dry_run)
        assert str(to) in text and ("choose" in text) and contents(tmp_path) == before


def test_a_directory_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        zoo.publish(NAME, tmp_path / "file" / "to")
    assert contents(tmp_path) == {"file": b""}


BROKEN = {
    "no card": (lambda d: (d / "README.md").unlink(), "has no card README.md"),
    "an empty card": (lambda d: (d / "README.md").write_text(""), "README.md"),
    "a card without licence": (
        lambda d: (d / "README.md").write_text((d / "README.md").read_text().replace("license:", "licence:", 1)),
        "license",
    ),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "model.safetensors: no such file"),
    "other weights": (lambda d: (d / "model.safetensors").write_bytes(b"1"), "truncated or modified"),
    "other features": (lambda d: edit(d / "config.json", fingerprint=[0.0] * 8), "gives other features than config"),
    "other preprocessing": (lambda d: edit(d / "config.json", mean=[0.9]), "gives other features than config"),
    "no fingerprint": (lambda d: edit(d / "config.json", fingerprint=None), "gives other features than config"),
    "no configuration": (lambda d: (d / "config.json").unlink(), "has no config.json"),
    "a link": (lambda d: link(d / "pictures" / "tsne.png"), "tsne.png: is a link"),
    "a folder that is a link": (lambda d: link(d / "pictures"), "pictures"),
}


def link(path):
    moved = path.rename(path.parent.parent / f"moved {path.name}")
    os.symlink(moved, path)


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_directory_is_not_published(hub, directory, tmp_path, how):
    breaks, words = BROKEN[how]
    breaks(directory)
    if how == "a folder that is a link":  # what is behind it is not sent
        assert not any(f.path.startswith("pictures") for f in zoo.publish(directory, tmp_path / "to").files)
        return
    assert words in refused(directory, tmp_path / "to") and not (tmp_path / "to").exists()
    assert words in refused(directory, "hf://me/m") and hub.requests == []


def test_a_new_version_follows_the_old_one_and_the_old_one_stays_what_it_was(hub, directory):
    first = zoo.publish(directory, f"hf://me/{NAME}", tag="v1")
    edit(directory / "config.json", extra=1)
    (directory / "pictures" / "tsne.png").unlink()
    second = zoo.publish(directory, f"hf://me/{NAME}", tag="v2")
    repository = hub.repositories[f"me/{NAME}"]
    assert len(repository.commits) == 3 and first.address != second.address
    assert repository.tags["v1"] == first.address.rpartition("@")[2]
    assert repository.tags["v2"] == second.address.rpartition("@")[2] == repository.branches["main"]
    files = repository.commits[repository.tags["v2"]]
    assert "pictures/tsne.png" not in files and ".gitattributes" in files
    # Interrupted after the commit, it is completed by another try, and makes no second commit.
    del repository.tags["v2"]
    assert zoo.publish(directory, f"hf://me/{NAME}", tag="v2") == second and len(repository.commits) == 3
    assert repository.tags["v2"] == repository.branches["main"]


def test_a_tag_that_is_taken_is_refused_before_anything_is_sent(hub, directory):
    zoo.publish(directory, "hf://me/m", tag="v1")
    edit(directory / "config.json", extra=1)
    assert "the tag 'v1' is taken by commit" in refused(directory, "hf://me/m", tag="v1")
    assert len(hub.repositories["me/m"].commits) == 2


@pytest.mark.parametrize("there", [{"notes.txt": b"mine"}, {"config.json": b'{"name": "x"}'}, {"config.json": b"["}])
def test_a_repository_that_holds_something_else_is_left_alone(hub, there):
    repository = hub.repositories["me/m"] = Repository()
    repository.branches["main"] = before = repository.commit(there, "mine")
    assert "choose" in refused(NAME, "hf://me/m")
    assert repository.branches == {"main": before} and repository.tags == {}


def test_a_commit_that_came_in_between_is_not_overwritten(hub):
    zoo.publish(NAME, "hf://me/m")
    repository = hub.repositories["me/m"]

    def another_commit(handler):
        hub.faults.clear()
        repository.branches["main"] = repository.commit({**repository.commits[repository.branches["main"]]}, "other")
        handler.answer()

    del repository.commits[repository.branches["main"]]["results.json"]
    hub.faults["/preupload/main"] = another_commit
    assert "412" in refused(NAME, "hf://me/m")


@pytest.mark.parametrize("path", ["/create", "/preupload/main", "/commit/main"])
@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_may_not_is_explained(hub, path, status):
    hub.faults[path] = lambda handler: handler.fail(status)
    assert "hf auth login" in (text := refused(NAME, "hf://me/m")) and "HF_TOKEN" in text


def test_without_token_network_or_card_metadata(hub, monkeypatch, tmp_path):
    start = time.monotonic()
    hub.faults["/validate-yaml"] = lambda handler: handler.json({"errors": [{"message": "no such licence"}]}, 400)
    assert "no such licence" in refused(NAME, "hf://me/m")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be reached (Connection refused)" in refused(NAME, "hf://me/m")
    monkeypatch.setenv("HF_TOKEN", "")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "none"))
    assert "publishing needs a token" in refused(NAME, "hf://me/m")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in refused(NAME, "hf://me/m")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("to", ["https://example.org/m", "hf://me", "hf://me/m@v1", "hf://me/m@main", "s3://b/m"])
def test_other_destinations_are_refused(to):
    assert "expected" in refused(NAME, to)


@pytest.mark.parametrize("tag", ["", "a b", "../x", "v" * 200, "-v"])
def test_other_tags_are_refused(hub, tag):
    assert "--tag: expected" in refused(NAME, "hf://me/m", tag=tag) and hub.requests == []


def test_a_tag_of_a_directory_is_refused(tmp_path):
    assert "only a repository" in refused(NAME, tmp_path / "to", tag="v1")
    assert "only a repository" in refused(NAME, tmp_path / "to", private=True)


def test_results_on_a_dataset_of_the_hub_are_sent_in_its_form(hub):
    zoo.publish("byol-resnet8-fashion_mnist", "hf://me/m")
    repository = hub.repositories["me/m"]
    (first, *_) = parse_eval_result_entries(
        yaml.safe_load(repository.commits[repository.branches["main"]][".eval_results/funczoo.yaml"])
    )
    assert "fashion" in first.dataset_id and 0 < first.value <= 100


def test_a_decoder_goes_with_its_encoder(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("FUNCZOO_MODELS", str(tmp_path))
    name = "autoencoder-s5-mnist_48k"
    done = zoo.publish(name, f"hf://me/{name}")
    assert "decoder.safetensors" in {file.path for file in done.files}
    there, here = zoo.load(done.address), zoo.load(name)
    latents = torch.tensor([[0.5, -0.5, 1.0, 0.0]])
    assert torch.equal(there.decode(latents), here.decode(latents))
