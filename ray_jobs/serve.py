"""Serve the champion over HTTP until interrupted.

    python -m ray_jobs.serve configs/quickstart.yaml
    serve deploy configs/serve.yaml                     on a running cluster; args.run names the run file
    curl -s localhost:8000/v1/rerank -H 'content-type: application/json' -d '{"query": "...", "documents": ["..."]}'

Replicas follow the registry: after `ray_jobs.promote` they load the new champion, then replace the old one without
downtime.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from ranking.ab_test.exposure_records import SERVING
from ranking.errors import InputError
from ranking.evaluation.featured_system import WorseQueries, worse_queries
from ranking.evaluation.results import Metrics
from ranking.registry_versions import verify_checksums
from ranking.runs.stages import MANIFEST
from ray_jobs.common.run import Run, job, open_run
from students import student_config

if TYPE_CHECKING:
    from ray.serve import Application

    from actors.serving.searcher import PageContent
    from actors.serving.serving_settings import ServingSettings

READS = ("collection", "candidates", "serving", "compute")
"""Settings that this job reads."""

APPLICATION = "rradistill"
KEEP_ALIVE_SECONDS = 30
"""Seconds until an idle connection that has had a response is closed."""

WORSE_QUERIES = 100
"""Maximum number of queries that got worse on the search page."""


def main(run: Run) -> None:
    """Serve the champion until SIGTERM or Ctrl-C."""
    with running_service(run) as address:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the normal end of a service, not an interruption
        page = f"; search page {address}/" if run.settings.serving.page else ""
        run.progress.stage(
            "serve", f"{address}/v1/rerank, /v2/rerank, /rerank; API docs {address}/docs{page}; stop with Ctrl-C"
        )
        while True:
            time.sleep(3600)


@contextlib.contextmanager
def running_service(run: Run) -> Iterator[str]:
    """Start the service and yield its address. Shuts the service down at the end.

    Raises:
        InputError: If the champion cannot be served, or the port is in use.
    """
    settings = run.settings.serving
    check_service(run)
    port_error = _port_error(settings.host, settings.port)
    if port_error and "RAY_ADDRESS" not in os.environ:
        raise port_error
    run.start_ray()
    import logging

    from ray import serve
    from ray.serve.schema import LoggingConfig

    run.logs.attach_handlers()  # importing Serve installs its own handler
    if APPLICATION in serve.status().applications:
        run.progress.stage(
            "serve", "the service already runs on this cluster; replicas with changed settings are replaced one by one"
        )
    elif port_error:
        raise port_error
    warnings_only = LoggingConfig(log_level=logging.WARNING, enable_access_log=False)
    application = build_application(run)
    run.logs.attach_handlers()
    serve.start(http_options=http_options(settings), logging_config=warnings_only)
    try:
        serve.run(application, name=APPLICATION, route_prefix="/", logging_config=warnings_only)
        yield f"http://{settings.host}:{settings.port}"
    finally:
        serve.shutdown()


def application(args: dict[str, Any]) -> Application:
    """Build the application for `serve deploy`.

    Args:
        args: `run`, the run file, and settings that override it, such as `storage`.

    Raises:
        InputError: If `run` is missing, a setting is invalid, or the champion cannot be served.
    """
    overrides = dict(args)
    run_file = overrides.pop("run", None)
    if run_file is None:
        raise InputError("serve config: args.run is missing; set it to the run file")
    run = open_run(
        [str(run_file), *(part for key, value in overrides.items() for part in (f"--{key}", _argument(value)))]
    )
    check_service(run)
    return build_application(run)


def _argument(value: Any) -> str:
    """Format a setting as a command-line argument."""
    return value if isinstance(value, str) else json.dumps(value)


def check_service(run: Run) -> None:
    """Check what the service reads before it starts: the models and the key file.

    Raises:
        InputError: If the champion cannot be served, or the key file is invalid.
    """
    from actors.serving.http_api.keys import check_keys

    check_champion(run)
    if run.settings.serving.keys is not None:
        check_keys(run.settings.serving.keys)


def check_champion(run: Run) -> None:
    """Check that the champion and the challenger can be served.

    Raises:
        InputError: If there is no champion, the challenger is unknown or equals the champion, a file does not match its
            checksum, or a student's config is invalid.
    """
    champion, model = run.registry.champion()
    verify_checksums(model, champion.checksum)
    student_config.read(model)
    challenger = run.settings.serving.traffic.challenger
    if challenger is not None:
        verify_checksums(run.registry.folder / challenger, run.registry.checksum_of(challenger))
        student_config.read(run.registry.folder / challenger)
        if challenger == champion.champion:
            raise InputError(
                f"setting 'serving.traffic.challenger': {challenger!r} is the champion; choose another version, "
                "see ray_jobs.promote --list"
            )


def build_application(run: Run) -> Application:
    """Bind the Ray Serve deployments: the ingress and, if the run has an index, the searcher behind the search page."""
    from ray.serve import Deployment

    from actors.serving.ingress import Ingress
    from actors.serving.judgements import JUDGEMENTS
    from actors.serving.searcher import Searcher

    # mypy ignores the types that class decorators return
    ingress_deployment, searcher_deployment = cast(Deployment, Ingress), cast(Deployment, Searcher)
    settings = run.settings.serving
    scaling: dict[str, Any] = {"num_replicas": settings.replicas}
    if settings.max_replicas is not None and settings.max_replicas > settings.replicas:
        scaling = {
            "autoscaling_config": {
                "min_replicas": settings.replicas,
                "max_replicas": settings.max_replicas,
                "target_ongoing_requests": 4,
            }
        }
    searcher = None
    if settings.page and _searchable(run) and (run.folder / "index").exists(MANIFEST):
        stage = run.plan.index
        if stage.manifest is not None:  # otherwise the index was built with other settings
            searcher = searcher_deployment.options(ray_actor_options={"num_cpus": 0.25}).bind(
                stage.folder,
                run.plan.embedding_cache,
                run.settings.candidates,
                page_content(run),
                run.storage / SERVING / JUDGEMENTS / run.settings.run,
                settings.record.queries == "text",
            )
    resources = {"num_cpus": 1, "num_gpus": settings.gpus}
    return ingress_deployment.options(ray_actor_options=resources, **scaling).bind(run.storage, settings, searcher)


def page_content(run: Run) -> PageContent:
    """Collect what the search page shows: the test queries, their judgements, and the queries that got worse.

    An evaluation that cannot be read is reported, and the page works without it. So are generated test queries.
    """
    from actors.serving.searcher import PageContent

    worse = None
    try:
        collection = run.collection
    except InputError as error:
        if run.settings.queries.generate is None:
            raise
        run.progress.stage("note", f"the search page has no generated test queries: {error}")
        collection = run.source
    try:
        worse = _worse_queries(run)
    except (InputError, OSError) as error:
        run.progress.stage("note", f"the search page does not list the queries that got worse: {error}")
    return PageContent(collection.test, collection.qrels, worse)


def _worse_queries(run: Run) -> WorseQueries | None:
    """Read the queries that got worse from the run's evaluation. None without an evaluation of this collection.

    Raises:
        InputError: If a file of the evaluation is damaged or of another version.
    """
    from ray_jobs.evaluate import METRICS, PER_QUERY

    folder = run.folder / "evaluation"
    if not folder.exists(METRICS):
        return None
    metrics = folder.read_model(METRICS, Metrics)
    if metrics.collection != run.collection.name:
        return None
    table = folder.read_table(PER_QUERY, ["system", "measure", "query_id", "value"])
    texts = {query.query_id: query.text for query in run.collection.test}
    rows = ((row["system"], row["measure"], row["query_id"], row["value"]) for row in table.to_pylist())
    return worse_queries(metrics, run.settings.evaluation.first_stages[0], rows, texts, WORSE_QUERIES)


def _searchable(run: Run) -> bool:
    """Return whether the search page can search with the run's retrievers. It never asks search engines."""
    candidates = run.settings.candidates
    if not candidates.engines:
        return candidates.imported_lists is None
    names = ", ".join(engine.list_name for engine in candidates.engines)
    local = candidates.without_engines().retrievers
    run.progress.stage("note", f"the search page does not ask {names}" + ("" if local else ", so it has no search"))
    return bool(local)


def http_options(settings: ServingSettings) -> dict[str, Any]:
    """Return the options of Ray Serve's HTTP proxies.

    The proxy's timeout covers what the service's own timeouts do not, such as a replica that hangs.
    """
    return {
        "host": settings.host,
        "port": settings.port,
        "request_timeout_s": settings.limits.body_seconds + 2 * settings.limits.timeout_seconds,
        "keep_alive_timeout_s": KEEP_ALIVE_SECONDS,
    }


def _port_error(host: str, port: int) -> InputError | None:
    """Return the error if the service cannot listen on a port; None if it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return InputError(
                f"setting 'serving.port': cannot listen on {host}:{port} ({error.strerror}); choose another port"
            )
    return None


if __name__ == "__main__":
    job(main, READS, exclusive=False)
