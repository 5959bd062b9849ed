"""State of a hosted model's batch files: which requests are written, waiting, answered or refused.

The folder `batch/` in the response cache contains

    staged/      Parquet: new requests that are not in a batch file yet
    requests/    part-00001.jsonl, ...: batch files in OpenAI's format, to be submitted by the user
    index/       Parquet: the requests of each batch file
    results/     result files, put there by the user, with any name that ends in .jsonl
    outcomes/    Parquet: the outcome of each line of a result file that has been read
    received/    Parquet: the answers, as a response cache whose keys are hashes of request bodies

A custom_id is `rra-<hash of the body>-<round>`. The round counts the batch files that contain the same request, so
each line of a result file belongs to exactly one line of one batch file.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Literal

from ranking.records import Record
from ranking.storage.folder import Folder

OutcomeStatus = Literal["answered", "failed", "refused"]

_CUSTOM_ID = re.compile(r"rra-([0-9a-f]{32})-(\d{1,4})")


class BatchLine(Record):
    """A request of a batch file.

    Attributes:
        body_hash: Hash of the request's body.
        round: Number of batch files that contain the request, including this one.
        line: The line of the batch file; empty in index/.
    """

    body_hash: str
    round: int
    line: str = ""


class BatchOutcome(Record):
    """The outcome of one line of a result file.

    Attributes:
        reason: Why there is no answer; None for an answer.
    """

    body_hash: str
    round: int
    status: OutcomeStatus
    reason: str | None = None


class BatchFolders:
    """Folders of the batch files of one response cache."""

    def __init__(self, cache: Folder) -> None:
        root = cache / "batch"
        self.staged, self.requests, self.index = root / "staged", root / "requests", root / "index"
        self.results, self.outcomes, self.received = root / "results", root / "outcomes", root / "received"


@dataclass
class BatchState:
    """What is known about all requests.

    Attributes:
        parts: {name of a batch file: custom ids of its requests as (hash, round)}.
        staged: Hashes of requests that are not in a batch file yet.
        rounds: {hash: highest round}.
        refused: {hash: why the request has no answer and is not sent again}.
        waiting: Hashes of requests in batch files without any result.
        waiting_parts: Names of batch files without any result.
    """

    parts: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    staged: set[str] = field(default_factory=set)
    rounds: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    waiting_parts: list[str] = field(default_factory=list)


def custom_id(body_hash: str, number: int) -> str:
    """Return the custom_id of a request in a round."""
    return f"rra-{body_hash}-{number}"


def parse_custom_id(text: object) -> tuple[str, int] | None:
    """Return hash and round of a custom_id; None if this project did not make it."""
    match = _CUSTOM_ID.fullmatch(text) if isinstance(text, str) else None
    return (match[1], int(match[2])) if match else None


def read_state(folders: BatchFolders, max_retries: int) -> BatchState:
    """Read the state of all requests.

    Requests of a batch file are waiting until there is any result of that file. From then on, those without an answer
    are neither waiting nor answered and can be sent again, up to `max_retries` times.
    """
    state = BatchState()
    outcomes = outcomes_in(folders)
    for table in folders.staged.read_tables(["body_hash"]):
        state.staged.update(table["body_hash"].to_pylist())
    for name in folders.index.names(".parquet"):
        table = folders.index.read_table(name, ["body_hash", "round"])
        part = list(zip(table["body_hash"].to_pylist(), table["round"].to_pylist(), strict=True))
        state.parts[part_of(name)] = part
        _add_part(state, part_of(name), part, outcomes)
    for body_hash, number in state.rounds.items():
        outcome = outcomes.get((body_hash, number))
        if outcome is not None and outcome[0] == "refused":
            state.refused[body_hash] = outcome[1]
        elif number > max_retries and body_hash not in state.waiting:
            reason = f"no answer in {number} batches" + (f", last: {outcome[1]}" if outcome else "")
            state.refused[body_hash] = reason
    return state


def outcomes_in(folders: BatchFolders) -> dict[tuple[str, int], tuple[OutcomeStatus, str]]:
    """Read the outcomes of all result files: {(hash, round): (status, reason)}. An answer replaces a failure."""
    outcomes: dict[tuple[str, int], tuple[OutcomeStatus, str]] = {}
    columns = ["body_hash", "round", "status", "reason"]
    for table in folders.outcomes.read_tables(columns):
        for body_hash, number, status, reason in zip(*(table[name].to_pylist() for name in columns), strict=True):
            if outcomes.get((body_hash, number), ("failed", ""))[0] != "answered":
                outcomes[body_hash, number] = (status, reason or "")
    return outcomes


def part_of(index_name: str) -> str:
    """Return the name of the batch file that a file of index/ belongs to."""
    return index_name.removesuffix(".parquet") + ".jsonl"


def _add_part(
    state: BatchState, name: str, part: Iterable[tuple[str, int]], outcomes: Container[tuple[str, int]]
) -> None:
    """Add the requests of one batch file to the state."""
    part = list(part)
    waits = not any(request in outcomes for request in part)
    if waits:
        state.waiting_parts.append(name)
    for body_hash, number in part:
        if number > state.rounds.get(body_hash, 0):
            state.rounds[body_hash] = number
            (state.waiting.add if waits else state.waiting.discard)(body_hash)
