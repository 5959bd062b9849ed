r"""From labels to rationales: why candidates are relevant or not, for students that learn to say so (RRA-GPT).

    python -m ray_jobs.rationales configs/quickstart.yaml --rationales.kind extractive
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- \
      python -m ray_jobs.rationales configs/quickstart.yaml --rationales.kind extractive

Writes rationales/ of the run's folder; labels/ stays as it is. Goes on where it was cut off. A candidate whose
rationale cannot be learned from has none, and its row says what was written and what is the matter with it.
"""

from __future__ import annotations

from actors.settings import LlmRationaleSettings, NoRationaleSettings
from ranking.errors import InputError
from ranking.records import Label, RationaleList
from ranking.runs.stages import Stage
from ray_jobs import label
from ray_jobs.common import capacity_check, plan
from ray_jobs.common.run import Run, job


def main(run: Run) -> None:
    if isinstance(run.settings.rationales, NoRationaleSettings):
        raise InputError("setting 'rationales.kind': is none, so there is nothing to write; take extractive or llm")
    label.main(run)
    write_rationales(run)


def write_rationales(run: Run) -> None:
    """Have rationales written for all labels that have none yet; nothing where the settings want none."""
    settings = run.settings.rationales
    if isinstance(settings, NoRationaleSettings):
        return
    stage = plan.rationales_stage(run)
    if run.skipped(stage):
        return
    capacity_check.check(run, "rationales")
    from actors.data.streaming import finish, parts_of, write_stages
    from actors.rationales import make_writer

    writer = make_writer(settings, run.settings.compute, plan.rationales_cache(run))
    stage.begin()
    labels, rows, left = parts_of(plan.labels_stage(run).folder, Label, without=stage)
    tokens = write_stages({"log": stage}, writer.explain(labels), RationaleList, left, run.progress, "labels")
    engines = run.settings.compute.rationale_engines if isinstance(settings, LlmRationaleSettings) else None
    run.done(finish(stage, rows, tokens["log"], engines), "lists explained")
    _say_verdicts(run, stage)


def _say_verdicts(run: Run, stage: Stage) -> None:
    """Say in a line how many rationales there are, and what is the matter with the others."""
    import ray

    from actors.data.parts import count_verdicts

    counts = dict(ray.get(ray.remote(count_verdicts).options(num_cpus=0.25).remote(stage.folder)))
    good = counts.pop("ok", 0)
    bad = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items(), key=lambda item: -item[1]))
    run.progress.stage(
        "", f"{good:,} rationales" + (f"; {sum(counts.values()):,} candidates without: {bad}" if bad else "")
    )


if __name__ == "__main__":
    job(main)
