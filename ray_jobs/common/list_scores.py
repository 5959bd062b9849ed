"""Score candidate lists with a model on the cluster's workers, for evaluation and for blend fitting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ranking.evaluation.trec_runs import TrecRun
from ranking.records import CandidateList
from ray_jobs.common.run import Run

if TYPE_CHECKING:
    from actors.scoring.scorers import Model

_LISTS_PER_BATCH = 4


def score_lists(run: Run, model: Model, name: str, lists: Sequence[CandidateList]) -> TrecRun:
    """Score every document in the candidate lists, and print how many have more passages than allowed.

    Args:
        run: The run.
        model: The model to score with.
        name: Name of the model on the progress bar.
        lists: Candidate lists, one per query.

    Returns:
        {query_id: {doc_id: score}}
    """
    from actors.data.streaming import dataset_of, through_actor
    from actors.scoring.scorers import ListScorer

    rows = through_actor(
        dataset_of(lists, CandidateList, _LISTS_PER_BATCH),
        ListScorer,
        (model,),
        run.settings.compute.cpu_actors,
        _LISTS_PER_BATCH,
    )
    scores: TrecRun = {}
    shortened = 0
    with run.progress.bar(name, len(lists), "queries") as bar:
        for row in rows.iter_rows():
            scores[row["query_id"]] = dict(zip(row["doc_ids"], row["scores"], strict=True))
            shortened += row["shortened"]
            bar.advance()
    if shortened:
        total = sum(len(row.candidates) for row in lists)
        run.progress.stage(
            name, f"{shortened:,} of {total:,} documents have more passages than passages.max_per_document, cut there"
        )
    return scores
