"""Generate a run for fault injection: queries with candidates, a random teacher, and lists that the teacher rejects."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tools.tiny_models import tiny_generator, tiny_modern_bert

_WORDS = (
    "amber basin cedar delta ember fjord grove heron islet jetty "
    "knoll larch marsh north ochre prism quartz ridge shoal thorn"
).split()
_CANDIDATES = 6
_EMPTY_INTERVAL = 20
_TOO_LONG_INTERVAL = 15
_TRAINING = {
    "workers": 2,
    "min_workers": 1,
    "precision": "fp32",
    "epochs": 3,
    "queries_per_step": 4,
    "checkpoint_every": 20,
    "max_restarts": 50,
}
_ENGINE = {
    "dtype": "float32",
    "max_model_len": 2048,
    "enforce_eager": True,
    "max_num_seqs": 4,
    "enable_prefix_caching": False,
}


def make_run(folder: Path, queries: int, orders: int = 2) -> Path:
    """Write a run file, its collection and its models. The same arguments give the same content.

    Every 20th query has no candidates and every 15th exceeds the teacher's context; both are rejected.

    Args:
        folder: Folder to write into.
        queries: Number of queries.
        orders: Prompt orders per list.

    Returns:
        Path of the run file.
    """
    generator = random.Random(queries)
    rows = [_row(generator, number) for number in range(queries)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "lists.parquet")
    beir = folder / "collection"
    beir.mkdir()
    judged = {"_id": "judged", "text": "a judged query"}
    _write_lines(beir / "queries.jsonl", [judged, *({"_id": row["query_id"], "text": row["text"]} for row in rows)])
    _write_lines(beir / "corpus.jsonl", [{"_id": "d", "text": "a document"}])
    (beir / "qrels").mkdir()
    (beir / "qrels" / "test.tsv").write_text("judged\td\t1\n")
    settings = {
        "storage": str(folder / "runs"),
        "collection": {"source": f"beir:{beir}"},
        "queries": {"long_tail": {"min_terms": 1}},
        "candidates": {"retrievers": [{"kind": "parquet", "path": str(folder / "lists.parquet")}]},
        "pre_ranker": None,
        "teacher": {
            "kind": "listwise",
            "model": str(tiny_generator(folder / "teacher")),
            "orders": orders,
            "max_attempts": 2,
            "max_document_tokens": 16,
            "engine": _ENGINE,
        },
        "students": [
            {"name": "student", "kind": "rra_bert", "base": str(tiny_modern_bert(folder / "base")), "max_length": 64}
        ],
        "training": _TRAINING,
        "evaluation": {"first_stages": ["parquet"]},
    }
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def _row(generator: random.Random, number: int) -> dict[str, object]:
    text = f"query {number} {' '.join(generator.choices(_WORDS, k=6))}"
    if number % _TOO_LONG_INTERVAL == 7:
        text += " " + " ".join(generator.choices(_WORDS, k=2000))
    count = 0 if number % _EMPTY_INTERVAL == 3 else _CANDIDATES
    texts = [f"{' '.join(generator.choices(_WORDS, k=12))} {number}-{place}" for place in range(count)]
    return {
        "query_id": f"q{number}",
        "text": text,
        "candidates": [{"doc_id": f"d{number}-{place}", "text": text} for place, text in enumerate(texts)],
    }


def _write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
