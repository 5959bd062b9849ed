"""The answers of a listwise teacher: kept as they came, then read, merged and made labels. No model runs here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from actors.rows import ERROR, Outcome, PickedList, records, table_of
from actors.settings import ListwiseTeacherSettings
from actors.vectors import text_id_of
from ranking.labelling.answers import ReadAnswer, read_answer
from ranking.labelling.permutations import agreement, borda, kemeny, prompt_order
from ranking.labelling.targets import tiers_from_order
from ranking.records import Answer, Label, LabelledCandidate, Provenance, Record, Rejection, Usage
from ranking.storage import Folder

_MERGES = {"borda": borda, "kemeny": kemeny}
_GRAVITY = ["ok", "duplicates", "out_of_range", "prose", "thinking", "truncated", "refused", "empty"]


class Asked(Record):
    """One answer as it came: a row of the teacher's memory.

    list_id: of the query and the documents shown. number: which of the list's orders, from 0. raw: None where
    the engine failed; then error says why. document_tokens: to which each document was cut.
    """

    list_id: str
    number: int
    attempt: int
    raw: str | None
    error: str | None
    finish_reason: str | None
    document_tokens: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class Memory:
    """The answers that the memory holds, by list and order, first attempt first."""

    def __init__(self, folder: Folder) -> None:
        self.answers: dict[tuple[str, int], list[Asked]] = {}
        for asked in folder.read_rows(Asked):
            self.answers.setdefault((asked.list_id, asked.number), []).append(asked)
        for answers in self.answers.values():
            answers.sort(key=lambda asked: asked.attempt)

    def best(self, list_id: str, number: int, documents: int) -> tuple[Asked, ReadAnswer] | None:
        """The first usable answer of an order, else the last one, read; None where it was not asked."""
        read = [(asked, _read(asked, documents)) for asked in self.answers.get((list_id, number), [])]
        return next((pair for pair in read if pair[1].usable), read[-1] if read else None)

    def asked(self, list_id: str, numbers: Iterable[int]) -> list[Asked]:
        """All answers of some orders, usable or not."""
        return [asked for number in numbers for asked in self.answers.get((list_id, number), [])]


class AnswerWriter:
    """Ray Data actor: rows of the engine to rows of the memory."""

    def __init__(self, model: str, revision: str | None) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)

    def __call__(self, batch: pa.Table) -> pa.Table:
        return table_of([self._asked(row) for row in batch.to_pylist()], Asked)

    def _asked(self, row: dict[str, Any]) -> Asked:
        error = row.get(ERROR) or None
        written = row.get("num_generated_tokens") or 0
        return Asked(
            list_id=row["list_id"],
            number=row["number"],
            attempt=row["attempt"],
            raw=None if error else self.tokenizer.decode(row["generated_tokens"], skip_special_tokens=True),
            error=error,
            finish_reason=None if error else "length" if written >= row["max_tokens"] else "stop",
            document_tokens=row["document_tokens"],
            prompt_tokens=row.get("num_input_tokens") or 0,
            completion_tokens=written,
            seconds=max(0.0, row.get("time_taken_llm") or 0.0),
        )


class AnswerReader:
    """Ray Data actor: lists to labels and rejections, by the answers in the memory."""

    def __init__(self, memory: Folder, settings: ListwiseTeacherSettings, provenance: Provenance) -> None:
        self.memory = Memory(memory)
        self.settings = settings
        self.provenance = provenance

    def __call__(self, batch: pa.Table) -> pa.Table:
        return table_of([self.outcome(row) for row in records(batch, PickedList)], Outcome)

    def outcome(self, row: PickedList) -> Outcome:
        """Make a list's label of its usable answers; a list without any is rejected with its last raw answer."""
        list_id, documents = list_id_of(row), len(row.picked)
        if not documents:
            return _rejected(row, "no candidates to rank", 0, None)
        held = [pair for number in range(self.settings.orders) if (pair := self.memory.best(list_id, number, documents))]
        used = [(asked, read) for asked, read in held if read.usable]
        paid = self.memory.asked(list_id, range(self.settings.orders))
        if not used:
            last = held[-1] if held else None
            reason = "not asked" if last is None else last[0].error or f"no usable answer: {last[1].verdict}"
            return _rejected(row, reason, len(paid), last[0].raw if last else None)
        orders = [self._order(row, list_id, asked, read) for asked, read in used]
        merged = self._merge(orders, [picked.candidate.doc_id for picked in row.picked])
        listed = _whole(merged, row) if self.settings.missing == "append" else merged
        candidates = self._placed(tiers_from_order(row.as_tuples(), listed), row, list_id, used[0][0])
        reads = [read for _, read in used]
        label = Label(
            query_id=row.query_id,
            query=row.text,
            candidates=candidates,
            answer=Answer(
                raw="\n".join(asked.raw or "" for asked, _ in used),
                verdict=max((read.verdict for read in reads), key=_GRAVITY.index),
                duplicates=sum(read.duplicates for read in reads),
                out_of_range=sum(read.out_of_range for read in reads),
                missing=documents - len(merged),
                finish_reason=used[0][0].finish_reason,
                orders=len(used),
                attempts=len(paid),
                document_tokens=min(asked.document_tokens for asked, _ in used),
            ),
            confidence=agreement(orders, _whole(merged, row)) if len(orders) > 1 else None,
            provenance=self.provenance,
            usage=_usage(paid),
        )
        return Outcome(query_id=row.query_id, split=row.split, row=label.model_dump_json())

    def _order(self, row: PickedList, list_id: str, asked: Asked, read: ReadAnswer) -> list[str]:
        shown = shown_order(row, list_id, asked.number, asked.attempt, self.settings.seed)
        return [row.picked[shown[identifier - 1]].candidate.doc_id for identifier in read.order]

    def _merge(self, orders: Sequence[Sequence[str]], doc_ids: Sequence[str]) -> list[str]:
        """Merge orders; a document counts as listed where more than half of them list it, or where only one order is there."""
        if len(orders) == 1:
            return list(orders[0])
        listed = {doc_id for doc_id in doc_ids if 2 * sum(doc_id in order for order in orders) > len(orders)}
        return [doc_id for doc_id in _MERGES[self.settings.merge](orders, doc_ids) if doc_id in listed]

    def _placed(self, candidates: list[LabelledCandidate], row: PickedList, list_id: str, asked: Asked) -> list[LabelledCandidate]:
        """Tell where each document stood in the first prompt."""
        shown = shown_order(row, list_id, asked.number, asked.attempt, self.settings.seed)
        place = {index: position for position, index in enumerate(shown, start=1)}
        return [candidate.model_copy(update={"prompt_position": place[index]}) for index, candidate in enumerate(candidates)]


