"""Recorded queries are read from JSONL, and errors name file and line."""

import pytest

from ranking.errors import InputError
from ranking.generation.generation_settings import RecordedGenerationSettings
from ranking.generation.recorded_queries import read_recorded_queries, recorded_row
from ranking.records import SourcePassage


def recorded(tmp_path, text, **settings):
    (tmp_path / "queries.jsonl").write_text(text, encoding="utf-8")
    settings = RecordedGenerationSettings(path=str(tmp_path / "queries.jsonl"), **settings)
    return read_recorded_queries(settings), settings


def test_rows_are_grouped_by_document_and_checked(tmp_path):
    rows, settings = recorded(
        tmp_path,
        '{"doc_id": 7, "text": "which metal?", "style": "question"}\n'
        '{"doc_id": "x", "text": "other"}\n'
        '{"doc_id": "7", "text": "copper wire in the wall of a house"}\n',
        max_copied_terms=3,
    )
    assert (rows.name, rows.by_document["x"]) == ("queries.jsonl", [("other", "unstated")])
    passage = SourcePassage(query_id="k", doc_id="7", text="Copper wire in the wall conducts.")
    row = recorded_row(rows, passage, settings)
    assert (row.query_id, row.doc_id, row.generator, row.prompt) == ("k", "7", "queries.jsonl", None)
    assert [(one.query_id, one.style, one.status) for one in row.queries] == [
        ("k-1", "question", "ok"),
        ("k-2", "unstated", "copied"),
    ]


def test_name_of_the_generator_can_be_set(tmp_path):
    assert recorded(tmp_path, '{"doc_id": "x", "text": "other"}\n', generator="rules")[0].name == "rules"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there are no queries; write one JSON object with doc_id and text per line"),
        ("[1]\n", "line 1: expected a JSON object, not int"),
        ('{"text": "a"}\n', "line 1: 'doc_id' must be the id of a document, not None"),
        ('{"doc_id": "x", "text": " "}\n', "line 1: 'text' must be the words of a query, not ' '"),
        ('{"doc_id": "x", "text": "a"}\n{"doc_id": "x"}\n', "line 2: 'text' must be the words of a query, not None"),
        ('{"doc_id": "x", "text": "a", "style": "rude"}\n', "line 1: 'style' must be one of question, problem,"),
        ("{\n", "line 1: not valid JSON"),
    ],
)
def test_malformed_file_is_a_one_line_error(tmp_path, text, problem):
    with pytest.raises(InputError) as error:
        recorded(tmp_path, text)
    assert problem in str(error.value)
    assert "queries.jsonl" in str(error.value)
    assert "\n" not in str(error.value)
