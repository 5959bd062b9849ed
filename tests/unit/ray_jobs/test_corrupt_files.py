"""Every file of a finished run is emptied, truncated and changed: its reader fails in one line, or reads the same."""

import contextlib
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.data.parts import PartSlice, doc_ids_in, ids_in, read_slice
from actors.retrieval.embeddings import VectorTable
from actors.retrieval.retrievers import Bm25Retriever
from actors.vllm.crash_log import CrashLog
from actors.vllm.response_cache import ResponseCache
from ranking.audit.audit_report import Audit
from ranking.errors import InputError
from ranking.evaluation.results import Metrics
from ranking.records import (
    CandidateList,
    Document,
    Label,
    Query,
    QueryCandidates,
    RationaleList,
    Rejection,
    SelectedQuery,
)
from ranking.registry import Registry
from ranking.registry_versions import TRAIN_AGAIN, verify_checksums
from ranking.run_file import load_settings
from ranking.runs.stages import Stage, manifest_of
from ranking.storage.checksums import check_files
from ranking.storage.folder import Folder
from ranking.storage.parquet_files import schema_of
from ray_jobs import promote
from ray_jobs.common.run_settings import RunSettings
from ray_jobs.training.monitoring import CURVES
from tests.testing.finished_runs import DOCUMENT_ROWS, QUERY_IDS, write_finished_run
from tests.testing.in_process_jobs import run_job

FLIPS = 12
"""Changed bits per file, at random positions."""


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """Write a run with the files of every stage, and the registry. Returns the storage folder and the run."""
    storage = tmp_path_factory.mktemp("storage")
    return storage, write_finished_run(dataset, storage)


def _rows(model):
    """Return a reader that reads the parts of a stage in each way in which jobs do."""

    def read(folder, name):
        rows = [row.model_dump() for row in folder.read_rows(model)]
        slices = read_slice(folder, PartSlice(name, 0, folder.count_rows(name)), schema_of(model)).to_pylist()
        first = folder.read_row_group(name, 0).to_pylist()
        ids = folder.read_column("doc_id") if model is Document else ids_in(folder).tolist()
        lists = doc_ids_in(folder) if "candidates" in folder.uri else []
        return rows, slices, first, ids, lists, folder.schema(name), folder.rows_by_group(name)

    return read


def _audit(folder, name):
    return folder.read_model(name, Audit)


def _champion(folder, name):
    registry = Registry(Folder(folder.uri.rpartition("/")[0]))
    return registry.read()


def _version(folder, name):
    model = folder
    while not model.exists("checksums.json") and not model.uri.endswith(("s-1", "s-2")):
        model = Folder(model.uri.rpartition("/")[0])
    registry = Registry(Folder(model.uri.rsplit("/", 2)[0]))
    verify_checksums(model, registry.checksum_of(model.uri.rpartition("/")[2], registry.read()))


def _bm25(folder, name):
    index = Folder(folder.uri.rpartition("/")[0])
    found = Bm25Retriever(index, [row.doc_id for row in DOCUMENT_ROWS])
    return found.search([Query(query_id="q", text="number3 words")], 3)


def _started(folder, name):
    """Read the markers of a stage as a job does that starts it again."""
    stage = Stage(Folder(folder.uri.rpartition("/")[0]), folder.uri.rpartition("/")[2], {}, [])
    return stage._present_fingerprint(), stage._earlier_usage()


def _cached(folder, name):
    cache = ResponseCache(folder)
    return [cache.find(i, 0, 0, 1) for i in QUERY_IDS]


def _vectors(folder, name):
    table = VectorTable(folder)
    return table.ids, table.vectors.tolist()


READERS = [
    ("run.yaml", lambda folder, name: load_settings(RunSettings, Path(folder.path) / name)),
    ("_manifest.json", lambda folder, name: manifest_of(folder)),
    ("_started.json", _started),
    ("evaluation/metrics.json", lambda folder, name: folder.read_model(name, Metrics)),
    ("evaluation/per_query.parquet", lambda folder, name: folder.read_table(name).to_pylist()),
    ("audit.json", _audit),
    ("curves.json", lambda folder, name: folder.read_json(CURVES)),
    ("x/queries/", _rows(SelectedQuery)),
    ("test/candidates/", _rows(QueryCandidates)),
    ("candidates/", _rows(CandidateList)),
    ("labels/", _rows(Label)),
    ("rationales/", _rows(RationaleList)),
    ("rejected/", _rows(Rejection)),
    ("documents/", _rows(Document)),
    ("index/bm25/", _bm25),
    ("vectors/m/", _vectors),
    ("engine_crashes/since-an-answer/", lambda folder, name: folder.names()),
    ("engine_crashes/", lambda folder, name: sorted(CrashLog(Folder(folder.uri.rpartition("/")[0])).isolated)),
    ("teacher/x/", _cached),
    ("students/s/model/", lambda folder, name: check_files(_model_of(folder), TRAIN_AGAIN)),
    ("champion.json", _champion),
    ("registry/s-", _version),
]
"""The reader of each file of a run, by a part of its path. The first that fits is used."""


