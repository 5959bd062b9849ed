"""What `benchmarks.faults.kill_hosted` kills: labelling with a hosted model, as `ray_jobs.label` does, without Ray."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from multiprocessing.synchronize import Event

from actors.data.parts import filter_by_id, finished_ids, finished_parts, remove_duplicate_rows
from actors.data.rows import Outcome, records, table_of
from actors.data.sink import PartSink
from actors.data.streaming import LISTS_PER_PART, forget_rejections
from actors.hosted.batch_publication import publish
from actors.hosted.batch_requests import BatchRequests
from actors.hosted.batch_results import ingest
from actors.hosted.batch_state import BatchFolders
from actors.hosted.chat_client import ChatClient
from actors.hosted.deferral import gather_present
from actors.hosted.hosted_source import MAX_UNWRITTEN_SECONDS
from actors.hosted.message_filler import message_filler
from actors.hosted.spend_ledger import SpendLedger
from actors.teachers.listwise.hosted_listwise import hosted_of
from actors.teachers.listwise.label_outcomes import outcome_of
from actors.teachers.listwise.listwise_requests import ListwiseRequester
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.vllm.cached_requests import Generate
from actors.vllm.response_cache import ResponseCache
from ranking.records import Label, PreRankedList, Provenance
from ranking.runs.stages import Stage
from ranking.storage.folder import Folder

STAGE = "labels"
CACHE = "teacher"
_BATCHES_AT_ONCE = 4
_PROVENANCE = Provenance(teacher="m", fingerprint="f", engine="hosted", targets="tiers")


def label_hosted(begun: Event, run: str, lists: str, settings: str) -> None:
    """Label the lists that have no label, and finish the stage if none is left. The main function of the process.

    Args:
        begun: Set when the process begins to read and write the run.
        run: Folder of the run.
        lists: Folder of the candidate lists.
        settings: Settings of the teacher as JSON.
    """
    logging.disable(logging.WARNING)  # each rejection is a warning
    teacher = ListwiseTeacherSettings.model_validate_json(settings)
    rows = list(Folder(lists).read_rows(PreRankedList))
    stage, cache = Stage(Folder(run), STAGE, {}, []), Folder(run) / CACHE
    begun.set()
    if stage.restore() is not None:
        return
    stage.begin()
    forget_rejections(stage)
    if teacher.backend == "batch":
        ingest(BatchFolders(cache), hosted_of(teacher).max_retries)
    remaining = filter_by_id(table_of(rows, PreRankedList), finished_ids(finished_parts(stage)), include=False)
    asyncio.run(_label(records(remaining, PreRankedList), stage, cache, teacher))
    if teacher.backend == "batch":
        publish(BatchFolders(cache), hosted_of(teacher))
    labels, rejected = remove_duplicate_rows(stage)
    if labels + rejected == len(rows):
        stage.finish(rows_in=len(rows), rows_out=labels, rejected=rejected)


async def _label(rows: list[PreRankedList], stage: Stage, folder: Folder, teacher: ListwiseTeacherSettings) -> None:
    """Label lists in batches, several at a time, and write each batch when it is done."""
    cache = ResponseCache(folder, MAX_UNWRITTEN_SECONDS)
    generate, flush = _answers(teacher, folder)
    filler = message_filler(teacher)
    requester = ListwiseRequester(teacher, filler, cache, generate)
    sink, slots = PartSink(Label, {"log": stage}), asyncio.Semaphore(_BATCHES_AT_ONCE)

    async def outcome(row: PreRankedList) -> Outcome[Label]:
        return outcome_of(row, await requester.rankings(row), teacher, _PROVENANCE)

    async def label_batch(batch: list[PreRankedList]) -> None:
        async with slots:
            outcomes, error = await gather_present(outcome(row) for row in batch)
            await cache.write()
            await flush()
            if error is not None:
                raise error
            await asyncio.to_thread(sink, table_of(outcomes, Outcome[Label]))

    starts = range(0, len(rows), LISTS_PER_PART)
    await asyncio.gather(*(label_batch(rows[start : start + LISTS_PER_PART]) for start in starts))


def _answers(teacher: ListwiseTeacherSettings, folder: Folder) -> tuple[Generate, Callable[[], Awaitable[None]]]:
    """Return the generation function, and the function that writes new batch requests."""
    hosted = hosted_of(teacher)
    if teacher.backend == "batch":
        requests = BatchRequests(hosted, teacher.model, BatchFolders(folder))
        return requests.generate, requests.write
    ledger = SpendLedger(folder, hosted.prices, hosted.spend_cap)

    async def nothing() -> None:
        pass

    return ChatClient(hosted, teacher.model, ledger, "teacher.hosted").generate, nothing


def teacher_json(backend: str, url: str | None) -> str:
    """Return the settings of the teacher as JSON."""
    hosted = {"url": url, "api_key_env": None, "structured": "none", "concurrency": 16, "batch_requests": 150}
    return json.dumps({"kind": "listwise", "backend": backend, "model": "m", "orders": 2, "hosted": hosted})
