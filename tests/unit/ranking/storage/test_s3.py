"""Tests of the S3 client cache."""

import pytest

from ranking.storage import s3


@pytest.fixture
def clock(monkeypatch):
    """Replace the module's clock by one that tests can set, in seconds, and set AWS credentials."""
    now = [1000.0]
    monkeypatch.setattr(s3.time, "monotonic", lambda: now[0])
    for name, value in (("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "one"), ("AWS_SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(name, value)
    return now


def test_client_is_cached_for_a_minute_or_until_the_environment_changes(clock, monkeypatch):
    first = s3.client()
    assert s3.client() is first
    clock[0] += 60
    later = s3.client()
    assert later is not first
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "two")
    other = s3.client()
    assert other is not later
    assert other._request_signer._credentials.access_key == "two"