def _model_of(folder):
    while not folder.uri.endswith("/model"):
        folder = Folder(folder.uri.rpartition("/")[0])
    return folder


UNREAD = (".lock",)
EDITED = "run.yaml"
"""A run file is written by hand and has no checksum. No job reads the copy in the run's folder."""


def damaged_contents(data, generator):
    """Return an empty, several truncated and several changed versions of a file's content."""
    yield b""
    for length in {1, len(data) // 2, len(data) - 1}:
        yield data[:length]
    for _ in range(FLIPS):
        changed = bytearray(data)
        changed[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        yield bytes(changed)


def test_damage_to_any_file_is_an_error_with_its_path_or_harmless(finished):
    storage, _ = finished
    generator, files, silent, messages = random.Random(7), [], [], []
    for path in sorted(path for path in storage.rglob("*") if path.is_file() and not path.name.endswith(UNREAD)):
        data, where = path.read_bytes(), path.relative_to(storage).as_posix()
        reader = next((reader for part, reader in READERS if part in where), None)
        assert reader is not None, f"{where}: no reader in READERS"
        if not data:
            continue
        files.append(where)
        folder = Folder(path.parent)
        expected = reader(folder, path.name)
        for damaged in damaged_contents(data, generator):
            with content(path, damaged):
                try:
                    same = reader(folder, path.name) == expected
                except InputError as error:
                    messages.append((str(path), str(error)))
                else:
                    silent += [] if same or path.name == EDITED else [where]
    assert len(files) > 30
    assert silent == []
    assert len(messages) > 10 * len(files)
    assert [message for path, message in messages if path not in message or "\n" in message] == []


@contextlib.contextmanager
def content(path, data):
    """Replace a file's content while the block runs."""
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff"])
@pytest.mark.parametrize(
    ("name", "main"),
    [
        ("x/evaluation/metrics.json", promote.main),
        ("x/evaluation/_manifest.json", promote.main),
        ("registry/champion.json", promote.show),
        ("registry/champion.json", promote.rollback),
        ("registry/s-1/model.safetensors", promote.rollback),
        ("registry/s-1/checksums.json", promote.promote_by_hand("s-1")),
    ],
)
def test_job_that_reads_a_damaged_file_ends_with_code_2(finished, dataset, name, main, data, monkeypatch, capsys):
    storage, _ = finished
    with content(storage / name, data):
        code, printed = run_job(main, dataset, storage, monkeypatch, capsys)
    assert code == 2
    (line,) = printed.splitlines()
    assert line.startswith(f"error: {storage / name}: ")


def test_following_the_advice_repairs_a_stage(finished):
    _, run = finished
    stage = Stage(run.folder, "repaired", {}, [])
    for _ in range(2):
        stage.begin()
        for query_id in QUERY_IDS:
            if f"{query_id}.parquet" not in stage.folder.names():
                stage.folder.write_rows(f"{query_id}.parquet", [Query(query_id=query_id, text=query_id)])
        stage.finish(3, 3)
        (Path(stage.folder.path) / "q1.parquet").write_bytes(b"")
        with pytest.raises(InputError, match=r"q1.parquet: .*empty.*; restore it, or delete it and the _manifest"):
            list(stage.folder.read_rows(Query))
        stage.folder.remove("q1.parquet")
        stage.folder.remove("_manifest.json")
        assert stage.manifest is None
    stage.begin()
    assert stage.folder.names(".parquet") == ["q0.parquet", "q2.parquet"]
    stage.folder.delete()


def test_parts_without_checksums_can_be_read(tmp_path):
    folder = Folder(tmp_path)
    rows = [Query(query_id=i, text=i) for i in QUERY_IDS]
    table = pa.Table.from_pylist([row.model_dump() for row in rows], schema=schema_of(Query))
    pq.write_table(table, tmp_path / "old.parquet")
    folder.write_rows("new.parquet", rows)
    assert list(folder.read_rows(Query)) == rows * 2
    assert folder.count_rows("old.parquet") == folder.count_rows("new.parquet") == 3
    assert pq.read_table(tmp_path / "new.parquet").equals(table)
