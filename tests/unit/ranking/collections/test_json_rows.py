"""Lines and JSON rows as other tools write them: byte order marks, gzip, line ends, arrays, half surrogates."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.collections.json_rows import read_json_rows
from ranking.collections.lines import read_lines, read_text
from ranking.errors import InputError

ROWS = [{"id": 1, "text": "one"}, {"id": 2, "text": "two, [three]\n"}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbfa\tb\n\nc\n", [(1, "a\tb"), (3, "c")]),
        (b"a\n\xef\xbb\xbfb\n", [(1, "a"), (2, "b")]),
        (b"a\r\nb", [(1, "a"), (2, "b")]),
        (b"a\rb\rc\r", [(1, "a"), (2, "b"), (3, "c")]),
        (b"a\rb\nc\n", [(1, "a\rb"), (2, "c")]),
        (b"", []),
    ],
)
@pytest.mark.parametrize("name", ["x.tsv", "x.tsv.gz", "gzipped.tsv"])
def test_lines_are_numbered_without_marks_and_line_ends(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_bytes(content if name == "x.tsv" else gzip.compress(content))
    assert list(read_lines(path)) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb\n\xe9t\xe9\n", "x.tsv, line 3: not UTF-8 text; convert the file to UTF-8"),
        ("a\tb\n".encode("utf-16"), "x.tsv, line 1: not UTF-8 text, perhaps UTF-16; convert the file to UTF-8"),
        ("a\tb\n".encode("utf-16-le"), "x.tsv, line 1: not UTF-8 text, perhaps UTF-16; convert the file to UTF-8"),
    ],
)
def test_other_encodings_are_an_error_with_the_line(tmp_path, content, expected):
    (tmp_path / "x.tsv").write_bytes(content)
    with pytest.raises(InputError) as error:
        list(read_lines(tmp_path / "x.tsv"))
    assert str(error.value) == str(tmp_path / expected)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n\0\ufeff", codec="utf-8")), min_size=1))
def test_text_round_trips(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("lines") / "x.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert read_text(path) == "\n".join(lines).removesuffix("\n")


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_arrays_are_read_as_lines_are(tmp_path, name, indent):
    text = "\n" + json.dumps(ROWS, indent=indent)
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    rows = list(read_json_rows(tmp_path / name))
    assert [row for _, row in rows] == ROWS
    assert [line for line, _ in rows] == ([3, 7] if indent else [2, 2])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}\n{"a": \n', "line 2: not valid JSON (Expecting value at character 7)"),
        ('[\n{"a": 1},\n{"a" 2}]', "line 3: not valid JSON (Expecting ':' delimiter at character 6)"),
        ('[\n{"a": 1}\n{"a": 2}]', "line 2: not valid JSON (no comma or ] after this element of the array)"),
        ('[{"a": 1}', "line 1: not valid JSON (no comma or ] after this element of the array)"),
        ("[1] 2", "line 1: not valid JSON (Extra data after the array)"),
        ("[" * 100_000, "line 1: not valid JSON (nested too deeply)"),
        ('{"a":' * 100_000, "line 1: not valid JSON (nested too deeply)"),
        ("[1,\n" + "1" * 5000 + "]", "line 2: not valid JSON (an integer has more than 4,300 digits)"),
        ('{"a": 1}\n["\\udc00"]', "line 2: not valid JSON (\\udc00 is half of a surrogate pair; write the character"),
        ('[1,\n"\\udc00"]', "line 2: not valid JSON (\\udc00 is half of a surrogate pair; write the character"),
        ('{"a": "x\ry"}\n{}\n', "line 1: not valid JSON (Invalid control character at at character 9)"),
    ],
)
def test_malformed_json_is_an_error_with_its_line(tmp_path, text, expected):
    (tmp_path / "x.jsonl").write_bytes(text.encode())
    with pytest.raises(InputError) as error:
        list(read_json_rows(tmp_path / "x.jsonl"))
    assert str(error.value).startswith(f"{tmp_path}/x.jsonl, {expected}")


@pytest.mark.parametrize("text", ['"\\ud83d"\n"a\\uDE00\\ud83d"\n', '["\\ud83d",\n"a\\uDE00\\ud83d"]'])
def test_half_surrogates_are_counted_if_notes_are_taken(tmp_path, text):
    (tmp_path / "x.jsonl").write_text(text)
    notes = []
    assert [row for _, row in read_json_rows(tmp_path / "x.jsonl", notes)] == ["\ufffd", "a\ufffd\ufffd"]
    assert notes == ["x.jsonl: 3 half surrogate pairs were replaced with U+FFFD"]


@given(st.text())
def test_whole_surrogate_pairs_are_kept(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("rows") / "x.jsonl"
    path.write_text(json.dumps(text))
    notes = []
    assert [row for _, row in read_json_rows(path, notes)] == [text]
    assert notes == []
