"""Kill processes that label with a hosted model, online and through batch files, and count what the server was asked.

    python -m benchmarks.faults.kill_hosted [--kills 30] [--works openai batch] [--queries 400] [--seed 1]

A scripted chat-completions server on loopback numbers its answers, so each answer in the response cache belongs to one
request. Some requests fail, and some answers are unusable and asked again in another order. The process is killed with
SIGKILL at random moments and started again until it is done. Invariants:

- online: no request is sent again whose answer was on storage when the process was killed;
- batch: no request is in two batch files, unless it had no answer in the first one;
- at the end each query has one label or rejection, equal to those of a run without kills.

Prints a table and exits with code 1 if an invariant was violated. `repeated` counts answers that the server had sent
but that were not on storage yet at a kill. No Ray cluster is needed. `benchmarks.faults` kills `ray_jobs.label` itself.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.faults.kill_writers import Writer
from benchmarks.faults.killed_hosted import CACHE, STAGE, teacher_json
from benchmarks.faults.recorded_lists import write_lists
from ranking.records import Label, Rejection
from ranking.runs.stages import MANIFEST, REJECTED
from ranking.storage.folder import Folder
from tools.chat_server import ChatServer, Reply, chat_server, completion, error

_MAX_DELAY = 0.1
_ERROR_INTERVAL, _UNUSABLE_INTERVAL, _BATCH_FAILURE_INTERVAL = 97, 9, 10
Labels = dict[str, list[str]]


@dataclass
class HostedKillCounts:
    """Result of a work.

    Attributes:
        work: `openai` or `batch`.
        seconds: Seconds of the first process without a kill.
        moments: Number of kills per state of the run right after the kill.
        answers: Answers that the server or batch service gave.
        repeated: Answers to requests that had been answered before.
        violations: Violated invariants.
    """

    work: str
    seconds: float = 0.0
    moments: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    repeated: int = 0
    violations: list[str] = field(default_factory=list)


def answer_to(body: dict[str, Any], number: int) -> Reply:
    """Answer a request, always in the same way. The number of prompt tokens is the number of the request plus 1."""
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    order = list(range(1, body["messages"][-1]["content"].count("<<< [") + 1))
    random.Random(digest).shuffle(order)
    text = " > ".join(f"[{place}]" for place in order)
    if int(digest[:8], 16) % _UNUSABLE_INTERVAL == 0:
        text = "I cannot rank these."
    return Reply(completion(text, prompt=number + 1, written=1))


def answer_online(body: dict[str, Any], number: int) -> Reply:
    """Answer a request after a delay. Some requests fail."""
    if number % _ERROR_INTERVAL == 3:
        return error(500, "internal error")
    reply = answer_to(body, number)
    reply.delay = _MAX_DELAY * random.random()
    return reply


def kill_online(folder: Path, writer: Writer, kills: int, queries: int) -> HostedKillCounts:
    """Kill processes that ask a server. A new run begins whenever one is done."""
    counts, lists = HostedKillCounts("openai"), write_lists(folder, queries)[0]
    with chat_server(answer_online) as server:
        teacher = teacher_json("openai", server.url)
        counts.seconds = writer.run(str(folder / "undisturbed"), lists.uri, teacher)
        expected = results_of(Folder(folder / "undisturbed"))
        number = 0
        while counts.moments.total() < kills:
            number += 1
            run, begin, stored = Folder(folder / f"run-{number}"), len(server.received), dict[str, float]()
            while counts.moments.total() < kills and writer.kill(counts.seconds, run.uri, lists.uri, teacher):
                note_stored(run, server, stored)
                counts.moments[moment_of(run)] += 1
            writer.run(run.uri, lists.uri, teacher)
            requests = server.received[begin:]
            answered = [request.hash for request in requests if request.status == 200]
            counts.answers += len(answered)
            counts.repeated += len(answered) - len(set(answered))
            late = [request for request in requests if request.begun > stored.get(request.hash, float("inf"))]
            counts.violations += [f"{run.uri}: asked again with the answer on storage"] * len(late)
            counts.violations += differences_of(run, expected)
    return counts


def kill_batch(folder: Path, writer: Writer, kills: int, queries: int) -> HostedKillCounts:
    """Kill processes that write and read batch files. A new run begins whenever one is done."""
    counts, lists = HostedKillCounts("batch"), write_lists(folder, queries)[0]
    teacher, generator = teacher_json("batch", None), random.Random(queries)
    undisturbed = Folder(folder / "undisturbed")
    while not (undisturbed / STAGE).exists(MANIFEST):
        counts.seconds = max(counts.seconds, writer.run(undisturbed.uri, lists.uri, teacher))
        serve_batches(undisturbed, generator)
    number = 0
    while counts.moments.total() < kills:
        number += 1
        run = Folder(folder / f"run-{number}")
        while not (run / STAGE).exists(MANIFEST):
            while counts.moments.total() < kills and writer.kill(counts.seconds, run.uri, lists.uri, teacher):
                counts.moments[moment_of(run)] += 1
            writer.run(run.uri, lists.uri, teacher)
            serve_batches(run, generator)
        answered = answers_in(run)
        counts.answers += answered.total()
        counts.repeated += answered.total() - len(answered)
        counts.violations += [f"{run.uri}: answered {count} times" for count in answered.values() if count > 1]
        counts.violations += differences_of(run, results_of(undisturbed))
    return counts


def note_stored(run: Folder, server: ChatServer, stored: dict[str, float]) -> None:
    """Note the requests whose answers are on storage now: {hash: time}."""
    for table in (run / CACHE).read_tables(["prompt_tokens", "error"]):
        for number, failed in zip(table["prompt_tokens"].to_pylist(), table["error"].to_pylist(), strict=True):
            if failed is None:
                stored.setdefault(server.received[number - 1].hash, time.monotonic())


def moment_of(run: Folder) -> str:
    """Describe the state in which a kill left the run."""
    if (run / STAGE).exists(MANIFEST):
        return "finished"
    if (run / STAGE).names(".parquet"):
        return "some labels"
    batch = run / CACHE / "batch"
    states = {
        "results read": (batch / "outcomes").names(".parquet"),
        "batch files": (batch / "requests").names(".jsonl"),
        "requests": (batch / "staged").names(".parquet"),
        "answers": (run / CACHE).names(".parquet"),
    }
    return next((name for name, files in states.items() if files), "nothing written")


def serve_batches(run: Folder, generator: random.Random) -> None:
    """Answer all batch files without results, in random order and in two files. A tenth of the requests fails."""
    batch = run / CACHE / "batch"
    for name in (batch / "requests").names(".jsonl"):
        if f"a-{name}" not in (batch / "results").names():
            lines = [result_line(json.loads(line), generator) for line in _text_lines(batch / "requests", name)]
            generator.shuffle(lines)
            for prefix, part in (("a", lines[::2]), ("b", lines[1::2])):
                (batch / "results").write_lines(f"{prefix}-{name}", part)


def result_line(request: dict[str, Any], generator: random.Random) -> str:
    """Return the line of a result or error file for a request."""
    line: dict[str, Any] = {"custom_id": request["custom_id"], "response": None, "error": None}
    if generator.randrange(_BATCH_FAILURE_INTERVAL) == 0:
        line["error"] = {"code": "batch_expired", "message": "expired"}
    else:
        line["response"] = {"status_code": 200, "body": answer_to(request["body"], 0).body}
    return json.dumps(line)


def answers_in(run: Folder) -> Counter[str]:
    """Count the answers in all result files per request."""
    results = run / CACHE / "batch" / "results"
    rows = (json.loads(line) for name in results.names(".jsonl") for line in _text_lines(results, name))
    return Counter(row["custom_id"].split("-")[1] for row in rows if row["response"] is not None)


def results_of(run: Folder) -> Labels:
    """Read labels and rejections without their usage: {query id: labels and rejections as JSON}."""
    results: Labels = {}
    for label in (run / STAGE).read_rows(Label):
        results.setdefault(label.query_id, []).append(label.model_dump_json(exclude={"usage"}))
    for rejection in (run / REJECTED).read_rows(Rejection):
        results.setdefault(rejection.query_id, []).append(rejection.reason)
    return results


def differences_of(run: Folder, expected: Labels) -> list[str]:
    """Compare the labels and rejections of a run with those of the run without kills."""
    results = results_of(run)
    return [
        f"{run.uri}: query {query}: {len(results.get(query, []))} labels, or other ones than without kills"
        for query in expected.keys() | results.keys()
        if results.get(query) != expected.get(query)
    ]


def _text_lines(folder: Folder, name: str) -> Iterator[str]:
    yield from folder.read_text(name).splitlines()


WORKS = {"openai": kill_online, "batch": kill_batch}


def run(works: list[str], kills: int, queries: int, seed: int, folder: Path) -> list[HostedKillCounts]:
    """Kill the labelling of each work, and print a line of the table for each.

    Args:
        works: `openai`, `batch` or both.
        kills: Number of kills per work.
        queries: Number of queries to label.
        seed: Seed of the moments.
        folder: Local folder for all files.
    """
    all_counts = []
    for work in works:
        (folder / work).mkdir()
        writer = Writer("hosted", {}, random.Random(f"{seed} {work}"))
        counts = WORKS[work](folder / work, writer, kills, queries)
        moments = ", ".join(f"{moment} {count}" for moment, count in counts.moments.most_common())
        cells = (work, counts.moments.total(), moments, f"{counts.seconds:.1f} s", f"{counts.answers:,}")
        print(f"| {' | '.join(map(str, cells))} | {counts.repeated} | {len(counts.violations)} |", flush=True)
        all_counts.append(counts)
    return all_counts


def main() -> int:
    """Run the command line. Returns the exit code: 1 if an invariant was violated."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=30, help="kills per work")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS), help="what is killed")
    parser.add_argument("--queries", type=int, default=400, help="queries to label")
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments")
    options = parser.parse_args()
    print("| work | kills | state after the kill | without a kill | answers | repeated | violations |")
    print("|---|---:|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        counts = run(options.works, options.kills, options.queries, options.seed, Path(folder))
    violations = [f"{one.work}: {line}" for one in counts for line in one.violations]
    print(*violations[:50], sep="\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
