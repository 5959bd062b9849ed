"""Answers of a generator become queries with statuses."""

import json

import jsonschema
import pytest

from ranking.generation.copied_text import longest_copy
from ranking.generation.generated_ids import split_key
from ranking.generation.generation_settings import RecordedGenerationSettings
from ranking.generation.query_answers import MIXED, parse_answer, query_schema
from ranking.records import SourcePassage

TEXT = "Bats find insects at night by the echo of their calls, which are too high for people to hear."
PASSAGE = SourcePassage(query_id="generated-00112233445566aa", doc_id="b1", text=TEXT)
SETTINGS = RecordedGenerationSettings(path="-", queries_per_document=3, max_terms=10, max_copied_terms=5)


def answer(*texts, style="question"):
    return json.dumps({"queries": [{"style": style, "text": text} for text in texts]})


def parsed(raw, finish_reason="stop", settings=SETTINGS):
    return [(one.text, one.status) for one in parse_answer(raw, finish_reason, PASSAGE, settings)]


def test_queries_have_ids_styles_and_clean_texts():
    raw = answer(" how do bats\nhunt\u200b in the dark ")[:-2] + ', {"style": "shout", "text": "flying mammal sonar"}]}'
    first, second = parse_answer(raw, "stop", PASSAGE, SETTINGS)
    assert (first.query_id, first.text, first.style) == (
        "generated-00112233445566aa-1",
        "how do bats hunt in the dark",
        "question",
    )
    assert (second.query_id, second.style, second.status) == ("generated-00112233445566aa-2", "unstated", "ok")
    assert {split_key(first.query_id), split_key(second.query_id)} == {PASSAGE.query_id}


@pytest.mark.parametrize(
    ("raw", "finish_reason", "status"),
    [
        ('{"queries": [{"style": "question", "text": "how do', "length", "truncated"),
        ("I cannot write queries for this.", "stop", "refused"),
        ("1. how do bats hunt", "stop", "bad_json"),
        ('{"queries": "how do bats hunt"}', "stop", "bad_json"),
        ('{"queries": ["how do bats hunt"]}', "stop", "bad_json"),
        ('["how do bats hunt"]', "stop", "bad_json"),
        ("[" * 100_000, "stop", "bad_json"),
        ("", "stop", "bad_json"),
        ('{"queries": []}', "stop", "empty"),
    ],
)
def test_unusable_answer_becomes_one_row_with_its_status(raw, finish_reason, status):
    (only,) = parse_answer(raw, finish_reason, PASSAGE, SETTINGS)
    assert (only.status, only.query_id) == (status, f"{PASSAGE.query_id}-0")
    assert only.text == raw[: len(only.text)]
    assert len(only.text) <= 200


def test_thinking_and_a_fence_around_the_answer_are_removed():
    raw = f"<think>Bats?</think>```json\n{answer('how do bats hunt')}\n```"
    assert parsed(raw) == [("how do bats hunt", "ok")]


def test_each_query_has_its_own_status():
    long = " ".join(f"word{n}" for n in range(11))
    copied = "why bats find insects at night by ears"  # 6 consecutive words of the document
    assert parsed(answer("?!", long, copied)) == [("?!", "empty"), (long, "too_long"), (copied, "copied")]
    assert parsed(answer("a bat", "b bat", "c bat", "d bat"))[2:] == [("c bat", "ok"), ("d bat", "surplus")]


def test_limits_are_inclusive():
    settings = SETTINGS.model_copy(update={"max_terms": 8, "max_copied_terms": 6})
    assert parsed(answer("why bats find insects at night by ears"), settings=settings)[0][1] == "ok"


@pytest.mark.parametrize(
    ("query", "passage", "terms"),
    [
        ("how to merge sorted lists", "merge, sorted lists into one", 3),
        ("merge lists", "lists merge", 1),
        ("merge lists", "other words", 0),
        ("a b a b c", "a b c", 3),
        ("", "a b c", 0),
        ("怎么合并排序列表", "请合并排序列表。", 3),
        ("字", "字", 1),
        ("밤에 박쥐가 곤충을 찾는", "박쥐가 곤충을 먹는다", 2),
    ],
)
def test_longest_copy_counts_consecutive_terms(query, passage, terms):
    assert longest_copy(query, passage) == terms


def test_schema_accepts_the_form_that_the_parser_reads():
    schema = query_schema(MIXED, 2)
    jsonschema.validate(json.loads(answer("how do bats hunt")), schema)
    for wrong in (answer("a", "b", "c"), answer("a", style="example"), '{"queries": []}', '{"queries": ["a"]}'):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(json.loads(wrong), schema)
