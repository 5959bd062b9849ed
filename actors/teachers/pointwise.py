"""The pointwise teacher: embeddings from vLLM's pooling, through ray.data.llm.

Every distinct text is embedded once and its vector kept on storage, so a query's twenty documents cost
nothing where another query had them, and an interrupted run embeds only what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from actors.rows import ERROR, Outcome, PickedList, records, table_of
from actors.settings import ComputeSettings, PointwiseTeacherSettings
from actors.sink import LIGHT, TableSink
from actors.streaming import through_light_actor
from actors.teachers.engine import processor
from actors.vectors import VectorTable, as_lists, text_id_of
from ranking.encoders import model_path
from ranking.labelling.targets import targets_from_scores
from ranking.records import Answer, Label, Provenance, Rejection, Usage, content
from ranking.storage import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

    from ranking.progress import Progress


class PointwiseTeacher:
    """Scores a pair by the cosine of the embeddings of query and document; every candidate is listed.

    tokens: how many tokens the engine has read so far, each distinct text once. A label's own usage counts
    all of its texts, also those whose vector was there already.
    """

    def __init__(self, settings: PointwiseTeacherSettings, compute: ComputeSettings, fingerprint: str, memory: Folder) -> None:
        self.settings = settings
        self.compute = compute
        self.memory = memory
        self.tokens = 0
        self.provenance = Provenance(teacher=settings.model, fingerprint=fingerprint, engine="vllm", sampling="embed", targets="scores")

    def label(self, lists: Dataset, progress: Progress) -> Dataset:
        """Label lists. lists: rows of PickedList. Returns rows of Outcome."""
        shown = lists.materialize()
        self._embed(shown, progress)
        return through_light_actor(shown, ScoreByVectors, (self.memory, self.provenance))

    def _embed(self, lists: Dataset, progress: Progress) -> None:
        """Embed every distinct text of the lists that the memory lacks."""
        arguments = (self.memory, model_path(self.settings.model), self.settings.max_tokens)
        texts = through_light_actor(lists, NewTexts, arguments).materialize()
        total = texts.count()
        if total == 0:
            return
        embedded = self._processor()(texts.repartition(max(1, total // self.settings.batch_size)))
        counts = embedded.map_batches(_vectors, batch_format="pyarrow", **LIGHT).map_batches(
            TableSink(self.memory), batch_format="pyarrow", batch_size=None, **LIGHT
        )
        with progress.bar("teacher", total, "texts") as bar:
            for batch in counts.iter_batches(batch_size=None, batch_format="pyarrow"):
                bar.advance(sum(batch["rows"].to_pylist()))
                self.tokens += sum(batch["prompt_tokens"].to_pylist())

    def _processor(self) -> Any:
        settings = self.settings
        return processor(settings.model, "embed", settings.engine, settings.batch_size, self.compute, _prompt, _embedding)


class NewTexts:
    """Ray Data actor, one only: lists to their distinct texts, cut to the teacher's tokens, that the memory lacks."""

    def __init__(self, memory: Folder, model: str, max_tokens: int) -> None:
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.max_tokens = max_tokens
        self.seen = set(memory.read_column("text_id"))

    def __call__(self, batch: pa.Table) -> pa.Table:
        new: dict[str, str] = {}
        for row in records(batch, PickedList):
            for text in (row.text, *(content(c.candidate.title, c.candidate.text) for c in row.picked)):
                text_id = text_id_of(text)
                if text_id not in self.seen:
                    self.seen.add(text_id)
                    new[text_id] = text
        tokens = self.tokenizer(list(new.values()), truncation=True, max_length=self.max_tokens)["input_ids"] if new else []
        return pa.table({"text_id": pa.array(list(new), pa.string()), "tokenized_prompt": pa.array(tokens, pa.list_(pa.int64()))})


class ScoreByVectors:
    """Ray Data actor: lists to labels, by the vectors in the memory."""

    def __init__(self, memory: Folder, provenance: Provenance) -> None:
        self.table = VectorTable(memory)
        self.tokens = dict(zip(self.table.ids, memory.read_column("prompt_tokens"), strict=True))
        self.provenance = provenance

    def __call__(self, batch: pa.Table) -> pa.Table:
        return table_of([self._outcome(row) for row in records(batch, PickedList)], Outcome)

    def _outcome(self, row: PickedList) -> Outcome:
        texts = [row.text, *(content(c.candidate.title, c.candidate.text) for c in row.picked)]
        ids = [text_id_of(text) for text in texts]
        lacking = [text for text, text_id in zip(texts, ids, strict=True) if text_id not in self.table]
        if lacking:
            reason = f"vLLM gave no embedding for {len(lacking)} of {len(texts)} texts, the first of them {lacking[0][:80]!r}"
            return Outcome(
                query_id=row.query_id, split=row.split, rejection=Rejection(query_id=row.query_id, stage="labels", reason=reason)
            )
        vectors = np.stack([self.table[text_id] for text_id in ids])
        scores = (vectors[1:] @ vectors[0]).tolist()
        label = Label(
            query_id=row.query_id,
            query=row.text,
            candidates=targets_from_scores(row.as_tuples(), scores),
            answer=Answer(),
            provenance=self.provenance,
            usage=Usage(prompt_tokens=sum(self.tokens[text_id] for text_id in ids)),
        )
        return Outcome(query_id=row.query_id, split=row.split, row=label.model_dump_json())


def _prompt(row: dict[str, Any]) -> dict[str, Any]:
    return {"text_id": row["text_id"], "tokenized_prompt": list(row["tokenized_prompt"]), "pooling_params": {}}


def _embedding(row: dict[str, Any]) -> dict[str, Any]:
    return {"text_id": row["text_id"], "embedding": row["embeddings"], "prompt_tokens": row["num_input_tokens"]}


def _vectors(batch: pa.Table) -> pa.Table:
    """Keep the rows that have an embedding, as unit vectors; a row with an error has none."""
    kept = [row for row in batch.to_pylist() if not row.get(ERROR)]
    if not kept:
        return pa.table({"text_id": pa.array([], pa.string()), "prompt_tokens": pa.array([], pa.int64())})
    vectors = np.stack([np.asarray(row["embedding"], dtype=np.float32).reshape(-1) for row in kept])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return pa.table(
        {
            "text_id": pa.array([row["text_id"] for row in kept], pa.string()),
            "prompt_tokens": pa.array([row["prompt_tokens"] for row in kept], pa.int64()),
            "vector": as_lists(vectors),
        }
    )
