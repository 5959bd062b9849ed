"""JSON bodies: validation outside the event loop, lone surrogates, and bodies of millions of values."""

import json

import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from actors.serving.http_api.json_route import MAX_VALUES, parse
from actors.serving.http_api.request_documents import readable
from actors.serving.http_api.schemas import RerankRequest

MODEL = TypeAdapter(RerankRequest)


def error_of(body):
    with pytest.raises(RequestValidationError) as raised:
        parse(MODEL, body)
    return raised.value.errors()[0]


@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=5))
def test_texts_are_read_as_json_has_them_and_lone_surrogates_are_replaced(documents):
    for ensure_ascii in (True, False):
        body = json.dumps({"query": "q", "documents": documents}, ensure_ascii=ensure_ascii)
        try:
            encoded = body.encode()
        except UnicodeEncodeError:
            continue
        assert parse(MODEL, encoded).texts_to_score() == [readable(text) for text in documents]


def test_escaped_backslashes_before_a_u_are_kept():
    body = rb'{"query": "\\ud800 \ud800", "documents": ["\\\ud800\ud83d\ude00"]}'
    request = parse(MODEL, body)
    assert (request.query, request.texts_to_score()) == ("\\ud800 �", ["\\�\U0001f600"])


def test_a_byte_order_mark_is_ignored():
    assert parse(MODEL, b'\xef\xbb\xbf{"query": "q", "documents": []}').query == "q"


@pytest.mark.parametrize(
    ("body", "kind", "location"),
    [
        (b'{"query": "q"', "json_invalid", ("body",)),
        (b'{"query": "\xff", "documents": []}', "json_invalid", ("body",)),
        (b"[" * 100_000, "json_invalid", ("body",)),
        (b'{"documents": []}', "missing", ("body", "query")),
        (b'{"query": "q", "documents": ["", {"text": 1}]}', "string_type", ("body", "documents", 1, "str")),
        (b"[" + b"[]," * MAX_VALUES + b"[]]", "too_many_values", ("body",)),
        (b'{"query": [' + b"1," * MAX_VALUES + b"1]}", "too_many_values", ("body",)),
        (b'{"query": "q", "documents": [' + b'{"text": "a"},' * 20_000 + b'""]}', "too_long", ("body", "documents")),
    ],
)
def test_invalid_bodies_name_the_field(body, kind, location):
    error = error_of(body)
    assert (error["type"], error["loc"]) == (kind, location)


def test_texts_may_contain_any_number_of_delimiters():
    text = '[{,"\\' * MAX_VALUES
    assert parse(MODEL, json.dumps({"query": "q", "documents": [text]}).encode()).texts_to_score() == [text]
