"""Merge the labels of the runs in `training.labels` into one folder, for training on all of them."""

from __future__ import annotations

from ranking.errors import InputError
from ranking.records import TokenCounts
from ranking.runs.stages import MANIFEST, Manifest, manifest_of
from ranking.storage.folder import Folder
from ray_jobs.common.run import Run
from ray_jobs.common.training_inputs import merged_fingerprint
from ray_jobs.training import training_labels

_STAGES = ("candidates", "rationales", "labels")


def merge_labels(run: Run) -> None:
    """Copy the labels, rationales and candidate lists of the runs in `training.labels` into one folder.

    Does nothing for fewer than two runs, or if the folder is up to date.

    Raises:
        InputError: If a run has no finished labels, two runs labelled the same query, or kinds of targets differ.
    """
    sources = [Folder(location) for location in run.settings.training.labels]
    if len(sources) < 2:
        return
    target = run.plan.external_labels
    assert target is not None
    _ = run.plan.labels_for_training  # raises InputError for a run without finished labels
    if all(_is_merged(stage, sources, target) for stage in _STAGES):
        return
    _check_distinct_queries(sources)
    _check_targets(sources)
    target.delete()
    for stage in _STAGES:
        _merge(stage, sources, target)
    run.progress.stage("labels", f"{sum(_rows(source) for source in sources):,} labels of {len(sources)} runs")


def _is_merged(stage: str, sources: list[Folder], target: Folder) -> bool:
    """Return whether the target contains the sources' current rows of a stage."""
    manifests = [manifest for source in sources if (manifest := manifest_of(source / stage)) is not None]
    expected = merged_fingerprint(manifests) if len(manifests) == len(sources) else None
    merged = manifest_of(target / stage)
    return (None if merged is None else merged.fingerprint) == expected


def _check_targets(sources: list[Folder]) -> None:
    """Raise InputError if the labels of the runs have different kinds of targets."""
    kinds = {source.uri: training_labels.first_label(source / "labels").provenance.targets for source in sources}
    if len(set(kinds.values())) > 1:
        by_run = ", ".join(f"{uri}: {kind}" for uri, kind in kinds.items())
        raise InputError(
            f"setting 'training.labels': the runs have different kinds of targets ({by_run}); use runs of one kind"
        )


def _check_distinct_queries(sources: list[Folder]) -> None:
    """Raise InputError if two runs labelled a query with the same id."""
    source_of: dict[str, Folder] = {}
    for source in sources:
        for query_id in (source / "labels").read_column("query_id"):
            if query_id in source_of:
                runs = f"{source_of[query_id].uri} and in {source.uri}"
                raise InputError(
                    f"setting 'training.labels': query {query_id!r} is labelled in {runs}; query ids must be distinct"
                )
            source_of[query_id] = source


def _merge(stage: str, sources: list[Folder], target: Folder) -> None:
    """Copy the part files of one stage and write a manifest with total counts. Skips a stage that a source lacks."""
    manifests = [manifest for source in sources if (manifest := manifest_of(source / stage)) is not None]
    if len(manifests) < len(sources):
        return
    for number, source in enumerate(sources):
        for part in (source / stage).names(".parquet"):
            (target / stage).write_table(f"{number}-{part}", (source / stage).read_table(part))
    merged = Manifest(
        stage=stage,
        fingerprint=merged_fingerprint(manifests),
        rows_in=sum(manifest.rows_in for manifest in manifests),
        rows_out=sum(manifest.rows_out for manifest in manifests),
        rejected=sum(manifest.rejected for manifest in manifests),
        seconds=sum(manifest.seconds for manifest in manifests),
        tokens=TokenCounts(
            prompt=sum(manifest.tokens.prompt for manifest in manifests),
            completion=sum(manifest.tokens.completion for manifest in manifests),
        ),
        engines=max((manifest.engines for manifest in manifests if manifest.engines is not None), default=None),
        versions=manifests[0].versions,
        settings={"runs": [source.uri for source in sources]},
    )
    (target / stage).write_text(MANIFEST, merged.to_json())


def _rows(source: Folder) -> int:
    """Return the number of labels of a run."""
    manifest = manifest_of(source / "labels")
    return manifest.rows_out if manifest is not None else 0
