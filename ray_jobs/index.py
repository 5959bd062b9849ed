"""Index the documents for retrieval: a BM25 index, and one vector per text for each encoder of dense retrieval.

    python -m ray_jobs.index configs/quickstart.yaml

Writes index/ and vectors/ in the run's folder. Jobs that retrieve candidates run this first if the index is missing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ranking.errors import InputError
from ranking.languages import check_installed
from ranking.records import Document, SelectedQuery, SplitName
from ranking.runs.stages import fingerprint_of
from ranking.settings import Bm25Settings
from ranking.storage.folder import Folder
from ranking.storage.parquet_files import part_name
from ray_jobs.common import capacity_check, model_checks
from ray_jobs.common.run import Run, job
from ray_jobs.common.run_settings import CANDIDATE_SETTINGS

if TYPE_CHECKING:
    from ray.data import Dataset

READS = (*CANDIDATE_SETTINGS, "compute")
"""Settings that this job reads."""

_TEXTS_PER_PART = 512
ENCODED = "_encoded"
"""Name of a file in each model's folder of vectors. It contains the fingerprint of the texts that were encoded last."""


def main(run: Run) -> None:
    """Index the documents and encode texts for dense retrieval."""
    index_documents(run)
    encode_texts(run)


def index_documents(run: Run) -> None:
    """Write the documents that have text, and their BM25 index.

    Raises:
        InputError: If no document has text, or the language's tokenizer is not installed.
    """
    stage = run.plan.index
    if run.skip_if_finished(stage):
        return
    documents = _with_text(run)
    if not documents and run.settings.candidates.needs_documents:
        raise InputError(f"collection {run.source.name}: no document has text")
    check_installed(run.settings.collection.language)
    run.start_ray()
    import ray

    from actors.retrieval.retrievers import DOCUMENTS, build_bm25

    stage.begin()
    if documents:
        (stage.folder / DOCUMENTS).write_rows(part_name(document.doc_id for document in documents), documents)
    for settings in run.settings.candidates.retrievers:
        if isinstance(settings, Bm25Settings):
            language = run.settings.collection.language
            ray.get(ray.remote(build_bm25).remote(documents, settings, stage.folder / "bm25", language))
    manifest = stage.finish(rows_in=len(run.source.documents), rows_out=len(documents), rejected=0)
    run.progress.stage("index", f"{len(documents):,} documents in {manifest.seconds:.0f} s")


def encode_texts(run: Run) -> None:
    """For dense retrieval, encode the documents, selected queries and test queries that have no vector yet."""
    for model, revision in run.plan.dense_models:
        texts = [*(document.content for document in _with_text(run)), *(query.text for query in run.collection.test)]
        _encode(
            run,
            model,
            revision,
            "candidates.retrievers: model",
            ENCODED,
            fingerprint_of(model, revision, run.collection.fingerprint, run.plan.queries.fingerprint),
            texts,
            True,
        )


def encode_generated(run: Run, queries: Sequence[str], written: str) -> None:
    """For the round-trip filter, encode the documents and the generated queries for dense retrieval.

    Args:
        run: The run.
        queries: Texts of the queries.
        written: Fingerprint of the stage that wrote them.
    """
    for model, revision in run.plan.dense_models:
        texts = [*(document.content for document in _with_text(run)), *queries]
        fingerprint = fingerprint_of(model, revision, run.source.fingerprint, written)
        _encode(run, model, revision, "candidates.retrievers: model", f"{ENCODED}_generated", fingerprint, texts, False)


def encode_candidates(run: Run, split: SplitName) -> None:
    """Encode the queries of a split and their candidates, or the candidates' passages, for the pre-ranker.

    Does nothing if no encoder scores candidates, or if dense retrieval has already encoded all texts with the same
    model.
    """
    encoder, passages = run.settings.candidate_encoder, run.settings.passages
    if encoder is None or (passages is None and encoder in run.plan.dense_models):
        return
    run.start_ray()
    import ray

    from actors.data.parts import doc_ids_in

    stage = run.plan.candidates_of(split)
    candidates = ray.get(ray.remote(doc_ids_in).options(num_cpus=0.25).remote(stage.folder))
    doc_ids = set(candidates)
    documents = [document for document in _with_text(run) if document.doc_id in doc_ids]
    texts = [] if passages else [document.content for document in documents]
    texts += [query.text for query in run.collection.test] if split == "test" else []
    _encode(
        run,
        *encoder,
        "pre_ranker.model" if run.settings.pre_ranker else "candidates.retrievers",
        f"{ENCODED}_{split}",
        fingerprint_of(*encoder, stage.fingerprint, *([passages.model_dump()] if passages else [])),
        texts,
        split == "log",
        documents if passages else [],
    )


