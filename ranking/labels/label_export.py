"""Convert labels to the training data formats of other libraries.

- `sentence_transformers`: `{"query", "docs", "labels"}`, the labeled-list format of CrossEncoder losses such as
  LambdaLoss and ListNetLoss, documents in the teacher's order.
- `flag_embedding`: `{"query", "pos", "neg"}`, FlagEmbedding's format for rerankers. `pos_scores` and `neg_scores`, for
  its knowledge distillation, are added if the labels have scores.
- `ms_swift`: `{"messages", "positive_messages", "negative_messages"}`, ms-swift's format for rerankers.
- `rank_llm`: `{"query": {"qid", "text"}, "candidates": [{"docid", "score", "doc"}]}`, RankLLM's requests and results,
  documents in the teacher's order.

Documents that the teacher was not shown are in no format, because they are not negatives.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ranking.errors import InputError
from ranking.labels.export_settings import ExportSettings, Format
from ranking.labels.relevance import relevance
from ranking.records import Label, LabelledCandidate, content

Candidates = list[LabelledCandidate]
_ESCAPED = str.maketrans({character: f"\\u{ord(character):04x}" for character in "\x85\u2028\u2029"})
"""Line separators that JSON allows in strings, but at which some readers split lines."""


@dataclass
class LabelExport:
    """Converts labels to lines of a file, and counts them.

    Attributes:
        settings: Settings of the export.
        written: Number of converted labels.
        skipped: Number of labels that the format cannot represent: in the binary formats those without a positive or
            a negative, in the others those in which the teacher prefers no document to another.
    """

    settings: ExportSettings
    written: int = 0
    skipped: int = 0

    def lines(self, labels: Iterable[Label], as_array: bool) -> Iterator[str]:
        """Yield the lines of a file with one JSON object per label.

        Args:
            labels: The labels.
            as_array: Whether the file is a JSON array instead of JSON lines.

        Raises:
            InputError: No label can be converted, or the settings do not suit the labels.
        """
        if as_array:
            yield "["
        for row in self._rows(labels):
            separator = "," if as_array and self.written > 1 else ""
            yield separator + json.dumps(row, ensure_ascii=False).translate(_ESCAPED)
        if not self.written:
            raise InputError(f"setting 'export': none of the {self.skipped:,} labels can be exported; {self._advice()}")
        if as_array:
            yield "]"

    def _rows(self, labels: Iterable[Label]) -> Iterator[dict[str, Any]]:
        for label in labels:
            row = FORMATS[self.settings.format](label, self.settings)
            if row is None:
                self.skipped += 1
            else:
                self.written += 1
                yield row

    def _advice(self) -> str:
        if self.settings.format in ("flag_embedding", "ms_swift"):
            return "none has a positive and a negative; change export.max_positive_rank and export.min_negative_rank"
        return "none prefers one document to another"


def split_by_relevance(label: Label, settings: ExportSettings) -> tuple[Candidates, Candidates]:
    """Return the positives of a label in the teacher's order, and its negatives in the pre-ranker's order.

    Without thresholds, `relevance` decides. With `min_positive_score`, a document is relevant if its score is at least
    that. A relevant document below `max_positive_rank` is neither positive nor negative, unless its rank is at least
    `min_negative_rank`.

    Raises:
        InputError: The settings have thresholds for scores, and the label has tiers.
    """
    _check_scores(label, settings)
    positives: Candidates = []
    negatives: Candidates = []
    for candidate, is_relevant in zip(label.candidates, _relevant(label, settings), strict=True):
        if candidate.tier == "unseen":
            continue
        position = candidate.position or 0
        if is_relevant and position <= (settings.max_positive_rank or position):
            positives.append(candidate)
        elif _is_negative(candidate, is_relevant, settings):
            negatives.append(candidate)
    positives.sort(key=lambda candidate: candidate.position or 0)
    negatives.sort(key=lambda candidate: candidate.pre_rank)
    return positives, negatives[: settings.max_negatives]


def _relevant(label: Label, settings: ExportSettings) -> list[bool]:
    """Return for each candidate whether it is relevant."""
    minimum = settings.min_positive_score
    if minimum is None:
        return relevance(label)
    return [candidate.position is not None and candidate.target >= minimum for candidate in label.candidates]


def _is_negative(candidate: LabelledCandidate, is_relevant: bool, settings: ExportSettings) -> bool:
    """Return whether a seen candidate that is no positive is a negative."""
    if settings.max_negative_score is not None and candidate.target > settings.max_negative_score:
        return False
    if candidate.position is None:
        return candidate.tier in settings.negative_tiers
    if is_relevant:
        return settings.min_negative_rank is not None and candidate.position >= settings.min_negative_rank
    return True


def _check_scores(label: Label, settings: ExportSettings) -> None:
    """Raise InputError if the settings have thresholds for scores and the label has tiers."""
    for name in ("min_positive_score", "max_negative_score"):
        if getattr(settings, name) is not None and label.provenance.targets == "tiers":
            raise InputError(
                f"setting 'export.{name}': the labels have tiers, not scores; use export.max_positive_rank and "
                "export.min_negative_rank"
            )


def _in_teacher_order(label: Label) -> Candidates:
    """Return the seen candidates, best first; empty if the teacher prefers none of them to another."""
    seen = [candidate for candidate in label.candidates if candidate.tier != "unseen"]
    if len({candidate.target for candidate in seen}) < 2:
        return []
    return sorted(seen, key=lambda candidate: (-candidate.target, candidate.position or 0, candidate.pre_rank))


def _labelled_list(label: Label, settings: ExportSettings) -> dict[str, Any] | None:
    ordered = _in_teacher_order(label)
    if not ordered:
        return None
    targets = [candidate.target for candidate in ordered]
    if settings.scale == "unit":
        targets = [(target - targets[-1]) / (targets[0] - targets[-1]) for target in targets]
    return {"query": label.query, "docs": _texts(ordered), "labels": targets}


def _flag_embedding(label: Label, settings: ExportSettings) -> dict[str, Any] | None:
    positives, negatives = split_by_relevance(label, settings)
    if not positives or not negatives:
        return None
    row: dict[str, Any] = {"query": label.query, "pos": _texts(positives), "neg": _texts(negatives)}
    if label.provenance.targets == "scores":
        row["pos_scores"] = [candidate.target for candidate in positives]
        row["neg_scores"] = [candidate.target for candidate in negatives]
    return row


def _ms_swift(label: Label, settings: ExportSettings) -> dict[str, Any] | None:
    positives, negatives = split_by_relevance(label, settings)
    if not positives or not negatives:
        return None
    return {
        "messages": [{"role": "user", "content": label.query}],
        "positive_messages": [[{"role": "assistant", "content": text}] for text in _texts(positives)],
        "negative_messages": [[{"role": "assistant", "content": text}] for text in _texts(negatives)],
    }


def _rank_llm(label: Label, settings: ExportSettings) -> dict[str, Any] | None:
    ordered = _in_teacher_order(label)
    if not ordered:
        return None
    has_scores = label.provenance.targets == "scores"
    return {
        "query": {"text": label.query, "qid": label.query_id},
        "candidates": [
            {
                "docid": candidate.doc_id,
                "score": candidate.target if has_scores else float(len(ordered) - place),
                "doc": {"title": candidate.title, "text": candidate.text},
            }
            for place, candidate in enumerate(ordered)
        ],
    }


def _texts(candidates: Candidates) -> list[str]:
    return [content(candidate.title, candidate.text) for candidate in candidates]


FORMATS: dict[Format, Callable[[Label, ExportSettings], dict[str, Any] | None]] = {
    "sentence_transformers": _labelled_list,
    "flag_embedding": _flag_embedding,
    "ms_swift": _ms_swift,
    "rank_llm": _rank_llm,
}
"""{format: function that converts a label, or returns None if the format cannot represent it}."""
