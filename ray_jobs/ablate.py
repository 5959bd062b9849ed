r"""Run an ablation study: train variants of a student on the same labels with several seeds and compare them.

    python -m ray_jobs.ablate configs/quickstart.yaml --ablation.arms \
      '{"plain": {}, "term layer": {"student.term_control.form": "layer"}, "listnet": {"training.loss": "listnet"}}'
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.ablate RUN.yaml

Each arm is the run's first student with some settings changed. The first arm is the baseline, and all arms train for
the same number of steps. Writes the models to students/<arm>.<seed>/, and per-query values and results.json to
ablation/. Skips arms that are already finished.
"""

from __future__ import annotations

import json
import re
import statistics
from typing import Any, NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from ranking.errors import InputError
from ranking.evaluation import measures, significance
from ranking.records import CandidateList, QueryCandidates
from ranking.run_file import set_override, validate
from ranking.runs.stages import fingerprint_of
from ranking.terminal_text import printable
from ray_jobs import candidates, generate, index, label, train
from ray_jobs.common.list_scores import score_lists
from ray_jobs.common.run import Run, job
from ray_jobs.common.run_settings import PIPELINE_SETTINGS, RunSettings
from ray_jobs.evaluation import systems
from ray_jobs.training import monitoring
from students.student_settings import RraBertSettings, RraGptSettings, StudentSettings

READS = (*PIPELINE_SETTINGS, "ablation")
"""Settings that this job reads."""

PER_QUERY = "per_query.json"
RESULTS = "results.json"
STEPS = "steps.json"
_STUDENT, _TRAINING = "student.", "training."
_STUDENT_KINDS: dict[str, type[RraBertSettings | RraGptSettings]] = {
    "rra_bert": RraBertSettings,
    "rra_gpt": RraGptSettings,
}
_SET_BY_ABLATION = {"student.name", "training.seed"}
_STEP_SETTINGS = ("training.epochs", "training.steps", "training.queries_per_step")

Values = dict[str, dict[str, dict[str, float]]]
"""Per-query values of a trained arm, {first stage: {measure: {query_id: value}}}."""


def main(run: Run) -> None:
    """Train and evaluate all arms, compare them with the first, print tables and write results.json.

    Raises:
        InputError: If the settings do not describe an ablation, or the test queries have no judgements.
    """
    generate.generate_queries(run)
    run.check_judged()
    ablation = run.settings.ablation
    if len(ablation.arms) < 2:
        raise InputError("setting 'ablation.arms': at least two arms are needed, for example "
                         """'{"plain": {}, "listnet": {"training.loss": "listnet"}}'""")  # fmt: skip
    if not run.settings.students:
        raise InputError("setting 'students': an ablation trains the first student, but the list is empty")
    if len(set(ablation.seeds)) < len(ablation.seeds):
        raise InputError(f"setting 'ablation.seeds': seeds must be distinct, not {', '.join(map(str, ablation.seeds))}")
    folders = [folder_name(name) for name in ablation.arms]
    if len(set(folders)) < len(folders):
        raise InputError(
            f"setting 'ablation.arms': names must differ in letters or digits, not {', '.join(ablation.arms)}"
        )
    arms = {
        name: [make_arm(run, name, overrides, seed) for seed in ablation.seeds]
        for name, overrides in ablation.arms.items()
    }
    measures.parse(run.settings.evaluation.measures)
    if not run.settings.training.labels:
        label.main(run)
    index.main(run)
    candidates.retrieve_for_test(run)
    values: dict[str, list[Values]] = {}
    steps: dict[str, int] = {}
    baseline = next(iter(arms.values()))[0]
    for name, runs in arms.items():
        same_lists = _training_lists(runs[0]) == _training_lists(baseline)
        if not same_lists and not any(key in _STEP_SETTINGS for key in ablation.arms[name]):
            for arm in runs:
                arm.settings.training.steps = steps_of(baseline).planned
        values[name] = [values_of(arm) for arm in runs]
        steps[name] = steps_of(runs[0]).taken
    results = [
        result | {"steps": steps[result["arm"]]}
        for stage in run.settings.evaluation.first_stages
        for result in compare_arms(run, stage, values)
    ]
    (run.folder / "ablation").write_text(RESULTS, json.dumps(results, indent=2))
    for stage in run.settings.evaluation.first_stages:
        run.progress.console.print(table_of(run, [result for result in results if result["candidates"] == stage]))
    if len(set(steps.values())) > 1:  # an arm set its own number of steps, or `patience` ended one early
        counts = ", ".join(f"{name} {count:,}" for name, count in steps.items())
        run.progress.line(f"arms trained for different numbers of steps: {counts}")