def _encode(
    run: Run,
    model: str,
    revision: str | None,
    setting: str,
    marker: str,
    fingerprint: str,
    texts: list[str],
    include_log: bool,
    to_split: Sequence[Document] = (),
) -> None:
    """Encode the texts that have no vector yet.

    A marker file in the model's folder contains the fingerprint of the last call. If it is unchanged, returns at once.

    Args:
        run: The run.
        model: The sentence encoder.
        revision: Revision of the sentence encoder on the Hugging Face Hub.
        setting: Name of the setting that contains the model, for error messages.
        marker: Name of the marker file.
        fingerprint: Fingerprint of everything to encode.
        texts: Texts to encode.
        include_log: Also encode the selected queries of the log.
        to_split: Documents of which to encode each passage.
    """
    from actors.retrieval.embeddings import model_folder

    folder = model_folder(run.plan.embedding_cache, model, revision)
    if folder.exists(marker) and folder.read_text(marker) == fingerprint:
        return
    model_checks.check_encoder(run, model, revision, setting)
    run.start_ray()
    from actors.data.arrow_blocks import tables_in
    from actors.data.sink import LIGHT, TableSink
    from actors.data.streaming import new_texts, parts_of, rows_per_part, texts_of, through_actor
    from actors.retrieval.embeddings import TextEncoder

    began = time.monotonic()
    dataset = texts_of(texts, _TEXTS_PER_PART)
    if include_log:
        queries, _, _ = parts_of(run.folder / "queries", SelectedQuery)
        dataset = dataset.union(queries.select_columns(["text"]))
    if to_split:
        dataset = dataset.union(_passages_of(run, model, revision, to_split))
    new = new_texts(dataset, folder).materialize()
    total = new.count()
    if not total:
        folder.write_text(marker, fingerprint)
        return
    compute = run.settings.compute
    actors = min(compute.cpu_actors, max(1, total // rows_per_part(total)))
    vectors = (
        _encode_in_vllm(run, new, model, revision, folder)
        if compute.encoder == "vllm"
        else through_actor(new, TextEncoder, (model, revision), actors)
    )
    counts = vectors.map_batches(TableSink(folder), batch_format="pyarrow", batch_size=None, **LIGHT)
    with run.progress.bar("vectors", total, "texts") as bar:
        for counted in tables_in(counts):
            bar.advance(sum(counted["rows"].to_pylist()))
    folder.write_text(marker, fingerprint)
    seconds = time.monotonic() - began
    run.progress.stage(
        "vectors", f"{total:,} texts with {model} in {seconds:.0f} s ({total / max(seconds, 1e-9):.0f}/s)"
    )


def _passages_of(run: Run, model: str, revision: str | None, documents: Sequence[Document]) -> Dataset:
    """Split documents on workers, and print how many documents are longer than their passages.

    Returns:
        The passages, rows {text}.
    """
    import pyarrow as pa
    import ray.data

    from actors.data.streaming import through_actor
    from actors.retrieval.best_passages import PassageSplitter

    settings = run.settings.passages
    assert settings is not None
    blocks = [documents[start : start + _TEXTS_PER_PART] for start in range(0, len(documents), _TEXTS_PER_PART)]
    tables = [pa.table({"title": [d.title for d in block], "text": [d.text for d in block]}) for block in blocks]
    actors = min(run.settings.compute.cpu_actors, len(tables))
    arguments = (model, revision, settings)
    split = through_actor(ray.data.from_arrow(tables), PassageSplitter, arguments, actors).materialize()
    shortened = int(split.sum("shortened"))
    if shortened:
        run.progress.stage(
            "passages",
            f"{shortened:,} of {len(documents):,} documents have more than {settings.max_per_document} passages, whose "
            "further text is not read; raise passages.max_per_document or stride",
        )
    texts: Dataset = split.select_columns(["text"])
    return texts


def _encode_in_vllm(run: Run, texts: Dataset, model: str, revision: str | None, folder: Folder) -> Dataset:
    """Encode texts with vLLM engines."""
    capacity_check.check(run, "encoder")
    compute = run.settings.compute
    from actors.cluster.placement import teacher_engines
    from actors.retrieval.vllm_encoder import VllmTextEncoder
    from actors.vllm.crash_log import CrashLog
    from actors.vllm.engine_actor import through_engines

    CrashLog(folder).forget()
    arguments = (model, revision, folder, compute.teacher_gpus)
    return through_engines(texts, VllmTextEncoder, arguments, teacher_engines(compute))


def _with_text(run: Run) -> list[Document]:
    """Return the documents whose content is not blank."""
    return [document for document in run.source.documents if document.content.strip()]


if __name__ == "__main__":
    job(main, READS)
