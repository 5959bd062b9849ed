"""Count the tokens of a teacher's prompts, for cost estimates. Uses the teacher's tokenizer but no engine."""

from __future__ import annotations

from collections.abc import Sequence

from actors.comparing_teacher_settings import ComparingTeacherSettings
from actors.teacher_settings import ListwiseTeacherSettings, PointwiseTeacherSettings, TeacherSettings
from actors.vllm.model_check import check_model
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
    if isinstance(settings, ListwiseTeacherSettings):
        check_model(settings.model, settings.revision, "teacher.model", chat=True)
        return _listwise(settings, lists)
    if isinstance(settings, PointwiseTeacherSettings):
        from actors.teachers.pointwise_teacher import needs_chat_template

        check_model(settings.model, settings.revision, "teacher.model", chat=needs_chat_template(settings))
        return _pointwise(settings, lists)
    if isinstance(settings, ComparingTeacherSettings):
        from actors.teachers.comparison_costs import comparison_costs

        check_model(settings.model, settings.revision, "teacher.model", chat=True)
        return comparison_costs(settings, lists)
    raise InputError("setting 'teacher.kind': a recorded teacher costs nothing; leave out --estimate")


def _listwise(settings: ListwiseTeacherSettings, lists: Sequence[PreRankedList]) -> list[ListCost]:
    from actors.teachers.listwise_requests import window_of
    from actors.vllm.prompt_tokens import PromptFiller

    prompt = load_prompt(settings.prompt_file)
    filler = PromptFiller(
        prompt, settings.model, settings.revision, settings.engine.get("max_model_len"), settings.max_document_tokens
    )
    costs = []
    for row in lists:
        texts = [content(picked.candidate.title, picked.candidate.text) for picked in row.picked]
        window = window_of(settings, prompt.max_documents, len(texts))
        spans = windows(len(texts), window.size, window.stride) if window else [(0, len(texts))]
        filled = [filler.fill(row.text, texts[start:end], "estimate") for start, end in spans]
        costs.append(
            ListCost(
                prompts=len(filled) * settings.orders,
                prompt_tokens=sum(len(one.tokens) for one in filled) * settings.orders,
                answer_tokens=sum(one.answer_tokens for one in filled) * settings.orders,
            )
        )
    return costs


def _pointwise(settings: PointwiseTeacherSettings, lists: Sequence[PreRankedList]) -> list[ListCost]:
    """Count the tokens of each list separately.

    A text that several lists share is counted for each of them, although the model reads it only once.
    """
    from actors.teachers.pointwise_teacher import make_scorer

    scorer = make_scorer(settings)
    costs = []
    for row in lists:
        texts = [content(picked.candidate.title, picked.candidate.text) for picked in row.picked]
        tokens = [len(scorer.tokens(value)[0]) for _, value in scorer.inputs(row.text, texts)]
        costs.append(ListCost(prompts=len(tokens), prompt_tokens=sum(tokens), answer_tokens=0))
    return costs
