"""Labels and rationales that students are trained on, of this run or of the runs in `training.labels`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ranking.errors import InputError
from ranking.runs.stages import Manifest, fingerprint_of, manifest_of
from ranking.storage.folder import Folder


@dataclass(frozen=True)
class TrainingInput:
    """Labels or rationales that a student is trained on.

    Attributes:
        folder: Folder of the rows.
        fingerprint: Fingerprint of the stage that wrote them.
    """

    folder: Folder
    fingerprint: str


def merged_fingerprint(manifests: Sequence[Manifest]) -> str:
    """Return the fingerprint of a stage merged from several runs; for a single run, the stage's own fingerprint."""
    if len(manifests) == 1:
        return manifests[0].fingerprint
    return fingerprint_of([manifest.fingerprint for manifest in manifests])


def finished_manifest(place: str, name: str) -> Manifest:
    """Return the manifest of a stage of another run.

    Raises:
        InputError: If the stage is not finished.
    """
    folder = Folder(place) / name
    manifest = manifest_of(folder)
    if manifest is None:
        raise InputError(
            f"setting 'training.labels': no finished {name} in {folder.uri}; give the folder of a run that has them"
        )
    return manifest


def check_rationales_belong(place: str) -> None:
    """Raise InputError if the rationales of another run were not written for that run's current labels."""
    labels, rationales = (finished_manifest(place, name) for name in ("labels", "rationales"))
    if rationales.fingerprint != fingerprint_of("rationales", rationales.settings, [labels.fingerprint]):
        uri = (Folder(place) / "rationales").uri
        raise InputError(
            f"setting 'training.labels': {uri} do not belong to the labels beside them; run ray_jobs.rationales"
        )
