"""Identify all that determines a stage's results besides its settings: prompts, models and recorded rankings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actors.generators.generator_settings import GeneratorSettings, LlmGenerationSettings
from actors.rationales.rationale_settings import LlmRationaleSettings, RationaleSettings
from actors.teachers.comparing.comparing_settings import ComparingTeacherSettings
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings
from actors.teachers.recorded.recorded_settings import RecordedTeacherSettings
from actors.teachers.teacher_settings import TeacherSettings
from ranking.errors import InputError
from ranking.evaluation.judge_settings import JudgeSettings, RecordedJudgeSettings
from ranking.file_hash import sha256_of
from ranking.generation.generation_settings import GenerationSettings
from ranking.hosted_settings import identity_with_backend, is_hosted
from ranking.model_paths import PROJECT_MODELS, folder_hash, model_path, weights_hash
from ranking.prompts import load_prompt
from ranking.prompts.choice_prompts import load_choice_prompt
from ranking.prompts.generation_prompts import load_generation_prompt
from ranking.prompts.pair_prompts import load_pair_prompt
from ranking.prompts.rationale_prompts import RATIONALE, load_rationale_prompt
from ranking.runs.stages import fingerprint_of
from ranking.settings import ParquetRetrieverSettings, RunRetrieverSettings
from ranking.storage.folder import Folder
from ranking.storage.sources import fetched


def teacher_identity(settings: TeacherSettings) -> dict[str, Any]:
    """Collect all that determines the teacher's labels: its settings, prompt, and recorded file or bundled weights."""
    identity = settings.model_dump(exclude={"preset"})
    if isinstance(settings, RecordedTeacherSettings):
        identity["content"] = content_hash(settings.location)
    if isinstance(settings, ListwiseTeacherSettings):
        identity = identity_with_backend(identity, settings)
        identity["prompt"] = load_prompt(settings.prompt_file).hash
        if settings.model in PROJECT_MODELS and not is_hosted(settings):
            identity["model_files"] = folder_hash(Path(model_path(settings.model)))
    if isinstance(settings, ComparingTeacherSettings):
        identity["prompt"] = load_choice_prompt(settings.prompt_file).hash
    if isinstance(settings, PointwiseTeacherSettings) and settings.prompt_hash is not None:
        identity["prompt"] = settings.prompt_hash
    return identity


def rationales_identity(settings: RationaleSettings) -> dict[str, Any]:
    """Collect all that determines the rationales: their settings and the text of the prompt."""
    identity = settings.model_dump()
    if isinstance(settings, LlmRationaleSettings):
        identity = identity_with_backend(identity, settings)
        identity["prompt"] = load_rationale_prompt(Path(settings.prompt) if settings.prompt else RATIONALE).hash
    return identity


def judge_identity(settings: JudgeSettings) -> dict[str, Any]:
    """Collect all that determines the judge's answers: its model, engine or host, and prompt, or its recorded file."""
    if isinstance(settings, RecordedJudgeSettings):
        return {"kind": settings.kind, "model": settings.model, "content": content_hash(settings.path)}
    identity = settings.model_dump(
        include={"kind", "model", "revision", "engine", "structured", "max_tokens", "max_document_tokens"}
    )
    identity = identity_with_backend(identity, settings)
    identity["prompt"] = load_pair_prompt(settings.prompt_file).hash
    if not is_hosted(settings) and model_inventory(settings.model):
        identity["model_files"] = fingerprint_of(model_inventory(settings.model))
    return identity


def generator_identity(settings: GeneratorSettings, language: str) -> dict[str, Any]:
    """Collect all that determines the answers of a generator of queries, or its recorded file.

    Args:
        settings: Settings of the generator.
        language: Language of the collection, which the prompt names.
    """
    if not isinstance(settings, LlmGenerationSettings):
        return {"kind": settings.kind, "generator": settings.generator, "content": content_hash(settings.path)}
    own = set(LlmGenerationSettings.model_fields) - set(GenerationSettings.model_fields) - {"examples_file"}
    identity = identity_with_backend(settings.model_dump(include=own | {"kind"}), settings)
    identity |= {"examples": settings.all_examples(), "language": language}
    identity["prompt"] = load_generation_prompt(settings.prompt_file).hash
    if not is_hosted(settings) and model_inventory(settings.model):
        identity["model_files"] = fingerprint_of(model_inventory(settings.model))
    return identity


def lists_hash(lists: RunRetrieverSettings | ParquetRetrieverSettings) -> str:
    """Fingerprint imported candidate lists.

    Parquet files may be large, so they are identified by name, size and modification time.
    """
    if isinstance(lists, RunRetrieverSettings):
        return content_hash(lists.path)
    return fingerprint_of(Folder(lists.path).inventory())


def model_inventory(model: str) -> list[tuple[str, int, int]]:
    """List the name, size and modification time of each file of a model; empty for a model on the Hugging Face Hub."""
    if model in PROJECT_MODELS:
        return [(weights_hash(model), 0, 0)]
    return Folder(model).inventory() if "://" in model or Path(model).is_dir() else []


def content_hash(location: str) -> str:
    """Hash a file, given its path or URI. An unchanged file is read only once per process."""
    with fetched(location) as path:
        try:
            return sha256_of(path)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
