"""Analyzers of languages: terms, deduplication keys, normalisation, stop words, and missing extras."""

import sys
import unicodedata

import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ranking.errors import InputError
from ranking.languages import LANGUAGES, PACKAGES, SNOWBALL, analyzer_for, check_installed
from ranking.languages.analyzer import fold, pieces
from ranking.languages.stop_words import stop_words_of
from ranking.selection.near_duplicates import deduplication_key
from ranking.selection.query_text import normalise
from ranking.settings import CollectionSettings


def key(text, language):
    return deduplication_key(normalise(text), language)


def test_every_snowball_language_has_a_stemmer():
    variants = {"english", "porter", "dutch_porter"}  # older algorithms for the same languages
    assert set(SNOWBALL) == set(Stemmer.algorithms()) - variants
    assert all(analyzer_for(language).terms("xyz 7x") for language in SNOWBALL)


def test_unknown_language_names_the_nearest_one():
    with pytest.raises(ValidationError, match="unknown language; did you mean 'german'"):
        CollectionSettings(language="germn")
    with pytest.raises(ValidationError, match=r"use one of arabic, armenian, .*, yiddish, none"):
        CollectionSettings(language="???")


@pytest.mark.parametrize("language", PACKAGES)
def test_missing_extra_says_what_to_install(language, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGES[language], None)
    with pytest.raises(InputError) as caught:
        check_installed(language)
    assert str(caught.value) == (
        f"setting 'collection.language': {language} needs the package {PACKAGES[language]}; "
        f"install the extra '.[{language}]'"
    )


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("german", "Die Häuser in den Straßen: C 16", ["haus", "strass", "16"]),
        ("german", "Donau\u00addampfer", ["donaudampf"]),
        ("french", "L'hôtel des chevaux", ["hôtel", "cheval"]),
        ("turkish", "ISI kitaplar", ["ıs", "kitap"]),
        ("hindi", "किताबें", ["किताब"]),
        ("german", "北京大学 Haus", ["北京", "京大", "大学", "haus"]),
        ("none", "Die Häuser, a b_1 北京大", ["die", "häuser", "a", "b", "1", "北京", "京大"]),
        ("korean", "도서관에서 빌린 책을 못 돌려주었다", ["도서관", "빌리다", "책", "못", "돌려주다"]),
        ("korean", "물은 ＡＢＣ에 있다", ["물", "abc"]),
        ("japanese", "図書館で本を借りました", ["図書", "館", "本", "借りる"]),
        ("japanese", "ｻｰﾊﾞｰ サーバ", ["サーバー", "サーバー"]),
        ("chinese", "他在北京的图书馆借书", ["北京", "图书", "书馆", "图书馆", "借书"]),
    ],
)
def test_terms_are_stems_without_stop_words(language, text, terms):
    assert analyzer_for(language).terms(text) == terms


@pytest.mark.parametrize("language", ["none", "korean"])
def test_decomposed_hangul_equals_composed(language):
    text = "한글 문서를 찾는다"
    decomposed = unicodedata.normalize("NFD", text)
    assert decomposed != text
    assert analyzer_for(language).terms(decomposed) == analyzer_for(language).terms(text)
    assert key(decomposed, language) == key(text, language)


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("german", "Liste sortieren", "Listen sortieren"),
        ("none", "Liste Sortieren", "liste sortieren?"),
        ("korean", "리스트를 정렬하는 방법", "방법 리스트 정렬"),
        ("japanese", "リストをソートする方法", "リスト ソート 方法"),
        ("chinese", "排序列表", "排序列表？"),
    ],
)
def test_near_duplicates_have_equal_keys(language, one, other):
    assert key(one, language) == key(other, language)


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("german", "von Bonn nach Ulm", "von Ulm nach Bonn"),
        ("german", "Kuchen mit Zucker", "Kuchen ohne Zucker"),
        ("none", "Liste sortieren", "Listen sortieren"),
        ("korean", "서울에서 부산으로 가는 기차", "부산에서 서울로 가는 기차"),
        ("korean", "고기를 먹는 이유", "고기를 먹지 않는 이유"),
        ("korean", "c", "c++"),
        ("japanese", "東京から京都まで", "京都から東京まで"),
        ("chinese", "从北京到上海", "从上海到北京"),
    ],
)
def test_different_queries_have_different_keys(language, one, other):
    assert key(one, language) != key(other, language)


@pytest.mark.parametrize("language", ["german", "none", *PACKAGES])
def test_query_of_stop_words_has_a_key_and_empty_text_none(language):
    words = {"german": "die", "none": "die", "korean": "것", "japanese": "何", "chinese": "什么"}[language]
    assert key(words, language)
    assert key("", language) == ""
    assert analyzer_for(language).terms("") == []


def test_stop_words_are_folded_and_empty_for_unlisted_languages():
    assert {"der", "nicht"} <= stop_words_of("german")
    assert stop_words_of("none") == stop_words_of("yiddish") == frozenset()
    assert all(word == fold(word) for language in LANGUAGES for word in stop_words_of(language))


@given(st.text(alphabet="ab 字\n", max_size=40), st.integers(1, 9))
def test_pieces_join_to_the_text_and_respect_the_length(text, length):
    cut = list(pieces(text, length))
    assert "".join(cut) == text
    assert all(len(piece) <= length for piece in cut)


def test_japanese_text_may_exceed_the_limit_of_sudachi():
    assert len(analyzer_for("japanese").terms("図書館 " * 15_000)) == 30_000
