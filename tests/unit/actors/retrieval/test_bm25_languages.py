"""BM25 in other languages: an inflected query finds its text, and English tokens and indexes are unchanged."""

from pathlib import Path

import pytest

from actors.retrieval.bm25_tokens import LANGUAGE_FILE, tokenize
from actors.retrieval.retrievers import Bm25Retriever, build_bm25
from ranking.collections import beir
from ranking.records import Document, Query
from ranking.settings import Bm25Settings
from ranking.storage.folder import Folder

TEXTS = {
    "german": [
        "Der Apfelbaum trägt im Herbst viele Früchte.",
        "Die Katze schläft auf dem warmen Ofen.",
        "Das Haus wurde mit roten Ziegeln gedeckt.",
    ],
    "french": [
        "Les chevaux galopent dans la prairie.",
        "Le boulanger cuit du pain chaque matin.",
        "L'hôpital accueille les malades la nuit.",
    ],
    "korean": [
        "사과나무에 열매가 많이 열렸다.",
        "고양이가 따뜻한 난로 위에서 잔다.",
        "비가 와서 자전거를 타지 못하였다.",
    ],
    "japanese": [
        "秋になると林檎の木に実がなる。",
        "猫が暖かい場所で眠っている。",
        "雨が降ったので自転車に乗らなかった。",
    ],
    "chinese": ["苹果树在秋天结果。", "猫睡在温暖的炉子上。", "因为下雨，他没有骑自行车。"],
    "none": ["Äpfel sind rot", "Katzen schlafen", "Regen fällt"],
}


def index_of(texts, language, place):
    documents = [Document(doc_id=str(n), text=text) for n, text in enumerate(texts)]
    build_bm25(documents, Bm25Settings(), Folder(place) / "bm25", language)
    return Bm25Retriever(Folder(place), [document.doc_id for document in documents])


@pytest.mark.parametrize(
    ("language", "query", "first"),
    [
        ("german", "welche Katzen schlafen", 1),
        ("german", "Häuser mit rotem Ziegel", 2),
        ("french", "quel cheval galopait", 0),
        ("french", "les hôpitaux", 2),
        ("korean", "난로에서 자는 고양이는?", 1),
        ("korean", "자전거 탈 수 없는 날", 2),
        ("japanese", "眠る猫", 1),
        ("japanese", "自転車に乗りたい", 2),
        ("chinese", "谁的猫睡着了", 1),
        ("chinese", "骑自行车", 2),
        ("none", "ÄPFEL", 0),
    ],
)
def test_inflected_query_finds_its_text_first(language, query, first, tmp_path):
    (ranking,) = index_of(TEXTS[language], language, tmp_path).search([Query(query_id="q", text=query)], 3)
    assert ranking[0] == str(first)


def test_language_none_does_not_stem_and_stop_words_find_nothing(tmp_path):
    search = index_of(TEXTS["none"], "none", tmp_path / "none").search
    assert search([Query(query_id="q", text="Katze")], 3) == [[]]
    search = index_of(TEXTS["german"], "german", tmp_path / "german").search
    assert search([Query(query_id="q", text="der die das"), Query(query_id="r", text="")], 3) == [[], []]


def test_english_tokens_are_unchanged():
    text = "The Sorted LISTS aren't re-sorted: C++ in １２ 北京大学 한글은 naïve"
    tokens = tokenize([text], "english")
    names = {number: token for token, number in tokens.vocab.items()}
    assert [names[number] for number in tokens.ids[0]] == [
        *("sort", "list", "aren", "re", "sort", "１２", "北京", "京大", "大学", "한글은", "naïv"),
    ]


def test_english_index_has_no_language_file(tmp_path):
    assert index_of(["sorted lists"], "english", tmp_path / "english").language == "english"
    assert not (tmp_path / "english" / "bm25" / LANGUAGE_FILE).exists()
    assert index_of(["Listen"], "german", tmp_path / "german").language == "german"


def test_korean_benchmark_data_are_complete():
    collection = beir.read(Path(__file__).parents[4] / "benchmarks/data/korean", "test")
    assert (len(collection.documents), len(collection.test)) == (310, 110)
    assert len({document.text for document in collection.documents}) == 310
    assert {query.query_id for query in collection.test} == set(collection.qrels)
    assert not any("judged documents" in note for note in collection.notes)
