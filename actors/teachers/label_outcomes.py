"""From a listwise teacher's answers to a label or a rejection. No model runs here."""

from __future__ import annotations

from collections.abc import Sequence

from actors.data.rows import Outcome, PreRankedList
from actors.settings import ListwiseTeacherSettings
from actors.teachers.listwise_requests import ListRanking, ParsedResponse
from ranking.labels.permutations import agreement, borda, kemeny
from ranking.labels.targets import tiers_from_order
from ranking.records import Answer, Label, LabelledCandidate, Provenance, Rejection, TokenCounts, Usage

_MERGES = {"borda": borda, "kemeny": kemeny}
_GRAVITY = ["ok", "duplicates", "out_of_range", "prose", "thinking", "truncated", "refused", "empty"]


def outcome_of(
    row: PreRankedList, rankings: Sequence[ListRanking], settings: ListwiseTeacherSettings, provenance: Provenance
) -> Outcome:
    """Make a list's label of its usable rankings; a list without any is rejected with its last raw answer."""
    replies = [reply for ranking in rankings for reply in ranking.replies]
    tokens = tokens_of([reply for reply in replies if reply.fresh])
    used = [ranking for ranking in rankings if ranking.order is not None]
    if not used:
        last = rankings[-1].last
        reason = last.asked.error or f"no usable answer: {last.read.parse_status}"
        rejection = Rejection(
            query_id=row.query_id, stage="labels", reason=reason, attempts=len(replies), raw=last.asked.raw
        )
        return Outcome(query_id=row.query_id, split=row.split, rejection=rejection, tokens=tokens)
    doc_ids = [picked.candidate.doc_id for picked in row.picked]
    orders = [[doc_ids[index] for index in _order_of(ranking, settings)] for ranking in used]
    merged = _merge(orders, doc_ids, settings.merge)
    whole = [*merged, *(doc_id for doc_id in doc_ids if doc_id not in set(merged))]
    windowed = any(ranking.windowed for ranking in used)
    appended = settings.missing == "append" and not windowed
    candidates = tiers_from_order(row.as_tuples(), whole if appended else merged)
    deciding = [reply for ranking in used for reply in ranking.replies if reply.read.usable]
    label = Label(
        query_id=row.query_id,
        query=row.text,
        candidates=_placed(candidates, used[0]),
        answer=Answer(
            raw="\n".join(reply.asked.raw or "" for reply in deciding),
            parse_status=max((reply.read.parse_status for reply in deciding), key=_GRAVITY.index),
            duplicates=sum(reply.read.duplicates for reply in deciding),
            out_of_range=sum(reply.read.out_of_range for reply in deciding),
            missing=_never_listed(used, len(doc_ids)) if windowed else len(doc_ids) - len(merged),
            finish_reason=deciding[0].asked.finish_reason,
            orders=len(used),
            attempts=len(replies),
            document_tokens=min(reply.asked.document_tokens for reply in deciding),
        ),
        confidence=agreement(orders, whole) if len(orders) > 1 else None,
        provenance=provenance,
        usage=_usage(replies),
    )
    return Outcome(query_id=row.query_id, split=row.split, row=label.model_dump_json(), tokens=tokens)


def _order_of(ranking: ListRanking, settings: ListwiseTeacherSettings) -> list[int]:
    """A ranking's order. A window that was not asked for only splits a long list: what no answer lists is left out, as in one prompt."""
    order = ranking.order or []
    if not ranking.windowed or settings.window is not None or settings.missing == "append":
        return order
    listed = {index for reply in ranking.replies if reply.read.usable for index in reply.listed}
    return [index for index in order if index in listed]


def tokens_of(replies: Sequence[ParsedResponse]) -> TokenCounts:
    """What some replies cost."""
    return TokenCounts(
        prompt=sum(reply.asked.prompt_tokens for reply in replies),
        completion=sum(reply.asked.completion_tokens for reply in replies),
    )


def _never_listed(rankings: Sequence[ListRanking], documents: int) -> int:
    """How many documents no window's answer lists; of several orders the mean, rounded down."""
    listed = (
        len({index for reply in ranking.replies if reply.read.usable for index in reply.listed}) for ranking in rankings
    )
    return sum(documents - count for count in listed) // len(rankings)


def _merge(orders: Sequence[Sequence[str]], doc_ids: Sequence[str], how: str) -> list[str]:
    """Merge orders; a document counts as listed where more than half of them list it, or where only one order is there."""
    if len(orders) == 1:
        return list(orders[0])
    listed = {doc_id for doc_id in doc_ids if 2 * sum(doc_id in order for order in orders) > len(orders)}
    return [doc_id for doc_id in _MERGES[how](orders, doc_ids) if doc_id in listed]


def _placed(candidates: list[LabelledCandidate], ranking: ListRanking) -> list[LabelledCandidate]:
    """Tell where each document stood in the prompt that decided, or in the last window that showed it."""
    place: dict[int, int] = {}
    for reply in ranking.replies:
        place.update({index: position for position, index in enumerate(reply.shown, start=1)})
    return [
        candidate.model_copy(update={"prompt_position": place[index]}) for index, candidate in enumerate(candidates)
    ]


def _usage(replies: Sequence[ParsedResponse]) -> Usage:
    tokens = tokens_of(replies)
    seconds = sum(reply.asked.seconds for reply in replies)
    return Usage(prompt_tokens=tokens.prompt, completion_tokens=tokens.completion, seconds=seconds)
