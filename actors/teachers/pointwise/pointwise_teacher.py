"""The pointwise teacher: a model in vLLM that scores one query-document pair at a time.

It has four forms: cosine similarity of embeddings, a cross-encoder, the logits of "yes" and "no", or the
log-probability of the query given the document.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from actors.compute_settings import ComputeSettings
from actors.data.rows import Outcome, rejection_outcome
from actors.retrieval.embeddings import text_id_of
from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings
from actors.teachers.teacher_models import YES_NO_WORDS, check_teacher_model, input_limit
from actors.vllm.chat import MIN_DOCUMENT_TOKENS
from actors.vllm.engine import Task, VllmEngine
from actors.vllm.engine_actor import EngineActor, through_teachers
from actors.vllm.pooling_cache import PooledOutput, PoolingCache, PromptTokens
from ranking.labels.targets import targets_from_scores, with_passages
from ranking.model_paths import model_path
from ranking.prompts import control_tokens
from ranking.prompts.pair_prompts import load_pair_prompt
from ranking.records import Answer, Label, PreRankedList, Provenance, TokenCounts, Usage, content
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset


class PointwiseTeacher:
    """Teacher that scores every candidate of a list, and ranks all of them by score.

    Args:
        settings: Teacher settings.
        compute: Compute settings.
        fingerprint: Hash of all inputs that determine the scores.
        cache: Folder of the cache of embeddings or scores.

    Raises:
        InputError: The model or the prompt file is missing or malformed.
    """

    def __init__(
        self, settings: PointwiseTeacherSettings, compute: ComputeSettings, fingerprint: str, cache: Folder
    ) -> None:
        check_teacher_model(settings)
        self.settings = settings
        self.compute = compute
        self.cache = cache
        self.provenance = Provenance(
            teacher=settings.model,
            revision=settings.revision,
            prompt=settings.prompt_hash,
            fingerprint=fingerprint,
            engine="vllm",
            sampling=settings.form,
            targets="scores",
        )

    @property
    def actor(self) -> tuple[type[EngineActor], tuple[Any, ...]]:
        """Actor class that runs the engine, and its constructor arguments."""
        return PointwiseActor, (self.settings, self.compute, self.cache, self.provenance)

    def label(self, lists: Dataset) -> Dataset:
        """Label each candidate list. Maps rows of PreRankedList to rows of Outcome[Label]."""
        return through_teachers(lists, *self.actor, self.compute)


class PointwiseActor(EngineActor):
    """Ray Data actor that labels candidate lists with its own scoring model."""

    def __init__(
        self, settings: PointwiseTeacherSettings, compute: ComputeSettings, cache: Folder, provenance: Provenance
    ) -> None:
        super().__init__(settings.model, compute, cache)
        self.provenance = provenance
        self.scorer = make_scorer(settings)
        arguments = settings.engine | self.scorer.engine_arguments
        engine = VllmEngine(
            settings.model, settings.revision, self.scorer.task, arguments, compute.teacher_gpus, self.crash_log
        )
        self.cache = PoolingCache(cache, engine.log_likelihood if self.scorer.task == "generate" else engine.pool)

    async def outcome(self, row: PreRankedList) -> Outcome[Label]:
        """Label one list, which has at least one candidate. Reject it if the engine rejects any of its texts."""
        texts = [content(picked.candidate.title, picked.candidate.text) for picked in row.picked]
        inputs = self.scorer.inputs(row.text, texts)
        results = await asyncio.gather(
            *(
                self.cache.get(text_id_of(key), lambda value=value: self.scorer.tokens(value))  # type: ignore[misc]
                for key, value in inputs
            ),
            return_exceptions=True,
        )
        pooled = [result for result in results if isinstance(result, PooledOutput)]
        fresh = TokenCounts(prompt=sum(output.tokens for output in pooled if output.fresh))
        if len(pooled) < len(inputs):
            first = next(result for result in results if not isinstance(result, PooledOutput))
            if not isinstance(first, ValueError):
                raise first
            missing = len(inputs) - len(pooled)
            outcome = rejection_outcome(row, f"scores are missing for {missing} of {len(inputs)} texts: {first}")
            return outcome.model_copy(update={"tokens": fresh})
        scores = self.scorer.scores([output.vector for output in pooled])
        label = Label(
            query_id=row.query_id,
            query=row.text,
            candidates=with_passages(targets_from_scores(row.as_tuples(), scores), row.passages),
            answer=Answer(),
            provenance=self.provenance,
            usage=Usage(prompt_tokens=sum(output.tokens for output in pooled)),
        )
        return Outcome(query_id=row.query_id, split=row.split, row=label, tokens=fresh)

    async def flush(self) -> None:
        """Write new outputs to storage."""
        await self.cache.write()


class PointwiseForm(Protocol):
    """Interface of the forms of pointwise teacher.

    A form makes the model inputs for a list, and computes scores from the model's outputs (embeddings or logits).

    Attributes:
        task: Task of the engine, `embed` or `classify`, or `generate` for the log-likelihood of the end of a prompt.
        engine_arguments: Engine arguments of vLLM that the form needs.
    """

    task: Task
    engine_arguments: dict[str, Any]

    def __init__(self, settings: PointwiseTeacherSettings) -> None:
        """Load the tokenizer and prompt."""

    def inputs(self, query: str, texts: Sequence[str]) -> list[tuple[str, Any]]:
        """Make the model inputs of a list. Returns pairs (cache key, value); `tokens` takes the value."""

    def tokens(self, value: Any) -> PromptTokens:
        """Tokenize one input."""

    def scores(self, vectors: Sequence[np.ndarray]) -> list[float]:
        """Compute one score per text from the model's outputs, which are in the order of `inputs`."""


