"""The index of the first stage: documents, BM25, and one vector a document for every sentence encoder.

    python -m ray_jobs.index configs/quickstart.yaml

Writes index/ of the run's folder; ray_jobs.label and ray_jobs.evaluate do this where it is missing.
"""

from __future__ import annotations

from ranking.errors import InputError
from ranking.records import Document
from ranking.settings import Bm25Settings
from ranking.storage import part_name
from ray_jobs import plan
from ray_jobs.run import Run, job

_DOCUMENTS_PER_PART = 512


def main(run: Run) -> None:
    stage = plan.index_stage(run)
    if run.skipped(stage):
        return
    documents = [document for document in run.collection.documents if document.content.strip()]
    if not documents:
        raise InputError(f"collection {run.collection.name}: none of its documents has any text")
    run.start_ray()
    import ray

    from actors.retrievers import DOCUMENTS, build_bm25

    stage.begin()
    (stage.folder / DOCUMENTS).write_rows(part_name(document.doc_id for document in documents), documents)
    for settings in run.settings.candidates.retrievers:
        if isinstance(settings, Bm25Settings):
            ray.get(ray.remote(build_bm25).remote(documents, settings, stage.folder / "bm25"))
    for model in plan.encoder_models(run):
        _encode(run, documents, model)
    manifest = stage.finish(rows_in=len(run.collection.documents), rows_out=len(documents), rejected=0)
    rate = len(documents) / max(manifest.seconds, 1e-9)
    run.progress.stage("index", f"{len(documents):,} documents in {manifest.seconds:.0f} s ({rate:.0f}/s)")


def _encode(run: Run, documents: list[Document], model: str) -> None:
    """Encode the documents that the index has no vector of yet."""
    import pyarrow as pa
    import ray.data

    from actors.encoder import DocumentEncoder
    from actors.retrievers import vectors_folder
    from actors.sink import LIGHT, TableSink
    from actors.streaming import through_actor

    folder = vectors_folder(plan.index_stage(run).folder, model)
    done = set(folder.read_column("doc_id"))
    todo = [document for document in documents if document.doc_id not in done]
    if not todo:
        return
    ids, contents = [document.doc_id for document in todo], [document.content for document in todo]
    steps = range(0, len(todo), _DOCUMENTS_PER_PART)
    blocks = [pa.table({"doc_id": ids[i : i + steps.step], "content": contents[i : i + steps.step]}) for i in steps]
    vectors = through_actor(ray.data.from_arrow(blocks), DocumentEncoder, (model,), run.settings.compute.cpu_actors, steps.step)
    counts = vectors.map_batches(TableSink(folder), batch_format="pyarrow", batch_size=None, **LIGHT)
    with run.progress.bar("index", len(todo), "documents") as bar:
        for batch in counts.iter_batches(batch_size=None, batch_format="pyarrow"):
            bar.advance(sum(batch["rows"].to_pylist()))


if __name__ == "__main__":
    job(main)
