"""The disk is full at each step that writes: one line with the path, no half-written file, and a retry that works."""

import asyncio
import itertools
import random
import string

import numpy as np
import pyarrow as pa
import pytest

from actors.data.rows import Outcome, table_of
from actors.data.sink import PartSink, TableSink
from actors.retrieval.embeddings import VectorTable, as_lists
from actors.retrieval.retrievers import Bm25Retriever, build_bm25
from actors.vllm.crash_log import CrashLog
from actors.vllm.response_cache import CachedResponse, ResponseCache
from ranking.evaluation.results import Metrics, PromotionDecision, SystemResult
from ranking.records import Document, Label, Query, Rejection
from ranking.registry_versions import TRAIN_AGAIN, verify_checksums
from ranking.run_file import load_settings
from ranking.runs.stages import REJECTED
from ranking.settings import Bm25Settings
from ranking.storage.checksums import check_files, write_checksums
from ranking.storage.folder import Folder
from ray_jobs.audit import AUDIT
from ray_jobs.common.run import write_settings
from ray_jobs.common.run_settings import RunSettings
from ray_jobs.evaluate import METRICS, write_results
from ray_jobs.evaluation.report_page import REPORT
from ray_jobs.training.monitoring import CURVES, write_curves
from students import student_config
from tests.testing.in_process_jobs import run_job
from tests.testing.small_disk import contents, fill, small_disk
from tests.testing.training_runs import fact_label

FREE_PAGES = (0, 1, 4)
IGNORED = ("/logs/", "lease.json", ".lock")
"""Files that the job itself writes: the lease and, after the failure, a trace."""

LABELS = [fact_label(number) for number in range(120)]


def noise(size):
    """Return a text that does not compress well, so files are larger than the free pages."""
    return "".join(random.Random(size).choices(string.ascii_letters + string.digits, k=size))


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def _started(run):
    stage = run.plan.labels
    stage.begin()
    return stage


def _write_labels(run):
    outcomes = [Outcome[Label](query_id=label.query_id, row=label) for label in LABELS]
    PartSink(Label, {"log": _started(run)})(table_of(outcomes, Outcome[Label]))


def _write_rejections(run):
    outcomes = [
        Outcome[Label](query_id=f"q{n}", rejection=Rejection(query_id=f"q{n}", stage="labels", reason=noise(900 + n)))
        for n in range(30)
    ]
    PartSink(Label, {"log": _started(run)})(table_of(outcomes, Outcome[Label]))


def _vectors(run):
    return run.folder / "vectors" / "m"


def _write_vectors(run):
    vectors = np.random.default_rng(0).random((100, 100), np.float32)
    TableSink(_vectors(run))(pa.table({"text_id": list(map(str, range(100))), "vector": as_lists(vectors)}))


def _cache(run):
    return run.folder / "teacher" / "x"


def _write_responses(run):
    async def write():
        cache = ResponseCache(_cache(run))
        for n in range(30):
            fields = dict.fromkeys(("number", "step", "document_tokens", "prompt_tokens", "cached_tokens"), 0)
            await cache.add(
                CachedResponse(
                    list_id=str(n),
                    attempt=1,
                    raw=noise(900 + n),
                    error=None,
                    finish_reason="stop",
                    completion_tokens=1,
                    seconds=0.1,
                    **fields,
                )
            )
        await cache.write()

    asyncio.run(write())


def _write_crash(run):
    CrashLog(_cache(run)).record_crash([noise(30_000)], alone=False)


DOCUMENTS = [Document(doc_id=f"d{n}", title="", text=f"{noise(40 + n)} words{n}") for n in range(300)]


def _index(run):
    return run.folder / "index"


def _write_index(run):
    build_bm25(DOCUMENTS, Bm25Settings(kind="bm25"), _index(run) / "bm25", "english")


def _search(run):
    return Bm25Retriever(_index(run), [row.doc_id for row in DOCUMENTS]).search(
        [Query(query_id="q", text="words7")], 1
    ) == [["d7"]]


def _metrics():
    decision = PromotionDecision(champion="s", promoted=False, reason=noise(20_000))
    field = next(name for name, part in Metrics.model_fields.items() if part.annotation is PromotionDecision)
    bm25 = SystemResult(kind="first_stage", system="bm25", candidates=None, measures={"nDCG@10": 0.5})
    systems = {"bm25": bm25}
    return Metrics(collection="c", split="test", queries=300, systems=systems, comparisons=[], **{field: decision})


def _write_evaluation(run):
    values = {"bm25": {"nDCG@10": {noise(40 + n): 0.5 for n in range(300)}}}
    write_results(run, _metrics(), values, {"bm25": {"q1": {"d1": 1.0}}})


def _model(run):
    """Write a student on another disk, and return its folder."""
    folder = Folder(run.dataset) / "student"
    if not folder.exists():
        folder.write_text("model.safetensors", noise(60_000))
        folder.write_text(student_config.NAME, "{}")
        write_checksums(folder)
    return folder


