"""Students that differ in one thing: trained on the same labels with several seeds, and compared on the test queries.

    python -m ray_jobs.ablate configs/quickstart.yaml --ablation.arms \\
      '{"plain": {}, "term layer": {"student.term_control.form": "layer"}, "listnet": {"training.loss": "listnet"}}'
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.ablate RUN.yaml

Every arm is the run's first student with some settings changed; the first arm is the control, and all take as many steps as it.
Writes students/<arm>.<seed>/ and ablation/: what each of them reached per query, and results.json. What was done already is skipped.
"""

from __future__ import annotations

import json
import re
import statistics
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

from actors.data.rows import CandidateList, QueryCandidates
from ranking.errors import InputError
from ranking.evaluation import measures, significance
from ranking.runs.stages import fingerprint_of
from ranking.settings import lay_over, validate
from ray_jobs import candidates, index, label, train
from ray_jobs.common import plan
from ray_jobs.common.list_scores import score_lists
from ray_jobs.common.run import Run, RunSettings, job
from ray_jobs.evaluation import systems
from students.settings import RraBertSettings, RraGptSettings, StudentSettings

PER_QUERY = "per_query.json"
RESULTS = "results.json"
STEPS = "steps.json"
_STUDENT, _TRAINING = "student.", "training."
_OF_THE_ABLATION = {"student.name", "training.seed"}
_OTHER_STEPS = ("training.epochs", "training.steps", "training.queries_per_step")

Values = dict[str, dict[str, dict[str, float]]]
"""{first stage: {measure: {query_id: value}}}"""


def main(run: Run) -> None:
    run.check_judged()
    ablation = run.settings.ablation
    if len(ablation.arms) < 2:
        raise InputError("setting 'ablation.arms': at least two arms are needed, the first as the control, for example "
                         """'{"plain": {}, "listnet": {"training.loss": "listnet"}}'""")  # fmt: skip
    if not run.settings.students:
        raise InputError("setting 'students': an ablation trains the first student, and there is none")
    if len(set(ablation.seeds)) < len(ablation.seeds):
        raise InputError(f"setting 'ablation.seeds': each once, not {', '.join(map(str, ablation.seeds))}")
    folders = [folder_name(name) for name in ablation.arms]
    if len(set(folders)) < len(folders):
        raise InputError(
            f"setting 'ablation.arms': each needs a name that differs in letters or digits, not {', '.join(ablation.arms)}"
        )
    arms = {
        name: [arm_of(run, name, changed, seed) for seed in ablation.seeds] for name, changed in ablation.arms.items()
    }
    measures.parse(run.settings.evaluation.measures)
    if not run.settings.training.labels:
        label.main(run)
    index.main(run)
    candidates.find_for_test(run)
    reached: dict[str, list[Values]] = {}
    steps: dict[str, int] = {}
    control = next(iter(arms.values()))[0]
    for name, runs in arms.items():
        if _lists_of(runs[0]) != _lists_of(control) and not any(key in _OTHER_STEPS for key in ablation.arms[name]):
            for arm in runs:
                arm.settings.training.steps = steps_of(control).planned
        reached[name] = [values_of(arm) for arm in runs]
        steps[name] = steps_of(runs[0]).taken
    results = [
        result | {"steps": steps[result["arm"]]}
        for stage in run.settings.evaluation.first_stages
        for result in compared(run, stage, reached)
    ]
    (run.folder / "ablation").write_text(RESULTS, json.dumps(results, indent=2))
    for stage in run.settings.evaluation.first_stages:
        run.progress.console.print(table_of(run, [result for result in results if result["candidates"] == stage]))
    if len(set(steps.values())) > 1:  # as an arm asked for
        run.progress.line(f"not alike long: {', '.join(f'{name} {count:,} steps' for name, count in steps.items())}")


def arm_of(run: Run, name: str, changed: dict[str, Any], seed: int) -> Run:
    """The run with an arm's settings. Raises InputError for a setting that does not exist."""
    raw = run.settings.model_dump()
    raw["students"] = raw["students"][:1]
    if kind := {"rra_bert": RraBertSettings, "rra_gpt": RraGptSettings}.get(changed.get(_STUDENT + "kind", "")):
        raw["students"][0] = {key: value for key, value in raw["students"][0].items() if key in kind.model_fields}
    if "training.epochs" in changed:
        raw["training"]["steps"] = None
    for key, value in changed.items():
        if key in _OF_THE_ABLATION:
            raise InputError(
                f"setting 'ablation.arms', {name!r}: {key} is the ablation's own to set; seeds stand in ablation.seeds"
            )
        of_student = key.startswith(_STUDENT)
        if not of_student and not key.startswith(_TRAINING):
            raise InputError(
                f"setting 'ablation.arms', {name!r}: {key!r} is none of {_STUDENT}... and {_TRAINING}..., all that an arm may change"
            )
        lay_over(raw["students"][0] if of_student else raw, key.removeprefix(_STUDENT) if of_student else key, value)
    raw["students"][0]["name"] = f"{folder_name(name)}.{seed}"
    raw["training"]["seed"] = seed
    settings = validate(RunSettings, raw, f"setting 'ablation.arms', {name!r}")
    arm = Run(settings, run.progress)
    arm.__dict__["collection"] = run.collection
    if plan.labels_to_learn(arm).fingerprint != plan.labels_to_learn(run).fingerprint:
        raise InputError(
            f"setting 'ablation.arms', {name!r}: all arms learn from the same labels; change the student or its training only"
        )
    return arm


