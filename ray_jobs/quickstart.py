"""Run the pipeline, then send one test query to the served champion and compare it with the first stage.

    python -m ray_jobs.quickstart configs/quickstart.yaml

Stops the service at the end.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from ranking.evaluation.results import Metrics
from ranking.records import Candidate, QueryCandidates
from ranking.terminal_text import printable
from ray_jobs import pipeline
from ray_jobs.common.run import Run, job
from ray_jobs.common.run_settings import PIPELINE_SETTINGS
from ray_jobs.evaluate import METRICS, PER_QUERY
from ray_jobs.serve import running_service

READS = PIPELINE_SETTINGS
"""Settings that this job reads."""

TOP_N = 5
"""Documents per ranking in the printed table."""


def main(run: Run) -> None:
    """Run the pipeline and print both rankings of a typical test query."""
    pipeline.main(run)
    if run.registry.read() is None:
        run.progress.stage("serve", "nothing to serve: there is no champion")
        return
    row, gain = typical_query(run)
    documents = row.of(first_stage := run.settings.evaluation.first_stages[0])
    with running_service(run) as address:
        candidates = [{"title": c.title, "text": c.text, "score": c.score} for c in documents]
        response = post(f"{address}/v1/rerank", {"query": row.text, "documents": candidates, "top_n": TOP_N})
    run.progress.stage(
        "query",
        f"{row.text} ({run.settings.evaluation.measures[0]} {gain:+.3f}, close to the mean gain)",
    )
    student = f"student, blended ({response['meta']['blend']})" if "blend" in response["meta"] else "student"
    ranked = [documents[result["index"]] for result in response["results"]]
    run.progress.console.print(
        side_by_side({first_stage: documents[:TOP_N], student: ranked}, run.collection.qrels.get(row.query_id, {}))
    )
    example = json.dumps({"query": "merge sorted lists", "documents": ["heapq.merge", "os.path.join"]})
    run.progress.line("\nRun `make serve` to keep the service running, then send your own queries:")
    run.progress.line(f"  curl -s {address}/v1/rerank -H 'content-type: application/json' -d '{example}'")


def typical_query(run: Run) -> tuple[QueryCandidates, float]:
    """Choose the test query whose gain over the first stage is closest to the mean gain of the deployed system.

    Considers only queries for which the first stage retrieved an answer, unless there are none. An answer is a document
    with the highest grade in the collection.

    Returns:
        The candidates of the query, and its gain.
    """
    folder = run.plan.evaluation.folder
    deployed = folder.read_model(METRICS, Metrics).promotion.deploy
    measure, first_stage = run.settings.evaluation.measures[0], run.settings.evaluation.first_stages[0]
    values: dict[str, dict[str, float]] = {}
    for row in folder.read_table(PER_QUERY).to_pylist():
        if row["measure"] == measure:
            values.setdefault(row["system"], {})[row["query_id"]] = row["value"]
    qrels = run.collection.qrels
    highest = max(grade for grades in qrels.values() for grade in grades.values())
    rows = {
        row.query_id: row for row in run.plan.test_candidates.folder.read_rows(QueryCandidates) if row.query_id in qrels
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
    """Format rankings of one query side by side, with the grade of each judged document."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right")
    for name in ranked:
        table.add_column("grade", justify="right")
        table.add_column(name, overflow="fold")
    for place, documents in enumerate(zip(*ranked.values(), strict=True), start=1):
        cells = [cell for document in documents for cell in (str(grades.get(document.doc_id, "-")), document.doc_id)]
        table.add_row(str(place), *(Text(printable(cell)) for cell in cells))
    return table


def post(url: str, body: dict[str, Any]) -> Any:
    """POST a JSON body and return the JSON response."""
    request = urllib.request.Request(url, json.dumps(body).encode("utf-8"), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        return json.load(response)


if __name__ == "__main__":
    job(main, READS)