def _promote(run):
    run.registry.promote(_model(run), "s-1", "x", "better")


def _check_champion(run):
    champion, folder = run.registry.champion()
    verify_checksums(folder, champion.checksum)
    return champion.champion == "s-1"


def _export(run):
    return run.folder / "students" / "s" / "model"


def _write_export(run):
    _model(run).copy_to(_export(run))
    write_checksums(_export(run))


def _check_export(run):
    check_files(_export(run), TRAIN_AGAIN)
    return _export(run).exists("checksums.json")


def _finish(run):
    _started(run).finish(3, 3)


WRITERS = {
    "settings": (
        write_settings,
        "x/run.yaml",
        lambda run: load_settings(RunSettings, run.path / "run.yaml") == run.settings,
    ),
    "start of a stage": (_started, "x/labels/_started.json", lambda run: run.plan.labels.folder.names() != []),
    "labels": (_write_labels, "x/labels/", lambda run: len(list(run.plan.labels.folder.read_rows(Label))) == 120),
    "rejections": (
        _write_rejections,
        "x/",
        lambda run: len(list((run.folder / REJECTED).read_rows(Rejection))) == 30,
    ),
    "manifest": (_finish, "x/labels/_", lambda run: run.plan.labels.manifest.rows_out == 3),
    "vectors": (
        _write_vectors,
        "x/vectors/m/part-",
        lambda run: VectorTable(_vectors(run)).vectors.shape == (100, 100),
    ),
    "responses": (
        _write_responses,
        "x/teacher/x/part-",
        lambda run: ResponseCache(_cache(run)).find("7", 0, 0, 1).raw == noise(907),
    ),
    "crash log": (_write_crash, "x/teacher/x/engine_crashes/", lambda run: CrashLog(_cache(run)).check() is None),
    "index": (_write_index, "x/index/bm25", _search),
    "curves": (
        lambda run: write_curves(run.folder, [{"step": step, "loss": 1 / step} for step in range(1, 2000)]),
        "x/curves.json",
        lambda run: len(run.folder.read_json(CURVES)["loss"]) == 1999,
    ),
    "audit": (
        lambda run: (run.folder / "audit").write_text(AUDIT, noise(30_000)),
        "x/audit/audit.json",
        lambda run: (run.folder / "audit").read_text(AUDIT) == noise(30_000),
    ),
    "evaluation": (
        _write_evaluation,
        "x/evaluation/",
        lambda run: (
            run.plan.evaluation.folder.read_model(METRICS, Metrics).queries == 300
            and "</html>" in run.plan.evaluation.folder.read_text(REPORT)
        ),
    ),
    "champion": (_promote, "registry/", _check_champion),
    "export": (_write_export, "x/students/s/model", _check_export),
}
"""For each kind of file: what writes it, the part of its path that the error must have, and whether it is whole."""

COPIES = ("index", "export")
"""Folders that are copied file by file. They count only once the manifest of their stage is written."""


@pytest.mark.parametrize(("name", "free_pages"), [*itertools.product(WRITERS, FREE_PAGES)])
def test_full_disk_is_one_line_and_leaves_no_half_written_file(disk, dataset, name, free_pages, monkeypatch, capsys):
    write, path, is_whole = WRITERS[name]
    before = {}

    def main(run):
        run.dataset, run.path = dataset, disk / "runs" / "x"
        _model(run)
        before.update(contents(disk, IGNORED))
        fill(disk, free_pages)
        write(run)

    def again(run):
        run.dataset, run.path = dataset, disk / "runs" / "x"
        write(run)
        assert is_whole(run)

    code, printed = run_job(main, dataset, disk / "runs", monkeypatch, capsys)
    (disk / "ballast").unlink()
    if free_pages == 0 or code:
        (line,) = printed.splitlines()
        assert code == 2
        assert f"{disk / 'runs' / path}" in line
        assert "No space left on device" in line
        assert "free space" in line
    after = contents(disk, IGNORED)
    assert [file for file in after if ".partial-" in str(file)] == []
    assert before.items() <= after.items()
    result = run_job(again, dataset, disk / "runs", monkeypatch, capsys)
    assert result == (0, ""), result[1]
    if code and name not in COPIES:
        assert after.items() <= contents(disk, IGNORED).items()


def test_job_that_starts_on_a_full_disk_names_the_file_that_it_cannot_write(disk, dataset, monkeypatch, capsys):
    fill(disk)
    code, printed = run_job(lambda run: None, dataset, disk / "runs", monkeypatch, capsys, exclusive=True)
    (line,) = printed.splitlines()
    assert code == 2
    assert f"No space left on device: '{disk}/runs/x/lease.json'" in line
    assert "free space" in line
    (disk / "ballast").unlink()
    assert run_job(lambda run: None, dataset, disk / "runs", monkeypatch, capsys, exclusive=True) == (0, "")