def folder_name(arm: str) -> str:
    """An arm's name as it stands in folders: Latin letters, digits and dots, the rest as hyphens; a hash tells other letters apart."""
    kept = re.sub(r"[^A-Za-z0-9.]+", "-", arm).strip("-.") or "arm"
    return kept if arm.isascii() else f"{kept}-{fingerprint_of(arm)[:6]}"


def values_of(arm: Run) -> Values:
    """Train an arm with one seed and measure it, or read what it reached before."""
    (student,) = arm.settings.students
    stage = plan.arm_stage(arm, student)
    if not arm.skipped(stage):
        train.train(arm, student)
        _measure(arm, student)
    return json.loads(stage.folder.read_text(PER_QUERY))  # type: ignore[no-any-return]


class ArmSteps(NamedTuple):
    """How many optimizer steps an arm's training was to take, and how many it took; fewer where `patience` ended it."""

    planned: int
    taken: int


def steps_of(arm: Run) -> ArmSteps:
    """The steps of a trained arm: as noted when it was measured."""
    student = arm.settings.students[0]
    measured, stage = plan.arm_stage(arm, student).folder, plan.student_stage(arm, student)
    if measured.exists(STEPS):
        return ArmSteps(*json.loads(measured.read_text(STEPS)))
    taken = int(json.loads(stage.folder.read_text(train.CURVES))["loss"][-1][0])
    planned = int(stage.folder.read_text(train.PLANNED)) if stage.folder.exists(train.PLANNED) else taken
    return ArmSteps(planned, taken)


def _lists_of(arm: Run) -> tuple[Any, ...]:
    """What decides from which of the labelled lists an arm learns."""
    training = arm.settings.training
    judged = training.targets == "judgements"
    return (
        judged,
        training.relevant_grade if judged else None,
        training.confidence.min_confidence,
        training.validation_fraction,
    )


def _measure(arm: Run, student: StudentSettings) -> None:
    stage = plan.arm_stage(arm, student)
    settings = arm.settings.evaluation
    arm.start_ray()
    stage.begin()
    rows = list(plan.candidates_stage(arm, "test").folder.read_rows(QueryCandidates))
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
    stage.folder.write_text(STEPS, json.dumps(steps_of(arm)))
    stage.folder.write_text(PER_QUERY, json.dumps(values))
    stage.finish(rows_in=len(rows), rows_out=len(rows))


def compared(run: Run, first_stage: str, reached: dict[str, list[Values]]) -> list[dict[str, Any]]:
    """Compare arms over one candidate list: mean over seeds, its spread, and a paired test of the queries' means with the first arm."""
    settings = run.settings.evaluation
    measure = settings.measures[0]
    means = {name: [measures.mean(seed[first_stage][measure]) for seed in seeds] for name, seeds in reached.items()}
    queries = {name: _over_seeds([seed[first_stage][measure] for seed in seeds]) for name, seeds in reached.items()}
    control = next(iter(reached))
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
        if name != control:
            found = significance.compare(queries[name], queries[control], settings.permutations, settings.seed)
            result |= {"control": control, "delta": found.delta, "p": found.p, "interval": found.interval}
        results.append(result)
    return results


def table_of(run: Run, results: list[dict[str, Any]]) -> Table:
    """Lay out the results over one candidate list for a terminal of 80 columns."""
    seeds, queries = len(run.settings.ablation.seeds), len(run.collection.qrels)
    title = (
        f"{run.collection.name}, {queries} queries, re-ranking {results[0]['candidates']}, {seeds} {'seed' if seeds == 1 else 'seeds'}\n"
        "p: paired, over the queries' means; not corrected for the number of arms"
    )
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("arm", overflow="fold")
    for name in (results[0]["measure"], "spread", "delta", "95% interval", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        spread = "" if result["spread"] is None else f"{result['spread']:.3f}"
        told = ["control", "", ""]
        if "p" in result:
            low, high = result["interval"]
            told = [f"{result['delta']:+.3f}", f"{low:+.3f} to {high:+.3f}", f"{result['p']:.4f}"]
        table.add_row(result["arm"], f"{result['mean']:.3f}", spread, *told)
    return table


def _over_seeds(per_seed: list[dict[str, float]]) -> dict[str, float]:
    return {query_id: statistics.mean(values[query_id] for values in per_seed) for query_id in per_seed[0]}


if __name__ == "__main__":
    job(main)
