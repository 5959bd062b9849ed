"""Candidates from a stand-in for Elasticsearch, and from PostgreSQL: equal lists, failures, kills, credentials."""

import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ranking.evaluation.results import Metrics
from ranking.evaluation.trec_runs import read_trec
from ranking.records import CandidateList, SelectedQuery
from ranking.retrieval.fusion import reciprocal_rank_fusion
from ranking.runs.stages import Manifest
from ranking.storage.folder import Folder
from tests.testing.elastic_stand_in import FactIndex, answer_of
from tests.testing.facts import FACTS, QUESTIONS, ROOT
from tests.testing.postgres_server import FOLDER, PASSWORD, QUERY, running_postgres
from tests.testing.programs import run_program
from tests.testing.search_server import running_search_server
from tests.testing.submitted_jobs import SubmittedJob, job_arguments

pytestmark = pytest.mark.timeout(900)
DEPTH = 8
UNKNOWN = [("x1", "Copper cables, ice, plants and bread: the index has this text, the collection does not.")]
BODY = {"size": "{depth}", "query": {"match": {"text": "{query}"}}}


@pytest.fixture(scope="module")
def index():
    """Return an index of the facts and of a document that is not in the collection."""
    return FactIndex(UNKNOWN)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Write a log of 200 different queries about the facts."""
    words = sorted({word.strip(".,").lower() for _, text in FACTS for word in text.split() if len(word) > 3})
    rng = random.Random(5)
    path = tmp_path_factory.mktemp("log") / "log.tsv"
    path.write_text("".join(f'why "{" ".join(rng.sample(words, 4))}" {{x}}?\n' for _ in range(200)), encoding="utf-8")
    return path


def engine(server, **more):
    settings = {"kind": "http_search", "name": "ours", "url": f"{server.url}/facts/_search", "body": BODY}
    return {**settings, "text": "_source.text", "partial": ["timed_out", "_shards.failed"], "concurrency": 2, **more}


def arguments_of(run, retrievers, collection, storage, log):
    return job_arguments(
        {
            "run": run,
            "storage": str(storage),
            "collection.source": f"beir:{collection}",
            "queries.log": str(log),
            "queries.sample": "null",
            "candidates.retrievers": json.dumps(retrievers),
            "candidates.depth": str(DEPTH),
            "evaluation.first_stages": "[]",
            "students": "[]",
            "evaluation.teacher": "false",
            "pre_ranker": "null",
        }
    )


def parts_in(folder):
    """Read the finished parts of a stage as {name: query ids}."""
    return {name: folder.read_table(name, ["query_id"])["query_id"].to_pylist() for name in folder.names(".parquet")}


def texts_in(asked):
    """Read the texts of the queries that the engine has answered."""
    return [json.loads(line) for line in asked.read_text().splitlines()]


def wait_for_part(folder, process, known):
    """Wait until a stage has a part that is not in `known`."""
    deadline = time.monotonic() + 200
    while not set(folder.names(".parquet")) - set(known):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_lists_equal_the_engine_after_failures_and_kills(cluster, collection, index, log, tmp_path):
    asked, failing = tmp_path / "asked", threading.Event()
    respond = answer_of(index, asked, seconds=0.1)

    def answer(request, handler):
        return (503, {"retry-after": "0"}, {"message": "no master"}) if failing.is_set() else respond(request, handler)

    with running_search_server(answer) as server:
        arguments = arguments_of("engine", [engine(server, retries=1)], collection, tmp_path, log)
        command = [sys.executable, "-m", "ray_jobs.candidates", *arguments]
        run = Folder(tmp_path / "engine")
        first = subprocess.Popen(
            command, cwd=ROOT, env=cluster, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for_part(run / "candidates", first, [])
        failing.set()
        output, errors = first.communicate(timeout=200)
        assert first.returncode == 2, output + errors
        assert errors.startswith(f"error: retriever 'ours', {server.url}/facts/_search: query '"), errors
        assert "HTTP 503 (no master) (attempt " in errors
        assert len(errors.splitlines()) == 1
        failed = parts_in(run / "candidates")
        assert failed
        asked_by_first = len(texts_in(asked))

        failing.clear()
        second = subprocess.Popen(command, cwd=ROOT, env=cluster, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_part(run / "candidates", second, failed)
        second.kill()
        second.wait()
        killed = parts_in(run / "candidates")
        assert killed.items() >= failed.items()
        asked_by_second = len(texts_in(asked))

        done = run_program(command, cluster, 300)
        assert done.returncode == 0, done.stdout + done.stderr
        queries = {query.query_id: query.text for query in (run / "queries").read_rows(SelectedQuery)}
        rows = list((run / "candidates").read_rows(CandidateList))
        assert sorted(row.query_id for row in rows) == sorted(queries)
        assert len(queries) > 150
        for row in rows:
            found = [(c.doc_id, c.score, c.text) for c in row.candidates]
            assert found == index.search(queries[row.query_id], DEPTH)
        for parts, asked_before in ((failed, asked_by_first), (killed, asked_by_second)):
            finished = {queries[query_id] for ids in parts.values() for query_id in ids}
            assert not finished & set(texts_in(asked)[asked_before:])
        manifest = Manifest.model_validate_json((run / "candidates").read_text("_manifest.json"))
        assert (manifest.rows_in, manifest.rejected) == (len(queries), 0)

        evaluated = run_program([sys.executable, "-m", "ray_jobs.evaluate", *arguments], cluster, 300)
        assert evaluated.returncode == 0, evaluated.stdout + evaluated.stderr
        metrics = Metrics.model_validate_json((run / "evaluation").read_text("metrics.json"))
        assert metrics.systems["ours"].measures["nDCG@5"] > 0.2
        assert metrics.systems["ours"].latency_ms is None
        ranked = read_trec(Path(run.path) / "evaluation" / "runs" / "ours.trec")
        for query_id, text, _ in QUESTIONS:
            expected = {doc_id for doc_id, _, _ in index.search(text, DEPTH)}
            assert set(ranked.get(query_id, {})) == expected


@pytest.mark.skipif(FOLDER is None, reason="PostgreSQL is not installed (apt-get install postgresql)")
def test_engines_are_fused_and_their_credentials_stay_on_workers(cluster, collection, index, log, tmp_path):
    key, received = "hush-2kd8", []
    respond = answer_of(index)

    def answer(request, handler):
        received.append(request.headers.get("authorization"))
        return respond(request, handler)

    with running_postgres() as database, running_search_server(answer) as server:
        sql = {"kind": "sql", "url": database.url, "password_env": "SEARCH_PASSWORD", "query": QUERY}
        http = engine(server, headers={"Authorization": "ApiKey ${ENGINE_KEY}"})
        arguments = arguments_of("fused", [http, sql], collection, tmp_path, log)
        secrets = {"ENGINE_KEY": key, "SEARCH_PASSWORD": PASSWORD}
        status, logs = SubmittedJob(cluster, "ray_jobs.candidates", arguments, secrets).wait()
        assert status == "SUCCEEDED", logs
        assert set(received) == {f"ApiKey {key}"}
        run = Folder(tmp_path / "fused")
        queries = {query.query_id: query.text for query in (run / "queries").read_rows(SelectedQuery)}
        rows = {row.query_id: row for row in (run / "candidates").read_rows(CandidateList)}
        assert len(rows) == len(queries)
        for query_id, text in list(queries.items())[:20]:
            statement = QUERY.replace(":query", "%(query)s").replace(":depth", str(DEPTH))
            in_sql = [row[0] for row in database.run(statement, query=text)]
            in_http = [doc_id for doc_id, _, _ in index.search(text, DEPTH)]
            fused = reciprocal_rank_fusion({"ours": in_http, "sql": in_sql}, DEPTH)
            assert [(c.doc_id, c.score, c.retriever) for c in rows[query_id].candidates] == fused
        files = [path for path in Path(run.path).rglob("*") if path.is_file()]
        assert any(path.name == "run.yaml" for path in files)
        for text in [logs.encode(), *(path.read_bytes() for path in files)]:
            assert key.encode() not in text
            assert PASSWORD.encode() not in text
