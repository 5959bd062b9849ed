"""Convert the ranking of a pairwise or setwise teacher to a label or a rejection. No model runs here."""

from __future__ import annotations

from collections.abc import Sequence

from actors.data.rows import Outcome
from actors.teachers.comparing.choice_requests import Choice
from actors.teachers.comparing.comparing_settings import ComparingTeacherSettings
from actors.teachers.comparing.comparison_ranking import ComparedList
from actors.teachers.listwise.label_outcomes import BY_SEVERITY
from ranking.labels.targets import targets_from_scores, tiers_from_order
from ranking.records import Answer, Label, LabelledCandidate, PreRankedList, Provenance, Rejection, TokenCounts, Usage


def outcome_of_comparisons(
    row: PreRankedList, compared: ComparedList, settings: ComparingTeacherSettings, provenance: Provenance
) -> Outcome[Label]:
    """Make the label of a candidate list from comparisons of its documents.

    Args:
        row: The candidate list.
        compared: Its ranking.
        settings: Teacher settings.
        provenance: Provenance to store in the label.

    Returns:
        The label, or a rejection with the last raw response if the list could not be ranked.
    """
    tokens = _tokens_of([choice for choice in compared.choices if choice.fresh])
    if compared.failure is not None:
        failed = next((choice for choice in reversed(compared.choices) if not choice.usable), None)
        rejection = Rejection(
            query_id=row.query_id,
            stage="labels",
            reason=compared.failure,
            attempts=len(compared.choices),
            raw=failed.response.raw if failed else None,
        )
        return Outcome(query_id=row.query_id, split=row.split, rejection=rejection, tokens=tokens)
    usage = _tokens_of(compared.choices)
    label = Label(
        query_id=row.query_id,
        query=row.text,
        candidates=_labelled(row, compared, settings),
        answer=_answer(compared, settings),
        confidence=sum(compared.consistent.values()) / len(compared.consistent) if compared.consistent else None,
        provenance=provenance,
        usage=Usage(
            prompt_tokens=usage.prompt,
            completion_tokens=usage.completion,
            seconds=sum(choice.response.seconds for choice in compared.choices),
        ),
    )
    return Outcome(query_id=row.query_id, split=row.split, row=label, tokens=tokens)


def _labelled(
    row: PreRankedList, compared: ComparedList, settings: ComparingTeacherSettings
) -> list[LabelledCandidate]:
    if compared.scores is not None:
        return targets_from_scores(row.as_tuples(), compared.scores)
    order = [*(compared.order or []), *(compared.rest if settings.missing == "append" else [])]
    return tiers_from_order(row.as_tuples(), [row.picked[index].candidate.doc_id for index in order])


def _answer(compared: ComparedList, settings: ComparingTeacherSettings) -> Answer:
    choices = compared.choices
    used = [choice for choice in choices if choice.usable]
    return Answer(
        raw=None if settings.answer == "logprobs" else "\n".join(choice.response.raw or "" for choice in choices),
        parse_status=max((choice.parsed.parse_status for choice in used), key=BY_SEVERITY.index, default="ok"),
        missing=len(compared.rest),
        finish_reason=used[0].response.finish_reason if used else None,
        attempts=len(choices),
        document_tokens=min((choice.response.document_tokens for choice in choices), default=None),
        comparisons=len(choices),
        unusable=len(choices) - len(used),
        first_chosen=sum(choice.parsed.best == 0 for choice in used),
        inconsistent=list(compared.consistent.values()).count(False),
    )


def _tokens_of(choices: Sequence[Choice]) -> TokenCounts:
    return TokenCounts(
        prompt=sum(choice.response.prompt_tokens for choice in choices),
        completion=sum(choice.response.completion_tokens for choice in choices),
    )
