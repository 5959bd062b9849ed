"""The pipeline, and then one test query to the served champion, beside the first stage; nothing is left running.

python -m ray_jobs.quickstart configs/quickstart.yaml
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from rich import box
from rich.table import Table

from actors.data.rows import QueryCandidates
from ranking.evaluation.results import Metrics
from ranking.records import Candidate
from ray_jobs import pipeline
from ray_jobs.common import plan
from ray_jobs.common.run import Run, job
from ray_jobs.evaluate import METRICS, PER_QUERY
from ray_jobs.serve import served

SHOWN = 5


def main(run: Run) -> None:
    pipeline.main(run)
    if run.registry.read() is None:
        run.progress.stage("serve", "no champion, nothing to serve")
        return
    row, gain = typical_query(run)
    documents = row.of(first_stage := run.settings.evaluation.first_stages[0])
    with served(run) as address:
        shown = [{"title": c.title, "text": c.text, "score": c.score} for c in documents]
        answer = post(f"{address}/v1/rerank", {"query": row.text, "documents": shown, "top_n": SHOWN})
    run.progress.stage(
        "query",
        f"{row.text} ({run.settings.evaluation.measures[0]} {gain:+.3f}, about the mean where the answer was retrieved)",
    )
    student = f"student, blended ({answer['meta']['blend']})" if "blend" in answer["meta"] else "student"
    ranked = [documents[result["index"]] for result in answer["results"]]
    run.progress.console.print(
        side_by_side({first_stage: documents[:SHOWN], student: ranked}, run.collection.qrels.get(row.query_id, {}))
    )
    example = json.dumps({"query": "merge sorted lists", "documents": ["heapq.merge", "os.path.join"]})
    run.progress.line("\nmake serve keeps the service up; then ask it yourself:")
    run.progress.line(f"  curl -s {address}/v1/rerank -H 'content-type: application/json' -d '{example}'")


def typical_query(run: Run) -> tuple[QueryCandidates, float]:
    """A test query on which the deployed system gains about the mean, among those whose answer was retrieved: its candidates, and the gain.

    An answer is a document of the highest grade that the collection has.
    """
    folder = plan.evaluation_stage(run).folder
    deployed = Metrics.model_validate_json(folder.read_text(METRICS)).verdict.deploy
    measure, first_stage = run.settings.evaluation.measures[0], run.settings.evaluation.first_stages[0]
    values: dict[str, dict[str, float]] = {}
    for row in folder.read_table(PER_QUERY).to_pylist():
        if row["measure"] == measure:
            values.setdefault(row["system"], {})[row["query_id"]] = row["value"]
    qrels = run.collection.qrels
    highest = max(grade for grades in qrels.values() for grade in grades.values())
    rows = {
        row.query_id: row
        for row in plan.candidates_stage(run, "test").folder.read_rows(QueryCandidates)
        if row.query_id in qrels
    }
    answered = [
        query_id
        for query_id, row in rows.items()
        if any(qrels[query_id].get(c.doc_id) == highest for c in row.of(first_stage))
    ] or list(rows)
    gains = {
        query_id: values[deployed or first_stage][query_id] - values[first_stage][query_id] for query_id in answered
    }
    query_id = min(gains, key=lambda query_id: (abs(gains[query_id] - mean(gains.values())), query_id))
    return rows[query_id], gains[query_id]


def side_by_side(ranked: Mapping[str, Sequence[Candidate]], grades: Mapping[str, int]) -> Table:
    """Rankings of one query beside each other, each document with its grade where it is judged."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right")
    for name in ranked:
        table.add_column("grade", justify="right")
        table.add_column(name, overflow="fold")
    for place, documents in enumerate(zip(*ranked.values(), strict=True), start=1):
        cells = [cell for document in documents for cell in (str(grades.get(document.doc_id, "-")), document.doc_id)]
        table.add_row(str(place), *cells)
    return table


def post(url: str, body: dict[str, Any]) -> Any:
    """POST JSON and read JSON."""
    request = urllib.request.Request(url, json.dumps(body).encode("utf-8"), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


if __name__ == "__main__":
    job(main)
