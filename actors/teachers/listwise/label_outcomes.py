"""Convert parsed responses of a listwise teacher to a label or a rejection. No model runs here."""

from __future__ import annotations

from collections.abc import Sequence

from actors.data.rows import Outcome
from actors.teachers.listwise.listwise_requests import ListRanking, ParsedResponse
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from ranking.labels.permutations import agreement, borda, kemeny
from ranking.labels.targets import tiers_from_order, with_passages
from ranking.records import Answer, Label, LabelledCandidate, PreRankedList, Provenance, Rejection, TokenCounts, Usage

_MERGES = {"borda": borda, "kemeny": kemeny}
BY_SEVERITY = ["ok", "duplicates", "out_of_range", "prose", "thinking", "truncated", "refused", "empty"]
"""Parse statuses, the least severe first."""


def outcome_of(
    row: PreRankedList, rankings: Sequence[ListRanking], settings: ListwiseTeacherSettings, provenance: Provenance
) -> Outcome[Label]:
    """Make the label of a candidate list from its usable rankings.

    Args:
        row: The candidate list.
        rankings: Rankings of the list, one per prompt order.
        settings: Teacher settings.
        provenance: Provenance to store in the label.

    Returns:
        The label, or a rejection with the last raw response if no ranking is usable.
    """
    responses = [parsed for ranking in rankings for parsed in ranking.responses]
    tokens = tokens_of([parsed for parsed in responses if parsed.fresh])
    usable = [ranking for ranking in rankings if ranking.order is not None]
    if not usable:
        last = rankings[-1].last
        reason = last.response.error or f"no usable answer: {last.answer.parse_status}"
        rejection = Rejection(
            query_id=row.query_id, stage="labels", reason=reason, attempts=len(responses), raw=last.response.raw
        )
        return Outcome(query_id=row.query_id, split=row.split, rejection=rejection, tokens=tokens)
    doc_ids = [picked.candidate.doc_id for picked in row.picked]
    orders = [[doc_ids[index] for index in _order_of(ranking, settings)] for ranking in usable]
    merged = _merge(orders, doc_ids, settings.merge)
    complete = [*merged, *(doc_id for doc_id in doc_ids if doc_id not in set(merged))]
    windowed = any(ranking.windowed for ranking in usable)
    append_missing = settings.missing == "append" and not windowed
    candidates = tiers_from_order(row.as_tuples(), complete if append_missing else merged)
    used = [parsed for ranking in usable for parsed in ranking.responses if parsed.answer.usable]
    label = Label(
        query_id=row.query_id,
        query=row.text,
        candidates=with_passages(_with_prompt_positions(candidates, usable[0]), row.passages),
        answer=Answer(
            raw="\n".join(parsed.response.raw or "" for parsed in used),
            parse_status=max((parsed.answer.parse_status for parsed in used), key=BY_SEVERITY.index),
            duplicates=sum(parsed.answer.duplicates for parsed in used),
            out_of_range=sum(parsed.answer.out_of_range for parsed in used),
            missing=_never_listed(usable, len(doc_ids)) if windowed else len(doc_ids) - len(merged),
            finish_reason=used[0].response.finish_reason,
            orders=len(usable),
            attempts=len(responses),
            document_tokens=min(parsed.response.document_tokens for parsed in used),
        ),
        confidence=agreement(orders, complete) if len(orders) > 1 else None,
        provenance=provenance,
        usage=_usage(responses),
    )
    return Outcome(query_id=row.query_id, split=row.split, row=label, tokens=tokens)


def _order_of(ranking: ListRanking, settings: ListwiseTeacherSettings) -> list[int]:
    """Return the order of a ranking, without the documents that no answer lists if a window was used automatically.

    If the settings have no window, a window is used only for a list that is too long for one prompt. Unless
    `teacher.missing` is `append`, documents that no answer lists are then dropped, as they are with a single prompt.
    """
    order = ranking.order or []
    if not ranking.windowed or settings.window is not None or settings.missing == "append":
        return order
    listed = {index for parsed in ranking.responses if parsed.answer.usable for index in parsed.listed}
    return [index for index in order if index in listed]


def tokens_of(responses: Sequence[ParsedResponse]) -> TokenCounts:
    """Sum the token counts of responses."""
    return TokenCounts(
        prompt=sum(parsed.response.prompt_tokens for parsed in responses),
        completion=sum(parsed.response.completion_tokens for parsed in responses),
    )


def _never_listed(rankings: Sequence[ListRanking], documents: int) -> int:
    """Count the documents that no window's answer lists. For several prompt orders, return the mean, rounded down."""
    listed = (
        len({index for parsed in ranking.responses if parsed.answer.usable for index in parsed.listed})
        for ranking in rankings
    )
    return sum(documents - count for count in listed) // len(rankings)


def _merge(orders: Sequence[Sequence[str]], doc_ids: Sequence[str], how: str) -> list[str]:
    """Merge orders. The result has the documents that more than half of them list. A single order is unchanged."""
    if len(orders) == 1:
        return list(orders[0])
    listed = {doc_id for doc_id in doc_ids if 2 * sum(doc_id in order for order in orders) > len(orders)}
    return [doc_id for doc_id in _MERGES[how](orders, doc_ids) if doc_id in listed]


def _with_prompt_positions(candidates: list[LabelledCandidate], ranking: ListRanking) -> list[LabelledCandidate]:
    """Set the prompt position of each candidate: its position in the prompt, or in the last window that showed it."""
    positions: dict[int, int] = {}
    for parsed in ranking.responses:
        positions.update({index: position for position, index in enumerate(parsed.shown, start=1)})
    return [
        candidate.model_copy(update={"prompt_position": positions[index]}) for index, candidate in enumerate(candidates)
    ]


def _usage(responses: Sequence[ParsedResponse]) -> Usage:
    tokens = tokens_of(responses)
    seconds = sum(parsed.response.seconds for parsed in responses)
    return Usage(prompt_tokens=tokens.prompt, completion_tokens=tokens.completion, seconds=seconds)
