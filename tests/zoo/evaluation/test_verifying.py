"""`zoo verify`: every model of the zoo verifies, and whatever is changed in one is found and named."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import zoo
from zoo.data.datasets import save_dataset
from zoo.errors import ZooError
from zoo.evaluation import verifying
from zoo.evaluation.reconstruction import ERRORS, reconstruction
from zoo.evaluation.verifying import figures_again, verify
from zoo.models import loading
from zoo.reports.cards import HERE, render_card

NAME = "simclr-resnet8-digits"
WEIGHTS = loading.WEIGHTS
ALL = ["configuration", "weights", "content", "fingerprint", "ledger", "card", "metrics"]


def statuses(report):
    return {check.name: check.status for check in report.checks}


def failed(report):
    return [check.name for check in report.checks if check.status == "failed"]


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A copy of a model of the zoo, which `zoo` takes for the model itself."""
    monkeypatch.setattr(loading, "WEIGHTS", tmp_path)
    monkeypatch.setattr(verifying, "WEIGHTS", tmp_path)
    return Path(shutil.copytree(WEIGHTS / NAME, tmp_path / NAME))


@pytest.fixture
def directory(tmp_path):
    """A copy of a model of the zoo as a directory of its own."""
    return Path(shutil.copytree(WEIGHTS / NAME, tmp_path / "copy"))


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values, indent=2) + "\n")


@pytest.mark.parametrize("name", zoo.list_models())
def test_every_model_of_the_zoo_verifies(name):
    report = verify(name, metrics=False)
    assert report.verified, str(report)
    found = statuses(report)
    assert found.pop("metrics") == "not checked" and set(found.values()) == {"ok"}
    assert set(found) == {*ALL[:-1], *(["decoder"] if zoo.load(name).has_decoder else [])}


DIGITS = [name for name in zoo.list_models() if name.endswith("-digits")]


@pytest.mark.parametrize("name", DIGITS[:1] + [pytest.param(name, marks=pytest.mark.slow) for name in DIGITS[1:]])
def test_the_figures_of_models_of_digits_come_out_again(name):
    report = verify(name)  # digits are on every machine
    assert report.verified and statuses(report)["metrics"] == "ok", str(report)
    assert " figures " in report.checks[-1].detail


def test_the_errors_of_reconstructions_come_out_again_also_when_refined(decoding_run, bars, tmp_path):
    model, path = zoo.load(decoding_run), tmp_path / "bars.safetensors"
    save_dataset(bars, path, source="a test")
    record = {**reconstruction([model], zoo.load_dataset(path)), "data": str(path)}
    names, said, found = zip(*figures_again(model, {"probes": {}, "reconstruction": record}), strict=True)
    assert names == (*ERRORS, "refined mean_squared_error", "refined binary_cross_entropy")
    assert said == found
    record["refined"]["steps"] = 1
    assert figures_again(model, {"probes": {}, "reconstruction": record})[2][2] > found[2]


@pytest.mark.parametrize(
    "field,value",
    [
        ("name", "byol-resnet8-digits"),
        ("mean", [0.5]),
        ("std", [0.5]),
        ("input_shape", [1, 10, 10]),
        ("recipe", {}),
        ("sha256", None),
        ("sha256", "0" * 64),
        ("content_digest", "0" * 64),
        ("fingerprint", [0.0] * 8),
    ],
)
def test_a_configuration_that_was_changed_is_found(shipped, field, value):
    edit(shipped / "config.json", lambda config: config.update({field: value}))
    report = verify(NAME, metrics=False)
    assert not report.verified and {"configuration", "content"} <= set(failed(report))
    with pytest.raises(ZooError, match="but the zoo says"):
        zoo.load(NAME)


def test_a_configuration_without_a_digest_is_no_way_round_in_a_directory_either(directory):
    for value in (None, "", "0", 0, [], "0" * 63):
        edit(directory / "config.json", lambda config, value=value: config.update(sha256=value))
        report = verify(directory, metrics=False)
        assert {"weights", "content"} <= set(failed(report))
        with pytest.raises(ZooError, match="sha256: expected 64 hexadecimal digits"):
            zoo.load(directory)


