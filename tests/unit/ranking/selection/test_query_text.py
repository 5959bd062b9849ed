"""Query text: normalization, words, terms and ids."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ranking.selection.query_text import count_terms, normalise, query_id_of, shown, words_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  How do I\tsort a LIST? ", "how do i sort a list"),
        ("“sort list”…", "sort list"),
        ("ＳＯＲＴ　ｌｉｓｔ", "sort list"),
        ("파이썬에서 리스트를 정렬하는 방법?", "파이썬에서 리스트를 정렬하는 방법"),
        ("파이썬", "파이썬"),
        ("zero\u200bwidth\x00 \u202eturned", "zerowidth turned"),
        ("Straße", "strasse"),
        ("os.getcwd()", "os.getcwd"),
        (".NET core", ".net core"),
        ("C#", "c#"),
        ("C++", "c++"),
        ("grep --help", "grep --help"),
        ("?!...", ""),
    ],
)
def test_normalise_matches_hand_written_examples(text, expected):
    assert normalise(text) == expected


@given(st.text())
@example("İ\u0345'")
@example("ǰ\u0323 ¨!")
def test_normalise_is_idempotent(text):
    once = normalise(text)
    assert normalise(once) == once
    assert normalise(shown(text)) == once
    assert once == " ".join(once.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("os.path.join two parts", ["os", "path", "join", "two", "parts"]),
        ("a -> b", ["a", "->", "b"]),
        ("__init__ of c++", ["__init__", "of", "c++"]),
        ("हिन्दी में खोज", ["हिन्दी", "में", "खोज"]),
        ("문자열 나누기", ["문자열", "나누기"]),
    ],
)
def test_words_match_hand_written_examples(text, words):
    assert words_of(normalise(text)) == words


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("sort a list", 3),
        ("파이썬에서 리스트 정렬", 3),
        ("列表排序方法", 3),
        ("pythonで並び替え", 3),
        ("os.path.join", 1),
        ("", 0),
    ],
)
def test_term_counts_match_hand_written_examples(text, terms):
    assert count_terms(normalise(text)) == terms


def test_ids_are_stable():
    assert query_id_of("sort list") == "q-1368a918018a15ee"
