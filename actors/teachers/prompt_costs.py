"""Count the tokens of a teacher's prompts, for cost estimates. Uses the teacher's tokenizer but no engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actors.teachers.comparing.comparing_settings import ComparingTeacherSettings
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings
from actors.teachers.teacher_models import check_teacher_model
from actors.teachers.teacher_settings import TeacherSettings
from ranking.errors import InputError
from ranking.labels.cost_estimate import ListCost
from ranking.labels.windows import windows
from ranking.prompts import load_prompt
from ranking.records import PreRankedList, content


def costs_of(settings: TeacherSettings, lists: Sequence[PreRankedList]) -> list[ListCost]:
    """Count the prompts and tokens that labelling each candidate list takes.

    Args:
        settings: Teacher settings.
        lists: The candidate lists.

    Returns:
        Costs in the order of `lists`.

    Raises:
        InputError: The teacher is a recorded one, which costs nothing, or its model is missing or malformed.
    """
    check_teacher_model(settings)
    if isinstance(settings, ListwiseTeacherSettings):
        return _listwise(settings, lists)
    if isinstance(settings, PointwiseTeacherSettings):
        return _pointwise(settings, lists)
    if isinstance(settings, ComparingTeacherSettings):
        from actors.teachers.comparing.comparison_costs import comparison_costs

        return comparison_costs(settings, lists)
    raise InputError("setting 'teacher.kind': a recorded teacher costs nothing; leave out --estimate")


def _listwise(settings: ListwiseTeacherSettings, lists: Sequence[PreRankedList]) -> list[ListCost]:
    from actors.teachers.listwise.listwise_requests import window_of

    prompt = load_prompt(settings.prompt_file)
    filled_tokens = _filled_tokens(settings)
    costs = []
    for row in lists:
        texts = [content(picked.candidate.title, picked.candidate.text) for picked in row.picked]
        window = window_of(settings, prompt.max_documents, len(texts))
        spans = windows(len(texts), window.size, window.stride) if window else [(0, len(texts))]
        filled = [filled_tokens(row.text, texts[start:end]) for start, end in spans]
        costs.append(
            ListCost(
                prompts=len(filled) * settings.orders,
                prompt_tokens=sum(prompt_tokens for prompt_tokens, _ in filled) * settings.orders,
                answer_tokens=sum(answer_tokens for _, answer_tokens in filled) * settings.orders,
            )
        )
    return costs


def _filled_tokens(settings: ListwiseTeacherSettings) -> Callable[[str, Sequence[str]], tuple[int, int]]:
    """Return a function that fills a prompt and returns its tokens and the tokens reserved for the answer."""
    from actors.hosted.message_filler import message_filler
    from actors.teachers.listwise.listwise_requests import prompt_filler

    if settings.hosted is not None:
        messages = message_filler(settings)

        def count_messages(query: str, texts: Sequence[str]) -> tuple[int, int]:
            filled = messages.fill(query, texts, "estimate")
            return filled.request.tokens, filled.answer_tokens

        return count_messages
    filler = prompt_filler(settings)

    def count(query: str, texts: Sequence[str]) -> tuple[int, int]:
        filled = filler.fill(query, texts, "estimate")
        return len(filled.tokens), filled.answer_tokens

    return count


def _pointwise(settings: PointwiseTeacherSettings, lists: Sequence[PreRankedList]) -> list[ListCost]:
    """Count the tokens of each list separately.

    A text that several lists share is counted for each of them, although the model reads it only once.
    """
    from actors.teachers.pointwise.pointwise_teacher import make_scorer

    scorer = make_scorer(settings)
    costs = []
    for row in lists:
        texts = [content(picked.candidate.title, picked.candidate.text) for picked in row.picked]
        tokens = [len(scorer.tokens(value)[0]) for _, value in scorer.inputs(row.text, texts)]
        costs.append(ListCost(prompts=len(tokens), prompt_tokens=sum(tokens), answer_tokens=0))
    return costs
