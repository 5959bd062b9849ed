"""The text of each document that the model reads: titles, rank_fields, and documents without text."""

import pytest

from actors.serving.http_api.schemas import RerankRequest

TITLED = {"text": "river stone", "title": "On nature", "year": 1970, "tags": ["a"], "id": 1.5}


def texts_of(documents, rank_fields=None):
    return RerankRequest(query="q", documents=documents, rank_fields=rank_fields).texts_to_score()


@pytest.mark.parametrize(
    ("rank_fields", "expected"),
    [
        (None, "On nature\nriver stone"),
        (["text"], "river stone"),
        (["text", "title"], "river stone\nOn nature"),
        (["year", "absent", "text"], "1970\nriver stone"),
        (["id"], "1.5"),
    ],
)
def test_the_named_fields_are_joined_in_order(rank_fields, expected):
    assert texts_of([TITLED], rank_fields) == [expected]


def test_a_string_is_an_object_with_text():
    assert texts_of(["plain", {"title": "x", "text": "object"}], ["text"]) == ["plain", "object"]
    with pytest.raises(ValueError, match=r"documents\[0\]: has none of the fields in rank_fields"):
        texts_of(["plain"], ["title"])


@pytest.mark.parametrize(
    ("document", "rank_fields", "message"),
    [
        ({"title": "x"}, None, r"documents\[0\]\.text: missing"),
        ({"text": None}, None, r"documents\[0\]\.text: missing"),
        ({"title": None, "text": "x"}, ["title"], r"documents\[0\]: has none of the fields"),
        (TITLED, ["tags"], r"documents\[0\]: the field 'tags' in rank_fields is not a string or a number"),
        ({"text": "x"}, ["model_fields_set"], r"documents\[0\]: has none of the fields"),
    ],
)
def test_documents_without_readable_fields_are_refused(document, rank_fields, message):
    with pytest.raises(ValueError, match=message):
        texts_of([document], rank_fields)


def test_ids_of_documents_may_be_numbers():
    assert RerankRequest(query="q", documents=[TITLED, "b"]).ids == ["1.5", "1"]


def test_rank_fields_are_few_and_not_empty():
    for names in ([], ["text"] * 21):
        with pytest.raises(ValueError, match="rank_fields"):
            texts_of(["a"], names)
