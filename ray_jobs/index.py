"""What the first stage searches: documents, their BM25 index, and one vector a text for every sentence encoder.

    python -m ray_jobs.index configs/quickstart.yaml

Writes index/ and vectors/ of the run's folder; the jobs that retrieve do this where it is missing.
"""

from __future__ import annotations

import time

from ranking.errors import InputError
from ranking.records import Document, SelectedQuery
from ranking.settings import Bm25Settings
from ranking.stages import fingerprint_of
from ranking.storage import part_name
from ray_jobs import plan
from ray_jobs.run import Run, job

_TEXTS_PER_PART = 512
ENCODED = "_encoded"


def main(run: Run) -> None:
    index_documents(run)
    encode_texts(run)


def index_documents(run: Run) -> None:
    """Write the documents that have any text, and their BM25 index."""
    stage = plan.index_stage(run)
    if run.skipped(stage):
        return
    documents = _with_text(run)
    if not documents and run.settings.candidates.given is None:
        raise InputError(f"collection {run.collection.name}: none of its documents has any text")
    run.start_ray()
    import ray

    from actors.retrievers import DOCUMENTS, build_bm25

    stage.begin()
    if documents:
        (stage.folder / DOCUMENTS).write_rows(part_name(document.doc_id for document in documents), documents)
    for settings in run.settings.candidates.retrievers:
        if isinstance(settings, Bm25Settings):
            ray.get(ray.remote(build_bm25).remote(documents, settings, stage.folder / "bm25"))
    manifest = stage.finish(rows_in=len(run.collection.documents), rows_out=len(documents), rejected=0)
    run.progress.stage("index", f"{len(documents):,} documents in {manifest.seconds:.0f} s")


def encode_texts(run: Run) -> None:
    """Encode documents, selected queries and test queries, those that have no vector yet."""
    for model in plan.encoder_models(run):
        _encode(run, model)


def _encode(run: Run, model: str) -> None:
    """Encode for one model. What it was asked for last is marked in its folder, so that nothing is read where nothing is new."""
    from actors.vectors import TextEncoder, model_folder

    folder = model_folder(plan.vectors_memory(run), model)
    wanted = fingerprint_of(model, run.collection.fingerprint, plan.queries_stage(run).fingerprint)
    if folder.exists(ENCODED) and folder.read_text(ENCODED) == wanted:
        return
    run.start_ray()
    from actors.sink import LIGHT, TableSink
    from actors.streaming import new_texts, parts_of, rows_per_part, texts_of, through_actor

    began = time.monotonic()
    queries, _, _ = parts_of(run.folder / "queries", SelectedQuery)
    held = [*(document.content for document in _with_text(run)), *(query.text for query in run.collection.test)]
    texts = new_texts(texts_of(held, _TEXTS_PER_PART).union(queries.select_columns(["text"])), folder).materialize()
    total = texts.count()
    if not total:
        folder.write_text(ENCODED, wanted)
        return
    actors = min(run.settings.compute.cpu_actors, max(1, total // rows_per_part(total)))
    vectors = through_actor(texts, TextEncoder, (model,), actors)
    counts = vectors.map_batches(TableSink(folder), batch_format="pyarrow", batch_size=None, **LIGHT)
    with run.progress.bar("vectors", total, "texts") as bar:
        for batch in counts.iter_batches(batch_size=None, batch_format="pyarrow"):
            bar.advance(sum(batch["rows"].to_pylist()))
    folder.write_text(ENCODED, wanted)
    seconds = time.monotonic() - began
    run.progress.stage("vectors", f"{total:,} texts by {model} in {seconds:.0f} s ({total / max(seconds, 1e-9):.0f}/s)")


def _with_text(run: Run) -> list[Document]:
    return [document for document in run.collection.documents if document.content.strip()]


if __name__ == "__main__":
    job(main)
