"""From a folder of documents to an evaluated student: recorded and hosted generation as jobs, without a query log."""

import json
import re
import sys

import pytest

from ranking.evaluation.results import Metrics
from ranking.records import DocumentQueries, GeneratedQuery, Label, SelectedQuery
from ranking.runs.stages import Manifest
from ranking.storage.folder import Folder
from tests.testing.facts import FACTS, QUESTIONS
from tests.testing.programs import run_program
from tests.testing.submitted_jobs import job_arguments
from tools.chat_server import Reply, chat_server, completion

pytestmark = pytest.mark.timeout(1200)
KEYWORDS = {
    "a1": "copper heat electricity wires",
    "a2": "granite hard rock crust",
    "a3": "bees pollen flowers honey",
    "a4": "glacier river ice valleys",
    "a5": "yeast sugar bread carbon dioxide",
    "a6": "moon oceans tides pull",
    "a7": "bamboo grass metre day",
    "a8": "vaccines immune system virus",
    "a9": "compass needle magnetic north",
    "b1": "bats insects echo calls",
    "b2": "glass sand soda lime",
    "b3": "salt freezing point roads",
}
HELD_OUT = {"a2", "a4", "a8", "b3"}
"""Documents whose hash is below `test_fraction` 0.4."""


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    """Write a BEIR folder with only the facts, and recorded queries: two or more for each fact."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "corpus.jsonl").write_text("".join(json.dumps({"_id": i, "text": text}) + "\n" for i, text in FACTS))
    rows = [{"doc_id": i, "text": text, "style": "keywords"} for i, text in KEYWORDS.items()]
    rows += [{"doc_id": answer, "text": text, "style": "question"} for _, text, answer in QUESTIONS]
    rows += [
        {"doc_id": "a1", "text": "moon oceans pull"},  # finds another document
        {"doc_id": "a3", "text": "Bees: pollen, flowers, and the honey"},  # a near-duplicate
        {"doc_id": "a5", "text": dict(FACTS)["a5"]},  # a copy
    ]
    (folder / "recorded.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def arguments(folder, storage, run, generator, **changes):
    fixed = {"run": run, "storage": str(storage), "collection.source": f"beir:{folder}"}
    return job_arguments(fixed | {"queries.generate": json.dumps({"min_document_terms": 4, **generator}), **changes})


@pytest.fixture(scope="module")
def trained(cluster, documents, tmp_path_factory):
    """Run the pipeline on the documents. Returns the run's folder, the arguments, and the job's output."""
    storage = tmp_path_factory.mktemp("storage")
    recorded = {"kind": "recorded", "path": str(documents / "recorded.jsonl"), "test_fraction": 0.4}
    recorded |= {"round_trip_depth": 2}
    options = arguments(documents, storage, "documents", recorded)
    done = run_program([sys.executable, "-m", "ray_jobs.pipeline", *options], cluster, 900)
    assert done.returncode == 0, done.stderr
    return Folder(storage / "documents"), options, done.stdout


def manifest_of(run, stage):
    return Manifest.model_validate_json((run / stage).read_text("_manifest.json"))


def test_every_generated_query_has_its_document_and_status(trained):
    run, _, output = trained
    queries = {(row.doc_id, row.text): row for row in (run / "generated/queries").read_rows(GeneratedQuery)}
    assert len(queries) == 27 == manifest_of(run, "generated/queries").rows_out
    assert queries["a1", "moon oceans pull"].status == "failed_round_trip"
    assert queries["a5", dict(FACTS)["a5"]].status == "copied"
    duplicates = [queries["a3", text] for text in (KEYWORDS["a3"], "Bees: pollen, flowers, and the honey")]
    assert sorted(row.status for row in duplicates) == ["duplicate", "ok"]
    assert all(queries[doc_id, text].status in ("ok", "duplicate") for doc_id, text in KEYWORDS.items())
    assert {row.doc_id for row in queries.values() if row.split == "test"} == HELD_OUT
    assert all(row.rank <= 2 for row in queries.values() if row.status == "ok")
    assert {row.generator for row in queries.values()} == {"recorded.jsonl"}
    assert "usable queries; not used: " in output


def test_students_learn_from_generated_queries_of_other_documents_than_tested(trained):
    run, _, _ = trained
    documents = {row.query_id: row.doc_id for row in (run / "generated/queries").read_rows(GeneratedQuery)}
    selected = {row.query_id for row in (run / "queries").read_rows(SelectedQuery)}
    labelled = {label.query_id for label in (run / "labels").read_rows(Label)}
    tested = {label.query_id for label in (run / "test/labels").read_rows(Label)}
    assert labelled == selected
    assert {documents[query_id] for query_id in labelled} == set(KEYWORDS) - HELD_OUT
    assert {documents[query_id] for query_id in tested} == HELD_OUT


def test_report_says_that_the_test_queries_are_generated(trained):
    run, _, output = trained
    metrics = (run / "evaluation").read_model("metrics.json", Metrics)
    assert (metrics.split, metrics.on_generated_queries) == ("generated test", True)
    assert metrics.promotion.reason.startswith("On generated queries only: ")
    for name in ("report.html", "report.md"):
        text = (run / "evaluation").read_text(name)
        assert "generated test queries" in text
        assert "single known relevant document" in text
        assert "queries to label were generated from" in text
    assert "generated test queries" in " ".join(output.split())


def test_finished_stages_are_skipped_and_lost_ones_repeated(trained, cluster):
    run, options, _ = trained
    before = {name: (run / "generated/round_trip").read_bytes(name) for name in (run / "generated/round_trip").names()}
    (run / "generated/queries").delete()
    done = run_program([sys.executable, "-m", "ray_jobs.label", *options], cluster, 300)
    assert done.returncode == 0, done.stderr
    assert re.search(r"generated/round_trip\s+12 rows, unchanged, skipped", done.stdout)
    assert re.search(r"labels\s+\d+ rows, unchanged, skipped", done.stdout)
    assert before == {name: (run / "generated/round_trip").read_bytes(name) for name in before}
    assert manifest_of(run, "generated/queries").rows_out == 27


def written_for(body, _):
    """Answer like a model that writes one query, from the words of the passage in the prompt."""
    (passage,) = re.findall(r"<<< passage [a-z]{12}\n(.*?)\n>>> ", body["messages"][-1]["content"], re.DOTALL)
    text = " ".join(re.findall(r"\w+", passage.lower())[:9:2])
    return Reply(completion(json.dumps({"queries": [{"style": "keywords", "text": text}]})))


def test_hosted_generation_continues_after_the_spend_cap(cluster, documents, tmp_path):
    with chat_server(written_for) as server:
        hosted = {"url": server.url, "api_key_env": None, "concurrency": 1, "input_price": 10.0, "output_price": 0.0}
        generator = {"kind": "llm", "backend": "openai", "model": "m", "hosted": {**hosted, "spend_cap": 0.006}}
        more = {"candidates.retrievers": '[{"kind": "bm25"}]', "evaluation.first_stages": '["bm25"]'}
        command = [sys.executable, "-m", "ray_jobs.generate"]
        done = run_program([*command, *arguments(documents, tmp_path, "hosted", generator, **more)], cluster, 300)
        assert done.returncode == 2, done.stderr
        assert "setting 'queries.generate.hosted.spend_cap': spent" in done.stderr
        assert "12 to write queries for" in " ".join(done.stdout.split())
        assert 0 < len(server.received) < 12
        generator["hosted"] = hosted
        done = run_program([*command, *arguments(documents, tmp_path, "hosted", generator, **more)], cluster, 300)
        assert done.returncode == 0, done.stderr
        assert len({request.hash for request in server.received}) == len(server.received) == 12
    run = Folder(tmp_path / "hosted")
    rows = list((run / "generated/answers").read_rows(DocumentQueries))
    assert sorted(row.doc_id for row in rows) == sorted(KEYWORDS)
    assert manifest_of(run, "generated/answers").spend == pytest.approx(0.012)
    assert {row.status for row in (run / "generated/queries").read_rows(GeneratedQuery)} == {"ok"}
