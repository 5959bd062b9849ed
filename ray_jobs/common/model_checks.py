"""Check, at the start of a job, the models of the stages that it will run. A finished stage needs no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from actors.generators.generator_settings import LlmGenerationSettings
from actors.rationales.rationale_settings import LlmRationaleSettings
from ranking.evaluation.judge_settings import LlmJudgeSettings
from ranking.hosted_settings import is_hosted
from ranking.runs.stages import Stage
from ray_jobs.common.run import Run
from students.student_settings import StudentSettings

Part = Literal[
    "generated",
    "candidates",
    "test/candidates",
    "labels",
    "test/labels",
    "audit",
    "rationales",
    "students",
    "evaluation",
]
"""Stages that load models."""


def check(run: Run, parts: Sequence[Part]) -> None:
    """Check the models of the stages that are not finished with these settings. Does not start Ray.

    Raises:
        InputError: A model is missing, incomplete, needs its own code, or does not fit its role.
    """
    parts = [part for part in parts if part == "students" or _stage(run, part).finished() is None]
    if {"candidates", "test/candidates"} & set(parts):
        for model, revision in run.plan.dense_models:
            check_encoder(run, model, revision, "candidates.retrievers: model")
    generator = run.settings.queries.generate
    if "generated" in parts and isinstance(generator, LlmGenerationSettings) and not is_hosted(generator):
        from actors.generators.vllm_generator import check_generator_model

        check_generator_model(generator)
    if {"labels", "audit", "evaluation"} & set(parts) and run.settings.pre_ranker is not None:
        settings = run.settings.pre_ranker
        check_encoder(run, settings.model, settings.revision, "pre_ranker.model")
    if {"labels", "test/labels", "audit"} & set(parts):
        from actors.teachers.teacher_models import check_teacher_model

        check_teacher_model(run.settings.teacher)
    writer = run.settings.rationales
    if "rationales" in parts and isinstance(writer, LlmRationaleSettings) and not is_hosted(writer):
        from actors.rationales.llm_writer import check_writer_model

        check_writer_model(writer)
    if "students" in parts:
        for student in _untrained(run):
            check_student_base(student)
    if "evaluation" in parts:
        _check_evaluation_models(run)


def check_encoder(run: Run, model: str, revision: str | None, setting: str) -> None:
    """Check a sentence encoder, for the library that `compute.encoder` names.

    Raises:
        InputError: It is missing, incomplete, needs its own code, or is not a sentence encoder.
    """
    from students.model_check import check_sentence_encoder, check_vllm_model

    if run.settings.compute.encoder == "vllm":
        check_vllm_model(model, revision, setting, "embed")
    else:
        check_sentence_encoder(model, revision, setting)


def check_student_base(student: StudentSettings) -> None:
    """Check the base of a student.

    Raises:
        InputError: It is missing, incomplete, needs its own code, or does not suit the student.
    """
    from ranking.model_paths import model_path
    from students.bases import check_base

    check_base(model_path(student.base), student)


def _check_evaluation_models(run: Run) -> None:
    """Check the judge, and `evaluation.models` except those at a URI, which the workers check when they copy them."""
    from ranking.model_paths import model_path
    from students.model_check import checked_model

    for named in run.settings.evaluation.models:
        if "://" not in named.model:
            where = f"setting 'evaluation.models', {named.name!r}: model {named.model!r}"
            checked_model(model_path(named.model), named.revision, where, "score")
    judge = run.settings.evaluation.judge
    if isinstance(judge, LlmJudgeSettings):
        from actors.judges import check_judge_of

        check_judge_of(judge)


def _stage(run: Run, part: Part) -> Stage:
    """Return the stage of a part, other than the students."""
    plan = run.plan
    stages = {
        "generated": lambda: plan.generation.answers,
        "candidates": lambda: plan.candidates,
        "test/candidates": lambda: plan.test_candidates,
        "labels": lambda: plan.labels,
        "test/labels": lambda: plan.test_labels,
        "audit": lambda: plan.audit,
        "rationales": lambda: plan.rationales,
        "evaluation": lambda: plan.evaluation,
    }
    return stages[part]()


def _untrained(run: Run) -> Iterator[StudentSettings]:
    """Yield the students that are not trained with these settings."""
    for student in run.settings.students:
        if run.plan.student(student).finished() is None:
            yield student
