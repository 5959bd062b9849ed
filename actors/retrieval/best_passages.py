"""Choose the best passage of each candidate with a sentence encoder, so that teacher and student read the same one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from actors.data.rows import records, table_of
from actors.retrieval.embeddings import TextVectors
from ranking.model_paths import model_path
from ranking.passage_settings import PassageSettings
from ranking.records import Candidate, PassageSpan, PreRankedCandidate, PreRankedList, content
from ranking.storage.folder import Folder
from students.passage_splitting import BestPassage, best_passages, split_documents


class PassageEncoder:
    """Scores passages of candidates by the cosine similarity of query and passage.

    Args:
        vectors: Embeddings of texts.
        settings: Size and number of the passages, in tokens of the encoder.
    """

    def __init__(self, vectors: TextVectors, settings: PassageSettings) -> None:
        self.vectors, self.settings = vectors, settings
        self.tokenizer = encoder_tokenizer(vectors.model, vectors.revision)

    def best(self, query: str, candidates: Sequence[Candidate]) -> list[BestPassage]:
        """Return the best passage of each candidate, in candidate order."""
        if not candidates:
            return []
        split = split_documents(self.tokenizer, [(content(c.title, ""), c.text) for c in candidates], self.settings)
        vectors = self.vectors.of([query, *split.texts])
        return best_passages((vectors[1:] @ vectors[0]).tolist(), split.spans)


class PassageSelector:
    """Ray Data actor that replaces the text of each candidate by its best passage. Maps `PreRankedList` rows.

    For lists that no pre-ranker orders; `PreRanker` selects passages itself.

    Args:
        cache: Folder of the embedding cache.
        model: Name or path of the sentence encoder.
        revision: Revision of the model on the Hugging Face Hub.
        settings: Size and number of the passages.
    """

    def __init__(self, cache: Folder, model: str, revision: str | None, settings: PassageSettings) -> None:
        self.encoder = PassageEncoder(TextVectors(cache, model, revision), settings)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Select the best passage of each candidate."""
        lists = []
        for row in records(batch, PreRankedList):
            best = self.encoder.best(row.text, [picked.candidate for picked in row.picked])
            picked = [with_passage(one, passage) for one, passage in zip(row.picked, best, strict=True)]
            lists.append(row.model_copy(update={"picked": picked}))
        return table_of(lists, PreRankedList)


class PassageSplitter:
    """Ray Data actor that splits documents. Maps rows {title, text} to rows {text, shortened}, one per passage.

    `shortened` is 1 in the first row of a document whose text continues behind its last passage, else 0.

    Args:
        model: Name or path of the sentence encoder that reads the passages.
        revision: Revision of the model on the Hugging Face Hub.
        settings: Size and number of the passages.
    """

    def __init__(self, model: str, revision: str | None, settings: PassageSettings) -> None:
        self.tokenizer, self.settings = encoder_tokenizer(model, revision), settings

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Split the documents of a batch."""
        texts: list[str] = []
        shortened: list[int] = []
        for row in batch.to_pylist():
            split = split_documents(self.tokenizer, [(content(row["title"], ""), row["text"])], self.settings)
            texts += split.texts
            shortened += [split.shortened, *([0] * (len(split.texts) - 1))]
        return pa.table({"text": pa.array(texts, pa.string()), "shortened": pa.array(shortened, pa.int64())})


def with_passage(picked: PreRankedCandidate, best: BestPassage) -> PreRankedCandidate:
    """Return a selected candidate with a passage of its document as text, and the place of the passage."""
    start, end = best.span
    candidate = picked.candidate.model_copy(update={"text": picked.candidate.text[start:end]})
    return picked.model_copy(update={"candidate": candidate, "passage": PassageSpan(start=start, end=end)})


def encoder_tokenizer(model: str, revision: str | None) -> Any:
    """Load the tokenizer of a sentence encoder."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_path(model), revision=revision, trust_remote_code=False)
