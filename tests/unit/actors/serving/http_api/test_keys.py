"""Bearer keys: lookup, refresh, revocation, and a storage that does not answer."""

import hashlib
import threading
import time

import pytest

from actors.serving.http_api import keys as keys_module
from actors.serving.http_api.keys import ApiKeys, check_keys
from ranking.errors import InputError


def line(name, key):
    return f"{name} {hashlib.sha256(key.encode()).hexdigest()}\n"


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


class RecordedMetrics:
    def __init__(self):
        self.reports = []

    def record_key_refresh(self, age, bad_lines):
        self.reports.append((age, bad_lines))


@pytest.fixture
def open_keys(tmp_path):
    opened = []

    def make(text, metrics=None):
        (tmp_path / "keys").write_text(text)
        opened.append(ApiKeys(str(tmp_path / "keys"), metrics, refresh_seconds=0.02))
        return opened[-1]

    yield make
    for keys in opened:
        keys.close()


def test_keys_are_looked_up_by_hash(open_keys):
    keys = open_keys("# search team\n" + line("web", "abc") + line("app", "déf") + "\n")
    assert [keys.caller_of(key) for key in ("abc", "déf", "", "ABC", "\udcff")] == ["web", "app", None, None, None]


def test_added_and_removed_keys_take_effect(open_keys, tmp_path):
    keys = open_keys(line("web", "abc"))
    (tmp_path / "keys").write_text(line("new", "xyz"))
    assert wait_until(lambda: keys.caller_of("xyz") == "new")
    assert keys.caller_of("abc") is None


@pytest.mark.parametrize("text", ["", "# " + line("web", "abc"), None, "broken\n", line("other", "b") + "broken\n"])
def test_a_revoked_key_is_refused_whatever_else_the_file_contains(open_keys, tmp_path, text):
    keys = open_keys(line("web", "abc"))
    assert keys.caller_of("abc") == "web"
    if text is None:
        (tmp_path / "keys").unlink()
    else:
        (tmp_path / "keys").write_text(text)
    assert wait_until(lambda: keys.caller_of("abc") is None)


def test_a_malformed_line_is_skipped_and_reported(open_keys, tmp_path, caplog):
    metrics = RecordedMetrics()
    keys = open_keys("web secretvalue\n" + line("app", "b") + line("app", "c"), metrics)
    assert keys.caller_of("b") == "app"
    assert wait_until(lambda: metrics.reports and metrics.reports[-1][1] == 2)
    assert "line 1: expected a name and the SHA-256 of a key" in caplog.text
    assert "line 3: duplicate name" in caplog.text
    assert "secretvalue" not in caplog.text


def test_a_change_of_the_same_size_and_time_is_noticed(open_keys, tmp_path):
    import os

    keys = open_keys(line("web", "abc"))
    status = (tmp_path / "keys").stat()
    (tmp_path / "keys").write_text(line("web", "xyz"))
    os.utime(tmp_path / "keys", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert wait_until(lambda: keys.caller_of("xyz") == "web")
    assert keys.caller_of("abc") is None


def test_a_stalled_storage_does_not_delay_callers(open_keys, monkeypatch):
    metrics = RecordedMetrics()
    keys = open_keys(line("web", "abc"), metrics)
    entered, release = threading.Event(), threading.Event()

    def stall(uri):
        entered.set()
        release.wait(30)
        raise OSError("timeout")

    monkeypatch.setattr(keys_module, "read_keys", stall)
    assert entered.wait(10)
    answers = []
    callers = [threading.Thread(target=lambda: answers.append(keys.caller_of("abc"))) for _ in range(20)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(5)
    assert answers == ["web"] * 20
    assert wait_until(lambda: metrics.reports and metrics.reports[-1][0] > 0.1)  # the age grows during the stall
    release.set()
    assert keys.caller_of("abc") == "web"


def test_unavailable_storage_keeps_the_last_keys(open_keys, monkeypatch, caplog):
    keys = open_keys(line("web", "abc"))

    def refuse(uri):
        raise PermissionError("denied")

    monkeypatch.setattr(keys_module, "read_keys", refuse)
    assert wait_until(lambda: "keeping those of" in caplog.text)
    assert keys.caller_of("abc") == "web"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no keys in this file"),
        ("web abc\n", r"line 1: expected a name and the SHA-256 of a key in hexadecimal"),
        ("# fine\nweb\n", r"line 2: expected a name and the SHA-256"),
        (line("web", "a") + line("web", "b"), "line 2: duplicate name"),
    ],
)
def test_invalid_key_file_is_refused_at_start_with_the_line(tmp_path, text, message):
    (tmp_path / "keys").write_text(text)
    with pytest.raises(InputError, match=message):
        check_keys(str(tmp_path / "keys"))


def test_missing_key_file_is_refused_at_start_with_the_path(tmp_path):
    with pytest.raises(InputError, match=r"setting 'serving.keys': cannot read .*none"):
        check_keys(str(tmp_path / "none"))
