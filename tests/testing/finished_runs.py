"""A finished run with the files of every stage, and a registry, without any computation."""

import json

import numpy as np
import pyarrow as pa

from actors.retrieval.embeddings import as_lists
from actors.retrieval.retrievers import DOCUMENTS, build_bm25
from actors.vllm.crash_log import CrashLog
from actors.vllm.response_cache import CachedResponse
from ranking.audit.audit_report import audit
from ranking.audit.shown_answers import ShownAnswer
from ranking.evaluation.results import Metrics, PromotionDecision
from ranking.labels.listwise_answers import read_answer
from ranking.records import (
    Candidate,
    CandidateList,
    Document,
    NamedList,
    QueryCandidates,
    Rationale,
    RationaleList,
    Rejection,
    SelectedQuery,
    Usage,
)
from ranking.runs.stages import REJECTED, STARTED, Stage, Started
from ranking.settings import Bm25Settings
from ranking.storage.checksums import write_checksums
from ray_jobs.common.run import open_run, write_settings
from ray_jobs.training.monitoring import write_curves
from students import student_config
from tests.testing.training_runs import fact_label

DOCUMENT_ROWS = [Document(doc_id=f"d{n}", title="", text=f"words number{n} of a document") for n in range(6)]

QUERY_IDS = [f"q{n}" for n in range(3)]


def write_finished_run(dataset, storage):
    """Write a run over the BEIR folder `dataset` to a storage folder. Returns the run."""
    run = open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--storage", str(storage)])
    write_settings(run)
    candidates = [
        Candidate(doc_id=row.doc_id, title="", text=row.text, rank=rank, score=1 / rank, retriever="bm25")
        for rank, row in enumerate(DOCUMENT_ROWS, 1)
    ]
    labels = [fact_label(number) for number in range(4)]
    parts = {
        "queries": [
            SelectedQuery(query_id=i, text=i, duplicates=[], terms=3, length=0.5, complexity=0.5, rarity=0.5, score=0.5)
            for i in QUERY_IDS
        ],
        "candidates": [CandidateList(query_id=i, text=i, candidates=candidates) for i in QUERY_IDS],
        "test/candidates": [
            QueryCandidates(query_id=i, text=i, lists=[NamedList(name="bm25", candidates=candidates)])
            for i in QUERY_IDS
        ],
        "labels": labels,
        "test/labels": labels,
        "rationales": [
            RationaleList(
                query_id=label.query_id,
                rationales=[Rationale(doc_id="a1", relevant=True, status="ok", text="because")],
                writer="extractive",
                usage=Usage(),
            )
            for label in labels
        ],
        REJECTED: [Rejection(query_id="q9", stage="labels", reason="none")],
        f"index/{DOCUMENTS}": DOCUMENT_ROWS,
    }
    for name, rows in parts.items():
        (run.folder / name).write_rows("part-1.parquet", rows)
    build_bm25(DOCUMENT_ROWS, Bm25Settings(kind="bm25"), run.folder / "index" / "bm25", "english")
    for name in ("queries", "candidates", "test/candidates", "labels", "test/labels", "rationales", "index"):
        _finish(Stage(run.folder, name, {"depth": 0.1}, []))
    _write_vectors_and_caches(run.folder)
    _write_student(run.folder / "students" / "s", run.registry)
    answer = ShownAnswer("q1", 2, read_answer("[1] > [2]", 2), ("d2", "d1"), None)
    (run.folder / "audit").write_text("audit.json", audit([answer], shuffled=True, seed=1).to_json())
    run.plan.evaluation.begin()
    run.plan.evaluation.folder.write_text("metrics.json", _metrics().to_json())
    run.plan.evaluation.folder.write_table("per_query.parquet", pa.table({"query_id": QUERY_IDS, "value": [0.1] * 3}))
    run.plan.evaluation.finish(3, 3)
    return run


def _finish(stage):
    """Write both marker files of a stage."""
    stage.folder.write_text(STARTED, Started(fingerprint=stage.fingerprint).to_json())
    stage.finish(rows_in=3, rows_out=3)


def _write_vectors_and_caches(folder):
    vectors = as_lists(np.eye(3, dtype=np.float32))
    (folder / "vectors" / "m").write_table("part-1.parquet", pa.table({"text_id": QUERY_IDS, "vector": vectors}))
    rows = [
        CachedResponse(
            list_id=i,
            number=0,
            step=0,
            attempt=1,
            raw="[1]",
            error=None,
            finish_reason="stop",
            document_tokens=9,
            prompt_tokens=9,
            cached_tokens=0,
            completion_tokens=3,
            seconds=0.5,
        )
        for i in QUERY_IDS
    ]
    (folder / "teacher" / "x").write_rows("part-1.parquet", rows)
    CrashLog(folder / "teacher" / "x").record_crash(["p1", "p2"], alone=False)


def _write_student(folder, registry):
    write_curves(folder, [{"step": step, "loss": 1 / step} for step in range(1, 5)])
    model = folder / "model"
    model.write_text("model.safetensors", "weights" * 100)
    model.write_text(student_config.NAME, json.dumps({"name": "s", "kind": "rra_bert"}))
    write_checksums(model)
    registry.promote(model, "s-1", "run", "better")
    registry.promote(model, "s-2", "run", "better")


def _metrics():
    decision = PromotionDecision(champion="s", promoted=False, reason="It is not better.")
    field = next(name for name, part in Metrics.model_fields.items() if part.annotation is PromotionDecision)
    return Metrics(collection="c", split="test", queries=3, systems={}, comparisons=[], **{field: decision})
