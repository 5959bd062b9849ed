"""Tests of unsegmented scripts: character bigrams are terms, also in BM25, and other texts are unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.retrieval.retrievers import Bm25Retriever, build_bm25
from ranking.records import Document, Query
from ranking.settings import Bm25Settings
from ranking.storage.folder import Folder
from ranking.unsegmented import separate_bigrams

TEXTS = {
    "chinese": ("北京大学位于海淀区", "上海的天气很热", "北京 weather"),
    "japanese": ("東京タワーの高さ", "京都の寺", "大阪城の歴史"),
    "thai": ("ภาษาไทยใช้สระ", "อาหารเหนือ", "ทะเลใต้"),
    "english": ("merge sorted lists", "pause a program", "sorted inputs"),
}


@given(st.text(alphabet=st.characters(max_codepoint=0x0DFF)))
def test_other_scripts_are_unchanged(text):
    assert separate_bigrams(text) == text


def test_runs_become_bigrams():
    assert separate_bigrams("a北京大x 茶") == "a 北京 京大 x  茶 "


@pytest.mark.parametrize(
    ("script", "query", "first"),
    [
        ("chinese", "海淀大学", 0),
        ("chinese", "上海", 1),
        ("chinese", "weather", 2),
        ("japanese", "京都", 1),
        ("japanese", "タワー", 0),
        ("thai", "สระ", 0),
        ("thai", "เหนือ", 1),
        ("english", "sorting lists", 0),
    ],
)
def test_bm25_matches_parts_of_a_run(script, query, first, tmp_path):
    documents = [Document(doc_id=str(n), title="", text=text) for n, text in enumerate(TEXTS[script])]
    build_bm25(documents, Bm25Settings(kind="bm25"), Folder(tmp_path) / "bm25", "english")
    (ranking,) = Bm25Retriever(Folder(tmp_path), [document.doc_id for document in documents]).search(
        [Query(query_id="q", text=query)], 3
    )
    assert ranking[0] == str(first)
