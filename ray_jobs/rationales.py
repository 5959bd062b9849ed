r"""From labels to reasons: why candidates are relevant or not, for students that learn to say so (RRA-GPT).

    python -m ray_jobs.rationales configs/quickstart.yaml --reasons.kind extractive
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- \
      python -m ray_jobs.rationales configs/quickstart.yaml --reasons.kind extractive

Writes reasons/ of the run's folder; labels/ stays as it is. Goes on where it was cut off. A candidate whose
reason cannot be learned from has none, and its row says what was written and what is the matter with it.
"""

from __future__ import annotations

from actors.settings import LlmReasonSettings, NoReasonSettings
from ranking.errors import InputError
from ranking.records import Label, ReasonList
from ranking.runs.stages import Stage
from ray_jobs import label
from ray_jobs.common import capacity_check, plan
from ray_jobs.common.run import Run, job


def main(run: Run) -> None:
    if isinstance(run.settings.reasons, NoReasonSettings):
        raise InputError("setting 'reasons.kind': is none, so there is nothing to write; take extractive or llm")
    label.main(run)
    write_reasons(run)


def write_reasons(run: Run) -> None:
    """Have reasons written for all labels that have none yet; nothing where the settings want none."""
    settings = run.settings.reasons
    if isinstance(settings, NoReasonSettings):
        return
    stage = plan.reasons_stage(run)
    if run.skipped(stage):
        return
    capacity_check.check(run, "reasons")
    from actors.data.streaming import finish, parts_of, write_stages
    from actors.rationales import make_writer

    writer = make_writer(settings, run.settings.compute, plan.reasons_memory(run))
    stage.begin()
    labels, rows, left = parts_of(plan.labels_stage(run).folder, Label, without=stage)
    tokens = write_stages({"log": stage}, writer.explain(labels), ReasonList, left, run.progress, "labels")
    engines = run.settings.compute.reason_engines if isinstance(settings, LlmReasonSettings) else None
    run.done(finish(stage, rows, tokens["log"], engines), "lists explained")
    _say_verdicts(run, stage)


def _say_verdicts(run: Run, stage: Stage) -> None:
    """Say in a line how many reasons there are, and what is the matter with the others."""
    import ray

    from actors.data.parts import count_verdicts

    counts = dict(ray.get(ray.remote(count_verdicts).options(num_cpus=0.25).remote(stage.folder)))
    good = counts.pop("ok", 0)
    bad = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(counts.items(), key=lambda item: -item[1]))
    run.progress.stage("", f"{good:,} reasons" + (f"; {sum(counts.values()):,} candidates without: {bad}" if bad else ""))


if __name__ == "__main__":
    job(main)
