"""The stages of a run and what each depends on: this is where fingerprints come from.

collection ─ queries ─┐                          ┌ rationales ┐
     ├────── index ───┴─ candidates ─ labels ────┴─────────┴── students/<name> ─┐
     └─────────┴───── test/candidates ─ test/labels ────────────────────────────┴─ evaluation

Only students that learn from rationales depend on them. vectors/, teacher/ and writer/ are memories, not stages:
what is in them is named by content and never out of date.
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

MADE_AFTER = {"max_attempts", "orders", "merge", "missing"}
"""Settings of a listwise teacher that change what is made of its answers, and no answer."""

HOW_TRAINED = {"workers", "min_workers", "max_restarts", "max_tokens_per_microbatch", "activation_checkpointing"}
"""Settings of a training that change how it is carried out, and its result by rounding at most: it can go on with others."""


def queries_stage(run: Run) -> Stage:
    log = run.settings.queries.log
    inputs = [run.collection.fingerprint, *([fingerprint_of(fingerprint_of_log(log))] if log else [])]
    return Stage(run.folder, "queries", run.settings.queries.model_dump(), inputs)


def index_stage(run: Run) -> Stage:
    settings = {"bm25": [part.model_dump() for part in _of_kind(run, Bm25Settings)]}
    return Stage(run.folder, "index", settings, [run.collection.fingerprint])


def candidates_stage(run: Run, split: SplitName = "log") -> Stage:
    inputs = [index_stage(run).fingerprint, *([queries_stage(run).fingerprint] if split == "log" else [])]
    inputs += [
        _content_of(part)
        for part in run.settings.candidates.retrievers
        if isinstance(part, (RunRetrieverSettings, ParquetRetrieverSettings))
    ]
    return Stage(run.folder, _name("candidates", split), run.settings.candidates.model_dump(), inputs)


def labels_stage(run: Run, split: SplitName = "log") -> Stage:
    settings: dict[str, Any] = {"teacher": teacher_identity(run)}
    if split == "log":
        settings["pre_ranker"] = _pre_ranker(run)
        if run.settings.pre_ranker is not None:  # without one, the teacher sees every list whole
            settings["validation_fraction"] = run.settings.training.validation_fraction
    else:
        settings["first_stages"] = run.settings.evaluation.first_stages
    return Stage(run.folder, _name("labels", split), settings, [candidates_stage(run, split).fingerprint])


def audit_stage(run: Run) -> Stage:
    asked = {name: value for name, value in teacher_identity(run).items() if name not in MADE_AFTER}
    settings = {"teacher": asked, "pre_ranker": _pre_ranker(run), "audit": run.settings.audit.model_dump()}
    return Stage(
        run.folder, "audit", settings, [candidates_stage(run).fingerprint, candidates_stage(run, "test").fingerprint]
    )


def rationales_stage(run: Run) -> Stage:
    return Stage(run.folder, "rationales", rationales_identity(run), [labels_stage(run).fingerprint])


@dataclass(frozen=True)
class TrainingInput:
    """A folder of labels or rationales that a student learns from, and their fingerprint."""

    folder: Folder
    fingerprint: str


def labels_to_learn(run: Run) -> TrainingInput:
    """The labels that students learn from: the run's own, or another's. Raises InputError where those are not finished."""
    return _own_or_other(run, "labels", labels_stage)


def rationales_to_learn(run: Run) -> TrainingInput:
    """The rationales beside them, for students that learn from rationales. Raises InputError where another run's are not of its labels."""
    learned = _own_or_other(run, "rationales", rationales_stage)
    for place in run.settings.training.labels:
        labels, rationales = (manifest_of(Folder(place) / name) for name in ("labels", "rationales"))
        assert labels is not None
        assert rationales is not None
        if rationales.fingerprint != fingerprint_of("rationales", rationales.settings, [labels.fingerprint]):
            uri = (Folder(place) / "rationales").uri
            raise InputError(
                f"setting 'training.labels': {uri} are of other labels than those beside them; write them anew"
            )
    return learned


def _own_or_other(run: Run, name: str, stage_of: Callable[[Run], Stage]) -> TrainingInput:
    other = other_labels(run)
    if other is None:
        stage = stage_of(run)
        return TrainingInput(stage.folder, stage.fingerprint)
    manifests = []
    for place in run.settings.training.labels:
        folder = Folder(place) / name
        manifest = manifest_of(folder)
        if manifest is None:
            raise InputError(
                f"setting 'training.labels': no finished {name} are in {folder.uri}; the folder of a run that has them is needed"
            )
        manifests.append(manifest)
    return TrainingInput(other / name, merged_fingerprint(manifests))


def other_labels(run: Run) -> Folder | None:
    """The folder whose labels, rationales and candidates are learned from instead of the run's own; None for the run's own.

    For several runs, the folder that `ray_jobs.training.label_merging` fills.
    """
    places = run.settings.training.labels
    if not places:
        return None
    return Folder(places[0]) if len(places) == 1 else run.folder / "merged" / fingerprint_of(places)


def merged_fingerprint(manifests: Sequence[Manifest]) -> str:
    """The fingerprint of several runs' rows of one stage; of one run its own."""
    return manifests[0].fingerprint if len(manifests) == 1 else fingerprint_of([one.fingerprint for one in manifests])


