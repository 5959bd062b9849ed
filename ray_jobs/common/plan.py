"""The stages of a run, their dependencies and their fingerprints.

collection ─ queries ─┐                          ┌ rationales ┐
     ├────── index ───┴─ candidates ─ labels ────┴─────────┴── students/<name> ─┐
     └─────────┴───── test/candidates ─ test/labels ────────────────────────────┴─ evaluation

With `queries.generate`, the queries of the collection come from the stages in `ray_jobs.common.generation_plan`.
Only students that learn from rationales depend on them. A student that is distilled from another student depends on it,
and is trained on its scores of the labels, scores/<name>/. clicks/ depends on the records of the service; students
depend on it with `training.clicks`. vectors/, teacher/, writer/ and judge/ are caches, not stages: their entries are
keyed by content and never go stale.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from actors.rationales.rationale_settings import NoRationaleSettings
from ranking.ab_test.exposure_records import EXPOSURES, FEEDBACK, SERVING
from ranking.collections.collection import Collection
from ranking.collections.log_files import fingerprint_of_log
from ranking.errors import InputError
from ranking.evaluation.results import SCHEMA_VERSION
from ranking.languages import ENGLISH
from ranking.model_paths import PROJECT_MODELS, weights_hash
from ranking.records import SplitName
from ranking.runs.stages import Stage, fingerprint_of, manifest_of
from ranking.settings import Bm25Settings, DenseSettings, ParquetRetrieverSettings, RunRetrieverSettings
from ranking.storage.folder import Folder
from ray_jobs.common.generation_plan import GenerationPlan
from ray_jobs.common.identities import (
    content_hash,
    judge_identity,
    lists_hash,
    model_inventory,
    rationales_identity,
    teacher_identity,
)
from ray_jobs.common.run_settings import RunSettings
from ray_jobs.common.student_identity import student_identity
from ray_jobs.common.student_order import source_of
from ray_jobs.common.training_inputs import (
    TrainingInput,
    check_rationales_belong,
    finished_manifest,
    merged_fingerprint,
)
from students.student_settings import StudentSettings

POST_PROCESSING_SETTINGS = {
    *("max_attempts", "orders", "merge", "missing"),
    *("method", "pairs", "scores", "passes", "size", "top", "likelihood"),
}
"""Settings of a teacher that affect which prompts it gets and how its answers become labels, but not the answers."""


class Plan:
    """The stages of one run. Each stage object is created on first use.

    Args:
        settings: Settings of the run.
        folder: The run's folder.
        source: Function that reads the collection without generated queries. Called only for a stage that depends on
            the collection.
    """

    def __init__(self, settings: RunSettings, folder: Folder, source: Callable[[], Collection]) -> None:
        self._settings = settings
        self._folder = folder
        self._source = source
        self._students: dict[str, Stage] = {}

    @cached_property
    def queries(self) -> Stage:
        """The stage that selects the queries to label from the query log."""
        log = self._settings.queries.log
        inputs = [self.collection_fingerprint, *([fingerprint_of(fingerprint_of_log(log))] if log else [])]
        return self._stage("queries", self._settings.queries.model_dump(exclude={"generate"}), inputs)

    @cached_property
    def generation(self) -> GenerationPlan:
        """The stages that generate queries. Only for runs with `queries.generate`."""
        return GenerationPlan(self._settings, self._folder, self._source, lambda: self.index)

    @property
    def collection_fingerprint(self) -> str:
        """Fingerprint of the collection with its generated queries, if any."""
        if self._settings.queries.generate is None:
            return self._source().fingerprint
        return self.generation.collection_fingerprint

    @cached_property
    def index(self) -> Stage:
        """The stage that indexes the documents for BM25."""
        settings = {"bm25": [part.model_dump() for part in self._retrievers(Bm25Settings)]}
        return self._stage("index", settings, [self._source().fingerprint])

    @cached_property
    def candidates(self) -> Stage:
        """The stage that retrieves the candidate lists of the selected queries."""
        return self._candidates("candidates", [self.queries.fingerprint])

    @cached_property
    def test_candidates(self) -> Stage:
        """The stage that retrieves the candidate lists of the test queries."""
        generated = self._settings.queries.generate is not None and not self._source().test
        return self._candidates("test/candidates", [self.generation.queries.fingerprint] if generated else [])

    def candidates_of(self, split: SplitName) -> Stage:
        """Return the stage that retrieves the candidate lists of a split: `candidates` or `test_candidates`."""
        return self.candidates if split == "log" else self.test_candidates

    @cached_property
    def labels(self) -> Stage:
        """The stage that labels the candidate lists of the selected queries."""
        settings: dict[str, Any] = {"teacher": self.teacher_identity, "pre_ranker": self._pre_ranker}
        if self._settings.pre_ranker is not None:  # without a pre-ranker, the teacher sees all candidates
            settings["validation_fraction"] = self._settings.training.validation_fraction
        return self._stage("labels", settings | self._passages, [self.candidates.fingerprint])

    @cached_property
    def test_labels(self) -> Stage:
        """The stage that labels the candidate lists of the test queries."""
        settings: dict[str, Any] = {
            "teacher": self.teacher_identity,
            "first_stages": self._settings.evaluation.first_stages,
        }
        if self._settings.passages is not None:  # this encoder chooses the passage that the teacher sees
            settings["passage_encoder"] = self._settings.candidate_encoder
        return self._stage("test/labels", settings | self._passages, [self.test_candidates.fingerprint])

    def labels_of(self, split: SplitName) -> Stage:
        """Return the stage that labels the candidate lists of a split: `labels` or `test_labels`."""
        return self.labels if split == "log" else self.test_labels

    @cached_property
    def audit(self) -> Stage:
        """The stage that audits the teacher."""
        settings = {
            "teacher": _without(self.teacher_identity, POST_PROCESSING_SETTINGS),
            "pre_ranker": self._pre_ranker,
            "audit": self._settings.audit.model_dump(),
            **self._passages,
        }
        return self._stage("audit", settings, [self.candidates.fingerprint, self.test_candidates.fingerprint])

    @cached_property
    def rationales(self) -> Stage:
        """The stage that writes rationales for the labels."""
        return self._stage("rationales", self._rationales_identity, [self.labels.fingerprint])

    @cached_property
    def labels_for_training(self) -> TrainingInput:
        """The labels that students are trained on: the run's own, or those of the runs in `training.labels`.

        Raises:
            InputError: If a run in `training.labels` has no finished labels.
        """
        return self._own_or_external("labels", lambda: self.labels)

    @cached_property
    def rationales_for_training(self) -> TrainingInput:
        """The rationales of the training labels, for students that learn from rationales.

        Raises:
            InputError: If a run in `training.labels` has no finished rationales, or they do not belong to its labels.
        """
        rationales_input = self._own_or_external("rationales", lambda: self.rationales)
        for place in self._settings.training.labels:
            check_rationales_belong(place)
        return rationales_input

    @cached_property
    def external_labels(self) -> Folder | None:
        """Folder with the labels, rationales and candidates of the runs in `training.labels`.

        For several runs, this is the folder that `ray_jobs.training.label_merging` writes. None if students are
        trained on the run's own labels.
        """
        places = self._settings.training.labels
        if not places:
            return None
        return Folder(places[0]) if len(places) == 1 else self._folder / "merged" / fingerprint_of(places)

    @cached_property
    def clicks(self) -> Stage:
        """The stage that estimates relevance from recorded clicks. New records change its fingerprint."""
        place = Folder(self._settings.storage) / SERVING
        folders = [folder for folder in (place / EXPOSURES, place / FEEDBACK) if folder.exists()]
        files = [[(name, size) for name, size, _ in folder.inventory()] for folder in folders]
        clicks = self._settings.clicks
        logs = [fingerprint_of_log(log) for log in (clicks.ubi_queries, clicks.ubi_events) if log]
        return self._stage("clicks", clicks.model_dump(), [fingerprint_of(files, logs)])

    @cached_property
    def clicks_for_training(self) -> TrainingInput:
        """The last finished estimates from clicks. Records that are newer do not make them outdated.

        Raises:
            InputError: There are none.
        """
        folder = self._folder / "clicks"
        manifest = manifest_of(folder)
        if manifest is None:
            raise InputError(f"setting 'training.clicks': no estimates in {folder.uri}; run ray_jobs.clicks first")
        return TrainingInput(folder, manifest.fingerprint)

    def student(self, student: StudentSettings) -> Stage:
        """Return the stage that trains a student."""
        key = f"{type(student).__qualname__} {student.model_dump_json()}"
        if key not in self._students:
            self._students[key] = self._student(student)
        return self._students[key]

    def source_scores(self, source: StudentSettings) -> Stage:
        """Return the stage that scores the training labels with a student that others are distilled from."""
        inputs = [self.student(source).fingerprint, self.labels_for_training.fingerprint]
        return self._stage(f"scores/{source.name}", {}, inputs)

    def reads_rationales(self, student: StudentSettings) -> bool:
        """Return whether a student is trained on the run's rationales."""
        return student.learns_from_rationales and not isinstance(self._settings.rationales, NoRationaleSettings)

    @cached_property
    def evaluation(self) -> Stage:
        """The stage that evaluates the students, the teacher and the baselines on the test queries."""
        settings = {
            "schema_version": SCHEMA_VERSION,
            "evaluation": self._settings.evaluation.model_dump(),
            "pre_ranker": self._pre_ranker,
            # latencies and prices depend on these
            "serving": self._settings.serving.model_dump(include={"replicas", "max_replicas"}),
            "engine_hour_price": self._settings.compute.engine_hour_price,
            **self._passages,
        }
        external = [content_hash(trec_run.path) for trec_run in self._settings.evaluation.runs]
        external += [fingerprint_of(model_inventory(model.model)) for model in self._settings.evaluation.models]
        if self._settings.evaluation.judge is not None:
            external.append(fingerprint_of(self.judge_identity))
        lists = self.test_labels if self._settings.evaluation.teacher else self.test_candidates
        students = [self.student(student).fingerprint for student in self._settings.students]
        return self._stage("evaluation", settings, [lists.fingerprint, *students, *external])

    def arm(self, student: StudentSettings) -> Stage:
        """Return the stage that evaluates an ablation arm with one seed, if this is the plan of the arm's own run."""
        evaluation = self._settings.evaluation
        settings = {"first_stages": evaluation.first_stages, "measures": evaluation.measures, "split": evaluation.split}
        inputs = [self.student(student).fingerprint, self.test_candidates.fingerprint]
        return self._stage(f"ablation/{student.name}", settings, inputs)

    @cached_property
    def teacher_identity(self) -> dict[str, Any]:
        """All that determines the teacher's labels: its settings, prompt, and recorded file or bundled weights."""
        return teacher_identity(self._settings.teacher)

    @property
    def teacher_fingerprint(self) -> str:
        """Fingerprint of everything that determines the teacher's labels."""
        return fingerprint_of(self.teacher_identity)

    @property
    def embedding_cache(self) -> Folder:
        """Cache of document and query vectors. It has one folder per sentence encoder."""
        return self._folder / "vectors"

    @property
    def teacher_cache(self) -> Folder:
        """Response cache of the teacher. Each model and prompt has its own folder."""
        return self._folder / "teacher" / fingerprint_of(_without(self.teacher_identity, POST_PROCESSING_SETTINGS))

    @property
    def rationales_cache(self) -> Folder:
        """Response cache of the rationale writer. Each model and prompt has its own folder."""
        return self._folder / "writer" / fingerprint_of(_without(self._rationales_identity, {"rationales_per_list"}))

    @cached_property
    def judge_identity(self) -> dict[str, Any]:
        """All that determines the judge's answers. Empty without a judge."""
        judge = self._settings.evaluation.judge
        return judge_identity(judge) if judge is not None else {}

    @property
    def judge_cache(self) -> Folder:
        """Response cache of the judge. Each model and prompt has its own folder."""
        return self._folder / "judge" / fingerprint_of(self.judge_identity)

    @property
    def dense_models(self) -> list[tuple[str, str | None]]:
        """Names and revisions of the sentence encoders of dense retrieval, which encode every document."""
        return list(dict.fromkeys((part.model, part.revision) for part in self._retrievers(DenseSettings)))

    def _stage(self, name: str, settings: dict[str, Any], inputs: list[str]) -> Stage:
        return Stage(self._folder, name, settings, inputs)

    def _candidates(self, name: str, queries: list[str]) -> Stage:
        """Return a stage that retrieves candidate lists.

        Args:
            name: Name of the stage.
            queries: Fingerprint of the stage that selects the queries; empty for test queries.
        """
        retrievers = self._settings.candidates.retrievers
        imported = [
            lists_hash(part)
            for part in retrievers
            if isinstance(part, (RunRetrieverSettings, ParquetRetrieverSettings))
        ]
        inputs = [self.index.fingerprint, *queries, *imported]
        return self._stage(name, self._settings.candidates.identity(), inputs)

    def _student(self, student: StudentSettings) -> Stage:
        labels = self.labels_for_training.fingerprint
        inputs = [labels, *([self.rationales_for_training.fingerprint] if self.reads_rationales(student) else [])]
        if self._settings.training.clicks is not None:
            inputs.append(self.clicks_for_training.fingerprint)
        if self._settings.training.labels and labels != self._own_labels:
            inputs.append(self.collection_fingerprint)  # labels of the collection's test queries are dropped
        source = source_of(student, self._settings.students)
        if source is not None:
            inputs.append(self.student(source).fingerprint)
        if student.base in PROJECT_MODELS:
            inputs.append(weights_hash(student.base))
        trained = manifest_of(self._folder / "students" / student.name)
        settings = student_identity(student, self._settings.training, trained) | self._passages
        if self._settings.collection.language != ENGLISH:  # also with labels of other runs
            settings["language"] = self._settings.collection.language
        return self._stage(f"students/{student.name}", settings, inputs)

    @property
    def _own_labels(self) -> str | None:
        """Fingerprint of the run's own labels; None if the teacher's file is missing.

        Training on the labels of other runs does not need the teacher's file.
        """
        try:
            return self.labels.fingerprint
        except InputError:
            return None

    def _own_or_external(self, name: str, own: Callable[[], Stage]) -> TrainingInput:
        """Return the run's own labels or rationales, or those of the runs in `training.labels` if it is set."""
        external = self.external_labels
        if external is None:
            return TrainingInput(own().folder, own().fingerprint)
        manifests = [finished_manifest(place, name) for place in self._settings.training.labels]
        return TrainingInput(external / name, merged_fingerprint(manifests))

    @cached_property
    def _rationales_identity(self) -> dict[str, Any]:
        return rationales_identity(self._settings.rationales)

    @property
    def _passages(self) -> dict[str, Any]:
        """Settings of the passages, as a part of a stage's settings. Empty without passages."""
        passages = self._settings.passages
        return {"passages": passages.model_dump()} if passages is not None else {}

    @property
    def _pre_ranker(self) -> dict[str, Any] | None:
        return self._settings.pre_ranker.model_dump() if self._settings.pre_ranker else None

    def _retrievers(self, kind: type[Any]) -> list[Any]:
        return [part for part in self._settings.candidates.retrievers if isinstance(part, kind)]


def _without(mapping: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name not in names}
