"""A trained student's scores of the validation queries' documents, for its blend and its calibration."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from actors.scoring.scorers import Model
from ranking.clicks.click_mixing import with_clicks
from ranking.evaluation.trec_runs import TrecRun
from ranking.labels.label_views import with_judgement_targets
from ranking.records import Candidate, CandidateList, Label
from ranking.storage.folder import Folder
from ray_jobs.common.list_scores import score_lists
from ray_jobs.common.run import Run
from ray_jobs.training.preparation import TrainingData
from students.student_settings import StudentSettings


class ValidationScores:
    """The labels of the validation queries, and the student's raw scores of their documents.

    The documents are those that the teacher was shown. They are scored on first use, once for blend and calibration.

    Attributes:
        model: Model folder of the student.
    """

    def __init__(self, run: Run, student: StudentSettings, model: Folder, data: TrainingData) -> None:
        self.model = model
        self._run, self._student, self._data = run, student, data

    @cached_property
    def labels(self) -> dict[str, Label]:
        """The labels of the validation queries by query id, with the teacher's targets."""
        validation_ids = set(self._data.validation_ids)
        rows = self._data.labels.folder.read_rows(Label) if validation_ids else iter(())
        return {label.query_id: label for label in rows if label.query_id in validation_ids}

    @property
    def trained_labels(self) -> dict[str, Label]:
        """The labels with the targets that the student was trained on: judgements, or the teacher's and clicks."""
        if self._data.grades is not None:
            return self.judged(self._data.grades)
        return {query_id: self._clicked(label) for query_id, label in self.labels.items()}

    def judged(self, grades: Mapping[str, Mapping[str, int]]) -> dict[str, Label]:
        """Return the labels of the queries in `grades`, with targets from these judgements: above 0 is relevant.

        Args:
            grades: Judgements, {query_id: {doc_id: grade}}.
        """
        relevant_grade = self._run.settings.training.relevant_grade
        return {
            query_id: label.model_copy(
                update={"candidates": with_judgement_targets(label.candidates, grades[query_id], relevant_grade)}
            )
            for query_id, label in self.labels.items()
            if query_id in grades
        }

    def _clicked(self, label: Label) -> Label:
        """Mix the clicks of a query, if it has any, into the targets of the documents that the teacher was shown."""
        clicks = (self._data.clicks or {}).get(label.query_id)
        if clicks is None:
            return label
        seen = [candidate for candidate in label.candidates if candidate.tier != "unseen"]
        mixed = {c.doc_id: c for c in with_clicks(seen, clicks, label.provenance.targets)}
        return label.model_copy(update={"candidates": [mixed.get(c.doc_id, c) for c in label.candidates]})

    def shown(self) -> list[CandidateList]:
        """Return the documents of each validation query that the teacher was shown. Drops queries without any."""
        # a label has the passage that the teacher was shown, but the student scores all passages
        documents = self._run.collection.documents if self._run.settings.passages else []
        texts = {document.doc_id: document.text for document in documents}
        return [row for label in self.labels.values() if (row := _shown(label, texts)).candidates]

    @cached_property
    def scores(self) -> TrecRun:
        """Raw scores, {query_id: {doc_id: score}}, of the documents that the teacher was shown."""
        lists = self.shown()
        if not lists:
            return {}
        return score_lists(self._run, Model(self.model.uri), f"{self._student.name}, validation", lists)


def _shown(label: Label, texts: Mapping[str, str]) -> CandidateList:
    """Return the documents of a label that the teacher was shown. `texts` replaces their texts by document id."""
    candidates = [
        Candidate(
            doc_id=c.doc_id,
            title=c.title,
            text=texts.get(c.doc_id, c.text),
            rank=c.pre_rank,
            score=0.0,
            retriever="labels",
        )
        for c in label.candidates
        if c.tier != "unseen"
    ]
    return CandidateList(query_id=label.query_id, text=label.query, candidates=candidates)