class Embeddings:
    """Form `embed`: cosine similarity of the embeddings of query and document. Each distinct text is embedded once."""

    task: Task = "embed"
    engine_arguments: dict[str, Any] = {}

    def __init__(self, settings: PointwiseTeacherSettings) -> None:
        self.tokenizer = _tokenizer(settings)
        self.max_tokens = min(settings.max_tokens, input_limit(settings, self.tokenizer))

    def inputs(self, query: str, texts: Sequence[str]) -> list[tuple[str, Any]]:
        """Return the query, followed by the texts."""
        return [(text, text) for text in (query, *texts)]

    def tokens(self, value: str) -> PromptTokens:
        """Tokenize a text, truncated to `max_tokens`. Special tokens in the text are tokenized as plain text."""
        encoding = self.tokenizer(value, truncation=True, max_length=self.max_tokens, split_special_tokens=True)
        return encoding["input_ids"], None

    def scores(self, vectors: Sequence[np.ndarray]) -> list[float]:
        """Compute the cosine similarity of the first vector, which is the query's, with each of the others."""
        matrix = np.stack(vectors)
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        scores: list[float] = (matrix[1:] @ matrix[0]).tolist()
        return scores


class CrossEncoder:
    """Form `score`: logit of a sequence classifier with one label that reads query and document together."""

    task: Task = "classify"
    engine_arguments: dict[str, Any] = {}

    def __init__(self, settings: PointwiseTeacherSettings) -> None:
        self.tokenizer = _tokenizer(settings)
        self.max_tokens = min(settings.max_tokens, input_limit(settings, self.tokenizer))

    def inputs(self, query: str, texts: Sequence[str]) -> list[tuple[str, Any]]:
        """Return the query-document pairs."""
        return [(json.dumps([query, text], ensure_ascii=False), (query, text)) for text in texts]

    def tokens(self, value: tuple[str, str]) -> PromptTokens:
        """Tokenize a pair. If it exceeds `max_tokens`, the longer text is truncated first.

        Special tokens in the texts, such as [SEP], are tokenized as plain text: the author of a document does not
        choose where a document ends.
        """
        encoding = self.tokenizer(
            *value, truncation="longest_first", max_length=self.max_tokens, split_special_tokens=True
        )
        types = encoding.get("token_type_ids") or []
        return encoding["input_ids"], types.index(1) if 1 in types else None

    def scores(self, vectors: Sequence[np.ndarray]) -> list[float]:
        """Return the logits."""
        return [float(vector[0]) for vector in vectors]


class YesNo(CrossEncoder):
    """Form `yes_no`: logit of `yes` minus logit of `no` as a generative model's next token, as in Qwen3-Reranker."""

    def __init__(self, settings: PointwiseTeacherSettings) -> None:
        super().__init__(settings)
        self.context = input_limit(settings, self.tokenizer)
        self.prompt = load_pair_prompt(settings.prompt_file)
        self.special = control_tokens(self.tokenizer)
        self.engine_arguments = {"hf_overrides": classifier_overrides(settings, YES_NO_WORDS, "from_2_way_softmax")}

    def tokens(self, value: tuple[str, str]) -> PromptTokens:
        """Fill and tokenize the prompt.

        The document is truncated to `max_tokens`, and further until the prompt fits the model's context. It keeps at
        least eight tokens, and vLLM rejects a prompt that is then still too long.
        """
        query, text = value
        limit = self.max_tokens
        tokens = self._filled(query, text, limit)
        while len(tokens) > self.context and limit > MIN_DOCUMENT_TOKENS:
            limit = max(MIN_DOCUMENT_TOKENS, limit - max(1, len(tokens) - self.context))
            tokens = self._filled(query, text, limit)
        return tokens, None

    def _filled(self, query: str, text: str, max_tokens: int) -> list[int]:
        encoding = self.tokenizer(
            text, add_special_tokens=False, truncation=True, max_length=max_tokens, return_offsets_mapping=True
        )
        end = encoding["offset_mapping"][-1][1] if encoding["input_ids"] else 0
        messages = self.prompt.messages(query, text[:end], self.special)
        filled = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, enable_thinking=False
        )
        return list(self.tokenizer.encode(filled, add_special_tokens=False))


_FORMS: dict[str, type[PointwiseForm]] = {"embed": Embeddings, "score": CrossEncoder, "yes_no": YesNo}


def make_scorer(settings: PointwiseTeacherSettings) -> PointwiseForm:
    """Create the form that `settings.form` names."""
    if settings.form == "query_likelihood":
        from actors.teachers.pointwise.query_likelihood import QueryLikelihood

        return QueryLikelihood(settings)
    if settings.has_published_prompt:
        from actors.teachers.pointwise.published_prompt_form import PublishedYesNo

        return PublishedYesNo(settings)
    return _FORMS[settings.form](settings)


def classifier_overrides(settings: PointwiseTeacherSettings, tokens: Sequence[str], method: str) -> dict[str, Any]:
    """Return changes to a generative model's configuration that make vLLM load it as a classifier with one label.

    Args:
        settings: Teacher settings.
        tokens: Answers whose rows of the output layer make the classifier.
        method: How vLLM combines them: `from_2_way_softmax` is the second minus the first, `no_post_processing` is a
            single one unchanged.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model_path(settings.model), revision=settings.revision, trust_remote_code=False)
    classes = [name.replace("ForCausalLM", "ForSequenceClassification") for name in config.architectures or ()]
    return {"architectures": classes, "classifier_from_token": list(tokens), "method": method, "num_labels": 1}


def _tokenizer(settings: PointwiseTeacherSettings) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(
        model_path(settings.model), revision=settings.revision, trust_remote_code=False
    )
