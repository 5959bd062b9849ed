"""The stages of a run, their dependencies and their fingerprints.

collection ─ queries ─┐                          ┌ rationales ┐
     ├────── index ───┴─ candidates ─ labels ────┴─────────┴── students/<name> ─┐
     └─────────┴───── test/candidates ─ test/labels ────────────────────────────┴─ evaluation

Only students that learn from rationales depend on them. vectors/, teacher/ and writer/ are caches, not stages: their
entries are keyed by content and never go stale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.data.rows import SplitName
from actors.settings import (
    ListwiseTeacherSettings,
    LlmRationaleSettings,
    NoRationaleSettings,
    PointwiseTeacherSettings,
    RecordedTeacherSettings,
)
from ranking.collections.log_files import fingerprint_of_log
from ranking.errors import InputError
from ranking.model_paths import OWN, folder_hash, model_path, weights_hash
from ranking.prompts import load_prompt
from ranking.prompts.pair_prompts import YES_NO, load_pair_prompt
from ranking.prompts.rationale_prompts import RATIONALE, load_rationale_prompt
from ranking.runs.stages import Manifest, Stage, fingerprint_of, manifest_of
from ranking.settings import Bm25Settings, DenseSettings, ParquetRetrieverSettings, RunRetrieverSettings
from ranking.storage.folder import Folder
from ranking.storage.sources import fetched
from ray_jobs.common.run import Run
from students.settings import StudentSettings

POST_PROCESSING_SETTINGS = {"max_attempts", "orders", "merge", "missing"}
"""Settings of a listwise teacher that affect how its answers become labels, but not the answers."""

EXECUTION_SETTINGS = {"workers", "min_workers", "max_restarts", "max_tokens_per_microbatch", "activation_checkpointing"}
"""Training settings that change the student only by rounding errors. Training can resume with other values."""


def queries_stage(run: Run) -> Stage:
    """Return the stage that selects the queries to label from the query log."""
    log = run.settings.queries.log
    inputs = [run.collection.fingerprint, *([fingerprint_of(fingerprint_of_log(log))] if log else [])]
    return Stage(run.folder, "queries", run.settings.queries.model_dump(), inputs)


def index_stage(run: Run) -> Stage:
    """Return the stage that indexes the documents for BM25."""
    settings = {"bm25": [part.model_dump() for part in _of_kind(run, Bm25Settings)]}
    return Stage(run.folder, "index", settings, [run.collection.fingerprint])


def candidates_stage(run: Run, split: SplitName = "log") -> Stage:
    """Return the stage that retrieves the candidate lists of a split."""
    inputs = [index_stage(run).fingerprint, *([queries_stage(run).fingerprint] if split == "log" else [])]
    inputs += [
        _content_of(part)
        for part in run.settings.candidates.retrievers
        if isinstance(part, (RunRetrieverSettings, ParquetRetrieverSettings))
    ]
    return Stage(run.folder, _name("candidates", split), run.settings.candidates.model_dump(), inputs)


def labels_stage(run: Run, split: SplitName = "log") -> Stage:
    """Return the stage in which the teacher labels the candidate lists of a split."""
    settings: dict[str, Any] = {"teacher": teacher_identity(run)}
    if split == "log":
        settings["pre_ranker"] = _pre_ranker(run)
        if run.settings.pre_ranker is not None:  # without a pre-ranker, the teacher sees all candidates
            settings["validation_fraction"] = run.settings.training.validation_fraction
    else:
        settings["first_stages"] = run.settings.evaluation.first_stages
    return Stage(run.folder, _name("labels", split), settings, [candidates_stage(run, split).fingerprint])


def audit_stage(run: Run) -> Stage:
    """Return the stage that audits the teacher."""
    teacher = {name: value for name, value in teacher_identity(run).items() if name not in POST_PROCESSING_SETTINGS}
    settings = {"teacher": teacher, "pre_ranker": _pre_ranker(run), "audit": run.settings.audit.model_dump()}
    return Stage(
        run.folder, "audit", settings, [candidates_stage(run).fingerprint, candidates_stage(run, "test").fingerprint]
    )


def rationales_stage(run: Run) -> Stage:
    """Return the stage that writes rationales for the labels."""
    return Stage(run.folder, "rationales", rationales_identity(run), [labels_stage(run).fingerprint])


@dataclass(frozen=True)
class TrainingInput:
    """Labels or rationales that a student is trained on.

    Attributes:
        folder: Folder of the rows.
        fingerprint: Fingerprint of the stage that wrote them.
    """

    folder: Folder
    fingerprint: str


def labels_for_training(run: Run) -> TrainingInput:
    """Return the labels that students are trained on: the run's own, or those of the runs in `training.labels`.

    Raises:
        InputError: If a run in `training.labels` has no finished labels.
    """
    return _own_or_external(run, "labels", labels_stage)


def rationales_for_training(run: Run) -> TrainingInput:
    """Return the rationales of the training labels, for students that learn from rationales.

    Raises:
        InputError: If a run in `training.labels` has no finished rationales, or they explain other labels.
    """
    rationales_input = _own_or_external(run, "rationales", rationales_stage)
    for place in run.settings.training.labels:
        labels, rationales = (manifest_of(Folder(place) / name) for name in ("labels", "rationales"))
        assert labels is not None
        assert rationales is not None
        if rationales.fingerprint != fingerprint_of("rationales", rationales.settings, [labels.fingerprint]):
            uri = (Folder(place) / "rationales").uri
            raise InputError(
                f"setting 'training.labels': {uri} do not belong to the labels beside them; run ray_jobs.rationales"
            )
    return rationales_input


def _own_or_external(run: Run, name: str, stage_of: Callable[[Run], Stage]) -> TrainingInput:
    """Return the run's own stage, or the stage of the same name of the runs in `training.labels`."""
    external = external_labels(run)
    if external is None:
        stage = stage_of(run)
        return TrainingInput(stage.folder, stage.fingerprint)
    manifests = []
    for place in run.settings.training.labels:
        folder = Folder(place) / name
        manifest = manifest_of(folder)
        if manifest is None:
            raise InputError(
                f"setting 'training.labels': no finished {name} in {folder.uri}; give the folder of a run that has them"
            )
        manifests.append(manifest)
    return TrainingInput(external / name, merged_fingerprint(manifests))


