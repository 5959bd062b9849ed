"""TREC folders, parquet and ir_datasets: what is read, how it is divided, and the one line for what is malformed."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
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


def test_tagged_documents_and_topics_are_read(folder):
    collection = read(f"trec:{folder}")
    assert [(d.doc_id, d.title, d.text) for d in collection.documents] == [
        ("FT-1", "Bread & butter", "Dough rises slowly. Then it is baked."),
        ("FT-2", "", "Cats sleep."),
    ]
    assert [(q.query_id, q.text) for q in collection.test] == [("301", "rising dough")]
    assert [(q.query_id, q.text) for q in collection.log] == [("302", "sleeping cats")]
    assert collection.qrels == {"301": {"FT-1": 2}}


def test_tab_separated_and_gzipped_files_are_read_and_halved(tmp_path):
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
        ("corpus.trec", "<DOC>\n<DOCNO>1</DOCNO>\n", r"corpus.trec, line 1: <doc> does not end"),
        ("corpus.trec", "<DOC>\n<DOC>\n</DOC>\n", r"line 2: <doc> begins before the one of line 1 ends"),
        ("corpus.trec", "</DOC>\n", r"line 1: </doc> ends nothing"),
        ("corpus.trec", "", r"corpus.trec: there are no documents"),
        ("topics.txt", "<top>\n<num> Number: 301\n</top>\n", r"topics.txt, line 1: the topic has no <title>"),
        ("topics.txt", TOPICS + TOPICS, r"topics.txt: topic '301' stands twice"),
        ("qrels.test.txt", "999 0 FT-1 1\n", r"qrels.test.txt, line 1: query '999' is not among the queries"),
        ("qrels.test.txt", "301 0 XX 1\n", r"none of its 1 documents is in the corpus"),
        ("collection.tsv", "no tab\n", r"collection.tsv, line 1: an id, a tab and the document's text are expected"),
    ],
)
def test_malformed_trec_files_are_named_with_their_line(folder, name, text, expected):
    if name == "collection.tsv":
        (folder / "corpus.trec").unlink()
    (folder / name).write_text(text)
    with pytest.raises(InputError, match=expected):
        read(f"trec:{folder}")


def test_a_damaged_gzip_file_and_a_missing_one_are_named(folder):
    (folder / "corpus.trec").unlink()
    with pytest.raises(InputError, match=r"none of corpus.jsonl, collection.tsv, corpus.trec is there"):
        read(f"trec:{folder}")
    (folder / "corpus.trec.gz").write_bytes(gzip.compress(TAGGED.encode())[:60])
    with pytest.raises(InputError, match="ends too early or is damaged"):
        trec.read_documents(folder / "corpus.trec.gz")
    (folder / "corpus.trec.gz").write_text(TAGGED)
    with pytest.raises(InputError, match="not a gzip file"):
        trec.read_documents(folder / "corpus.trec.gz")


TABLES = {
    "documents": {"doc_id": ["d1", "d2"], "text": ["one", "two"], "title": ["A", None]},
    "queries": {"query_id": [1, 2, 3], "text": ["a  query", "another", "third"], "frequency": [5, None, 1]},
    "qrels": {"query_id": ["1", "2"], "doc_id": ["d1", "d2"], "grade": [2, 1], "split": ["test", "train"]},
}


def written(place, **changed):
    for name, columns in {**TABLES, **changed}.items():
        if columns is not None:
            (place / name).mkdir(exist_ok=True)
            pq.write_table(pa.table(columns), place / name / "part-1.parquet")
    return f"parquet:{place}"


def test_parquet_collections_are_read(tmp_path):
    collection = read(written(tmp_path))
    assert [(d.doc_id, d.title) for d in collection.documents] == [("d1", "A"), ("d2", "")]
    assert [(q.query_id, q.text, q.frequency) for q in collection.test] == [("1", "a query", 5)]
    assert [q.query_id for q in collection.log] == ["2", "3"]
    assert collection.log_qrels == {"2": {"d2": 1}}
    assert read(written(tmp_path, qrels={**TABLES["qrels"], "split": ["dev", "dev"]}), "dev").qrels == {
        "1": {"d1": 2},
        "2": {"d2": 1},
    }


def test_parquet_collections_may_lack_judgements(tmp_path):
    collection = read(written(tmp_path, qrels=None))
    assert collection.test == []
    assert len(collection.log) == 3


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"documents": {"doc_id": ["d1"]}}, r"documents/part-1.parquet: there is no column 'text'; there are doc_id"),
        (
            {"documents": {"doc_id": ["d1", "d1"], "text": ["a", "b"]}},
            r"documents/part-1.parquet, row 2: doc_id 'd1' stands twice",
        ),
        (
            {"documents": {"doc_id": ["d1"], "text": pa.array([None], pa.string())}},
            r"row 1: 'text' must be a text, not None",
        ),
        ({"queries": {"query_id": ["1"], "text": [3]}}, r"queries/part-1.parquet, row 1: 'text' must be a text, not 3"),
        (
            {"qrels": {"query_id": ["9"], "doc_id": ["d1"], "grade": [1]}},
            r"qrels/part-1.parquet, row 1: query '9' is not among the queries",
        ),
        (
            {"qrels": {"query_id": ["1"], "doc_id": ["d1"], "grade": ["x"]}},
            r"row 1: 'grade' must be a whole number, not 'x'",
        ),
        (
            {"qrels": {"query_id": ["1", "1"], "doc_id": ["d1", "d1"], "grade": [1, 1]}},
            r"row 2: query '1' and document 'd1' are judged",
        ),
        ({"qrels": {**TABLES["qrels"], "split": ["test", None]}}, r"1 queries have judgements without a split"),
        ({"queries": {"query_id": ["1"], "text": ["  "]}}, r"query '1' is empty"),
        (
            {"queries": {"query_id": ["1"], "text": ["x"], "frequency": [-3]}},
            r"row 1: 'frequency' must be a whole number from 1 up",
        ),
        (
            {"qrels": {**TABLES["qrels"], "split": ["dev", "dev"]}},
            r"no judgement is of the split 'test'; there are dev",
        ),
    ],
)
def test_malformed_parquet_is_named_with_its_row(tmp_path, changed, expected):
    with pytest.raises(InputError, match=expected):
        read(written(tmp_path, **changed))


def test_a_folder_without_parquet_is_named(tmp_path):
    with pytest.raises(InputError, match=r"documents: there are no .parquet files"):
        read(f"parquet:{tmp_path}")


@pytest.fixture
def registered(tmp_path):
    """A dataset of the package's own classes over local files, as its built-in ones are over downloaded files."""
    import ir_datasets
    from ir_datasets.datasets.base import Dataset
    from ir_datasets.formats import TrecQrels, TsvDocs, TsvQueries
    from ir_datasets.util import LocalDownload

    (tmp_path / "docs.tsv").write_text("d1\tone text\nd2\ttwo\n")
    (tmp_path / "queries.tsv").write_text("1\ta query\n2\tanother\n")
    (tmp_path / "qrels.txt").write_text("1 0 d1 2\n1 0 d2 0\n")
    parts = [TsvDocs(LocalDownload(tmp_path / "docs.tsv")), TsvQueries(LocalDownload(tmp_path / "queries.tsv"))]
    qrels = TrecQrels(LocalDownload(tmp_path / "qrels.txt"), {2: "good", 0: "bad"})
    for name, held in (("kitchen/test", [*parts, qrels]), ("kitchen/documents", parts[:1])):
        if name not in ir_datasets.registry:
            ir_datasets.registry.register(name, Dataset(*held))