def make_arm(run: Run, name: str, overrides: dict[str, Any], seed: int) -> Run:
    """Return a copy of the run with the settings of one arm.

    Args:
        run: The run of the ablation.
        name: Name of the arm.
        overrides: Settings of the arm, keyed by `student.<setting>` or `training.<setting>`.
        seed: Training seed.

    Raises:
        InputError: If a setting does not exist, or is one that arms may not change.
    """
    raw = run.settings.model_dump()
    raw["students"] = raw["students"][:1]
    if kind := _STUDENT_KINDS.get(overrides.get(_STUDENT + "kind", "")):
        raw["students"][0] = {key: value for key, value in raw["students"][0].items() if key in kind.model_fields}
    if "training.epochs" in overrides:
        raw["training"]["steps"] = None
    for key, value in overrides.items():
        if key in _SET_BY_ABLATION:
            raise InputError(
                f"setting 'ablation.arms', {name!r}: the ablation sets {key} itself; set the seeds in ablation.seeds"
            )
        is_student = key.startswith(_STUDENT)
        if not is_student and not key.startswith(_TRAINING):
            raise InputError(
                f"setting 'ablation.arms', {name!r}: an arm can only set {_STUDENT}... and {_TRAINING}..., not {key!r}"
            )
        set_override(
            raw["students"][0] if is_student else raw, key.removeprefix(_STUDENT) if is_student else key, value
        )
    raw["students"][0]["name"] = f"{folder_name(name)}.{seed}"
    raw["training"]["seed"] = seed
    if raw["students"][0].get("distillation") is not None:
        raise InputError(
            f"setting 'ablation.arms', {name!r}: an arm trains one student, which cannot be distilled from another; "
            "set student.distillation to null"
        )
    settings = validate(RunSettings, raw, f"setting 'ablation.arms', {name!r}")
    arm = Run(settings, run.progress)
    arm.__dict__ |= {"source": run.source, "collection": run.collection}
    if arm.plan.labels_for_training.fingerprint != run.plan.labels_for_training.fingerprint:
        raise InputError(
            f"setting 'ablation.arms', {name!r}: all arms must train on the same labels; "
            "change only the student and how it is trained"
        )
    return arm


def folder_name(arm: str) -> str:
    """Convert the name of an arm to a folder name.

    Keeps Latin letters, digits and dots, and replaces other characters by hyphens. Appends a hash to names with
    non-ASCII characters, which would otherwise become the same folder name.
    """
    name = re.sub(r"[^A-Za-z0-9.]+", "-", arm).strip("-.") or "arm"
    return name if arm.isascii() else f"{name}-{fingerprint_of(arm)[:6]}"


def values_of(arm: Run) -> Values:
    """Return the per-query values of an arm with one seed. Trains and evaluates the arm if that is not yet done."""
    (student,) = arm.settings.students
    stage = arm.plan.arm(student)
    if not arm.skip_if_finished(stage):
        train.train(arm, student)
        _evaluate(arm, student)
    return stage.folder.read_json(PER_QUERY)  # type: ignore[no-any-return]


class ArmSteps(NamedTuple):
    """Number of optimizer steps of an arm.

    Attributes:
        planned: Number of steps that the arm's settings ask for.
        taken: Number of steps when training ended; smaller than `planned` if `patience` ended it early.
    """

    planned: int
    taken: int


def steps_of(arm: Run) -> ArmSteps:
    """Return the number of steps of a trained arm, as recorded when the arm was evaluated."""
    student = arm.settings.students[0]
    evaluated, stage = arm.plan.arm(student).folder, arm.plan.student(student)
    if evaluated.exists(STEPS):
        return ArmSteps(**evaluated.read_json(STEPS))
    taken = int(stage.folder.read_json(monitoring.CURVES)["loss"][-1][0])
    planned = int(stage.folder.read_text(train.PLANNED)) if stage.folder.exists(train.PLANNED) else taken
    return ArmSteps(planned, taken)


