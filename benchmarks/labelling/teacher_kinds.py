"""Compare kinds of teachers on the same lists and model: prompts, tokens, seconds and quality.

    python -m benchmarks.labelling.teacher_kinds MODEL [--lists 20] [--kinds listwise sparse] [--out FILE.json]

MODEL is a generative model in a folder. The lists are test questions of the embedded collection with their ten best
documents by BM25, of which at least one is relevant. Each kind runs in its own process, with an empty response cache.
Results of earlier calls in FILE.json are kept, so that kinds can run one at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import bm25s
from rich.console import Console
from rich.table import Table

from actors.compute_settings import ComputeSettings
from actors.teachers.comparing.comparing_settings import (
    ComparingTeacherSettings,
    PairwiseTeacherSettings,
    SetwiseTeacherSettings,
)
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings
from ranking.collections import pydoc
from ranking.records import Candidate, Label, PreRankedCandidate, PreRankedList
from ranking.storage.folder import Folder

DOCUMENTS, DOCUMENT_TOKENS = 10, 80
ENGINE = {"max_model_len": 4096, "max_num_seqs": 16, "enforce_eager": True, "enable_prefix_caching": True}
AnySettings = ListwiseTeacherSettings | PointwiseTeacherSettings | ComparingTeacherSettings


def kinds_of(model: str) -> dict[str, AnySettings]:
    """Return the settings of each compared kind of teacher."""
    shared: dict[str, Any] = {"model": model, "engine": ENGINE}
    compared = {**shared, "max_document_tokens": DOCUMENT_TOKENS, "answer": "logprobs"}
    pointwise = {**shared, "max_tokens": DOCUMENT_TOKENS}
    return {
        "listwise": ListwiseTeacherSettings(**shared, max_document_tokens=DOCUMENT_TOKENS),
        "pairwise, all": PairwiseTeacherSettings(**compared),
        "pairwise, 4 per document": PairwiseTeacherSettings(**compared, pairs=4),
        "pairwise, letters": PairwiseTeacherSettings(**{**compared, "answer": "letter"}),
        "pairwise, sliding": PairwiseTeacherSettings(**compared, method="sliding", passes=10, missing="append"),
        "setwise": SetwiseTeacherSettings(**compared, top=10, missing="append"),
        "yes_no": PointwiseTeacherSettings(**pointwise, form="yes_no"),
        "query_likelihood": PointwiseTeacherSettings(**pointwise, form="query_likelihood"),
    }


def judged_lists(count: int) -> tuple[list[PreRankedList], Mapping[str, Mapping[str, int]]]:
    """Return the first lists with a relevant document among the ten best by BM25, and the judgements."""
    collection = pydoc.read("test")
    documents = [document for document in collection.documents if document.text.strip()]
    index = bm25s.BM25()
    index.index(bm25s.tokenize([document.content for document in documents], show_progress=False), show_progress=False)
    lists = []
    for query in collection.test:
        tokens = bm25s.tokenize([query.text], show_progress=False)
        rows = index.retrieve(tokens, k=DOCUMENTS, show_progress=False)[0][0].tolist()
        grades = collection.qrels.get(query.query_id, {})
        if any(grades.get(documents[row].doc_id, 0) > 0 for row in rows):
            picked = [
                PreRankedCandidate(
                    candidate=Candidate(
                        doc_id=documents[row].doc_id,
                        title=documents[row].title,
                        text=documents[row].text,
                        rank=rank,
                        score=1 / rank,
                        retriever="bm25",
                    ),
                    pre_rank=rank,
                    of_head=True,
                )
                for rank, row in enumerate(rows, 1)
            ]
            lists.append(PreRankedList(query_id=query.query_id, text=query.text, picked=picked))
    return lists[:count], collection.qrels


def run_kind(model: str, kind: str, count: int) -> dict[str, Any]:
    """Label the lists with one kind of teacher, after a warm-up with another list.

    Returns:
        Prompts, tokens, seconds, the number of labels, and the document ids of each list, best first.
    """
    from actors.teachers import make_teacher

    lists, _ = judged_lists(count + 1)
    with tempfile.TemporaryDirectory() as folder:
        teacher = make_teacher(kinds_of(model)[kind], ComputeSettings(), "benchmark", Folder(folder))
        assert teacher.actor is not None
        actor_class, arguments = teacher.actor
        actor: Any = actor_class(*arguments)
        _count_requests(actor, counts := {"prompts": 0})

        async def label() -> tuple[list[Any], float]:
            await actor.outcome(lists[-1])
            counts["prompts"] = 0
            start = time.perf_counter()
            outcomes = await asyncio.gather(*(actor.outcome(row) for row in lists[:count]))
            return outcomes, time.perf_counter() - start

        outcomes, seconds = asyncio.run(label())
    labels: list[Label] = [outcome.row for outcome in outcomes if outcome.row is not None]
    asked = sum(label.answer.comparisons - label.answer.unusable for label in labels)
    return {
        "prompts": counts["prompts"],
        "prompt_tokens": sum(outcome.tokens.prompt for outcome in outcomes),
        "answer_tokens": sum(outcome.tokens.completion for outcome in outcomes),
        "seconds": seconds,
        "first_share": sum(label.answer.first_chosen for label in labels) / asked if asked else None,
        "consistent_share": _mean([label.confidence for label in labels if label.confidence is not None]),
        "orders": {label.query_id: _order(label) for label in labels},
    }


def _count_requests(actor: Any, counts: dict[str, int]) -> None:
    """Count the requests to the engine, wherever the teacher keeps the function that sends them."""
    owner, name = (actor.cache, "pool") if hasattr(actor.cache, "pool") else (actor.requester, "generate")
    send: Callable[..., Any] = getattr(owner, name)

    async def counted(*arguments: Any) -> Any:
        counts["prompts"] += 1
        return await send(*arguments)

    setattr(owner, name, counted)


def _order(label: Label) -> list[str]:
    """Return all documents of a label, best first. Documents that the teacher omits are last, in pre-ranking order."""
    ordered = sorted(label.candidates, key=lambda c: (c.position is None, c.position or 0, c.pre_rank))
    return [candidate.doc_id for candidate in ordered]


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def table_of(results: dict[str, dict[str, Any]], count: int) -> Table:
    """Make the table.

    nDCG@10 is that of the listed documents, so the best order has 1; a list without a label counts as 0. tau compares
    orders with those of `pairwise, all`.
    """
    from ranking.audit.agreement import tau_of
    from ranking.evaluation.measures import per_query

    lists, qrels = judged_lists(count)
    judged = {
        row.query_id: {p.candidate.doc_id: qrels[row.query_id].get(p.candidate.doc_id, 0) for p in row.picked}
        for row in lists
    }
    orders = {"BM25": {row.query_id: [picked.candidate.doc_id for picked in row.picked] for row in lists}}
    orders |= {kind: result["orders"] for kind, result in results.items()}
    reference = orders.get("pairwise, all", {})
    table = Table("kind", "prompts", "read", "written", "seconds", "nDCG@10", "tau", "first", "consistent")
    for kind, by_query in orders.items():
        run = {query: {d: -float(place) for place, d in enumerate(order)} for query, order in by_query.items()}
        measured = per_query(judged, run, ["nDCG@10"])["nDCG@10"]
        taus = [tau_of(order, reference[query]) or 0.0 for query, order in by_query.items() if query in reference]
        result = results.get(kind, {})
        table.add_row(
            kind,
            *(
                f"{result[name]:,.0f}" if result else ""
                for name in ("prompts", "prompt_tokens", "answer_tokens", "seconds")
            ),
            f"{sum(measured.values()) / len(lists):.3f}",
            *(
                "" if value is None else f"{value:.2f}"
                for value in (_mean(taus), result.get("first_share"), result.get("consistent_share"))
            ),
        )
    return table


def _in_process(model: str, kind: str, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.labelling.teacher_kinds", model, "--side", kind, "--lists", str(count)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(process.stdout[-2000:] + process.stderr[-3000:])
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Run each kind and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a generative model with a chat template")
    parser.add_argument("--lists", type=int, default=20, help="number of lists")
    parser.add_argument("--kinds", nargs="*", help="kinds to run; default: all")
    parser.add_argument("--out", type=Path, help="JSON file of the results")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        result = run_kind(arguments.model, arguments.side, arguments.lists)
        print(json.dumps(result), file=sys.__stdout__, flush=True)
        return
    results = json.loads(arguments.out.read_text()) if arguments.out and arguments.out.exists() else {}
    for kind in arguments.kinds if arguments.kinds is not None else kinds_of(arguments.model):
        results[kind] = _in_process(arguments.model, kind, arguments.lists)
        if arguments.out:
            arguments.out.write_text(json.dumps(results, indent=2))
    Console(width=160).print(table_of(results, arguments.lists))


if __name__ == "__main__":
    main()