def test_ir_datasets_are_read_by_their_id(registered):
    collection = read("ir_datasets:kitchen/test")
    assert collection.name == "kitchen/test"
    assert [(d.doc_id, d.text) for d in collection.documents] == [("d1", "one text"), ("d2", "two")]
    assert [q.query_id for q in collection.test] == ["1"]
    assert [q.query_id for q in collection.log] == ["2"]
    assert collection.qrels == {"1": {"d1": 2, "d2": 0}}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("ir_datasets:kitchen/nowhere", "there is no such dataset"),
        ("ir_datasets:kitchen/documents", "the dataset has no queries"),
        ("ir_datasets", "a place is missing, as in ir_datasets:<id>"),
        ("terc:x", "unknown kind 'terc'; did you mean 'trec'"),
    ],
)
def test_datasets_that_cannot_be_read_are_named(registered, source, expected):
    with pytest.raises(InputError, match=expected):
        read(source)


def test_only_the_word_topic_with_a_colon_is_taken_off_a_title(tmp_path):
    (tmp_path / "topics.txt").write_text(
        "<top>\n<num> 1\n<title> Topical steroids\n</top>\n<top>\n<num>Number: 2\n<title>Topic: models\n</top>\n"
    )
    assert [query.text for query in trec.read_topics(tmp_path / "topics.txt")] == ["Topical steroids", "models"]
    (tmp_path / "corpus.trec").write_text(
        "<DOC>\n<DOCNO>1</DOCNO>\n<TEXT>if a < b and c > d <p>then</p></TEXT>\n</DOC>\n"
    )
    assert trec.read_documents(tmp_path / "corpus.trec")[0].text == "if a < b and c > d then"
