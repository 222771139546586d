"""`zoo publish` and `zoo pull`: the address on stdout, one line for bad input; other commands take addresses."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from hub_server import TOKEN, running

import zoo
from zoo.commands import main
from zoo.models import loading

NAME = "simclr-resnet8-digits"
CONFIG_SHA256 = zoo.entry(NAME).config_sha256


@pytest.fixture(scope="module")
def server():
    with running() as server:
        yield server


@pytest.fixture
def hub(server, monkeypatch, tmp_path):
    """An empty hub and an empty cache."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("FUNCZOO_MODELS", str(tmp_path / "models"))
    for name in ("HF_HUB_OFFLINE", "FUNCZOO_HUB"):
        monkeypatch.delenv(name, raising=False)
    for kept in (server.repositories, server.faults, server.requests):
        kept.clear()
    return server


def run(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    if code:
        assert result.stdout == "" and result.stderr.count("\n") == 1
    return result.stderr if code else result.stdout


def test_publish_prints_the_address_to_load_it_by(hub):
    address = run("publish", NAME, "--to", f"hf://me/{NAME}", "--tag", "v1").strip()
    assert address == f"hf://me/{NAME}@{hub.repositories[f'me/{NAME}'].tags['v1']}"
    again = json.loads(run("publish", NAME, "--to", f"hf://me/{NAME}", "--tag", "v1", "--json"))
    assert again["address"] == address and again["sent"] and again["config_sha256"] == CONFIG_SHA256
    shown = run("show", address)
    assert f"source    {address}" in shown and json.loads(run("show", address, "--json"))["source"] == address
    out = run("pull", address, f"hf://me/{NAME}@v1")
    assert out.splitlines()[0].split() == [address, str(zoo.pull(address).directory)]
    assert out.splitlines()[1].split() == [f"hf://me/{NAME}@v1", str(zoo.pull(address).directory), address]


def test_a_dry_run_lists_files_sizes_and_digests(hub, tmp_path):
    out = run("publish", NAME, "--to", tmp_path / "to", "--dry-run")
    size = (loading.located(NAME)[0] / "model.safetensors").stat().st_size
    assert f"{size:,} bytes  {zoo.entry(NAME).sha256}" in out and "nothing was sent" in out
    done = json.loads(run("publish", NAME, "--to", "hf://me/m", "--dry-run", "--json"))
    assert done["sent"] is False and {"path", "bytes", "sha256"} == done["files"][0].keys()
    assert hub.requests == [] and not (tmp_path / "to").exists()


def test_a_directory_needs_no_fetching(run):
    result = CliRunner().invoke(main, ["pull", str(run / "encoder")])
    assert result.exit_code == 2 and "encoder: is a directory, and needs no fetching" in result.stderr


def test_pull_by_name_from_a_home(hub, tmp_path, monkeypatch):
    assert json.loads(run("pull", NAME, "--json"))[NAME]["directory"] == str(loading.WEIGHTS / NAME)  # it ships
    run("publish", NAME, "--to", tmp_path / "home" / NAME)
    found = json.loads(run("pull", NAME, "--from", tmp_path / "home", "--json"))[NAME]
    assert found["directory"] == str(tmp_path / "models" / CONFIG_SHA256) and found["config_sha256"] == CONFIG_SHA256
    assert zoo.load(found["directory"]).name == NAME
    monkeypatch.setenv("FUNCZOO_MODELS", str(tmp_path / "empty"))
    assert "no such file" in run("pull", NAME, "--from", tmp_path / "nowhere", code=2)
    assert "expected hf://OWNER" in run("pull", NAME, "--from", "hf://me/m/x", code=2)
    assert "no such repository" in run("pull", NAME, "--from", "hf://me", code=2)


@pytest.mark.parametrize(
    "arguments,words",
    [
        (["pull", "none"], "unknown model 'none'"),
        (["pull", "hf://me/none"], "no such repository"),
        (["pull", "hf://me"], "expected 'hf://OWNER/REPO'"),
        (["pull", "http://example.org/m"], "expected an encrypted connection"),
        (["publish", "none", "--to", "hf://me/m"], "unknown model 'none'"),
        (["publish", "./none", "--to", "hf://me/m"], "no such directory"),
        (["publish", NAME, "--to", "https://example.org"], "expected hf://OWNER/REPO or a directory"),
        (["publish", NAME, "--to", "/proc/none"], "/proc"),
        (["probe", "hf://me/none"], "no such repository"),
    ],
)
def test_bad_input_is_one_line(hub, arguments, words):
    assert words in run(*arguments, code=2)
    assert words in json.loads(run(*arguments, "--json", code=2))["error"]


def test_the_help_imports_neither_torch_nor_the_client():
    program = "import sys, runpy; sys.argv = ['zoo', 'pull', '--help']\n"
    program += "try: runpy.run_module('zoo', run_name='__main__')\n"
    program += "finally: assert not {'torch', 'huggingface_hub'} & sys.modules.keys()"
    assert (
        "--from" in subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    )
