"""Judges: language models that grade query-passage pairs of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from actors.compute_settings import ComputeSettings
from ranking.evaluation.judge_settings import LlmJudgeSettings
from ranking.hosted_settings import is_hosted
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset


class Judge(Protocol):
    """Interface of the judges that ask a model."""

    def grade(self, pairs: Dataset) -> Dataset:
        """Grade pairs. Maps rows of PairToGrade to rows of PairGrade, at most one per pair."""


def make_judge(settings: LlmJudgeSettings, compute: ComputeSettings, cache: Folder) -> Judge:
    """Make the judge that the settings describe.

    Args:
        settings: Judge settings.
        compute: Compute settings.
        cache: Folder of the response cache.

    Raises:
        InputError: The variable with the API key of a hosted model is not set.
    """
    # import only the class in use: a hosted judge does not need vLLM
    if is_hosted(settings):
        from actors.judges.hosted_judge import HostedJudge

        return HostedJudge(settings, cache)
    from actors.judges.llm_judge import LlmJudge

    return LlmJudge(settings, compute, cache)


def check_judge_of(settings: LlmJudgeSettings) -> None:
    """Check the judge's prompt, and its model or API key, before anything is computed.

    Raises:
        InputError: One of them is missing or malformed.
    """
    if is_hosted(settings):
        from actors.judges.hosted_judge import check_hosted_judge

        return check_hosted_judge(settings)
    from actors.judges.llm_judge import check_judge_model

    return check_judge_model(settings)
