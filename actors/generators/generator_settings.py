"""Settings of the generators of queries, one class per kind, and of queries with a generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from actors.vllm.engine_dtype import engine_with_dtype
from ranking.collections.lines import read_lines
from ranking.errors import InputError
from ranking.generation.generation_settings import GenerationSettings, RecordedGenerationSettings
from ranking.generative_model_settings import GenerativeModelSettings
from ranking.prompts.generation_prompts import GENERATE
from ranking.selection.selection_settings import QuerySettings
from ranking.storage.sources import fetched


class LlmGenerationSettings(GenerativeModelSettings, GenerationSettings):
    """A language model that writes queries. In vLLM, it runs on the teacher's resources, before the teacher."""

    kind: Literal["llm"] = "llm"
    structured: bool = Field(
        True,
        description="In vLLM, constrain decoding to the JSON form of the answer. For a hosted model, see "
        "`hosted.structured`.",
    )
    examples: list[str] = Field(
        default_factory=list,
        max_length=50,
        description="Example queries, whose style the model imitates. Empty: a mix of questions, problem descriptions "
        "and keyword queries.",
    )
    examples_file: str | None = Field(
        None, description="Text file with further example queries, one per line, as a path or URI."
    )
    temperature: float = Field(0.7, ge=0, description="Sampling temperature; 0 is greedy decoding.")
    max_tokens: int = Field(400, ge=16, description="Maximum tokens per answer. A truncated answer is unusable.")
    max_document_tokens: int = Field(
        500, ge=8, description="Maximum tokens per document; fewer if the prompt would exceed the model's context."
    )
    prompt: str | None = Field(
        None,
        description="Prompt file with the parts system, opening, mixed, imitated, document, closing. Null: the "
        "built-in prompt.",
    )

    @model_validator(mode="after")
    def _apply_manifest(self) -> LlmGenerationSettings:
        self.engine = engine_with_dtype(self.model, self.engine)
        return self

    @property
    def prompt_file(self) -> Path:
        """Path of the prompt."""
        return Path(self.prompt) if self.prompt else GENERATE

    def all_examples(self) -> list[str]:
        """Return the example queries, including those of the file.

        Raises:
            InputError: The file is missing, has no queries or too many.
        """
        if self.examples_file is None:
            return self.examples
        with fetched(self.examples_file) as path:
            read = [text.strip() for _, text in read_lines(path)]
        if not read or len(read) > _MAX_EXAMPLES:
            raise InputError(
                f"setting 'queries.generate.examples_file': {self.examples_file}: {len(read):,} queries; write 1 to "
                f"{_MAX_EXAMPLES}, one per line"
            )
        return [*self.examples, *read]


_MAX_EXAMPLES = 50

GeneratorSettings = Annotated[LlmGenerationSettings | RecordedGenerationSettings, Field(discriminator="kind")]


class GeneratedOrLoggedQuerySettings(QuerySettings):
    """The query log, or the generator of queries for teams without a log, and the selection of queries to label."""

    generate: GeneratorSettings | None = Field(
        None, description="Generates queries from documents, which replace the query log. Null: none."
    )

    @model_validator(mode="after")
    def _check_source(self) -> GeneratedOrLoggedQuerySettings:
        if self.generate is not None and self.log is not None:
            raise ValueError("generate replaces the query log; remove queries.log or queries.generate")
        return self
