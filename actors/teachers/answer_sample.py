"""What a listwise teacher answered for some lists, as an audit reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.data.rows import PreRankedList
from actors.settings import ListwiseTeacherSettings
from actors.teachers.listwise_requests import drawn_order, list_id_of
from actors.vllm.response_cache import ResponseCache
from ranking.audit.shown_answers import ShownAnswer
from ranking.labels.listwise_answers import read_answer
from ranking.storage.folder import Folder


def shown_answers(
    memory: Folder,
    settings: ListwiseTeacherSettings,
    lists: Sequence[PreRankedList],
    qrels: Mapping[str, Mapping[str, int]],
) -> list[ShownAnswer]:
    """The first answer of every order of every list that the memory holds, read."""
    held = ResponseCache(memory)
    answers = []
    for row in lists:
        list_id = list_id_of(row)
        doc_ids = [picked.candidate.doc_id for picked in row.picked]
        for number in range(settings.orders):
            asked = held.find(list_id, number, 0, 1)
            if asked is None:
                continue  # the engine refused it, and says why in the run's rejections once it is labelled
            shown = drawn_order(len(doc_ids), settings.seed, list_id, number, 0, 1)
            answers.append(
                ShownAnswer(
                    list_id=list_id,
                    documents=len(doc_ids),
                    answer=read_answer(asked.raw or "", len(doc_ids), asked.finish_reason),
                    doc_ids=tuple(doc_ids[place] for place in shown),
                    grades=qrels.get(row.query_id),
                )
            )
    return answers