def test_a_byte_of_the_weights_is_found(shipped):
    data = bytearray((shipped / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (shipped / "model.safetensors").write_bytes(data)
    assert failed(verify(NAME, metrics=False)) == ["weights", "content"]
    (shipped / "model.safetensors").unlink()
    report = verify(NAME, metrics=False)
    assert failed(report) == ["weights", "content"] and "model.safetensors is missing" in str(report)


def test_a_decoder_of_another_is_found(tmp_path):
    name = "autoencoder-s5-mnist_48k"
    copy = shutil.copytree(WEIGHTS / name, tmp_path / "copy")
    shutil.copy(WEIGHTS / "denoising_autoencoder-s5-mnist_48k" / "decoder.safetensors", copy)
    assert failed(verify(copy, metrics=False)) == ["decoder", "content"]


def test_weights_that_were_replaced_with_their_digests_are_found_by_the_fingerprint(directory):
    """Whoever writes a whole encoder directory is believed, but for the features that the old weights had."""
    before = json.loads((directory / "config.json").read_text())["fingerprint"]
    model = zoo.load(directory)
    model.params["conv1"]["weight"].mul_(1.001)
    zoo.save(model, directory, overwrite=True)
    edit(directory / "config.json", lambda config: config.update(fingerprint=before))
    report = verify(directory, metrics=False)
    assert "fingerprint" in failed(report) and "features off by up to" in str(report)
    for value in (None, [], [0.1], ["a"] * 8, {}):
        edit(directory / "config.json", lambda config, value=value: config.update(fingerprint=value))
        assert "fingerprint" in failed(verify(directory, metrics=False))


def test_a_card_that_was_edited_is_found_with_the_line(shipped):
    card = shipped / "README.md"
    text = card.read_text()
    card.write_text(text.replace("linear probe on frozen features, mean", "99.9 of 100, mean", 1))
    report = verify(NAME, metrics=False)
    assert failed(report) == ["card"] and "README.md, line " in str(report) and "99.9" in str(report)
    card.write_text(text + "One more line.\n")
    assert failed(verify(NAME, metrics=False)) == ["card"]
    card.write_text(text.replace("license: apache-2.0", "license: mit"))
    assert failed(verify(NAME, metrics=False)) == ["card"]
    card.unlink()
    assert failed(verify(NAME, metrics=False)) == ["card"]


def test_the_owner_of_a_directory_chooses_the_licence_but_not_what_the_card_loads(directory):
    card = directory / "README.md"
    text = card.read_text()
    card.write_text(text.replace("license: apache-2.0", "license: mit"))
    assert verify(directory, metrics=False).verified
    config, ledger = (json.loads((directory / file).read_text()) for file in ("config.json", "results.json"))
    pictures = [f"pictures/{path.name}" for path in sorted((directory / "pictures").iterdir())]
    for source, verified in ((HERE, True), (NAME, True), ("byol-resnet8-digits", False)):
        card.write_text(render_card(config, ledger, (), pictures, licence="mit", source=source))
        assert verify(directory, metrics=False).verified == verified
    assert failed(verify(directory, metrics=False)) == ["card"]


def test_a_ledger_that_was_edited_is_found_by_the_card_and_the_figures(shipped):
    def raise_accuracy(ledger):
        ledger["results"][0]["linear"]["values"][0] += 0.1

    edit(shipped / "results.json", raise_accuracy)
    report = verify(NAME, metrics=True)
    assert failed(report) == ["card", "metrics"]
    assert "47 of 48 figures the same, linear with 10 labels of digits off the most: " in str(report)


@pytest.mark.parametrize(
    "change,words",
    [
        (lambda ledger: ledger.update(model="other"), "is of another name than config.json"),
        (lambda ledger: ledger["recipe"].update(epochs=50), "is of another recipe than config.json"),
        (lambda ledger: ledger.update(dataset_digest="0" * 64), "is of another data than config.json"),
        (lambda ledger: ledger.pop("results"), "lack a field or have a wrong one: 'results'"),
        (lambda ledger: ledger.update(results=[3]), "lack a field or have a wrong one"),
    ],
)
def test_a_ledger_of_another_model_or_a_broken_one_is_named(directory, change, words):
    edit(directory / "results.json", change)
    report = verify(directory, metrics=False)
    assert "ledger" in failed(report) and words in str(report)


def test_other_data_than_the_ledgers_are_named(directory):
    edit(directory / "results.json", lambda ledger: ledger["probes"].update(digits="0" * 64))
    assert "digits: has other images or labels than the ledger's" in str(verify(directory))


def test_files_that_are_no_json_are_failures_and_no_tracebacks(directory):
    for text in ("", "[" * 5_000, "3", "null"):
        (directory / "results.json").write_text(text)
        assert failed(verify(directory)) == ["ledger", "card"]
    (directory / "config.json").write_text("[")
    assert failed(verify(directory)) == ["content"]


def test_datasets_that_are_not_here_are_not_downloaded_unless_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("FUNCZOO_DATA", str(tmp_path))
    report = verify("supervised-s4-fashion_mnist_labels_1k")
    assert report.verified and statuses(report)["metrics"] == "not checked"
    assert "fashion_mnist_labels_1k not on this machine; --metrics downloads" in str(report)


def test_a_run_verifies_by_its_own_card_without_a_ledger(tmp_path, recipe):
    zoo.pretrain(recipe.replace(epochs=1, warmup_epochs=0), out=tmp_path / "run")
    report = verify(tmp_path / "run")
    assert report.verified and statuses(report)["ledger"] == "not checked" and statuses(report)["card"] == "ok"
    assert "which no entry of the zoo pins" in str(report)


def test_threads_do_not_leak(directory):
    before = torch.get_num_threads()
    edit(directory / "results.json", lambda ledger: ledger["environment"].update(threads=before + 1))
    verify(directory, metrics=False)
    assert torch.get_num_threads() == before


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "zoo", *map(str, arguments)], capture_output=True, text=True)


def test_the_command_has_exit_code_1_for_what_does_not_verify_and_2_for_what_is_not_there(directory):
    (directory / "README.md").write_text("nothing")
    done = command("verify", directory, NAME, "--no-metrics", "--json")
    reports = json.loads(done.stdout)
    assert done.returncode == 1 and [report["verified"] for report in reports] == [False, True]
    assert command("verify", NAME, "--no-metrics").returncode == 0
    missing = command("verify", "nothing-of-that_name")
    assert missing.returncode == 2 and missing.stdout == "" and "unknown model" in missing.stderr
