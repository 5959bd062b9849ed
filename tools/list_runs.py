"""Write runs over generated candidate lists, so that labelling needs no index, retriever or pre-ranker."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

_WORDS = (
    "amber basin cedar delta ember fjord grove heron islet jetty "
    "knoll larch marsh north ochre prism quartz ridge shoal thorn"
).split()


def write_list_run(folder: Path, queries: int, teacher: dict[str, Any], candidates: int = 6, **settings: Any) -> Path:
    """Write a run file, its collection and its candidate lists. The same arguments give the same content.

    Args:
        folder: Folder to write into.
        queries: Number of queries.
        teacher: Settings of the teacher.
        candidates: Candidates per query.
        **settings: Further settings of the run file.

    Returns:
        Path of the run file.
    """
    generator = random.Random(queries)
    rows = [_row(generator, number, candidates) for number in range(queries)]
    return write_run_of(folder, rows, teacher, **settings)


def write_run_of(folder: Path, rows: list[dict[str, Any]], teacher: dict[str, Any], **settings: Any) -> Path:
    """Write a run file for these lists, see `write_list_run`.

    Args:
        folder: Folder to write into.
        rows: Lists with `query_id`, `text` and `candidates`, each with `doc_id` and `text`.
        teacher: Settings of the teacher.
        **settings: Further settings of the run file.
    """
    pq.write_table(pa.Table.from_pylist(rows), folder / "lists.parquet")
    beir = folder / "collection"
    (beir / "qrels").mkdir(parents=True)
    judged = {"_id": "judged", "text": "a judged query"}
    _write_lines(beir / "queries.jsonl", [judged, *({"_id": row["query_id"], "text": row["text"]} for row in rows)])
    _write_lines(beir / "corpus.jsonl", [{"_id": "d", "text": "a document"}])
    (beir / "qrels" / "test.tsv").write_text("judged\td\t1\n")
    run = {
        "run": "lists",
        "storage": str(folder / "runs"),
        "collection": {"source": f"beir:{beir}"},
        "queries": {"long_tail": {"min_terms": 1}},
        "candidates": {"retrievers": [{"kind": "parquet", "path": str(folder / "lists.parquet")}]},
        "pre_ranker": None,
        "teacher": teacher,
        "evaluation": {"first_stages": ["parquet"]},
        **settings,
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(run))
    return path


def _row(generator: random.Random, number: int, candidates: int) -> dict[str, Any]:
    texts = [f"{' '.join(generator.choices(_WORDS, k=12))} {number}-{place}" for place in range(candidates)]
    return {
        "query_id": f"q{number}",
        "text": f"query {number} {' '.join(generator.choices(_WORDS, k=6))}",
        "candidates": [{"doc_id": f"d{number}-{place}", "text": text} for place, text in enumerate(texts)],
    }


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
