"""Addresses: what they mean, and that nothing else is taken for one."""

import pytest

import zoo
from zoo.models.addresses import HubAddress, WebAddress, is_address, parse_address

DIGEST = "0123456789abcdef" * 4
COMMIT = "0123456789" * 4


@pytest.mark.parametrize(
    "text,address",
    [
        ("hf://me/simclr", HubAddress("me/simclr")),
        ("hf://me/simclr-resnet8-mnist_24k@v1.0", HubAddress("me/simclr-resnet8-mnist_24k", "v1.0")),
        (f"hf://me/m@{COMMIT}", HubAddress("me/m", COMMIT)),
        ("hf://me/m@refs/pr/1", HubAddress("me/m", "refs/pr/1")),
        (f"hf://me/m@v1#sha256={DIGEST}", HubAddress("me/m", "v1", DIGEST)),
        ("https://example.org/models/m/", WebAddress("https://example.org/models/m")),
        ("http://127.0.0.1:80/m", WebAddress("http://127.0.0.1:80/m")),
        ("http://[::1]:80/m", WebAddress("http://[::1]:80/m")),
        (f"https://example.org/m#sha256={DIGEST}", WebAddress("https://example.org/m", DIGEST)),
    ],
)
def test_addresses(text, address):
    assert is_address(text) and parse_address(text) == address
    assert parse_address(str(address)) == address
    pinned = parse_address(text, DIGEST)
    assert pinned.sha256 == DIGEST and str(pinned).endswith(f"#sha256={DIGEST}")


@pytest.mark.parametrize(
    "text,words",
    [
        ("hf://me", "expected 'hf://OWNER/REPO'"),
        ("hf://me/a/b", "expected 'hf://OWNER/REPO'"),
        ("hf://me/..", "expected 'hf://OWNER/REPO'"),
        ("hf://../m", "expected 'hf://OWNER/REPO'"),
        ("hf://me/m@", "expected 'hf://OWNER/REPO'"),
        ("hf://me/m@a/../../b", "expected 'hf://OWNER/REPO'"),
        ("hf://me/m@v1?x=1", "expected 'hf://OWNER/REPO'"),
        ("hf://me/m@v\n1", "expected 'hf://OWNER/REPO'"),
        ("s3://bucket/m", "or 'https://HOST/DIRECTORY', got 's3://bucket/m'"),
        ("file:///etc", "or 'https://HOST/DIRECTORY', got 'file:///etc'"),
        ("https:///m", "or 'https://HOST/DIRECTORY'"),
        ("https://example.org/a b", "or 'https://HOST/DIRECTORY'"),
        ("https://example.org:x/m", "or 'https://HOST/DIRECTORY'"),
        ("https://[/m", "or 'https://HOST/DIRECTORY'"),
        ("http://example.org/m", "expected an encrypted connection, https://example.org/..."),
        ("http://127.0.0.1.example.org/m", "expected an encrypted connection"),
        ("https://user:secret@example.org/m", "without user name, query and '..'"),
        ("https://example.org/m?token=secret", "without user name, query and '..'"),
        ("https://example.org/../m", "without user name, query and '..'"),
        ("hf://me/m#v1", "expected '#sha256='"),
        ("hf://me/m#sha256=12", "expected 64 hexadecimal digits of config.json, got '12'"),
    ],
)
def test_what_is_no_address_is_refused(text, words):
    with pytest.raises(zoo.ZooError) as error:
        parse_address(text)
    assert words in str(error.value) and "secret" not in str(error.value)


def test_two_digests_that_differ_are_refused():
    with pytest.raises(zoo.ZooError, match="another digest"):
        parse_address(f"hf://me/m#sha256={DIGEST}", "0" * 64)


def test_names_and_paths_are_no_addresses(tmp_path):
    assert not any(map(is_address, ("simclr-resnet8-digits", "./hf", "hf:/a/b", tmp_path)))
