"""Jobs of the system tests: their arguments, and submission through Ray's job API."""

import json
import shlex
import sys
import time

import yaml

from ranking.model_paths import FOLDER_VARIABLE
from tests.testing.facts import ROOT

STUDENT = {
    "name": "rra-bert",
    "kind": "rra_bert",
    "base": "minilm-cross",
    "max_length": 96,
    "blend": {"form": "ranks", "weight": 0.6},
}


def job_arguments(changes):
    """Return job arguments: configs/collection.yaml with settings scaled down to the facts, and with these changes."""
    overrides = {
        "queries.long_tail.min_terms": "1",
        "candidates.depth": "8",
        "pre_ranker.top": "4",
        "pre_ranker.bottom": "4",
        "training.queries_per_step": "2",
        "training.validation_fraction": "0.2",
        "compute.cpu_actors": "1",
        "compute.engine_hour_price": "3",
        "compute.stall_warning_seconds": "60",  # a test that hangs shows the cause in its output
        "students": json.dumps([STUDENT]),
        "evaluation.measures": '["nDCG@5", "RR@5"]',
        "evaluation.first_stages": '["bm25", "fused"]',
        "serving.port": "8123",
        **changes,
    }
    return ["configs/collection.yaml", *(part for key, value in overrides.items() for part in (f"--{key}", value))]


class SubmittedJob:
    """A job submitted to the cluster, as by `ray job submit --runtime-env`.

    Args:
        cluster: Environment variables of the cluster.
        module: Module to run.
        arguments: Its arguments.
        variables: Environment variables of the job, in addition to those of runtime_env/cpu.yaml.
    """

    def __init__(self, cluster, module, arguments, variables=None):
        from ray.job_submission import JobSubmissionClient

        quoted = shlex.join(arguments)
        runtime_env = {**yaml.safe_load((ROOT / "runtime_env" / "cpu.yaml").read_text()), "working_dir": str(ROOT)}
        model_folder = {FOLDER_VARIABLE: str(ROOT / "models")}  # the image sets this variable
        runtime_env["env_vars"] |= {**model_folder, **(variables or {})}
        self.client = JobSubmissionClient(cluster["RAY_API_SERVER_ADDRESS"])
        self.job = self.client.submit_job(entrypoint=f"{sys.executable} -m {module} {quoted}", runtime_env=runtime_env)

    @property
    def status(self):
        """Status of the job, such as RUNNING."""
        return str(self.client.get_job_status(self.job).value)

    @property
    def logs(self):
        """Output of the job."""
        return self.client.get_job_logs(self.job)

    def stop(self):
        """Kill the job and wait for its end."""
        self.client.stop_job(self.job)
        self.wait()

    def wait(self):
        """Wait for the end of the job and return its status and output."""
        deadline = time.monotonic() + 840
        while (status := self.status) not in ("SUCCEEDED", "FAILED", "STOPPED"):
            assert time.monotonic() < deadline, self.logs[-3000:]
            time.sleep(1)
        return status, self.logs
