"""Listwise answers in JSON are parsed like chains of identifiers."""

import jsonschema
import pytest

from ranking.labels.json_answers import chain_of_json, ranking_schema
from ranking.labels.listwise_answers import read_answer


@pytest.mark.parametrize(
    ("text", "status", "order"),
    [
        ('{"ranking": [3, 1]}', "ok", (3, 1)),
        (' {"ranking":\n[2]} ', "ok", (2,)),
        ('```json\n{"ranking": [3, 1]}\n```', "ok", (3, 1)),
        ('<think>{"ranking": [1]}</think>{"ranking": [3, 1]}', "thinking", (3, 1)),
        ('{"ranking": [3, 3, 1]}', "duplicates", (3, 1)),
        ('{"ranking": [9, 1]}', "out_of_range", (1,)),
        ('{"ranking": [0, 1]}', "out_of_range", (1,)),
        ('{"ranking": []}', "empty", ()),
        ("[3] > [1]", "ok", (3, 1)),
        ("I cannot rank these.", "refused", ()),
    ],
)
def test_answer_in_json_has_the_parse_status_of_a_chain(text, status, order):
    answer = read_answer(chain_of_json(text), 4, "stop")
    assert (answer.parse_status, answer.order) == (status, order)


@pytest.mark.parametrize(
    "text",
    [
        '{"ranking": [3, 1',
        '{"ranking": ["3"]}',
        '{"ranking": [true]}',
        '{"ranking": [-1]}',
        '{"ranking": [1.0]}',
        '{"ranking": [1], "note": "[2]"}',
        '{"order": [1]}',
        "[1, 2]",
        "[" * 100_000,
    ],
)
def test_other_json_is_not_an_answer(text):
    assert chain_of_json(text) == text
    assert not read_answer(text, 4, "stop").usable


def test_schema_allows_only_rankings_of_the_documents():
    schema = ranking_schema(3)
    jsonschema.validate({"ranking": [3, 1]}, schema)
    for wrong in ({"ranking": [4]}, {"ranking": [0]}, {}, {"ranking": [1], "x": 1}, {"ranking": ["1"]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
