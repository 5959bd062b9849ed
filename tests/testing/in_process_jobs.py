"""Run a job in the process of the test, without Ray."""

import sys

from ray_jobs.common import run as runs


def run_job(main, dataset, storage, monkeypatch, capsys, exclusive=False):
    """Run a job on a BEIR folder with a run file. Returns its exit code and what it printed to stderr."""
    monkeypatch.setattr(runs.signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None, raising=False)
    source = f"beir:{dataset}"
    arguments = [str(dataset / "run.yaml"), "--collection.source", source, "--storage", str(storage)]
    code = 0
    try:
        runs.job(main, arguments=arguments, exclusive=exclusive)
    except SystemExit as ended:
        code = ended.code
    return code, capsys.readouterr().err
