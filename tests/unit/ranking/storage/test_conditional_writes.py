"""Tests of the check that a bucket supports conditional writes."""

import os
import sys

import pytest

from ranking.errors import InputError
from ranking.storage.folder import Folder
from ranking.storage.pointer import Pointer, PointerContent, check_conditional_writes
from ray_jobs.common import run as runs
from tests.testing.conditional_s3 import running_conditional_s3
from tools.s3_server import BUCKET, client_of


@pytest.fixture(scope="module")
def server():
    with running_conditional_s3() as running:
        yield running


@pytest.fixture
def service(server, monkeypatch):
    """Return the service, reset, with its variables in the environment."""
    application, variables = server
    application.ignored, application.rejected, application.puts = (), {}, 0
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return application


@pytest.fixture
def folder(request):
    return Folder(f"s3://{BUCKET}/{request.node.name}")


def keys(server):
    return [item["Key"] for item in client_of(server[1]).list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def test_service_with_conditional_writes_passes_and_keeps_no_probe(service, folder, server):
    check_conditional_writes(folder)
    assert service.puts == 4
    assert keys(server) == []


def test_local_disk_needs_no_probe(tmp_path):
    check_conditional_writes(Folder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
def test_ignored_header_is_an_error_that_names_bucket_and_header(service, folder, server, header):
    service.ignored = (header,)
    expected = (
        rf"bucket '{BUCKET}' does not support conditional writes with {header} "
        r"\(it wrote although the condition was false\).*; use a service that supports them"
    )
    with pytest.raises(InputError, match=expected):
        check_conditional_writes(folder)
    assert keys(server) == []


@pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
@pytest.mark.parametrize("status", [400, 501])
def test_rejected_header_is_an_error_with_the_answer(service, folder, server, header, status):
    service.rejected = {header: status}
    with pytest.raises(InputError, match=rf"conditional writes with {header} \(it answered {status} \w+\)"):
        check_conditional_writes(folder)
    assert keys(server) == []
    pointer = Pointer(folder, "p.json")
    if header == "If-Match":
        pointer.swap(PointerContent(), "one")
    with pytest.raises(InputError, match=f"{header} .it answered {status}"):
        pointer.swap(pointer.read(), "two")
    folder.delete()


def test_other_failures_of_the_probe_are_explained(service):
    with pytest.raises(InputError, match="there is no bucket 'missing' at http"):
        check_conditional_writes(Folder("s3://missing/run"))


def test_job_ends_in_one_line_before_it_takes_the_lease(service, folder, server, capsys, monkeypatch):
    service.ignored = ("If-None-Match", "If-Match")
    monkeypatch.setattr(runs.signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None, raising=False)
    with pytest.raises(SystemExit) as ended:
        runs.job(lambda run: pytest.fail("the job ran"), arguments=["configs/quickstart.yaml", "--storage", folder.uri])
    (line,) = capsys.readouterr().err.splitlines()
    assert (ended.value.code, line.partition(":")[0]) == (2, "error")
    assert f"{folder.uri}/quickstart: bucket '{BUCKET}' does not support conditional writes" in line
    assert [key for key in keys(server) if not key.endswith("/")] == []


def test_job_probes_the_bucket_once(service, folder, monkeypatch):
    probes = []
    monkeypatch.setattr(runs.signal, "signal", lambda *_: None)
    monkeypatch.setattr(runs, "check_conditional_writes", probes.append)
    runs.job(lambda run: None, arguments=["configs/quickstart.yaml", "--storage", folder.uri])
    assert [probe.uri for probe in probes] == [f"{folder.uri}/quickstart"]
