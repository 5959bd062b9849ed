"""Get the judge's grades for an evaluation, and add them to its results; called by `ray_jobs.evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ranking.collections.qrels import Qrels
from ranking.errors import InputError
from ranking.evaluation.comparison import System
from ranking.evaluation.grade_scale import GradeScale, scale_for
from ranking.evaluation.judge_results import JudgeResult
from ranking.evaluation.judge_settings import JudgeSettings, LlmJudgeSettings, RecordedJudgeSettings
from ranking.evaluation.judgement_checks import check_qrels
from ranking.evaluation.judging import Judgement, Pair, agreement_sample, holes_of
from ranking.evaluation.recorded_grades import read_recorded_grades
from ranking.hosted_settings import is_hosted
from ranking.records import PairGrade, PairToGrade
from ray_jobs.common import capacity_check
from ray_jobs.common.run import Run
from ray_jobs.evaluation.judge_independence import check_independent

JUDGE_QRELS = "judge.qrels"
_PAIRS_PER_BATCH = 32


def check_judge(run: Run) -> None:
    """Check the judge before anything is computed. Does nothing without a judge.

    Raises:
        InputError: The judge is the teacher, the collection's grades need a scale, or the recorded file is malformed or
            has none of the test queries.
    """
    judge = run.settings.evaluation.judge
    if judge is None:
        return
    scale_for(run.collection.qrels, judge.scale)
    check_independent(run)
    if isinstance(judge, RecordedJudgeSettings):
        recorded = read_recorded_grades(judge.path)
        if not recorded.keys() & run.collection.qrels.keys():
            raise InputError(
                f"{judge.path}: none of its {len(recorded):,} queries, such as {min(recorded)!r}, is a test query; use "
                "the collection's query ids"
            )


def judge_systems(run: Run, systems: Sequence[System]) -> Judgement | None:
    """Grade unjudged documents and a sample of judged ones. Returns None without a judge.

    Writes all usable grades, from 0 to 3, to judge.qrels. If there are no human grades at all, the judge's grades
    become the judgements of the run's collection.

    Raises:
        InputError: There are no human grades, and the judge finds no relevant document.
    """
    settings = run.settings.evaluation.judge
    if settings is None:
        return None
    if run.collection.generated is not None and run.collection.generated.test:
        settings = settings.model_copy(update={"agreement_pairs": 0})  # no human graded the documents of these queries
    human = run.collection.qrels
    holes = holes_of(human, [system.run for system in systems], settings.depth)
    if isinstance(settings, RecordedJudgeSettings):
        answers = _recorded(settings, human, holes)
    else:
        answers = grades_of(settings, run, _pairs(run, settings, holes))
    scale = scale_for(human, settings.scale)
    judgement = Judgement(_judge(settings, run, scale), human, holes, answers, scale, settings.seed)
    if any(answer.grade is not None for answer in answers):
        run.plan.evaluation.folder.write_text(JUDGE_QRELS, qrels_text(answers))
    if judgement.result.alone:
        check_qrels(judgement.filled)
        run.collection.qrels = judgement.filled
    return judgement


def _judge(settings: JudgeSettings, run: Run, scale: GradeScale) -> JudgeResult:
    """Describe the judge. What it graded is still to be filled in."""
    recorded_name = Path(settings.path).name if isinstance(settings, RecordedJudgeSettings) else ""
    return JudgeResult(
        kind=settings.kind,
        name=settings.model or recorded_name,
        revision=settings.revision if isinstance(settings, LlmJudgeSettings) else None,
        prompt=run.plan.judge_identity.get("prompt"),
        depth=settings.depth,
        scale=list(scale.grades),
        holes=0,
        filled=0,
        alone=not any(run.collection.qrels.values()),
        same_as_teacher=check_independent(run),
    )


def qrels_text(answers: Sequence[PairGrade]) -> str:
    """Format usable grades as qrels with the four columns of TREC, separated by tabs."""
    return "".join(f"{one.query_id}\t0\t{one.doc_id}\t{one.grade}\n" for one in answers if one.grade is not None)


def _recorded(settings: RecordedJudgeSettings, qrels: Qrels, holes: Sequence[Pair]) -> list[PairGrade]:
    """Look up the recorded grades of holes, and of a sample of the judged pairs that the file has."""
    recorded = read_recorded_grades(settings.path)
    judged = [(q, d) for q, grades in qrels.items() for d in grades if d in recorded.get(q, {})]
    pairs = [*holes, *agreement_sample(judged, settings.agreement_pairs, settings.seed)]
    return [_recorded_grade(pair, recorded) for pair in pairs]


def _recorded_grade(pair: Pair, recorded: Qrels) -> PairGrade:
    query_id, doc_id = pair
    grade = recorded.get(query_id, {}).get(doc_id)
    return PairGrade(query_id=query_id, doc_id=doc_id, status="no_grade" if grade is None else "ok", grade=grade)


def asking_judge(run: Run) -> LlmJudgeSettings:
    """Return the settings of a judge that asks a model.

    Raises:
        InputError: There is none.
    """
    settings = run.settings.evaluation.judge
    if not isinstance(settings, LlmJudgeSettings):
        raise InputError("setting 'evaluation.judge': only a judge of kind llm costs something; leave out --estimate")
    return settings


def show_costs(run: Run, systems: Sequence[System]) -> None:
    """Print what the grades that `judge_systems` would request cost. Asks nothing."""
    settings = asking_judge(run)
    holes = holes_of(run.collection.qrels, [system.run for system in systems], settings.depth)
    pairs = _pairs(run, settings, holes)
    _print_costs(settings, run, list(_without_grade(pairs, _cached(run, pairs)).values()))


def _pairs(run: Run, settings: LlmJudgeSettings, holes: Sequence[Pair]) -> list[PairToGrade]:
    """List the pairs that the model grades: holes, and a sample of the judged pairs that have a text."""
    qrels = run.collection.qrels
    texts = {document.doc_id: document.content for document in run.collection.documents if document.content.strip()}
    judged = [(q, d) for q, grades in qrels.items() for d in grades if d in texts]
    queries = {query.query_id: query.text for query in run.collection.test}
    return [
        PairToGrade(query_id=q, doc_id=d, query=queries[q], passage=texts.get(d, ""))
        for q, d in [*holes, *agreement_sample(judged, settings.agreement_pairs, settings.seed)]
    ]


def grades_of(settings: LlmJudgeSettings, run: Run, pairs: Sequence[PairToGrade]) -> list[PairGrade]:
    """Get the grades of pairs, in their order. Starts the judge only for pairs whose answer is not in the cache.

    Pairs with the same texts are requested once.

    Raises:
        InputError: A hosted judge stops, for example at its spend cap. All answers so far are in the cache.
        ServiceError: The server of a hosted judge failed.
        WaitingError: Batch files of a hosted judge wait for their results.
    """
    grades = _cached(run, pairs)
    missing = _without_grade(pairs, grades)
    if missing:
        answers = {(one.query_id, one.doc_id): one for one in _requested(settings, run, list(missing.values()))}
        answered = {texts: answers.get((pair.query_id, pair.doc_id)) for texts, pair in missing.items()}
        grades = [
            grade or _with_ids(answered[pair.query, pair.passage], pair)
            for pair, grade in zip(pairs, grades, strict=True)
        ]
    return [grade for grade in grades if grade is not None]


def _cached(run: Run, pairs: Sequence[PairToGrade]) -> list[PairGrade | None]:
    """Look up the grades of pairs that need no request; None for all others."""
    from actors.judges.grade_requests import cached_grade
    from actors.vllm.response_cache import ResponseCache

    cache = ResponseCache(run.plan.judge_cache)
    return [cached_grade(cache, pair) for pair in pairs]


def _without_grade(
    pairs: Sequence[PairToGrade], grades: Sequence[PairGrade | None]
) -> dict[tuple[str, str], PairToGrade]:
    """Return the first pair without a grade of each query text and passage."""
    missing: dict[tuple[str, str], PairToGrade] = {}
    for pair, grade in zip(pairs, grades, strict=True):
        if grade is None:
            missing.setdefault((pair.query, pair.passage), pair)
    return missing


def _with_ids(grade: PairGrade | None, pair: PairToGrade) -> PairGrade | None:
    """Return the grade of a pair with the same texts as the grade of this pair."""
    return grade and grade.model_copy(update={"query_id": pair.query_id, "doc_id": pair.doc_id})


def _requested(settings: LlmJudgeSettings, run: Run, pairs: Sequence[PairToGrade]) -> list[PairGrade]:
    """Ask the judge."""
    from actors.data.streaming import dataset_of
    from actors.judges import make_judge
    from ray_jobs.common.hosted_ends import check_remaining, prepare

    capacity_check.check(run, "judge")
    judge = make_judge(settings, run.settings.compute, run.plan.judge_cache)
    prepare(run, judge)
    if is_hosted(settings):
        _print_costs(settings, run, pairs)
    rows = judge.grade(dataset_of(pairs, PairToGrade, _PAIRS_PER_BATCH))
    grades = []
    with run.progress.bar("judge", len(pairs), "pairs") as bar:
        for row in rows.iter_rows():
            grades.append(PairGrade.model_validate(row))
            bar.advance()
    check_remaining(run, judge, len(pairs) - len(grades), "pairs")
    return grades


def _print_costs(settings: LlmJudgeSettings, run: Run, pairs: Sequence[PairToGrade]) -> None:
    from actors.judges.grade_costs import estimate_grades, format_grade_costs

    run.progress.stage("judge", format_grade_costs(estimate_grades(settings, run.settings.compute, pairs)))
