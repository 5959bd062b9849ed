"""Read cached answers of a listwise teacher for the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.teachers.listwise.listwise_requests import draw_order, list_id_of, read_response
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.vllm.response_cache import ResponseCache
from ranking.audit.shown_answers import ShownAnswer
from ranking.records import PreRankedList
from ranking.storage.folder import Folder


def shown_answers(
    cache: Folder,
    settings: ListwiseTeacherSettings,
    lists: Sequence[PreRankedList],
    qrels: Mapping[str, Mapping[str, int]],
) -> list[ShownAnswer]:
    """Read and parse the first answer to each list and prompt order. Answers that are not in the cache are skipped.

    Args:
        cache: Folder of the teacher's response cache.
        settings: Teacher settings that the answers were requested with.
        lists: Candidate lists that the teacher ranked.
        qrels: Relevance grades, {query_id: {doc_id: grade}}.
    """
    responses = ResponseCache(cache)
    answers = []
    for row in lists:
        list_id = list_id_of(row)
        doc_ids = [picked.candidate.doc_id for picked in row.picked]
        for number in range(settings.orders):
            response = responses.find(list_id, number, 0, 1)
            if response is None:
                continue  # the engine rejected the prompt; labelling writes the reason to rejected/
            prompt_order = draw_order(len(doc_ids), settings.seed, list_id, number, 0, 1)
            answers.append(
                ShownAnswer(
                    list_id=list_id,
                    documents=len(doc_ids),
                    answer=read_response(response, len(doc_ids), settings),
                    doc_ids=tuple(doc_ids[index] for index in prompt_order),
                    grades=qrels.get(row.query_id),
                )
            )
    return answers
