"""Settings that several packages read, and the base class of all settings.

A run file (YAML) contains the settings of a run. Each package defines the settings of its own part of the run file;
settings that several packages read are defined here. Unknown keys are errors. `ranking.run_file` loads the settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from ranking.base_settings import NamedRetrieverSettings
from ranking.base_settings import Settings as Settings  # other modules import it from here
from ranking.engine_settings import ENGINE_EXECUTION_SETTINGS, EngineSettings, HttpSearchSettings, SqlSettings
from ranking.languages import ENGLISH, Language
from ranking.model_names import is_local


def _check_revision(revision: str | None, info: ValidationInfo) -> str | None:
    """Reject the revision of a local model. Reads the field `model` or `base`, which must precede the revision."""
    model = info.data.get("model", info.data.get("base"))
    if revision is not None and not revision.strip():
        raise ValueError("must be a branch, tag or commit hash, or null")
    if revision is not None and model is not None and is_local(model):
        raise ValueError(f"must be null for the local model {model!r}")
    return revision


Revision = Annotated[str | None, AfterValidator(_check_revision)]
"""Revision of a model on the Hugging Face Hub. Must be declared after the field `model` or `base`."""

REVISION = "Branch, tag or commit hash of the model on the Hugging Face Hub. Null: its default branch."
"""Description of every setting `revision`."""


def _check_engine(arguments: dict[str, Any]) -> dict[str, Any]:
    """Reject engine arguments that would run code from a model's folder."""
    if arguments.get("trust_remote_code"):
        raise ValueError(
            "trust_remote_code must not be set, because models that bring their own code are not supported"
        )
    return {name: value for name, value in arguments.items() if name != "trust_remote_code"}


EngineArguments = Annotated[dict[str, Any], AfterValidator(_check_engine)]
"""Arguments of a vLLM engine."""


class CollectionSettings(Settings):
    """The documents, the queries to label, and the judged test queries."""

    source: str = Field(
        "pydoc",
        description="`pydoc` (the bundled collection), `beir:`, `trec:` or `parquet:` followed by a folder or URI, or "
        "`ir_datasets:<id>`.",
    )
    use: Literal["both", "label", "test"] = Field(
        "both",
        description="Use of the judged queries. `both`: a collection with a separate test split is tested on it; "
        "otherwise half of the judged queries are test queries and half can be labelled (evaluate without students "
        "tests all). `label`: all can be labelled, there is no test set. `test`: all are test queries.",
    )
    language: Language = Field(
        ENGLISH,
        description="Language of documents and queries, for the stems and stop words of BM25, query selection, Token "
        "Selection and extractive rationales: `english`, another Snowball language such as `german`, `korean`, "
        "`japanese` or `chinese` (each needs the extra of its name), or `none` for words as they are.",
    )


class Bm25Settings(NamedRetrieverSettings):
    """BM25 (Lucene variant of bm25s) with the stop words and the stemmer of `collection.language`."""

    kind: Literal["bm25"] = "bm25"
    k1: float = Field(0.9, gt=0, description="Term frequency saturation.")
    b: float = Field(0.4, ge=0, le=1, description="Length normalisation.")


class DenseSettings(NamedRetrieverSettings):
    """Dense retrieval with a sentence encoder."""

    kind: Literal["dense"] = "dense"
    model: str = Field(
        "minilm", description="`minilm`, or the folder or Hugging Face id of a sentence-transformers model."
    )
    revision: Revision = Field(None, description=REVISION)
    search: Literal["exact", "faiss"] = Field(
        "exact",
        description="`exact`: brute-force search. `faiss`: approximate search with an HNSW graph, for tens of millions "
        "of documents; needs faiss-cpu.",
    )


class RunRetrieverSettings(NamedRetrieverSettings):
    """Another system's rankings of the collection's documents, read from a file."""

    kind: Literal["run"] = "run"
    path: str = Field(
        description="TREC or MS MARCO run file, or RankLLM results (.json or .jsonl), with the collection's ids."
    )

    @property
    def list_name(self) -> str:
        """Name of the candidate list: `name`, or the file name of the rankings without its suffix."""
        return self.name or Path(self.path.removesuffix(".gz")).stem