def external_labels(run: Run) -> Folder | None:
    """Return the folder with the labels, rationales and candidates of the runs in `training.labels`.

    For several runs, this is the folder that `ray_jobs.training.label_merging` writes. None if students are trained
    on the run's own labels.
    """
    places = run.settings.training.labels
    if not places:
        return None
    return Folder(places[0]) if len(places) == 1 else run.folder / "merged" / fingerprint_of(places)


def merged_fingerprint(manifests: Sequence[Manifest]) -> str:
    """Return the fingerprint of a stage merged from several runs. For a single run, its own fingerprint."""
    if len(manifests) == 1:
        return manifests[0].fingerprint
    return fingerprint_of([manifest.fingerprint for manifest in manifests])


def student_stage(run: Run, student: StudentSettings) -> Stage:
    """Return the stage that trains a student."""
    # labels are identified by their content, not by their location
    training = run.settings.training.model_dump(exclude=EXECUTION_SETTINGS | {"labels"})
    if training["steps"] is None:  # keeps the fingerprints of students trained before this setting existed
        del training["steps"]
    labels = labels_for_training(run).fingerprint
    inputs = [labels, *([rationales_for_training(run).fingerprint] if reads_rationales(run, student) else [])]
    if run.settings.training.labels and labels != _own_labels(run):
        inputs.append(run.collection.fingerprint)  # its test questions are dropped from external labels
    if student.base in OWN:
        inputs.append(weights_hash(student.base))
    settings = {"student": student.model_dump(), "training": training, **_content_of_base(run, student)}
    return Stage(run.folder, f"students/{student.name}", settings, inputs)


def _own_labels(run: Run) -> str | None:
    """Return the fingerprint of the run's own labels; None if the teacher's file is missing.

    Training on the labels of other runs does not need the teacher's file.
    """
    try:
        return labels_stage(run).fingerprint
    except InputError:
        return None


def _content_of_base(run: Run, student: StudentSettings) -> dict[str, Any]:
    """Hash the folder of a base model, because its weights may change under the same path.

    If the folder no longer exists, returns the hash from when the student was trained.
    """
    if Path(student.base).is_dir():
        return {"base": folder_hash(Path(student.base))}
    manifest = manifest_of(run.folder / "students" / student.name)
    trained = manifest.settings if manifest else {}
    return {"base": trained["base"]} if "base" in trained and trained["student"]["base"] == student.base else {}


def reads_rationales(run: Run, student: StudentSettings) -> bool:
    """Return whether a student is trained on the run's rationales."""
    return student.learns_from_rationales and not isinstance(run.settings.rationales, NoRationaleSettings)


