r"""Write rationales for labels: why candidates are relevant or not, for students that learn to generate them (RRA-GPT).

    python -m ray_jobs.rationales configs/quickstart.yaml --rationales.kind extractive
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- \
      python -m ray_jobs.rationales configs/quickstart.yaml --rationales.kind extractive

Writes rationales/ in the run's folder and does not change labels/. Resumes an interrupted run. If the text
generated for a candidate is unusable, the candidate gets no rationale; its row records the text and the parse status.
"""

from __future__ import annotations

from actors.rationales.rationale_settings import ExtractiveRationaleSettings, LlmRationaleSettings, NoRationaleSettings
from ranking.errors import InputError
from ranking.languages import check_installed
from ranking.records import Label, RationaleList
from ranking.runs.stages import Stage
from ray_jobs import label
from ray_jobs.common import capacity_check, model_checks
from ray_jobs.common.run import Run, job
from ray_jobs.common.run_settings import CANDIDATE_SETTINGS

READS = (*CANDIDATE_SETTINGS, "teacher", "rationales", "compute")
"""Settings that this job reads."""


def main(run: Run) -> None:
    """Label if necessary, then write rationales.

    Raises:
        InputError: If rationales are turned off in the settings.
    """
    if isinstance(run.settings.rationales, NoRationaleSettings):
        raise InputError("setting 'rationales.kind': nothing to write for kind none; use extractive or llm")
    model_checks.check(run, ["candidates", "labels", "rationales"])
    label.main(run)
    write_rationales(run)


def write_rationales(run: Run) -> None:
    """Write rationales for all labels that have none yet. Does nothing if rationales are turned off in the settings."""
    settings = run.settings.rationales
    if isinstance(settings, NoRationaleSettings):
        return
    stage = run.plan.rationales
    if run.skip_if_finished(stage):
        return
    language = run.settings.collection.language
    if isinstance(settings, ExtractiveRationaleSettings):
        check_installed(language)
    from actors.rationales import make_writer
    from ranking.hosted_settings import is_hosted, prices_of
    from ray_jobs.common.hosted_ends import conclude, prepare

    writer = make_writer(settings, run.settings.compute, run.plan.rationales_cache, language)
    capacity_check.check(run, "rationales")
    from actors.data.streaming import finish, parts_of, write_stages

    prepare(run, writer)
    prices = prices_of(settings)
    stage.begin()
    labels, rows, left = parts_of(run.plan.labels.folder, Label, without=stage)
    tokens = write_stages({"log": stage}, writer.explain(labels), RationaleList, left, run.progress, "labels", prices)
    conclude(run, writer, [(stage, rows, tokens["log"])], "labels")
    has_engines = isinstance(settings, LlmRationaleSettings) and not is_hosted(settings)
    engines = run.settings.compute.rationale_engines if has_engines else None
    run.report_stage(finish(stage, rows, tokens["log"], engines, prices), "lists explained")
    _report_parse_statuses(run, stage)


def _report_parse_statuses(run: Run, stage: Stage) -> None:
    """Print the number of usable rationales, and of unusable ones by parse status."""
    import ray

    from actors.data.parts import count_rationale_statuses

    counts = ray.get(ray.remote(count_rationale_statuses).options(num_cpus=0.25).remote(stage.folder))
    usable = counts.pop("ok", 0)
    unusable = ", ".join(f"{count:,} {status}" for status, count in sorted(counts.items(), key=lambda item: -item[1]))
    run.progress.stage(
        "", f"{usable:,} rationales" + (f"; {sum(counts.values()):,} unusable: {unusable}" if unusable else "")
    )


if __name__ == "__main__":
    job(main, READS)
