"""Labels of several runs as one folder, for a training that learns from all of them (`training.labels` with several runs)."""

from __future__ import annotations

from ranking.errors import InputError
from ranking.records import TokenCounts
from ranking.runs.stages import MANIFEST, Manifest, manifest_of
from ranking.storage.folder import Folder
from ray_jobs.common import plan
from ray_jobs.common.run import Run
from ray_jobs.training import training_labels

_STAGES = ("candidates", "rationales", "labels")


def merge_labels(run: Run) -> None:
    """Copy the labels, rationales and candidate lists of the runs in `training.labels` into one folder; no-op for one run or none.

    Raises InputError for a query that two runs have labelled.
    """
    sources = [Folder(place) for place in run.settings.training.labels]
    if len(sources) < 2:
        return
    target = plan.other_labels(run)
    assert target is not None
    plan.labels_to_learn(run)  # raises InputError for a run without finished labels
    if all(_is_merged(stage, sources, target) for stage in _STAGES):
        return
    _check_apart(sources)
    _check_targets(sources)
    target.delete()
    for stage in _STAGES:
        _merge(stage, sources, target)
    run.progress.stage("labels", f"{sum(_rows(source) for source in sources):,} labels of {len(sources)} runs")


def _is_merged(stage: str, sources: list[Folder], target: Folder) -> bool:
    """Whether the target has exactly what the sources have of a stage now."""
    manifests = [found for source in sources if (found := manifest_of(source / stage)) is not None]
    wanted = plan.merged_fingerprint(manifests) if len(manifests) == len(sources) else None
    merged = manifest_of(target / stage)
    return (None if merged is None else merged.fingerprint) == wanted


def _check_targets(sources: list[Folder]) -> None:
    kinds = {source.uri: training_labels.first_label(source / "labels").provenance.targets for source in sources}
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"{uri}: {kind}" for uri, kind in kinds.items())
        raise InputError(
            f"setting 'training.labels': the runs have different kinds of targets ({found}); use runs of one kind"
        )


def _check_apart(sources: list[Folder]) -> None:
    where: dict[str, Folder] = {}
    for source in sources:
        for query_id in (source / "labels").read_column("query_id"):
            if query_id in where:
                places = f"{where[query_id].uri} and in {source.uri}"
                raise InputError(
                    f"setting 'training.labels': query {query_id!r} is labelled in {places}; query ids must differ"
                )
            where[query_id] = source


def _merge(stage: str, sources: list[Folder], target: Folder) -> None:
    """Copy the parts of one stage; its manifest last, with the sums of the sources'."""
    manifests = [found for source in sources if (found := manifest_of(source / stage)) is not None]
    if len(manifests) < len(sources):
        return
    for number, source in enumerate(sources):
        for part in (source / stage).names(".parquet"):
            (target / stage).write_table(f"{number}-{part}", (source / stage).read_table(part))
    merged = Manifest(
        stage=stage,
        fingerprint=plan.merged_fingerprint(manifests),
        rows_in=sum(one.rows_in for one in manifests),
        rows_out=sum(one.rows_out for one in manifests),
        rejected=sum(one.rejected for one in manifests),
        seconds=sum(one.seconds for one in manifests),
        tokens=TokenCounts(
            prompt=sum(one.tokens.prompt for one in manifests),
            completion=sum(one.tokens.completion for one in manifests),
        ),
        engines=max((one.engines for one in manifests if one.engines is not None), default=None),
        versions=manifests[0].versions,
        settings={"runs": [source.uri for source in sources]},
    )
    (target / stage).write_text(MANIFEST, merged.model_dump_json(indent=2))


def _rows(source: Folder) -> int:
    manifest = manifest_of(source / "labels")
    return manifest.rows_out if manifest is not None else 0
