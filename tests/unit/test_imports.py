"""Tests of imports: lower layers do not import Ray or vLLM, and modules used in many processes import few packages."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (
            "ranking.registry, ranking.collections, ranking.evaluation.decision, ranking.labels.targets",
            ["ray", "torch", "vllm"],
        ),
        ("students.export, students.losses", ["ray", "vllm", "deepspeed"]),
        ("ray_jobs.common.run", ["ray", "torch", "vllm"]),
        ("actors.retrieval.pre_ranking, actors.retrieval.embeddings", ["ray", "torch"]),
        ("actors.retrieval.retrievers", ["torch"]),
        (
            "actors.serving.serving_settings, actors.serving.http_api.schemas, actors.serving.http_api.keys, "
            "actors.serving.experiment.events",
            ["ray", "torch"],
        ),
    ],
)
def test_import_does_not_load_unwanted_packages(modules, unwanted):
    code = f"import sys, {modules}; print([name for name in {unwanted} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
