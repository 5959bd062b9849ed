"""The pipeline, and then one real query to the served champion; nothing is left running.

python -m ray_jobs.quickstart configs/quickstart.yaml
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from ranking.records import Document
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
    query = run.collection.test[0].text
    documents = candidates_of(run, query)
    with served(run) as address:
        body = {"query": query, "documents": [document.content for document in documents], "top_n": SHOWN}
        results = post(f"{address}/v1/rerank", body)["results"]
    run.progress.stage("query", query)
    for place, result in enumerate(results, start=1):
        run.progress.line(f"{place:>4}. {result['relevance_score']:.3f}  {documents[result['index']].doc_id}")
    example = json.dumps({"query": "merge sorted lists", "documents": ["heapq.merge", "os.path.join"]})
    run.progress.line("\nmake serve keeps the service up; then ask it yourself:")
    run.progress.line(f"  curl -s {address}/v1/rerank -H 'content-type: application/json' -d '{example}'")


def candidates_of(run: Run, query: str) -> list[Document]:
    """The first documents that retrieval finds for a query."""
    run.start_ray()
    import ray

    from actors.retrievers import FUSED, CandidateRetriever
    from ranking.records import Query

    retriever = ray.remote(CandidateRetriever).options(num_cpus=1).remote(plan.index_stage(run).folder, run.settings.candidates)
    (lists,) = ray.get(retriever.lists.remote([Query(query_id="asked", text=query)]))
    return [Document(doc_id=c.doc_id, title=c.title, text=c.text) for c in lists[FUSED][:ASKED]]


def post(url: str, body: dict[str, Any]) -> Any:
    """POST JSON and read JSON."""
    request = urllib.request.Request(url, json.dumps(body).encode("utf-8"), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


if __name__ == "__main__":
    job(main)
