"""TREC and MS MARCO files: parsing, splits of the queries, and one-line errors."""

import gzip

import pytest

from ranking.collections import read_collection, trec
from ranking.errors import InputError
from ranking.settings import CollectionSettings

TAGGED = """<DOC>
<DOCNO> FT-1 </DOCNO>
<HEADLINE>Bread &amp; butter</HEADLINE>
<TEXT>
Dough <b>rises</b>
slowly.
</TEXT>
<TEXT>Then it is baked.</TEXT>
</DOC>
<doc>
<docno>FT-2</docno>
<text>Cats sleep.</text>
</doc>
"""
TOPICS = """<top>
<num> Number: 301
<title> Topic: rising dough
<desc> Description:
What makes dough rise?
</top>

<top>
<num> Number: 302
<title> sleeping cats
</top>
"""


def read(source, split="test"):
    return read_collection(CollectionSettings(source=source), split)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "corpus.trec").write_text(TAGGED)
    (tmp_path / "topics.txt").write_text(TOPICS)
    (tmp_path / "qrels.test.txt").write_text("301 0 FT-1 2\n")
    return tmp_path


def test_tagged_documents_and_topics_are_parsed(folder):
    collection = read(f"trec:{folder}")
    assert [(d.doc_id, d.title, d.text) for d in collection.documents] == [
        ("FT-1", "Bread & butter", "Dough rises slowly. Then it is baked."),
        ("FT-2", "", "Cats sleep."),
    ]
    assert [(q.query_id, q.text) for q in collection.test] == [("301", "rising dough")]
    assert [(q.query_id, q.text) for q in collection.log] == [("302", "sleeping cats")]
    assert collection.qrels == {"301": {"FT-1": 2}}


def test_gzipped_tsv_files_are_read_and_one_qrels_file_is_halved(tmp_path):
    with gzip.open(tmp_path / "collection.tsv.gz", "wt") as stream:
        stream.write("d1\tone  text\nd2\ttwo\n")
    (tmp_path / "topics.tsv").write_text("".join(f"q{n}\tquery {n}\n" for n in range(12)))
    (tmp_path / "qrels.txt").write_text("".join(f"q{n} 0 d1 1\n" for n in range(12)))
    collection = read(f"trec:{tmp_path}")
    assert [d.text for d in collection.documents] == ["one text", "two"]
    tested = {q.query_id for q in collection.test}
    assert 0 < len(tested) < 12
    assert tested | {q.query_id for q in collection.log} == {f"q{n}" for n in range(12)}
    assert set(collection.log_qrels) == {q.query_id for q in collection.log}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("corpus.trec", "<DOC>\n<TEXT>x</TEXT>\n</DOC>\n", r"corpus.trec, line 1: the document has no <DOCNO>"),
        ("corpus.trec", "<DOC>\n<DOCNO>1</DOCNO>\n", r"corpus.trec, line 1: <doc> is not closed"),
        ("corpus.trec", "<DOC>\n<DOC>\n</DOC>\n", r"line 2: <doc> opens before </doc> closes the one on line 1"),
        ("corpus.trec", "</DOC>\n", r"line 1: </doc> without <doc>"),
        ("corpus.trec", "", r"corpus.trec: there are no documents"),
        ("topics.txt", "<top>\n<num> Number: 301\n</top>\n", r"topics.txt, line 1: the topic has no <title>"),
        (
            "topics.txt",
            TOPICS + TOPICS,
            r"topics.txt, line 12: topic id '301' is repeated; it is already used on line 1",
        ),
        (
            "qrels.test.txt",
            "999 0 FT-1 1\n",
            r"qrels.test.txt: none of its 1 queries is in the queries file, for example '999'",
        ),
        ("qrels.test.txt", "301 0 XX 1\n", r"none of its 1 documents is in the corpus"),
        ("collection.tsv", "no tab\n", r"collection.tsv, line 1: expected an id, a tab and the text of the document"),
    ],
)
def test_malformed_trec_file_error_names_file_and_line(folder, name, text, expected):
    if name == "collection.tsv":
        (folder / "corpus.trec").unlink()
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=expected):
        read(f"trec:{folder}")


