"""Count the tokens of a generator's prompts, for cost estimates. Uses the model's tokenizer but no engine."""

from __future__ import annotations

from collections.abc import Sequence

from actors.generators.generator_settings import LlmGenerationSettings
from actors.generators.query_requests import ChatFiller, TokenFiller
from ranking.hosted_settings import is_hosted
from ranking.labels.cost_estimate import ListCost
from ranking.records import SourcePassage


def costs_of(settings: LlmGenerationSettings, passages: Sequence[SourcePassage], language: str) -> list[ListCost]:
    """Count the prompt tokens of each document, and the maximum tokens of the answer.

    Args:
        settings: Settings of the generator.
        passages: The documents.
        language: Language of the collection.
    """
    if is_hosted(settings):
        chat = ChatFiller(settings, language)
        counts = [chat.fill(passage)[0].tokens for passage in passages]
    else:
        tokens = TokenFiller(settings, language)
        counts = [len(tokens.fill(passage)[0]) for passage in passages]
    return [ListCost(prompts=1, prompt_tokens=count, answer_tokens=settings.max_tokens) for count in counts]