def _training_lists(arm: Run) -> tuple[Any, ...]:
    """Return the settings that determine which of the labelled lists the arm is trained on."""
    training = arm.settings.training
    judged = training.targets == "judgements"
    return (
        judged,
        training.relevant_grade if judged else None,
        training.confidence.min_confidence,
        training.validation_fraction,
    )


def _evaluate(arm: Run, student: StudentSettings) -> None:
    """Measure a trained arm on the test queries and write its number of steps and its per-query values."""
    stage = arm.plan.arm(student)
    settings = arm.settings.evaluation
    arm.start_ray()
    stage.begin()
    rows = list(arm.plan.test_candidates.folder.read_rows(QueryCandidates))
    unions = [
        CandidateList(query_id=row.query_id, text=row.text, candidates=union)
        for row in rows
        if (union := row.union(settings.first_stages))
    ]
    scores = score_lists(arm, systems.model_of(arm, "student", student.name), student.name, unions)
    values = {}
    for name in settings.first_stages:
        ranked = {row.query_id: {c.doc_id: scores[row.query_id][c.doc_id] for c in row.of(name)} for row in rows}
        values[name] = measures.per_query(arm.collection.qrels, ranked, settings.measures)
    stage.folder.write_json(STEPS, steps_of(arm)._asdict())
    stage.folder.write_json(PER_QUERY, values)
    stage.finish(rows_in=len(rows), rows_out=len(rows))


def compare_arms(run: Run, first_stage: str, values: dict[str, list[Values]]) -> list[dict[str, Any]]:
    """Compare all arms with the first one on the candidate lists of one first stage.

    Args:
        run: The run of the ablation.
        first_stage: Name of the first stage.
        values: {arm: [per-query values with each seed]}

    Returns:
        One result per arm: the mean of the measure over the seeds, its standard deviation over the seeds, and, for all
        but the first arm, a paired test against the first arm on per-query values averaged over the seeds.
    """
    settings = run.settings.evaluation
    measure = settings.measures[0]
    means = {name: [measures.mean(seed[first_stage][measure]) for seed in seeds] for name, seeds in values.items()}
    queries = {name: _over_seeds([seed[first_stage][measure] for seed in seeds]) for name, seeds in values.items()}
    baseline = next(iter(values))
    results = []
    for name, per_seed in means.items():
        result = {
            "arm": name,
            "candidates": first_stage,
            "measure": measure,
            "per_seed": per_seed,
            "mean": statistics.mean(per_seed),
        }
        result["spread"] = statistics.stdev(per_seed) if len(per_seed) > 1 else None
        if name != baseline:
            comparison = significance.compare(queries[name], queries[baseline], settings.permutations, settings.seed)
            result |= {
                "baseline": baseline,
                "delta": comparison.delta,
                "p": comparison.p,
                "interval": comparison.interval,
            }
        results.append(result)
    return results


def table_of(run: Run, results: list[dict[str, Any]]) -> Table:
    """Format the results for one first stage as a table for a terminal of 80 columns."""
    seeds, queries = len(run.settings.ablation.seeds), len(run.collection.qrels)
    title = (
        f"{run.collection.name}, {queries} queries, re-ranking {results[0]['candidates']}, "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'}\n"
        "p: paired test of the per-query means, not corrected for the number of arms"
    )
    table = Table(
        title=Text(printable(title), "table.title"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False
    )
    table.add_column("arm", overflow="fold")
    for name in (results[0]["measure"], "spread", "delta", "95% interval", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        spread = "" if result["spread"] is None else f"{result['spread']:.3f}"
        comparison = ["baseline", "", ""]
        if "p" in result:
            low, high = result["interval"]
            comparison = [f"{result['delta']:+.3f}", f"{low:+.3f} to {high:+.3f}", f"{result['p']:.4f}"]
        table.add_row(Text(printable(result["arm"])), f"{result['mean']:.3f}", spread, *comparison)
    return table


def _over_seeds(per_seed: list[dict[str, float]]) -> dict[str, float]:
    """Average per-query values over seeds."""
    return {query_id: statistics.mean(values[query_id] for values in per_seed) for query_id in per_seed[0]}


if __name__ == "__main__":
    job(main, READS)