def student_stage(run: Run, student: StudentSettings) -> Stage:
    training = run.settings.training.model_dump(
        exclude=HOW_TRAINED | {"labels"}
    )  # where labels lie does not count, but which they are
    if training["steps"] is None:  # students of before there was such a setting stay what they are
        del training["steps"]
    learned = labels_to_learn(run).fingerprint
    inputs = [learned, *([rationales_to_learn(run).fingerprint] if reads_rationales(run, student) else [])]
    if run.settings.training.labels and learned != _own_labels(run):
        inputs.append(run.collection.fingerprint)  # its test questions are left out of other labels than its own
    if student.base in OWN:
        inputs.append(weights_hash(student.base))
    settings = {"student": student.model_dump(), "training": training, **_content_of_base(run, student)}
    return Stage(run.folder, f"students/{student.name}", settings, inputs)


def _own_labels(run: Run) -> str | None:
    """The fingerprint of the run's own labels; None if the teacher's file is missing, which labels of other runs do not need."""
    try:
        return labels_stage(run).fingerprint
    except InputError:
        return None


def _content_of_base(run: Run, student: StudentSettings) -> dict[str, Any]:
    """What a base's folder holds, which may be other weights tomorrow; where it is gone, what it held when the student was trained."""
    if Path(student.base).is_dir():
        return {"base": folder_hash(Path(student.base))}
    manifest = manifest_of(run.folder / "students" / student.name)
    held = manifest.settings if manifest else {}
    return {"base": held["base"]} if "base" in held and held["student"]["base"] == student.base else {}


def reads_rationales(run: Run, student: StudentSettings) -> bool:
    """Whether a student is trained on the run's rationales."""
    return student.learns_from_rationales and not isinstance(run.settings.rationales, NoRationaleSettings)


def evaluation_stage(run: Run) -> Stage:
    settings = {
        "evaluation": run.settings.evaluation.model_dump(),
        "pre_ranker": _pre_ranker(run),
        # of these depend the times and the prices in it
        "serving": run.settings.serving.model_dump(include={"replicas", "max_replicas"}),
        "engine_hour_price": run.settings.compute.engine_hour_price,
    }
    others = [_content_hash(other.path) for other in run.settings.evaluation.runs]
    others += [fingerprint_of(_inventory_of(model.model)) for model in run.settings.evaluation.models]
    lists = labels_stage(run, "test") if run.settings.evaluation.teacher else candidates_stage(run, "test")
    students = [student_stage(run, student).fingerprint for student in run.settings.students]
    return Stage(run.folder, "evaluation", settings, [lists.fingerprint, *students, *others])


def arm_stage(run: Run, student: StudentSettings) -> Stage:
    """One trained arm of an ablation on the test queries. run: with the arm's settings."""
    evaluation = run.settings.evaluation
    settings = {"first_stages": evaluation.first_stages, "measures": evaluation.measures, "split": evaluation.split}
    inputs = [student_stage(run, student).fingerprint, candidates_stage(run, "test").fingerprint]
    return Stage(run.folder, f"ablation/{student.name}", settings, inputs)


def embedding_cache(run: Run) -> Folder:
    """Where the vectors of documents and queries are kept, a folder for each sentence encoder."""
    return run.folder / "vectors"


def teacher_cache(run: Run) -> Folder:
    """Where the teacher keeps what it need not compute twice, apart for each model."""
    asked = {name: value for name, value in teacher_identity(run).items() if name not in MADE_AFTER}
    return run.folder / "teacher" / fingerprint_of(asked)


def rationales_cache(run: Run) -> Folder:
    """Where the writer of rationales keeps what it need not be asked twice, apart for each model and prompt."""
    asked = {name: value for name, value in rationales_identity(run).items() if name != "rationales_per_list"}
    return run.folder / "writer" / fingerprint_of(asked)


def teacher_fingerprint(run: Run) -> str:
    """Name what makes the teacher's answers."""
    return fingerprint_of(teacher_identity(run))


def teacher_identity(run: Run) -> dict[str, Any]:
    """What makes the teacher's answers: its settings, the words of its prompt, the content of a recorded run or an own model."""
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
    """What makes the rationales: their settings and the words of the prompt."""
    settings = run.settings.rationales
    identity = settings.model_dump()
    if isinstance(settings, LlmRationaleSettings):
        identity["prompt"] = load_rationale_prompt(Path(settings.prompt) if settings.prompt else RATIONALE).hash
    return identity


def dense_models(run: Run) -> list[str]:
    """The sentence encoders of dense retrieval, which read every document."""
    return list(dict.fromkeys(part.model for part in _of_kind(run, DenseSettings)))


def _pre_ranker(run: Run) -> dict[str, Any] | None:
    return run.settings.pre_ranker.model_dump() if run.settings.pre_ranker else None


def _name(stage: str, split: SplitName) -> str:
    return stage if split == "log" else f"test/{stage}"


def _of_kind(run: Run, kind: type[Any]) -> list[Any]:
    return [part for part in run.settings.candidates.retrievers if isinstance(part, kind)]


def _content_of(lists: RunRetrieverSettings | ParquetRetrieverSettings) -> str:
    """Name what imported lists hold; parquet may be large, so its files are told apart by name, size and time."""
    if isinstance(lists, RunRetrieverSettings):
        return _content_hash(lists.path)
    return fingerprint_of(Folder(lists.path).inventory())


def _inventory_of(model: str) -> list[tuple[str, int, int]]:
    """Name, size and time of a model's files; none for one of a hub, which its name tells."""
    if model in OWN:
        return [(weights_hash(model), 0, 0)]
    return Folder(model).inventory() if "://" in model or Path(model).is_dir() else []


def _content_hash(place: str) -> str:
    with fetched(place) as path:
        try:
            return hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