def list_id_of(row: PickedList) -> str:
    """Name a list by its query and what is shown for it."""
    shown = [[picked.candidate.doc_id, picked.candidate.title, picked.candidate.text] for picked in row.picked]
    return text_id_of(json.dumps([row.text, shown], ensure_ascii=False))


def shown_order(row: PickedList, list_id: str, number: int, attempt: int, seed: int) -> list[int]:
    """The order in which a prompt shows a list's documents: indices into row.picked."""
    return prompt_order(len(row.picked), seed, f"{list_id} {number}", attempt)


def _read(asked: Asked, documents: int) -> ReadAnswer:
    return read_answer(asked.raw or "", documents, asked.finish_reason)


def _whole(merged: Sequence[str], row: PickedList) -> list[str]:
    """The merged order with what it leaves out behind, in the pre-ranker's order."""
    listed = set(merged)
    return [*merged, *(picked.candidate.doc_id for picked in row.picked if picked.candidate.doc_id not in listed)]


def _rejected(row: PickedList, reason: str, attempts: int, raw: str | None) -> Outcome:
    rejection = Rejection(query_id=row.query_id, stage="labels", reason=reason, attempts=attempts, raw=raw)
    return Outcome(query_id=row.query_id, split=row.split, rejection=rejection)


def _usage(answers: Sequence[Asked]) -> Usage:
    return Usage(
        prompt_tokens=sum(asked.prompt_tokens for asked in answers),
        completion_tokens=sum(asked.completion_tokens for asked in answers),
        seconds=sum(asked.seconds for asked in answers),
    )
