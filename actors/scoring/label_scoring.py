"""Score the documents of labels with a trained student, for another student that is distilled from it."""

from __future__ import annotations

import pyarrow as pa
import torch

from actors.data.rows import Outcome, records, table_of
from actors.scoring.scorers import Model
from ranking.records import Label, ScoredList, content


class LabelScorer:
    """Ray Data actor that maps rows of Label to rows of Outcome[ScoredList].

    It scores the text that the label contains, as training does, also if documents are split into passages.
    """

    def __init__(self, model: Model) -> None:
        """Load the student. Each actor uses one thread, because several actors run in parallel."""
        torch.set_num_threads(1)
        self.scorer = model.load()

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Score the documents that the teacher was shown."""
        outcomes: list[Outcome[ScoredList]] = []
        for label in records(batch, Label):
            shown = [candidate for candidate in label.candidates if candidate.tier != "unseen"]
            scores = self.scorer.score([(label.query, content(c.title, c.text)) for c in shown]) if shown else []
            row = ScoredList(query_id=label.query_id, doc_ids=[c.doc_id for c in shown], scores=scores)
            outcomes.append(Outcome(query_id=label.query_id, row=row))
        return table_of(outcomes, Outcome[ScoredList])
