"""Limits of requests and documents in progress, and their fair shares."""

import contextlib

import pytest

from actors.serving.http_api.admission import Admission, TooManyRequestsError
from actors.serving.serving_settings import LimitSettings


def test_requests_over_a_limit_are_rejected_and_not_counted():
    admission = Admission(LimitSettings(max_requests_per_key=2, max_waiting_documents=100))
    with admission.admit("a", 10), admission.admit("a", 10):
        with (
            pytest.raises(TooManyRequestsError, match="2 requests with this key are in progress, the limit is 2"),
            admission.admit("a", 1),
        ):
            pass
        with (
            admission.admit("b", 80),
            pytest.raises(
                TooManyRequestsError, match="100 documents are in progress, 1 more would exceed the limit of 100"
            ) as rejected,
            admission.admit("c", 1),
        ):
            pass
        assert 1 <= rejected.value.retry_after <= 30
    assert (admission.documents, dict(admission.requests)) == (0, {})


def test_oversized_request_is_admitted_if_it_is_the_only_one():
    with Admission(LimitSettings(max_waiting_documents=100)).admit("a", 1000):
        pass


def test_failed_request_is_no_longer_counted():
    admission = Admission(LimitSettings())
    with pytest.raises(ValueError, match="x"), admission.admit("a", 10):
        raise ValueError("x")
    assert admission.documents == 0


def test_requests_without_documents_do_not_change_the_throughput():
    admission = Admission(LimitSettings())
    before = admission.estimate_seconds(1000)
    with admission.admit("a", 500):
        for _ in range(50):
            with admission.admit("b", 0):
                pass
        assert admission.estimate_seconds(1000) == before


def test_a_key_that_saturates_the_service_leaves_room_for_others():
    admission = Admission(LimitSettings(max_waiting_documents=4000), several_keys=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(admission.admit("a", 1000))
        stack.enter_context(admission.admit("a", 1000))
        with pytest.raises(TooManyRequestsError, match="2,000 documents of this key are in progress, 1,000 more would"):
            stack.enter_context(admission.admit("a", 1000))
        for _ in range(2):
            stack.enter_context(admission.admit("b", 1000))
        stack.enter_context(admission.admit("c", 1000))  # within its fair share, although the queue is full
        with pytest.raises(TooManyRequestsError, match="5,000 documents are in progress, 1,000 more would exceed"):
            stack.enter_context(admission.admit("c", 1000))


def test_documents_of_many_keys_are_bounded():
    admission = Admission(LimitSettings(max_waiting_documents=1000), several_keys=True)
    with contextlib.ExitStack() as stack:
        for n in range(2000):
            with contextlib.suppress(TooManyRequestsError):
                stack.enter_context(admission.admit(f"key-{n % 20}", 50))
        assert 1000 <= admission.documents <= 1000 * sum(1 / k for k in range(1, 21))
        assert {name for name, count in admission.requests.items() if count} == {f"key-{n}" for n in range(20)}


def test_fast_requests_do_not_shorten_the_estimate_out_of_proportion(monkeypatch):
    clock = iter(range(1_000_000))
    monkeypatch.setattr("actors.serving.http_api.admission.time.monotonic", lambda: next(clock))
    admission = Admission(LimitSettings())
    for _ in range(200):  # each takes one second of this clock: half of them 1 document, half of them 1,000
        for documents in (1, 1000):
            with admission.admit("a", documents):
                pass
    assert 4 <= admission.estimate_seconds(10) <= 6  # .5005 s per document on average
