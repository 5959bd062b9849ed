"""Generate queries from the documents of a collection, for teams that have no query log.

    python -m ray_jobs.generate configs/documents_only.yaml
    python -m ray_jobs.generate RUN.yaml --estimate      print prompts, tokens, hours, cost; no queries
    ray job submit --working-dir . --runtime-env runtime_env/cpu.yaml -- python -m ray_jobs.generate RUN.yaml

A language model writes queries for sampled documents, or they are read from a file. Queries whose document retrieval
does not find are dropped, then near-duplicates. Writes generated/ in the run's folder. All later stages read the
generated queries like a query log. See docs/queries_from_documents.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from actors.generators.generator_settings import LlmGenerationSettings
from ranking.errors import InputError
from ranking.generation.passage_sampling import sample_passages
from ranking.generation.recorded_queries import read_recorded_queries, recorded_row
from ranking.records import DocumentQueries, GeneratedQuery, SourcePassage
from ranking.runs.stages import Stage
from ranking.storage.parquet_files import part_name
from ray_jobs import index
from ray_jobs.common import capacity_check, model_checks
from ray_jobs.common.run import Run, job
from ray_jobs.common.run_settings import CANDIDATE_SETTINGS

READS = (*CANDIDATE_SETTINGS, "compute")
"""Settings that this job reads."""

ESTIMATED_PASSAGES = 200
"""Documents to sample for the cost estimate."""

_PASSAGES_PER_PART = 512


def main(run: Run) -> None:
    """Generate queries.

    Raises:
        InputError: If `queries.generate` is not set, or no usable query was written.
    """
    if run.settings.queries.generate is None:
        raise InputError("setting 'queries.generate': not set; there is nothing to generate")
    generate_queries(run)


def generate_queries(run: Run) -> None:
    """Generate queries if `queries.generate` is set, and print their number. Else does nothing.

    Raises:
        InputError: If no usable query was written.
    """
    if run.settings.queries.generate is None or "collection" in run.__dict__:
        return  # the collection with the generated queries was already read
    stage = run.plan.generation.queries
    if not run.skip_if_finished(stage):
        model_checks.check(run, ["generated", "candidates"])
        run.start_ray()
        write_queries(run)
        if run.plan.generation.checked is run.plan.generation.round_trip:
            check_round_trips(run)
        drop_duplicates(run)
    _ = run.collection  # prints the number of queries


def show_estimate(run: Run) -> None:
    """Estimate the cost of generation from a sample of the documents and the model's tokenizer, and print it.

    Raises:
        InputError: If the queries are recorded ones, which cost nothing.
    """
    settings = run.settings.queries.generate
    if not isinstance(settings, LlmGenerationSettings):
        raise InputError("setting 'queries.generate.kind': only a language model has costs; leave out --estimate")
    print_estimate(run, settings, passages_of(run))


def print_estimate(run: Run, settings: LlmGenerationSettings, passages: Sequence[SourcePassage]) -> None:
    """Print the estimated cost of writing queries for documents."""
    from actors.generators.generation_costs import costs_of
    from ranking.hosted_settings import rates_of
    from ranking.labels.cost_estimate import estimate, format_estimate

    compute = run.settings.compute
    costs = estimate(
        costs_of(settings, passages[:ESTIMATED_PASSAGES], run.settings.collection.language),
        len(passages),
        compute.engine_tokens_per_second,
        compute.engine_hour_price,
        rates_of(settings),
    )
    for line in format_estimate(costs, "documents", "to write queries for").splitlines():
        run.progress.line(line)


def passages_of(run: Run) -> list[SourcePassage]:
    """Sample the documents to write queries for.

    Raises:
        InputError: If there are none, or a recorded file has queries for none of the documents.
    """
    settings, documents = run.settings.queries.generate, run.source.documents
    assert settings is not None
    recorded = None
    if not isinstance(settings, LlmGenerationSettings):
        recorded = read_recorded_queries(settings).by_document
        known = {document.doc_id for document in documents}
        unknown = [doc_id for doc_id in recorded if doc_id not in known]
        if len(unknown) == len(recorded):
            raise InputError(
                f"{settings.path}: none of its {len(recorded):,} documents is in {run.source.name}, such as "
                f"{unknown[0]!r}; 'doc_id' must be the document ids of the collection"
            )
        if unknown:
            run.progress.stage("", f"{settings.path}: {len(unknown):,} documents are not in the collection, skipped")
    passages = sample_passages(documents, settings, run.settings.queries.seed, recorded)
    if not passages:
        raise InputError(
            f"{run.source.name}: no document has {settings.min_document_terms} terms or more; lower "
            "queries.generate.min_document_terms"
        )
    return passages


def write_queries(run: Run) -> None:
    """Let the generator write queries for the sampled documents, or read recorded ones."""
    plan = run.plan.generation
    stage = plan.answers
    if run.skip_if_finished(stage):
        return
    from actors.data.streaming import finish, parts_of, write_stages
    from ranking.hosted_settings import is_hosted, prices_of
    from ray_jobs.common.hosted_ends import conclude, prepare

    settings = run.settings.queries.generate
    passages = passages_of(run)
    plan.passages.delete()
    for start in range(0, len(passages), _PASSAGES_PER_PART):
        part = passages[start : start + _PASSAGES_PER_PART]
        plan.passages.write_rows(part_name(passage.query_id for passage in part), part)
    if not isinstance(settings, LlmGenerationSettings):
        _write_recorded(run, stage, passages)
        return
    from actors.generators import make_generator

    generator = make_generator(settings, run.settings.compute, plan.cache, run.settings.collection.language)
    capacity_check.check(run, "generator")
    print_estimate(run, settings, passages)
    prepare(run, generator)
    prices = prices_of(settings)
    stage.begin()
    todo, rows, left = parts_of(plan.passages, SourcePassage, without=stage)
    written = generator.write(todo)
    tokens = write_stages({"log": stage}, written, DocumentQueries, left, run.progress, "documents", prices)["log"]
    conclude(run, generator, [(stage, rows, tokens)], "documents")
    engines = None if is_hosted(settings) else run.settings.compute.teacher_engines
    run.report_stage(finish(stage, rows, tokens, engines, prices), "documents with queries")


def check_round_trips(run: Run) -> None:
    """Search the written queries, and mark those that do not find their document."""
    plan = run.plan.generation
    stage = plan.round_trip
    if run.skip_if_finished(stage):
        return
    from actors.data.streaming import finish, parts_of, through_actor, write_stages
    from actors.generators.round_trip import RoundTripFilter, texts_to_search
    from ray_jobs.candidates import check_retrievers  # imports this module

    check_retrievers(run)
    index.index_documents(run)
    rows_written = list(plan.answers.folder.read_rows(DocumentQueries))
    index.encode_generated(run, texts_to_search(rows_written), plan.answers.fingerprint)
    stage.begin()
    written, rows, left = parts_of(plan.answers.folder, DocumentQueries, without=stage)
    depth = plan.generator.round_trip_depth
    arguments = (run.plan.index.folder, run.plan.embedding_cache, run.settings.candidates, depth)
    checked = through_actor(written, RoundTripFilter, arguments)
    write_stages({"log": stage}, checked, DocumentQueries, left, run.progress, "documents")
    run.report_stage(finish(stage, rows), "documents with searched queries")


def drop_duplicates(run: Run) -> None:
    """Mark near-duplicates, split the queries by document, and print the number of queries by status.

    Raises:
        InputError: If no query is usable.
    """
    import ray

    from actors.data.streaming import count_outcomes, finish, parts_of, write_stages
    from actors.generators.duplicate_queries import count_statuses, count_written, without_duplicates

    plan = run.plan.generation
    stage, checked = plan.queries, plan.checked.folder
    total = ray.get(ray.remote(count_written).options(num_cpus=0.25).remote(checked))
    stage.begin()
    rows, _, _ = parts_of(checked, DocumentQueries)
    seed, language = run.settings.queries.seed, run.settings.collection.language
    outcomes = without_duplicates(rows, total, plan.test_fraction, seed, language)
    write_stages({"log": stage}, outcomes, GeneratedQuery, total, run.progress, "queries")
    count_outcomes(stage)  # removes rows that an interrupted job also wrote
    counts = ray.get(ray.remote(count_statuses).options(num_cpus=0.25).remote(stage.folder))
    run.progress.stage("", statuses_line(counts))
    if not counts.get("ok"):
        raise InputError(
            f"queries.generate: none of the {total:,} queries is usable ({statuses_line(counts)}); see the texts in "
            f"{stage.folder.uri}"
        )
    run.report_stage(finish(stage, total), "generated queries, usable or not")


def statuses_line(counts: dict[str, int]) -> str:
    """Format the numbers of usable queries, and of unusable ones by status."""
    unusable = sorted(((count, status) for status, count in counts.items() if status != "ok"), reverse=True)
    shown = ", ".join(f"{count:,} {status}" for count, status in unusable)
    return f"{counts.get('ok', 0):,} usable queries; not used: {shown or 'none'}"


def _write_recorded(run: Run, stage: Stage, passages: Sequence[SourcePassage]) -> None:
    """Write the recorded queries of documents."""
    settings = run.settings.queries.generate
    assert settings is not None
    assert not isinstance(settings, LlmGenerationSettings)
    stage.begin()
    recorded = read_recorded_queries(settings)
    for start in range(0, len(passages), _PASSAGES_PER_PART):
        rows = [recorded_row(recorded, passage, settings) for passage in passages[start : start + _PASSAGES_PER_PART]]
        stage.folder.write_rows(part_name(row.query_id for row in rows), rows)
    run.report_stage(stage.finish(rows_in=len(passages), rows_out=len(passages)), "documents with recorded queries")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that only this job has."""
    parser.add_argument("--estimate", action="store_true", help="Print prompts, tokens and cost; ask nothing.")


if __name__ == "__main__":
    job(main, READS, add_options=add_options, action_of=lambda options: show_estimate if options.estimate else main)
