"""Requests: one that is wrong all over is refused at its first wrong place, and ids can be written down."""

import pytest
from pydantic import ValidationError

from actors.serving.shapes import LONGEST_ID, RerankRequest, TextsRequest


@pytest.mark.parametrize(("shape", "field"), [(RerankRequest, "documents"), (TextsRequest, "texts")])
def test_a_long_list_of_wrong_things_costs_one_error(shape, field):
    with pytest.raises(ValidationError) as caught:
        shape.model_validate({"query": "q", field: [1] * 100_000})
    assert caught.value.error_count() <= 2  # a document may be a text or an object


def test_ids_are_readable_and_of_bounded_length():
    documents = [{"text": "a", "id": "\ud800"}, {"text": "b", "id": "x" * 1000}, "c", {"text": "d", "id": 7}]
    broken, long, place, number = RerankRequest(query="q", documents=documents).ids
    assert broken.encode("utf-8")
    assert (len(long), place, number) == (LONGEST_ID, "2", "7")
