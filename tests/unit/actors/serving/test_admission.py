"""API keys and the limits of requests and documents in progress."""

import hashlib

import pytest

from actors.serving import keys as keys_module
from actors.serving.admission import Admission, TooManyRequestsError
from actors.serving.keys import ApiKeys
from actors.serving.settings import LimitSettings
from ranking.errors import InputError
from ranking.storage.folder import Folder


def line(name, key):
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()}\n"


def test_keys_are_looked_up_by_hash(tmp_path):
    (tmp_path / "keys").write_text("# search team\n" + line("web", "abc") + line("app", "déf") + "\n")
    keys = ApiKeys(str(tmp_path / "keys"))
    assert [keys.caller_of(key) for key in ("abc", "déf", "", "ABC", "\udcff")] == ["web", "app", None, None, None]


def test_key_file_is_reloaded_and_an_invalid_file_keeps_the_old_keys(tmp_path, monkeypatch):
    monkeypatch.setattr(keys_module, "_CHECK_SECONDS", -1.0)
    path = tmp_path / "keys"
    path.write_text(line("web", "abc"))
    keys = ApiKeys(str(path))
    path.write_text(line("web", "abc") + line("new", "xyz"))
    assert keys.caller_of("xyz") == "new"
    path.write_text("broken")
    assert keys.caller_of("xyz") == "new"
    path.unlink()
    assert keys.caller_of("xyz") == "new"
    path.write_text(line("new", "xyz"))
    assert keys.caller_of("abc") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no keys in this file"),
        ("web abc\n", r"line 1: expected a name and the SHA-256 of a key in hexadecimal"),
        ("# fine\nweb\n", r"line 2: expected a name and the SHA-256"),
        (line("web", "a") + line("web", "b"), "line 2: duplicate name 'web'"),
    ],
)
def test_invalid_key_file_raises_an_error_with_the_line(tmp_path, text, message):
    (tmp_path / "keys").write_text(text)
    with pytest.raises(InputError, match=message):
        ApiKeys(str(tmp_path / "keys"))


def test_missing_key_file_raises_an_error_with_the_path(tmp_path):
    with pytest.raises(InputError, match=r"setting 'serving.keys': cannot read .*none"):
        ApiKeys(str(tmp_path / "none"))


def test_requests_over_a_limit_are_rejected_and_not_counted():
    admission = Admission(LimitSettings(max_requests_per_key=2, max_waiting_documents=100))
    with admission.admitted("a", 10), admission.admitted("a", 10):
        with (
            pytest.raises(TooManyRequestsError, match="2 requests with this key are in progress, the limit is 2"),
            admission.admitted("a", 1),
        ):
            pass
        with (
            admission.admitted("b", 80),
            pytest.raises(
                TooManyRequestsError, match="100 documents are in progress, 1 more would exceed the limit of 100"
            ) as rejected,
            admission.admitted("c", 1),
        ):
            pass
        assert 1 <= rejected.value.retry_after <= 30
    assert (admission.documents, dict(admission.requests)) == (0, {})


def test_oversized_request_is_admitted_if_it_is_the_only_one():
    with Admission(LimitSettings(max_waiting_documents=100)).admitted("a", 1000):
        pass


def test_failed_request_is_no_longer_counted():
    admission = Admission(LimitSettings())
    with pytest.raises(ValueError, match="x"), admission.admitted("a", 10):
        raise ValueError("x")
    assert admission.documents == 0


def test_change_detection_reads_only_the_key_file_not_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(keys_module, "_CHECK_SECONDS", -1.0)
    inventoried = []
    monkeypatch.setattr(
        Folder, "inventory", lambda folder: inventoried.append(folder.uri) or [("", len(inventoried), 0)]
    )
    path = tmp_path / "keys"
    path.write_text(line("web", "abc"))
    keys = ApiKeys(str(path))
    path.write_text(line("app", "abc"))
    assert keys.caller_of("abc") == "app"
    assert set(inventoried) == {str(path)}


def test_requests_without_documents_do_not_change_the_throughput():
    admission = Admission(LimitSettings())
    before = admission.estimate_seconds(1000)
    with admission.admitted("a", 500):
        for _ in range(50):
            with admission.admitted("b", 0):
                pass
        assert admission.estimate_seconds(1000) == before