def test_missing_and_damaged_files_are_errors(folder):
    (folder / "corpus.trec").unlink()
    with pytest.raises(InputError, match=r"none of corpus.jsonl, collection.tsv, corpus.trec, msmarco-docs.tsv exists"):
        read(f"trec:{folder}")
    (folder / "corpus.trec.gz").write_bytes(gzip.compress(TAGGED.encode())[:60])
    with pytest.raises(InputError, match="truncated or damaged"):
        trec.read_documents(folder / "corpus.trec.gz")
    (folder / "corpus.trec.gz").write_text(TAGGED)
    with pytest.raises(InputError, match="not a gzip file"):
        trec.read_documents(folder / "corpus.trec.gz")


def test_only_the_prefix_topic_with_a_colon_is_removed_from_titles(tmp_path):
    (tmp_path / "topics.txt").write_text(
        "<top>\n<num> 1\n<title> Topical steroids\n</top>\n<top>\n<num>Number: 2\n<title>Topic: models\n</top>\n"
    )
    assert [query.text for query in trec.read_topics(tmp_path / "topics.txt")] == ["Topical steroids", "models"]
    (tmp_path / "corpus.trec").write_text(
        "<DOC>\n<DOCNO>1</DOCNO>\n<TEXT>if a < b and c > d <p>then</p></TEXT>\n</DOC>\n"
    )
    assert trec.read_documents(tmp_path / "corpus.trec")[0].text == "if a < b and c > d then"


def test_msmarco_layout_is_read(tmp_path):
    (tmp_path / "collection.tsv").write_bytes(b"0\tThe presence\rof communication\n1\tA\ttab\n2\t\n")
    (tmp_path / "queries.train.tsv").write_text("121352\tdefine extreme\n")
    (tmp_path / "queries.dev.small.tsv.gz").write_bytes(gzip.compress(b"1048578\tcost of endless pools\n"))
    (tmp_path / "qrels.train.tsv").write_text("121352\t0\t1\t1\n")
    (tmp_path / "qrels.dev.small.tsv").write_text("1048578\t0\t0\t1\n")
    collection = read(f"trec:{tmp_path}", "dev.small")
    assert [d.text for d in collection.documents] == ["The presence of communication", "A tab", ""]
    assert [q.query_id for q in collection.test] == ["1048578"]
    assert [(q.query_id, q.text) for q in collection.log] == [("121352", "define extreme")]
    assert (collection.qrels, collection.log_qrels) == ({"1048578": {"0": 1}}, {"121352": {"1": 1}})
    assert collection.notes == ["1 documents have no text and are never retrieved"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("collection.tsv", "id\ttext\ttitle\nd1\tone\tA\n"),
        ("collection.tsv", "title\ttext\tid\nA\tone\td1\n"),
        ("msmarco-docs.tsv", "d1\thttps://example.org\tA\tone\n"),
    ],
)
def test_documents_of_named_columns_are_read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert [(d.doc_id, d.title, d.text) for d in trec.read_documents(tmp_path / name)] == [("d1", "A", "one")]


def test_header_of_queries_is_no_query(tmp_path):
    (tmp_path / "queries.tsv").write_text("\ufeffquery_id\ttext\n7\tfirst query\n")
    assert [(q.query_id, q.text) for q in trec.read_topics(tmp_path / "queries.tsv")] == [("7", "first query")]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"msmarco-docs.tsv": "d1\tu\tt\tb\nd2\tx\n"}, "msmarco-docs.tsv, line 2: expected 4 columns, not 2"),
        ({"collection.tsv": "d1\ta\nd1\tb\n"}, "collection.tsv, line 2: document id 'd1' is repeated"),
        ({"collection.tsv": "d1\ta\n\tb\n"}, "collection.tsv, line 2: the id is empty"),
        (
            {"collection.tsv": "d1\ta\n", "queries.test.tsv": "1\ta\n", "queries.train.tsv": "1\tb\n"},
            "queries.train.tsv: topic id '1' is also in queries.test.tsv",
        ),
    ],
)
def test_malformed_msmarco_file_is_an_error(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "topics.tsv").write_text("1\ta query\n")
    with pytest.raises(InputError, match=expected):
        read(f"trec:{tmp_path}")
