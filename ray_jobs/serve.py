"""Serve the champion over HTTP, until it is interrupted.

    python -m ray_jobs.serve configs/quickstart.yaml
    serve deploy configs/serve.yaml                     on a cluster that runs; its args name the run file
    curl -s localhost:8000/v1/rerank -H 'content-type: application/json' -d '{"query": "...", "documents": ["..."]}'

Replicas follow the registry: after `ray_jobs.promote` they load the new champion beside the old one, and it takes over.
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
from typing import TYPE_CHECKING, Any

from ranking.errors import InputError
from ranking.registry import check_whole
from ranking.runs.stages import MANIFEST
from ray_jobs.common import plan
from ray_jobs.common.run import Run, job, open_run
from students import student_config

if TYPE_CHECKING:
    from ray.serve import Application

APPLICATION = "rradistill"
PICKED = 200


def main(run: Run) -> None:
    with served(run) as address:
        signal.signal(
            signal.SIGTERM, lambda *_: sys.exit(0)
        )  # a service ends well so; for other jobs it is an interruption
        page = f"; the page is {address}/" if run.settings.serving.page else ""
        run.progress.stage(
            "serve", f"{address}/v1/rerank, /v2/rerank, /rerank; {address}/docs describes them{page}; stop with Ctrl-C"
        )
        while True:
            time.sleep(3600)


@contextlib.contextmanager
def served(run: Run) -> Iterator[str]:
    """Start the service of the champion and yield its address; it is gone at the end."""
    settings = run.settings.serving
    check_champion(run)
    taken = _taken(settings.host, settings.port)
    if taken and "RAY_ADDRESS" not in os.environ:
        raise taken
    run.start_ray()
    import logging

    from ray import serve
    from ray.serve.schema import LoggingConfig

    run.logs.take()  # importing Serve put its own handler in place
    if APPLICATION in serve.status().applications:
        run.progress.stage(
            "serve", "runs on this cluster already; its replicas are replaced, one by one, where settings changed"
        )
    elif taken:
        raise taken
    quiet = LoggingConfig(log_level=logging.WARNING, enable_access_log=False)
    application = bound(run)
    run.logs.take()
    serve.start(http_options={"host": settings.host, "port": settings.port}, logging_config=quiet)
    try:
        serve.run(application, name=APPLICATION, route_prefix="/", logging_config=quiet)
        yield f"http://{settings.host}:{settings.port}"
    finally:
        serve.shutdown()


def application(args: dict[str, Any]) -> Application:
    """What `serve deploy` builds: args hold `run`, the run file, and settings to lay over it, such as `storage`."""
    given = dict(args)
    where = given.pop("run", None)
    if where is None:
        raise InputError("serve config: args.run is missing; it names the run file")
    run = open_run([str(where), *(part for key, value in given.items() for part in (f"--{key}", _argument(value)))])
    check_champion(run)
    return bound(run)


def _argument(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def check_champion(run: Run) -> None:
    """Raise InputError where there is nothing to serve: no champion, a file that changed, an unknown challenger, a student
    of an older version."""
    champion, model = run.registry.champion()
    check_whole(model, champion.checksum)
    student_config.read(model)
    challenger = run.settings.serving.traffic.challenger
    if challenger is not None:
        check_whole(run.registry.folder / challenger, run.registry.checksum_of(challenger))
        student_config.read(run.registry.folder / challenger)
        if challenger == champion.champion:
            raise InputError(
                f"setting 'serving.traffic.challenger': {challenger!r} is the champion itself; promote.py --list shows others"
            )


def bound(run: Run) -> Application:
    """The deployments, put together."""
    from actors.serving.ingress import Ingress
    from actors.serving.searcher import Searcher

    settings = run.settings.serving
    scaling = {"num_replicas": settings.replicas}
    if settings.max_replicas is not None and settings.max_replicas > settings.replicas:
        scaling = {
            "autoscaling_config": {  # type: ignore[dict-item]
                "min_replicas": settings.replicas,
                "max_replicas": settings.max_replicas,
                "target_ongoing_requests": 4,
            }
        }
    searcher = None
    if settings.page and run.settings.candidates.given is None and (run.folder / "index").exists(MANIFEST):
        stage = plan.index_stage(run)
        queries = run.collection.test[:PICKED]
        qrels = {query.query_id: run.collection.qrels.get(query.query_id, {}) for query in queries}
        if stage.manifest is not None:  # else it is of other settings
            searcher = Searcher.options(ray_actor_options={"num_cpus": 0.25}).bind(
                stage.folder, plan.embedding_cache(run), run.settings.candidates, queries, qrels
            )
    placed = {"num_cpus": 1, "num_gpus": settings.gpus}
    return Ingress.options(ray_actor_options=placed, **scaling).bind(run.storage, settings, searcher)  # type: ignore[no-any-return]


def _taken(host: str, port: int) -> InputError | None:
    """What to say where a port cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return InputError(
                f"serving.port {port} on {host}: cannot be used ({error.strerror}); choose another with --serving.port"
            )
    return None


if __name__ == "__main__":
    job(main, alone=False)
