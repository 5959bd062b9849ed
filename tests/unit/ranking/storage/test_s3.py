"""A client of an S3 service: made once while nothing that it is made from changes."""

import pytest

from ranking.storage import s3


@pytest.fixture
def clock(monkeypatch):
    """The seconds that the module reads, to be set."""
    now = [1000.0]
    monkeypatch.setattr(s3.time, "monotonic", lambda: now[0])
    for name, value in (("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "one"), ("AWS_SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(name, value)
    return now


def test_a_client_is_kept_until_the_environment_changes_or_a_minute_is_over(clock, monkeypatch):
    first = s3.client()
    assert s3.client() is first
    clock[0] += 60
    later = s3.client()
    assert later is not first
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "two")
    other = s3.client()
    assert other is not later
    assert other._request_signer._credentials.access_key == "two"
