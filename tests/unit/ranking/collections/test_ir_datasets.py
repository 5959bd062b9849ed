"""Collections of ir_datasets, and unknown sources."""

import pytest

from ranking.collections import read_collection
from ranking.errors import InputError
from ranking.settings import CollectionSettings


def read(source, split="test"):
    return read_collection(CollectionSettings(source=source), split)


@pytest.fixture
def registered(tmp_path):
    """Register two datasets that use the ir_datasets classes with local files instead of downloads."""
    import ir_datasets
    from ir_datasets.datasets.base import Dataset
    from ir_datasets.formats import TrecQrels, TsvDocs, TsvQueries
    from ir_datasets.util import LocalDownload

    (tmp_path / "docs.tsv").write_text("d1\tone text\nd2\ttwo\n")
    (tmp_path / "queries.tsv").write_text("1\ta query\n2\tanother\n")
    (tmp_path / "qrels.txt").write_text("1 0 d1 2\n1 0 d2 0\n")
    parts = [TsvDocs(LocalDownload(tmp_path / "docs.tsv")), TsvQueries(LocalDownload(tmp_path / "queries.tsv"))]
    qrels = TrecQrels(LocalDownload(tmp_path / "qrels.txt"), {2: "good", 0: "bad"})
    for name, content in (("kitchen/test", [*parts, qrels]), ("kitchen/documents", parts[:1])):
        if name not in ir_datasets.registry:
            ir_datasets.registry.register(name, Dataset(*content))


def test_ir_dataset_is_read_by_id(registered):
    collection = read("ir_datasets:kitchen/test")
    assert collection.name == "kitchen/test"
    assert [(d.doc_id, d.text) for d in collection.documents] == [("d1", "one text"), ("d2", "two")]
    assert [q.query_id for q in collection.test] == ["1"]
    assert [q.query_id for q in collection.log] == ["2"]
    assert collection.qrels == {"1": {"d1": 2, "d2": 0}}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("ir_datasets:kitchen/nowhere", "unknown dataset"),
        ("ir_datasets:kitchen/documents", "the dataset has no queries"),
        ("ir_datasets", "the location is missing; write ir_datasets:<id>"),
        ("terc:x", "unknown kind 'terc'; did you mean 'trec'"),
    ],
)
def test_unreadable_dataset_is_an_error(registered, source, expected):
    with pytest.raises(InputError, match=expected):
        read(source)
