"""The pipeline, and then one real query to the served champion; nothing is left running.

python -m ray_jobs.quickstart configs/quickstart.yaml
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from actors.rows import FUSED, TestLists
from ranking.records import Candidate, content
from ray_jobs import pipeline, plan
from ray_jobs.run import Run, job
from ray_jobs.serve import served

SHOWN = 5
ASKED = 20


def main(run: Run) -> None:
    pipeline.main(run)
    if run.registry.read() is None:
        run.progress.stage("serve", "no champion, nothing to serve")
        return
    query, documents = first_test_query(run)
    with served(run) as address:
        body = {"query": query, "documents": [content(c.title, c.text) for c in documents], "top_n": SHOWN}
        results = post(f"{address}/v1/rerank", body)["results"]
    run.progress.stage("query", query)
    for place, result in enumerate(results, start=1):
        run.progress.line(f"{place:>4}. {result['relevance_score']:.3f}  {documents[result['index']].doc_id}")
    example = json.dumps({"query": "merge sorted lists", "documents": ["heapq.merge", "os.path.join"]})
    run.progress.line("\nmake serve keeps the service up; then ask it yourself:")
    run.progress.line(f"  curl -s {address}/v1/rerank -H 'content-type: application/json' -d '{example}'")


def first_test_query(run: Run) -> tuple[str, list[Candidate]]:
    """A query that no stage has learned from, and the first candidates that retrieval found for it."""
    rows = plan.candidates_stage(run, "test").folder.read_rows(TestLists)
    row = min(rows, key=lambda row: row.query_id)
    return row.text, row.of(FUSED)[:ASKED]


def post(url: str, body: dict[str, Any]) -> Any:
    """POST JSON and read JSON."""
    request = urllib.request.Request(url, json.dumps(body).encode("utf-8"), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


if __name__ == "__main__":
    job(main)
