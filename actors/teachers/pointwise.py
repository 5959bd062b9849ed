"""The pointwise teacher: a model in vLLM scores a query and a document at a time, in one of three forms."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from actors.data.rows import Outcome, PreRankedList, rejected
from actors.retrieval.embeddings import text_id_of
from actors.settings import ComputeSettings, PointwiseTeacherSettings
from actors.vllm.engine import Task, VllmEngine
from actors.vllm.engine_actor import EngineActor, through_teachers
from actors.vllm.model_check import check_model
from actors.vllm.pooling_cache import PooledOutput, PoolingCache, PromptTokens
from ranking.labels.targets import targets_from_scores
from ranking.model_paths import model_path
from ranking.prompts import control_tokens
from ranking.prompts.pair_prompts import YES_NO, load_pair_prompt
from ranking.records import Answer, Label, Provenance, Usage, content
from ranking.records import TokenCounts as TokenCount
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

    from ranking.prompts.pair_prompts import PairPrompt

_YES_NO = {"classifier_from_token": ["no", "yes"], "method": "from_2_way_softmax", "num_labels": 1}


class PointwiseTeacher:
    """Scores every candidate, and lists all of them in the order of their scores."""

    def __init__(
        self, settings: PointwiseTeacherSettings, compute: ComputeSettings, fingerprint: str, memory: Folder
    ) -> None:
        check_model(settings.model, settings.revision, "teacher.model", chat=settings.form == "yes_no")
        self.settings = settings
        self.compute = compute
        self.memory = memory
        self.provenance = Provenance(
            teacher=settings.model,
            revision=settings.revision,
            prompt=_pair_prompt(settings).hash if settings.form == "yes_no" else None,
            fingerprint=fingerprint,
            engine="vllm",
            sampling=settings.form,
            targets="scores",
        )

    @property
    def actor(self) -> tuple[type[EngineActor], tuple[Any, ...]]:
        """The class that runs its engine, and what that is made with."""
        return PointwiseActor, (self.settings, self.compute, self.memory, self.provenance)

    def label(self, lists: Dataset) -> Dataset:
        """Label lists. lists: rows of PreRankedList. Returns rows of Outcome."""
        return through_teachers(lists, *self.actor, self.compute)


class PointwiseActor(EngineActor):
    """Ray Data actor: lists to outcomes, by an engine of its own."""

    def __init__(
        self, settings: PointwiseTeacherSettings, compute: ComputeSettings, memory: Folder, provenance: Provenance
    ) -> None:
        super().__init__(settings.model, compute, memory)
        self.provenance = provenance
        self.scorer = make_scorer(settings)
        arguments = settings.engine | self.scorer.engine_arguments
        engine = VllmEngine(
            settings.model, settings.revision, self.scorer.task, arguments, compute.teacher_gpus, self.deaths
        )
        self.memory = PoolingCache(memory, engine.pool)

    async def outcome(self, row: PreRankedList) -> Outcome:
        texts = [content(picked.candidate.title, picked.candidate.text) for picked in row.picked]
        prompts = self.scorer.prompts(row.text, texts)
        found = await asyncio.gather(
            *(self.memory.get(text_id_of(name), lambda held=held: self.scorer.tokens(held)) for name, held in prompts),  # type: ignore[misc]
            return_exceptions=True,
        )
        pooled = [one for one in found if isinstance(one, PooledOutput)]
        fresh = TokenCount(prompt=sum(one.tokens for one in pooled if one.fresh))
        if len(pooled) < len(prompts):
            first = next(error for error in found if not isinstance(error, PooledOutput))
            if not isinstance(first, ValueError):
                raise first
            outcome = rejected(row, f"no score for {len(prompts) - len(pooled)} of {len(prompts)} texts; {first}")
            return outcome.model_copy(update={"tokens": fresh})
        scores = self.scorer.scores([one.vector for one in pooled])
        label = Label(
            query_id=row.query_id,
            query=row.text,
            candidates=targets_from_scores(row.as_tuples(), scores),
            answer=Answer(),
            provenance=self.provenance,
            usage=Usage(prompt_tokens=sum(one.tokens for one in pooled)),
        )
        return Outcome(query_id=row.query_id, split=row.split, row=label.model_dump_json(), tokens=fresh)

    async def settle(self) -> None:
        await self.memory.write()


class PointwiseForm(Protocol):
    """A form of pointwise teacher: what the engine is given, and how what it pools becomes scores."""

    task: Task
    engine_arguments: dict[str, Any]

    def __init__(self, settings: PointwiseTeacherSettings) -> None: ...

    def prompts(self, query: str, texts: Sequence[str]) -> list[tuple[str, Any]]:
        """What has to be pooled for a list: a name by its content, and what `tokens` takes."""

    def tokens(self, held: Any) -> PromptTokens:
        """Make the prompt."""

    def scores(self, vectors: Sequence[np.ndarray]) -> list[float]:
        """Scores of the texts, from what was pooled for `prompts`, in that order."""


class Embeddings:
    """The cosine of the embeddings of query and document; each distinct text is embedded once."""

    task: Task = "embed"
    engine_arguments: dict[str, Any] = {}

    def __init__(self, settings: PointwiseTeacherSettings) -> None:
        self.tokenizer = _tokenizer(settings)
        self.most = settings.max_tokens

    def prompts(self, query: str, texts: Sequence[str]) -> list[tuple[str, Any]]:
        return [(text, text) for text in (query, *texts)]

    def tokens(self, held: str) -> PromptTokens:
        return self.tokenizer(held, truncation=True, max_length=self.most)["input_ids"], None

    def scores(self, vectors: Sequence[np.ndarray]) -> list[float]:
        matrix = np.stack(vectors)
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
        scores: list[float] = (matrix[1:] @ matrix[0]).tolist()
        return scores


class CrossEncoder:
    """The logit of a sequence classifier with one label that reads query and document together."""

    task: Task = "classify"
    engine_arguments: dict[str, Any] = {}

    def __init__(self, settings: PointwiseTeacherSettings) -> None:
        self.tokenizer = _tokenizer(settings)
        self.most = settings.max_tokens

    def prompts(self, query: str, texts: Sequence[str]) -> list[tuple[str, Any]]:
        return [(json.dumps([query, text], ensure_ascii=False), (query, text)) for text in texts]

    def tokens(self, held: tuple[str, str]) -> PromptTokens:
        coded = self.tokenizer(*held, truncation="longest_first", max_length=self.most)
        types = coded.get("token_type_ids") or []
        return coded["input_ids"], types.index(1) if 1 in types else None

    def scores(self, vectors: Sequence[np.ndarray]) -> list[float]:
        return [float(vector[0]) for vector in vectors]


class YesNo(CrossEncoder):
    """The logit of yes less that of no, where a generating model would write next: Qwen3-Reranker's form."""

    def __init__(self, settings: PointwiseTeacherSettings) -> None:
        from transformers import AutoConfig

        super().__init__(settings)
        self.prompt = _pair_prompt(settings)
        self.special = control_tokens(self.tokenizer)
        config = AutoConfig.from_pretrained(model_path(settings.model), revision=settings.revision)
        classes = [name.replace("ForCausalLM", "ForSequenceClassification") for name in config.architectures or ()]
        self.engine_arguments = {"hf_overrides": {**_YES_NO, "architectures": classes}}

    def tokens(self, held: tuple[str, str]) -> PromptTokens:
        query, text = held
        coded = self.tokenizer(
            text, add_special_tokens=False, truncation=True, max_length=self.most, return_offsets_mapping=True
        )
        end = coded["offset_mapping"][-1][1] if coded["input_ids"] else 0
        messages = self.prompt.messages(query, text[:end], self.special)
        filled = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, enable_thinking=False
        )
        return self.tokenizer.encode(filled, add_special_tokens=False), None


_FORMS: dict[str, type[PointwiseForm]] = {"embed": Embeddings, "score": CrossEncoder, "yes_no": YesNo}


def make_scorer(settings: PointwiseTeacherSettings) -> PointwiseForm:
    """Make the scorer of the form that the settings name."""
    return _FORMS[settings.form](settings)


def _tokenizer(settings: PointwiseTeacherSettings) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_path(settings.model), revision=settings.revision)


def _pair_prompt(settings: PointwiseTeacherSettings) -> PairPrompt:
    return load_pair_prompt(Path(settings.prompt) if settings.prompt else YES_NO)
