"""Read the result files of a batch service.

A line of a result or error file is, in OpenAI's format,

    {"custom_id": "...", "response": {"status_code": 200, "body": {chat completion}}, "error": null}

Files and lines may be in any order. A file is read once, as identified by its content.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from actors.data.rows import table_of
from actors.hosted.batch_state import BatchFolders, BatchOutcome, outcomes_in, parse_custom_id, read_state
from actors.hosted.chat_requests import ChatPrompt, completion_of
from actors.hosted.hosted_errors import RefusedPromptError, StopError, error_of, message_of
from actors.vllm.completion import Completion
from actors.vllm.response_cache import CachedResponse
from ranking.storage.folder import Folder

_MAX_NOTED = 10
_ROWS_PER_TABLE = 2000


@dataclass
class FileCounts:
    """What a result file contains.

    Attributes:
        lines: Number of lines by kind.
        damaged: Descriptions of damaged lines, with file and line.
    """

    lines: Counter[str] = field(default_factory=Counter)
    damaged: list[str] = field(default_factory=list)

    def text(self, name: str) -> str:
        """Describe the file in one line."""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.lines.items() if kind != "answers")
        return f"{name}: {self.lines['answers']:,} answers" + (f"; {kinds}" if kinds else "")


class _Reader:
    """Reads the result files of one response cache."""

    def __init__(self, folders: BatchFolders, max_retries: int) -> None:
        self._folders = folders
        state = read_state(folders, max_retries)
        self._known = {request for part in state.parts.values() for request in part}
        self._answered = {request for request, outcome in outcomes_in(folders).items() if outcome[0] == "answered"}
        self._rows: list[CachedResponse] = []
        self._outcomes: list[BatchOutcome] = []

    def read(self, name: str, digest: str) -> FileCounts:
        """Read one file: first write its answers, then the outcomes, which mark it as read."""
        counts, tables = FileCounts(), 0
        for number, line in enumerate(_lines(self._folders.results, name), start=1):
            if line.strip():
                self._read_line(line, f"{self._folders.results.address(name)}:{number}", counts)
            if len(self._rows) == _ROWS_PER_TABLE:
                tables += 1
                self._write_answers(digest, tables)
        self._write_answers(digest, tables + 1)
        self._folders.outcomes.write_table(f"{digest}.parquet", table_of(self._outcomes, BatchOutcome))
        self._outcomes = []
        return counts

    def _write_answers(self, digest: str, number: int) -> None:
        """Write answers. Names derive from the content, so reading a file again replaces them."""
        if self._rows:
            self._folders.received.write_rows(f"{digest}-{number:05}.parquet", self._rows)
        self._rows = []

    def _read_line(self, line: bytes, where: str, counts: FileCounts) -> None:
        try:
            row = json.loads(line)
            request = parse_custom_id(row["custom_id"])
        except (ValueError, RecursionError, KeyError, TypeError) as error:
            counts.lines["damaged lines"] += 1
            counts.damaged.append(f"{where}: damaged line ({_problem(error)}), skipped")
            return
        if request is None or request not in self._known:
            counts.lines["lines with a foreign custom_id"] += 1
        elif request in self._answered:
            counts.lines["duplicate lines"] += 1
        else:
            self._add(request, row, where, counts)

    def _add(self, request: tuple[str, int], row: dict[str, Any], where: str, counts: FileCounts) -> None:
        """Add the outcome of a known request."""
        body_hash, number = request
        try:
            completion = _completion(row)
        except ValueError as error:
            if not isinstance(error, RefusedPromptError):
                counts.damaged.append(f"{where}: {error}")
            status = "refused" if isinstance(error, RefusedPromptError) else "failed"
            counts.lines[f"requests {status}"] += 1
            outcome = {"body_hash": body_hash, "round": number, "status": status, "reason": str(error)}
            self._outcomes.append(BatchOutcome.model_validate(outcome))
            return
        counts.lines["answers"] += 1
        self._answered.add(request)
        self._outcomes.append(BatchOutcome(body_hash=body_hash, round=number, status="answered"))
        self._rows.append(_cached(body_hash, completion))


def ingest(folders: BatchFolders, max_retries: int) -> list[str]:
    """Read all result files that are new, and store their answers.

    Args:
        folders: Folders of the batch files.
        max_retries: Further batches for a request without an answer.

    Returns:
        Lines for the user: one for each new file, and one for each of the first damaged lines.
    """
    known = {name.removesuffix(".parquet") for name in folders.outcomes.names(".parquet")}
    reader: _Reader | None = None
    lines: list[str] = []
    for name in folders.results.names(".jsonl"):
        digest = _digest(folders.results, name)
        if digest in known:
            continue
        known.add(digest)
        reader = reader or _Reader(folders, max_retries)
        counts = reader.read(name, digest)
        lines += [counts.text(name), *counts.damaged[:_MAX_NOTED]]
        if len(counts.damaged) > _MAX_NOTED:
            lines.append(f"{name}: {len(counts.damaged) - _MAX_NOTED:,} more lines without an answer")
    return lines


def _completion(row: dict[str, Any]) -> Completion:
    """Return the answer of a line.

    Raises:
        RefusedPromptError: The service refuses the prompt.
        ValueError: There is no answer, for any other reason.
    """
    response = row.get("response")
    if not isinstance(response, dict):
        raise ValueError(f"no answer ({message_of(json.dumps({'error': row.get('error')}))})")
    status, body = response.get("status_code", 200), response.get("body")
    if status == 200:
        return completion_of(body, ChatPrompt([], 0))
    error = error_of(int(status), json.dumps(body), None, structured=False, proven=True, model="", key=None)
    if isinstance(error, RefusedPromptError):
        raise error
    text = error.stop.reason if isinstance(error, StopError) else str(error)
    raise ValueError(f"no answer ({text})")


def _cached(body_hash: str, completion: Completion) -> CachedResponse:
    return CachedResponse(
        list_id=body_hash,
        number=0,
        step=0,
        attempt=1,
        raw=completion.text,
        error=None,
        finish_reason=completion.finish_reason,
        document_tokens=0,
        prompt_tokens=completion.prompt_tokens,
        cached_tokens=completion.cached_tokens,
        completion_tokens=completion.completion_tokens,
        seconds=0.0,
    )


def _lines(folder: Folder, name: str) -> Iterator[bytes]:
    """Read the lines of a file."""
    with folder.open(name) as stream:
        rest = b""
        while chunk := stream.read(1 << 20):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from whole
        yield rest


def _digest(folder: Folder, name: str) -> str:
    """Hash the content of a file."""
    digest = hashlib.sha256()
    with folder.open(name) as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:24]


def _problem(error: Exception) -> str:
    if isinstance(error, KeyError):
        return "no custom_id"
    return "not a JSON object" if isinstance(error, TypeError) else f"not JSON: {error}"
