"""Which pairs a judge grades, and measures with its grades in the place of missing human ones."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ranking.evaluation import measures
from ranking.evaluation.comparison import System
from ranking.evaluation.grade_agreement import GradedPair, agreement_of
from ranking.evaluation.grade_scale import GradeScale
from ranking.evaluation.judge_results import LOW_KAPPA, JudgeResult
from ranking.evaluation.results import Metrics
from ranking.evaluation.trec_runs import TrecRun, order_of
from ranking.records import PairGrade

Judgements = Mapping[str, Mapping[str, int]]
Pair = tuple[str, str]
"""(query_id, doc_id)."""


def holes_of(qrels: Judgements, runs: Iterable[TrecRun], depth: int) -> list[Pair]:
    """List the pairs in the top `depth` of any run that no human graded, sorted. Only queries of `qrels` count."""
    return sorted(
        {
            (query_id, doc_id)
            for run in runs
            for query_id, grades in qrels.items()
            for doc_id in order_of(run.get(query_id, {}))[:depth]
            if doc_id not in grades
        }
    )


def agreement_sample(pairs: Iterable[Pair], size: int, seed: int) -> list[Pair]:
    """Draw a uniform sample of pairs, sorted. All of them if there are no more than `size`.

    Args:
        pairs: Pairs with a human grade that the judge can grade.
        size: Number of pairs.
        seed: Seed of the sample.
    """
    population = sorted(pairs)
    return sorted(random.Random(seed).sample(population, size)) if len(population) > size else population


def fill_holes(qrels: Judgements, grades: Mapping[Pair, int], scale: GradeScale) -> dict[str, dict[str, int]]:
    """Add a judge's grades to human judgements. A human grade is never replaced.

    Args:
        qrels: Human judgements.
        grades: The judge's grades from 0 to 3. Those of other queries are left out.
        scale: The collection's grades for the judge's.
    """
    filled = {query_id: dict(by_doc) for query_id, by_doc in qrels.items()}
    for (query_id, doc_id), grade in grades.items():
        if query_id in filled:
            filled[query_id].setdefault(doc_id, scale(grade))
    return filled


@dataclass
class Judgement:
    """A judge's grades for the systems of an evaluation.

    Attributes:
        result: The judge. `add_to` fills in what it graded and its agreement with human grades.
        human: Human judgements of the test queries.
        holes: Pairs at the top of a ranking that no human graded.
        answers: Grades of the holes, and of a sample of other pairs to measure agreement.
        scale: The collection's grades for the judge's.
        seed: Seed of the bootstrap of the agreement.
    """

    result: JudgeResult
    human: Judgements
    holes: Sequence[Pair]
    answers: Sequence[PairGrade]
    scale: GradeScale
    seed: int

    @property
    def filled(self) -> dict[str, dict[str, int]]:
        """Human judgements, with the judge's grades in the holes."""
        grades = self._grades
        return fill_holes(self.human, {hole: grades[hole] for hole in self.holes if hole in grades}, self.scale)

    def add_to(self, metrics: Metrics, systems: Sequence[System]) -> None:
        """Add the judge, its agreement and each system's measures with its grades to the results.

        Args:
            metrics: Results of the evaluation. Updated in place.
            systems: The systems. Their results, which `metrics` contains, are updated in place.
        """
        judge, grades = self.result, self._grades
        judge.holes, judge.filled = len(self.holes), sum(hole in grades for hole in self.holes)
        judge.statuses = dict(Counter(answer.status for answer in self.answers).most_common())
        judge.agreement = agreement_of(self._graded_pairs(), self.scale, self.seed)
        metrics.judge = judge
        metrics.warnings += judge_warnings(judge)
        if judge.alone:
            metrics.promotion.reason = f"By the judge's grades only, without human ones: {metrics.promotion.reason}"
            return
        filled = self.filled
        for system in systems:
            values = measures.per_query(filled, system.run, list(system.result.measures))
            system.result.with_judge = {name: measures.overall(name, by_query) for name, by_query in values.items()}

    @property
    def _grades(self) -> dict[Pair, int]:
        return {(one.query_id, one.doc_id): one.grade for one in self.answers if one.grade is not None}

    def _graded_pairs(self) -> list[GradedPair]:
        """List the pairs that a human graded too."""
        return [GradedPair(q, self.human[q][d], grade) for (q, d), grade in self._grades.items() if d in self.human[q]]


def judge_warnings(judge: JudgeResult) -> list[str]:
    """Return the reasons to distrust the column with the judge's grades."""
    lines = []
    agreement = judge.agreement
    if judge.same_as_teacher:
        lines.append(
            f"judge {judge.name} is the teacher's own model or file (evaluation.judge.force): its grades favour the "
            "teacher and the students that learned from it"
        )
    if judge.alone:
        lines.append(f"there are no human grades: all measures and the decision use the grades of judge {judge.name}")
    elif agreement is None:
        lines.append(
            f"judge {judge.name}: no pair was graded by both the judge and a human, so nothing shows that its grades "
            "agree with human ones"
        )
    elif agreement.binary_kappa is None or agreement.binary_kappa < LOW_KAPPA:
        value = "undefined" if agreement.binary_kappa is None else f"{agreement.binary_kappa:.2f}, below {LOW_KAPPA:g}"
        lines.append(
            f"judge {judge.name}: binary kappa with human grades is {value}; do not rely on the column `{judge.suffix}`"
        )
    if judge.filled < judge.holes:
        lines.append(
            f"judge {judge.name}: {judge.holes - judge.filled:,} of {judge.holes:,} unjudged documents have no usable "
            "grade and count as not relevant"
        )
    return lines
