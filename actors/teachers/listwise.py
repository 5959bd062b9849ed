"""The listwise teacher: a language model in vLLM reads a query's documents in one prompt and writes their order.

Every answer is kept on storage as it came, also one that cannot be used, so an interrupted run asks only
what is left, and a label can be traced to the words behind it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.settings import ComputeSettings, ListwiseTeacherSettings
from actors.sink import LIGHT, TableSink
from actors.streaming import through_light_actor
from actors.teachers.answers import AnswerReader, AnswerWriter
from actors.teachers.engine import processor
from actors.teachers.prompts import PromptWriter
from ranking.encoders import model_path
from ranking.labelling.prompts import LISTWISE, load_prompt
from ranking.labelling.structured import DOCUMENTS
from ranking.records import Provenance
from ranking.storage import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

    from ranking.progress import Progress

_STRUCTURED = "actors.teachers.structured:ListProcessor"
_CARRIED = ("list_id", "number", "attempt", "document_tokens", "max_tokens")


class ListwiseTeacher:
    """Asks for every list, with as many prompt orders as the settings say, again where an answer is unusable.

    tokens: how many prompt tokens the engine has read so far.
    """

    def __init__(self, settings: ListwiseTeacherSettings, compute: ComputeSettings, fingerprint: str, memory: Folder) -> None:
        self.settings = settings
        self.compute = compute
        self.memory = memory
        self.tokens = 0
        self.prompt = load_prompt(Path(settings.prompt) if settings.prompt else LISTWISE)
        self.provenance = Provenance(
            teacher=settings.model,
            revision=settings.revision,
            prompt=self.prompt.hash,
            fingerprint=fingerprint,
            engine="vllm",
            sampling=json.dumps({"temperature": settings.temperature, "structured": settings.structured, "orders": settings.orders}),
            seed=settings.seed,
            targets="tiers",
        )

    def label(self, lists: Dataset, progress: Progress) -> Dataset:
        """Label lists. lists: rows of PickedList. Returns rows of Outcome."""
        shown = lists.materialize()
        for turn in range(1, self.settings.attempts + 1):
            if not self._ask(shown, turn, progress):
                break
        return through_light_actor(shown, AnswerReader, (self.memory, self.settings, self.provenance))

    def _ask(self, lists: Dataset, turn: int, progress: Progress) -> int:
        """Ask for every order that has no usable answer and attempts left; returns how many."""
        prompts = through_light_actor(lists, PromptWriter, (self.memory, self.settings, self.prompt)).materialize()
        total: int = prompts.count()
        if total == 0:
            return 0
        settings = self.settings
        arguments = {**settings.engine, **({"revision": settings.revision} if settings.revision else {})}
        if settings.structured:
            arguments["logits_processors"] = [_STRUCTURED]
        engine = processor(settings.model, "generate", arguments, settings.batch_size, self.compute, _prompt, _same)
        answers = through_light_actor(
            engine(prompts.repartition(max(1, total // settings.batch_size))), AnswerWriter, (model_path(settings.model), settings.revision)
        )
        counts = answers.map_batches(TableSink(self.memory), batch_format="pyarrow", batch_size=None, **LIGHT)
        name = "teacher" if turn == 1 else "asked again"
        with progress.bar(name, total, "prompts") as bar:
            for batch in counts.iter_batches(batch_size=None, batch_format="pyarrow"):
                bar.advance(sum(batch["rows"].to_pylist()))
                self.tokens += sum(batch["prompt_tokens"].to_pylist())
        return total


def _prompt(row: dict[str, Any]) -> dict[str, Any]:
    sampling = {"temperature": row["temperature"], "max_tokens": int(row["max_tokens"])}
    if row["structured"]:
        sampling["extra_args"] = {DOCUMENTS: int(row["documents"])}
    kept = {name: row[name] for name in _CARRIED}
    return {**kept, "tokenized_prompt": list(row["tokenized_prompt"]), "sampling_params": sampling}


def _same(row: dict[str, Any]) -> dict[str, Any]:
    engine = ("generated_tokens", "num_generated_tokens", "num_input_tokens", "time_taken_llm")
    return {name: row[name] for name in (*_CARRIED, *engine)}
