"""Serve the champion over HTTP, until it is interrupted.

python -m ray_jobs.serve configs/quickstart.yaml
curl -s localhost:8000/v1/rerank -H 'content-type: application/json' -d '{"query": "...", "documents": ["..."]}'
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator

from ranking.errors import InputError
from ranking.registry import check_whole
from ray_jobs.run import Run, job, log_to_file

APPLICATION = "rradistill"


def main(run: Run) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with served(run) as address:
        run.progress.stage("serve", f"{address}/v1/rerank and {address}/health; stop with Ctrl-C")
        while True:
            time.sleep(3600)


@contextlib.contextmanager
def served(run: Run) -> Iterator[str]:
    """Start the service of the champion and yield its address; it is gone at the end."""
    settings = run.settings.serving
    champion, model = run.registry.champion()
    check_whole(model, champion.checksum)
    _check_free(settings.host, settings.port)
    run.start_ray()
    import logging

    from ray import serve
    from ray.serve.schema import LoggingConfig

    from actors.ingress import Ingress
    from actors.reranker import Reranker

    log_to_file(run.log_folder())  # importing Serve put its own handler in place
    quiet = LoggingConfig(log_level=logging.WARNING, enable_access_log=False)
    serve.start(http_options={"host": settings.host, "port": settings.port}, logging_config=quiet)
    threads = max(1, (os.cpu_count() or 1) // settings.replicas)
    reranker = Reranker.options(num_replicas=settings.replicas, ray_actor_options={"num_cpus": 1}).bind(model, champion.checksum, threads)
    ingress = Ingress.options(ray_actor_options={"num_cpus": 0.5}).bind(reranker, champion.champion, settings.max_documents)
    try:
        serve.run(ingress, name=APPLICATION, route_prefix="/", logging_config=quiet)
        yield f"http://{settings.host}:{settings.port}"
    finally:
        serve.shutdown()


def _check_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"serving.port {port} on {host}: cannot be used ({error.strerror}); choose another with --serving.port"
            ) from None


if __name__ == "__main__":
    job(main)
