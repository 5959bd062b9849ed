"""Malformed JSON is a ValueError with one line; valid JSON is read as by the json module."""

import json

import pytest

from ranking.json_text import parse_json
from ranking.run_file import load_settings
from ranking.settings import CollectionSettings


@pytest.mark.parametrize(
    "text", ['{"a": [1, 2.5, null]}', r'"\ud83d\ude00"', r'"\\ud83d"', r'"\uD83D\uDE00 ud800"', "1"]
)
def test_valid_json_is_parsed_as_by_the_json_module(text):
    assert parse_json(text) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": ', "Expecting value at character 7"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("1" * 4301, "an integer has more than 4,300 digits"),
        (r'{"\ud800": 1}', r"\ud800 is half of a surrogate pair; write the character itself"),
        (r'["x\uDC00"]', r"\udc00 is half of a surrogate pair; write the character itself"),
    ],
)
def test_malformed_json_is_described_in_one_line(text, problem):
    with pytest.raises(ValueError, match="not valid JSON") as error:
        parse_json(text)
    assert str(error.value) == f"not valid JSON ({problem})"


@pytest.mark.parametrize(
    ("text", "problem"), [("a: " + "[" * 10_000, "nested too deeply"), ("a: 1" + "0" * 5000, "Exceeds the limit")]
)
def test_malformed_run_file_is_an_error_with_its_path(text, problem, tmp_path):
    from ranking.errors import InputError

    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_settings(CollectionSettings, path)
    assert str(error.value).startswith(f"{path}: not valid YAML ({problem}")
