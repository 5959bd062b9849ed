"""A pipeline over long documents with passages, from pre-ranking to the student's config and its evaluation."""

import json
import sys
from pathlib import Path

import pytest

from ranking.evaluation.results import Metrics
from ranking.evaluation.trec_runs import read_trec, to_trec
from ranking.passage_settings import PassageSettings
from ranking.records import CandidateList, Document, Label
from ranking.storage.folder import Folder
from students.passage_splitting import score_documents
from students.scoring import Scorer
from tests.testing.facts import FACTS, QUESTIONS
from tests.testing.long_texts import long_text
from tests.testing.programs import run_program
from tests.testing.submitted_jobs import job_arguments

pytestmark = pytest.mark.timeout(900)
PASSAGES = {"tokens": 32, "stride": 16}


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """Write a BEIR folder with the facts, each deep in a long document with a title."""
    folder = tmp_path_factory.mktemp("long")
    rows = [{"_id": i, "title": f"Chapter {i}", "text": long_text(text, 6, 3)} for i, text in FACTS]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": i, "text": text}) + "\n" for i, text, _ in QUESTIONS)
    )
    (folder / "qrels.tsv").write_text("".join(f"{query}\t{answer}\t1\n" for query, _, answer in QUESTIONS))
    orders = {query: {answer: 2.0, "a1" if answer != "a1" else "a2": 1.0} for query, _, answer in QUESTIONS}
    (folder / "recorded.trec").write_text(to_trec(orders, "recorded"))
    return folder


def test_every_stage_of_a_pipeline_reads_passages(documents, cluster, tmp_path):
    changes = {
        "run": "long",
        "storage": str(tmp_path),
        "collection.source": f"beir:{documents}",
        "candidates.retrievers": json.dumps([{"kind": "bm25"}]),
        "candidates.depth": "12",
        "passages": json.dumps(PASSAGES),
        "teacher": json.dumps({"kind": "recorded", "path": str(documents / "recorded.trec"), "collection": None}),
        "students": json.dumps([{"name": "s", "kind": "rra_bert", "base": "minilm-cross", "max_length": 64}]),
        "training.workers": "1",
        "training.steps": "1",
        "training.validation_fraction": "0",
        "evaluation.first_stages": '["bm25"]',
    }
    done = run_program([sys.executable, "-m", "ray_jobs.pipeline", *job_arguments(changes)], cluster, 500)
    assert done.returncode == 0, done.stdout + done.stderr
    run = Folder(tmp_path / "long")
    texts = {d.doc_id: d.text for d in (run / "index" / "documents").read_rows(Document)}
    facts = dict(FACTS)
    for folder in (run / "labels", run / "test" / "labels"):
        labels = list(folder.read_rows(Label))
        assert labels
        for label in labels:
            for c in label.candidates:
                assert c.text == texts[c.doc_id][c.passage.start : c.passage.end]
                assert len(c.text) < len(texts[c.doc_id]) / 2
        listed = [c for label in labels for c in label.candidates if c.position == 1]
        assert sum(facts[c.doc_id] in c.text for c in listed) > len(listed) / 2
    model = run / "students" / "s" / "model"
    scorer = Scorer(model.path)
    assert scorer.passages == PassageSettings(**PASSAGES)
    metrics = Metrics.model_validate_json((run / "evaluation").read_text("metrics.json"))
    assert {"pre-ranker@bm25", "teacher@bm25", "s.base@bm25", "s@bm25"} <= set(metrics.systems)
    measured = read_trec(Path(run.path) / "evaluation" / "runs" / "s@bm25.trec")
    questions = {query_id: text for query_id, text, _ in QUESTIONS}
    for query_id, scores in measured.items():
        pairs = [(f"Chapter {doc_id}", texts[doc_id]) for doc_id in scores]
        expected = score_documents(scorer, questions[query_id], pairs).scores
        assert list(scores.values()) == pytest.approx(expected, abs=0.05)
    assert not any(c.text != texts[c.doc_id] for row in (run / "candidates").read_rows(CandidateList)
                   for c in row.candidates)  # fmt: skip