def evaluation_stage(run: Run) -> Stage:
    """Return the stage that evaluates the students, the teacher and the baselines on the test queries."""
    settings = {
        "evaluation": run.settings.evaluation.model_dump(),
        "pre_ranker": _pre_ranker(run),
        # latencies and prices depend on these
        "serving": run.settings.serving.model_dump(include={"replicas", "max_replicas"}),
        "engine_hour_price": run.settings.compute.engine_hour_price,
    }
    external = [_content_hash(trec_run.path) for trec_run in run.settings.evaluation.runs]
    external += [fingerprint_of(_inventory_of(model.model)) for model in run.settings.evaluation.models]
    lists = labels_stage(run, "test") if run.settings.evaluation.teacher else candidates_stage(run, "test")
    students = [student_stage(run, student).fingerprint for student in run.settings.students]
    return Stage(run.folder, "evaluation", settings, [lists.fingerprint, *students, *external])


def arm_stage(run: Run, student: StudentSettings) -> Stage:
    """Return the stage that evaluates one arm of an ablation with one seed. `run` has the arm's settings."""
    evaluation = run.settings.evaluation
    settings = {"first_stages": evaluation.first_stages, "measures": evaluation.measures, "split": evaluation.split}
    inputs = [student_stage(run, student).fingerprint, candidates_stage(run, "test").fingerprint]
    return Stage(run.folder, f"ablation/{student.name}", settings, inputs)


def embedding_cache(run: Run) -> Folder:
    """Return the cache of document and query vectors. It has one folder per sentence encoder."""
    return run.folder / "vectors"


def teacher_cache(run: Run) -> Folder:
    """Return the response cache of the teacher. Each model and prompt has its own folder."""
    identity = {name: value for name, value in teacher_identity(run).items() if name not in POST_PROCESSING_SETTINGS}
    return run.folder / "teacher" / fingerprint_of(identity)


def rationales_cache(run: Run) -> Folder:
    """Return the response cache of the rationale writer. Each model and prompt has its own folder."""
    identity = {name: value for name, value in rationales_identity(run).items() if name != "rationales_per_list"}
    return run.folder / "writer" / fingerprint_of(identity)


def teacher_fingerprint(run: Run) -> str:
    """Fingerprint everything that determines the teacher's labels."""
    return fingerprint_of(teacher_identity(run))


def teacher_identity(run: Run) -> dict[str, Any]:
    """Collect what determines the teacher's labels: settings, prompt, and content of a recording or bundled model."""
    settings = run.settings.teacher
    identity = settings.model_dump()
    if isinstance(settings, RecordedTeacherSettings):
        identity["content"] = _content_hash(settings.path)
    if isinstance(settings, ListwiseTeacherSettings):
        identity["prompt"] = load_prompt(settings.prompt_file).hash
        if settings.model in OWN:
            identity["model_files"] = folder_hash(Path(model_path(settings.model)))
    if isinstance(settings, PointwiseTeacherSettings) and settings.form == "yes_no":
        identity["prompt"] = load_pair_prompt(Path(settings.prompt) if settings.prompt else YES_NO).hash
    return identity


def rationales_identity(run: Run) -> dict[str, Any]:
    """Collect what determines the rationales: their settings and the prompt text."""
    settings = run.settings.rationales
    identity = settings.model_dump()
    if isinstance(settings, LlmRationaleSettings):
        identity["prompt"] = load_rationale_prompt(Path(settings.prompt) if settings.prompt else RATIONALE).hash
    return identity


def dense_models(run: Run) -> list[str]:
    """List the sentence encoders of dense retrieval. They encode every document."""
    return list(dict.fromkeys(part.model for part in _of_kind(run, DenseSettings)))


def _pre_ranker(run: Run) -> dict[str, Any] | None:
    return run.settings.pre_ranker.model_dump() if run.settings.pre_ranker else None


def _name(stage: str, split: SplitName) -> str:
    """Return the folder of a stage of a split."""
    return stage if split == "log" else f"test/{stage}"


def _of_kind(run: Run, kind: type[Any]) -> list[Any]:
    return [part for part in run.settings.candidates.retrievers if isinstance(part, kind)]


def _content_of(lists: RunRetrieverSettings | ParquetRetrieverSettings) -> str:
    """Fingerprint imported candidate lists.

    Parquet files may be large, so they are identified by name, size and modification time.
    """
    if isinstance(lists, RunRetrieverSettings):
        return _content_hash(lists.path)
    return fingerprint_of(Folder(lists.path).inventory())


def _inventory_of(model: str) -> list[tuple[str, int, int]]:
    """List name, size and modification time of a model's files; empty for a model of the Hugging Face Hub."""
    if model in OWN:
        return [(weights_hash(model), 0, 0)]
    return Folder(model).inventory() if "://" in model or Path(model).is_dir() else []


def _content_hash(location: str) -> str:
    """Hash a file, given its path or URI."""
    with fetched(location) as path:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
