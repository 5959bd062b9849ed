"""Resources that a run needs before it starts."""

import json

import pytest

from ray_jobs.common.capacity_check import demands_of
from ray_jobs.common.run import open_run


@pytest.mark.parametrize(("backend", "demands"), [("vllm", 2), ("openai", 1), ("batch", 1)])
def test_hosted_models_need_no_engine(backend, demands, dataset):
    hosted = None if backend == "vllm" else {"url": "http://h/v1"}
    models = {
        "teacher": {"kind": "listwise", "model": "m", "backend": backend, "hosted": hosted},
        "rationales": {"kind": "llm", "model": "m", "backend": backend, "hosted": hosted},
        "evaluation.judge": {"kind": "llm", "model": "j", "backend": backend, "hosted": hosted},
    }
    run = open_run(
        [
            str(dataset / "run.yaml"),
            *("--storage", str(dataset / "runs")),
            *(part for name, value in models.items() for part in (f"--{name}", json.dumps(value))),
        ]
    )
    for part in ("teacher", "rationales", "judge"):
        assert len(demands_of(run, [part])) == demands