class ParquetRetrieverSettings(NamedRetrieverSettings):
    """Ready-made candidate lists with the documents' texts, read from parquet. The collection is not searched."""

    kind: Literal["parquet"] = "parquet"
    path: str = Field(
        description="Parquet file or folder, as a path or URI. One row per query with columns query_id, text and "
        "candidates. A candidate has doc_id, text, and optionally title and score. Candidates are ordered best first."
    )


RetrieverSettings = Annotated[
    Bm25Settings | DenseSettings | RunRetrieverSettings | ParquetRetrieverSettings | HttpSearchSettings | SqlSettings,
    Field(discriminator="kind"),
]


def _default_retrievers() -> list[RetrieverSettings]:
    return [Bm25Settings(), DenseSettings()]


class CandidateSettings(Settings):
    """First-stage retrieval: the top `depth` of each retriever, merged by reciprocal rank fusion."""

    retrievers: list[RetrieverSettings] = Field(
        default_factory=_default_retrievers,
        min_length=1,
        description="Retrievers to fuse. A retriever of kind `parquet` must be the only one.",
    )
    depth: int = Field(50, ge=2, description="Candidates per query.")

    @model_validator(mode="after")
    def _check_retrievers(self) -> CandidateSettings:
        names = [retriever.list_name for retriever in self.retrievers]
        if len(set(names)) != len(names):
            raise ValueError(f"retriever names must be unique, but are {', '.join(names)}")
        if len(names) > 1 and any(isinstance(retriever, ParquetRetrieverSettings) for retriever in self.retrievers):
            raise ValueError(f"a retriever of kind parquet must be the only one, but there are {len(names) - 1} more")
        return self

    @property
    def imported_lists(self) -> ParquetRetrieverSettings | None:
        """Settings of the parquet retriever, which reads ready-made lists. None if the run does not use one."""
        first = self.retrievers[0]
        return first if isinstance(first, ParquetRetrieverSettings) else None

    @property
    def engines(self) -> list[EngineSettings]:
        """Settings of the retrievers that ask a search engine."""
        return [retriever for retriever in self.retrievers if isinstance(retriever, EngineSettings)]

    @property
    def needs_documents(self) -> bool:
        """Whether a retriever needs documents of the collection, because it does not return texts itself."""
        engines = self.engines
        return self.imported_lists is None and not (
            len(engines) == len(self.retrievers) and all(engine.returns_texts for engine in engines)
        )

    def identity(self) -> dict[str, Any]:
        """Return the settings that candidate lists depend on."""
        return self.model_dump(exclude={"retrievers": {"__all__": ENGINE_EXECUTION_SETTINGS}})

    def without_engines(self) -> CandidateSettings:
        """Return these settings with only the retrievers that ask no search engine. There may be none left."""
        local = [retriever for retriever in self.retrievers if not isinstance(retriever, EngineSettings)]
        return self.model_copy(update={"retrievers": local})


class PreRankerSettings(Settings):
    """The pre-ranker: a cheap model that selects the candidates shown to the teacher."""

    model: str = Field("minilm", description="Sentence encoder: `minilm`, a folder or a Hugging Face id.")
    revision: Revision = Field(None, description=REVISION)
    top: int = Field(10, ge=1, description="Candidates selected from the top of its ranking.")
    bottom: int = Field(10, ge=0, description="Candidates selected from the bottom of its ranking.")


class AuditSettings(Settings):
    """Audit of a listwise teacher on a sample of lists."""

    lists: int = Field(
        100,
        ge=1,
        description="Lists sampled from the log, and the same number from the test queries if there are judgements.",
    )
    orders: int = Field(
        2, ge=1, description="Prompt orders per list. With 2 or more, the teacher's self-consistency is measured."
    )
    seed: int = Field(13, description="Seed of the sample and of the bootstrap intervals.")


class AblationSettings(Settings):
    """Ablation study: students that differ in one setting, trained on the same labels for the same number of steps."""

    arms: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Setting overrides of each arm, by arm name: keys such as `training.loss`, or "
        "`student.term_control.form` for the run's first student. The first arm is the baseline of the comparisons.",
    )
    seeds: list[int] = Field(
        default_factory=lambda: [13, 14, 15],
        min_length=1,
        description="Training seeds. Every arm is trained once per seed.",
    )
