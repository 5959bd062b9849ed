"""Who may come in: keys, requests of a key, documents under way."""

import hashlib

import pytest

from actors.serving import keys as keys_module
from actors.serving.admission import Admission, TooManyError
from actors.serving.keys import ApiKeys
from actors.serving.settings import LimitSettings
from ranking.errors import InputError
from ranking.storage.folder import Folder


def line(name, key):
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()}\n"


def test_keys_are_known_by_their_hash(tmp_path):
    (tmp_path / "keys").write_text("# of the search team\n" + line("web", "abc") + line("app", "déf") + "\n")
    keys = ApiKeys(str(tmp_path / "keys"))
    assert [keys.caller_of(key) for key in ("abc", "déf", "", "ABC", "\udcff")] == ["web", "app", None, None, None]


def test_the_file_is_read_again_when_it_changes_and_kept_when_it_breaks(tmp_path, monkeypatch):
    monkeypatch.setattr(keys_module, "_LOOK_EVERY", -1.0)
    place = tmp_path / "keys"
    place.write_text(line("web", "abc"))
    keys = ApiKeys(str(place))
    place.write_text(line("web", "abc") + line("new", "xyz"))
    assert keys.caller_of("xyz") == "new"
    place.write_text("broken")
    assert keys.caller_of("xyz") == "new"
    place.unlink()
    assert keys.caller_of("xyz") == "new"
    place.write_text(line("new", "xyz"))
    assert keys.caller_of("abc") is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no key, so nobody could call"),
        ("web abc\n", r"line 1: a name and the SHA-256 of a key in hexadecimal are needed"),
        ("# fine\nweb\n", r"line 2: a name and the SHA-256"),
        (line("web", "a") + line("web", "b"), "line 2: the name 'web' stands twice"),
    ],
)
def test_a_file_of_keys_that_is_no_good_is_named(tmp_path, text, why):
    (tmp_path / "keys").write_text(text)
    with pytest.raises(InputError, match=why):
        ApiKeys(str(tmp_path / "keys"))


def test_a_missing_file_of_keys_is_named(tmp_path):
    with pytest.raises(InputError, match=r"setting 'serving.keys': .*none cannot be read"):
        ApiKeys(str(tmp_path / "none"))


def test_one_request_too_many_is_sent_away_and_leaves_nothing_behind():
    admission = Admission(LimitSettings(max_requests_per_key=2, max_waiting_documents=100))
    with admission.admitted("a", 10), admission.admitted("a", 10):
        with pytest.raises(TooManyError, match="2 requests of this key are under way"), admission.admitted("a", 1):
            pass
        with (
            admission.admitted("b", 80),
            pytest.raises(
                TooManyError, match="100 documents are under way; with 1 more there would be over 100"
            ) as refused,
            admission.admitted("c", 1),
        ):
            pass
        assert 1 <= refused.value.after <= 30
    assert (admission.documents, dict(admission.requests)) == (0, {})


def test_a_large_request_alone_is_let_in():
    with Admission(LimitSettings(max_waiting_documents=100)).admitted("a", 1000):
        pass


def test_a_request_that_fails_is_not_under_way_any_more():
    admission = Admission(LimitSettings())
    with pytest.raises(ValueError, match="x"), admission.admitted("a", 10):
        raise ValueError("x")
    assert admission.documents == 0


def test_a_key_file_in_a_folder_that_others_own_is_looked_at_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(keys_module, "_LOOK_EVERY", -1.0)
    looked = []
    monkeypatch.setattr(Folder, "inventory", lambda folder: looked.append(folder.uri) or [("", len(looked), 0)])
    place = tmp_path / "keys"
    place.write_text(line("web", "abc"))
    keys = ApiKeys(str(place))
    place.write_text(line("app", "abc"))
    assert keys.caller_of("abc") == "app"
    assert set(looked) == {str(place)}


def test_a_request_without_documents_says_nothing_about_the_rate():
    admission = Admission(LimitSettings())
    before = admission.seconds_of(1000)
    with admission.admitted("a", 500):
        for _ in range(50):
            with admission.admitted("b", 0):
                pass
        assert admission.seconds_of(1000) == before
