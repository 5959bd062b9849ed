"""The service's secret: signatures of exposure ids, salted hashes, and where it comes from."""

import concurrent.futures
import hashlib

import pytest

from actors.serving.experiment.signing import VARIABLE, Secret, load_secret
from ranking.errors import InputError
from ranking.storage.folder import Folder


def test_only_signed_exposure_ids_are_accepted():
    secret, other = Secret("a" * 64), Secret("b" * 64)
    signed = secret.sign("0b2c")
    assert secret.is_signed(signed)
    forged = ["", ".", "0b2c", signed + "0", signed[:-1], "1" + signed[1:], other.sign("0b2c"), "é.é", "\ud800.\ud800"]
    assert [text for text in forged if secret.is_signed(text)] == []


def test_hashes_depend_on_the_secret_and_differ_from_plain_ones():
    secret = Secret("a" * 64)
    assert secret.hash_of("query") == Secret("a" * 64).hash_of("query")
    assert secret.hash_of("query") != Secret("b" * 64).hash_of("query")
    assert not hashlib.sha256(b"query").hexdigest().startswith(secret.hash_of("query"))
    assert secret.hash_of("\ud800") != secret.hash_of("")


def test_all_replicas_share_the_secret_in_storage(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        hashes = set(pool.map(lambda _: load_secret(Folder(tmp_path / "serving")).hash_of("q"), range(16)))
    assert len(hashes) == 1
    assert load_secret(Folder(tmp_path / "elsewhere")).hash_of("q") not in hashes


def test_environment_variable_replaces_the_secret_in_storage(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "c" * 32)
    assert load_secret(Folder(tmp_path)).hash_of("q") == Secret("c" * 32).hash_of("q")
    assert Folder(tmp_path).names() == []
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(InputError, match=f"environment variable {VARIABLE}: the service's secret has fewer than 32"):
        load_secret(Folder(tmp_path))


def test_an_empty_secret_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    (tmp_path / "secret").write_text("")
    with pytest.raises(InputError, match="secret: the service's secret has fewer than 32 characters; delete it"):
        load_secret(Folder(tmp_path))
