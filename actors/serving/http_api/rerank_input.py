"""Check a request for a ranking, and extract what is scored and returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import HTTPException

from actors.serving.http_api.ignored_fields import check_undeclared
from actors.serving.http_api.rankings import Ranked
from actors.serving.http_api.request_documents import readable
from actors.serving.http_api.schemas import FirstStage, RankingOptions
from actors.serving.http_api.text_limits import check_count, check_texts
from actors.serving.scoring.tokenizing import TextsToTokenize
from actors.serving.serving_settings import LimitSettings


@dataclass(frozen=True)
class RerankInput:
    """What a request asks to score and to return.

    Attributes:
        texts: Query and documents.
        first_stage: First-stage ranking to blend with, if any.
        ignored: Names of the fields that had no effect.
        with_texts: Whether to return the texts of the documents.
        raw_scores: Whether to return raw scores instead of their sigmoid.
    """

    texts: TextsToTokenize
    first_stage: FirstStage | None
    ignored: list[str]
    with_texts: bool
    raw_scores: bool

    def make_ranked(self, order: Sequence[int], scores: Sequence[float]) -> Ranked:
        """Return the ranking as the request wants it returned.

        Args:
            order: Indices of the documents, best first.
            scores: Raw score of each document.
        """
        return Ranked(order, scores, self.texts.documents if self.with_texts else None, self.raw_scores)


def read_input(request: RankingOptions, limits: LimitSettings, blend: bool, passages: bool) -> RerankInput:
    """Check a request, and extract what is scored and returned.

    Args:
        request: The request.
        limits: Limits of a request.
        blend: Whether the service blends scores with those of the first stage.
        passages: Whether a served version reads passages.

    Raises:
        HTTPException: Status 422 if a field is refused, or documents have no text, are too many or too long.
    """
    check_count(len(request.candidates), request.field, limits)
    ignored = check_undeclared(request.undeclared)
    if request.max_chunks_per_doc is not None and not passages:
        ignored.append("max_chunks_per_doc")
    query = readable(request.query)
    try:
        documents, first_stage = request.texts_to_score(), request.first_stage_ranking()
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    check_texts(query, documents, request.field, limits)
    texts = TextsToTokenize(
        query,
        documents,
        request.max_tokens_per_doc,
        request.truncate is not False,
        request.field,
        request.max_chunks_per_doc,
        request.title_lengths() if passages else None,
    )
    return RerankInput(
        texts, first_stage if blend else None, ignored, request.with_texts, raw_scores=request.raw_scores is True
    )
