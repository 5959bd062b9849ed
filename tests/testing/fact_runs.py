"""New runs over the twelve facts that reuse the first stages of the pipeline run."""

import json
import sys

from ranking.runs.stages import Manifest
from ranking.storage.folder import Folder
from tests.testing.programs import run_program

STAGES = (
    "queries",
    "index",
    "candidates",
    "test/candidates",
    "labels",
    "test/labels",
    "students/rra-bert",
    "evaluation",
)


def run_with_labels(run, finished):
    """Create a run with copies of the pipeline run's stages up to the labels, and return its folder."""
    facts, folder = Folder(finished[0]) / "facts", Folder(finished[0]) / run
    if not folder.exists():
        for name in ("queries", "index", "vectors", "candidates", "labels", "rejected"):
            if (facts / name).exists():
                (facts / name).copy_to(folder / name)
    return folder


def run_label_job(run, teacher, settings, cluster, timeout=400):
    """Run the labelling job on the facts with a teacher, and return the completed process."""
    arguments = [*settings[1], "--run", run, "--teacher", json.dumps(teacher)]
    return run_program([sys.executable, "-m", "ray_jobs.label", *arguments], cluster, timeout)


def label_facts(run, teacher, finished, settings, cluster, timeout=400):
    """Label the facts with a teacher in a new run that reuses the first stages.

    Returns:
        The folder of the run and the manifest of its labels.
    """
    folder = run_with_labels(run, finished)
    done = run_label_job(run, teacher, settings, cluster, timeout)
    assert done.returncode == 0, done.stderr + (
        folder.read_text("logs/trace.txt") if folder.exists("logs/trace.txt") else ""
    )
    manifest = Manifest.model_validate_json((folder / "labels").read_text("_manifest.json"))
    assert manifest.rows_in == manifest.rows_out + manifest.rejected
    return folder, manifest
