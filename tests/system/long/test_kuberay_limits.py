"""Cluster limits of a job on Kubernetes, read over TLS from a fake API server with the project's RayCluster."""

import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml
from ray.autoscaler._private.kuberay import node_provider

from actors.cluster import limits
from actors.cluster.capacity import Nodes
from ranking.errors import InputError
from ray_jobs.common import capacity_check
from ray_jobs.common.run import Run, open_run
from tests.testing.facts import ROOT

PATH = "/apis/ray.io/v1/namespaces/search/rayclusters/rradistill-x7"
TOKEN = "a token"


class ApiServer(BaseHTTPRequestHandler):
    """A fake Kubernetes API server with one RayCluster, which accepts one token."""

    def do_GET(self):
        """Return the RayCluster, 403 for a wrong token, or 404 for another path."""
        allowed = self.headers["Authorization"] == f"Bearer {TOKEN}"
        status = 403 if not allowed else 200 if self.path == PATH else 404
        body = json.dumps(self.server.ray_cluster if status == 200 else {"kind": "Status", "code": status}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Log nothing."""


@pytest.fixture
def api(tmp_path, monkeypatch):
    """Start the API server, and configure this process as in a pod of KubeRay."""
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.crt"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    call = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-keyout",
        key,
        "-out",
        certificate,
        *subject,
    ]
    subprocess.run(call, check=True, capture_output=True)
    server = HTTPServer(("127.0.0.1", 0), ApiServer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    spec = yaml.safe_load((ROOT / "deploy" / "kuberay" / "rayjob.yaml").read_text())["spec"]["rayClusterSpec"]
    server.ray_cluster = {"metadata": {"name": "rradistill-x7", "namespace": "search"}, "spec": spec}
    (tmp_path / "namespace").write_text("search\n")
    (tmp_path / "token").write_text(TOKEN)
    monkeypatch.setattr(limits, "_NAMESPACE", tmp_path / "namespace")
    monkeypatch.setattr(node_provider, "IN_CLUSTER_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(node_provider, "IN_CLUSTER_CA_CERT_PATH", str(certificate))
    monkeypatch.setattr(node_provider.url_from_resource, "__defaults__", ("v1", f"127.0.0.1:{server.server_port}"))
    monkeypatch.setenv("RAY_USAGE_STATS_KUBERAY_IN_USE", "1")
    monkeypatch.setenv("RAY_CLUSTER_NAME", "rradistill-x7")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def production(tmp_path, monkeypatch):
    """Open the production run with changed settings, on a cluster of only a head node."""
    monkeypatch.setattr(Run, "start_ray", lambda self: None)
    monkeypatch.setattr(limits, "nodes_now", lambda: [Nodes(1, {"CPU": 0})])

    def open_production(*overrides):
        run_file = str(ROOT / "configs" / "production.yaml")
        return open_run([run_file, "--storage", str(tmp_path), "--collection.source", "pydoc", *overrides])

    return open_production


def test_worker_groups_are_the_limits_of_the_cluster(api):
    head, cpu, student, teacher = limits.nodes_of_kuberay()
    assert (head.count, head.resources["CPU"]) == (1, 0)
    assert (cpu.count, cpu.resources["CPU"], cpu.gpu_gb) == (8, 15, None)
    assert (student.count, student.resources["GPU"], student.resources["student"], student.gpu_gb) == (4, 1, 1, 24)
    assert (teacher.count, teacher.resources["GPU"], teacher.resources["teacher"], teacher.gpu_gb) == (2, 8, 8, 80)


def test_production_fits_and_excess_demand_is_a_one_line_error(api, production):
    capacity_check.check(production(), "teacher", "rationales", "training")
    with pytest.raises(
        InputError,
        match=r"^the teacher needs 5 x \(8 CPU, 4 GPU with 80 GB, 4 teacher\), but the cluster can scale up to 4;",
    ):
        capacity_check.check(
            production("--compute.teacher_engines", "5", "--compute.min_teacher_engines", "5"), "teacher"
        )
    with pytest.raises(
        InputError,
        match=r"can scale up to 0 \(there are GPUs with 24 GB\); "
        "see training.workers, compute.student_pool, student_gpu_gb",
    ):
        capacity_check.check(production("--compute.student_gpu_gb", "48"), "training")


def test_cluster_without_autoscaling_is_limited_to_its_current_nodes(api, production):
    api.ray_cluster["spec"]["enableInTreeAutoscaling"] = False
    with pytest.raises(InputError, match=r"^a stage needs 1 x \(1 CPU\), but the cluster has room for 0"):
        capacity_check.check(production(), "teacher")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("token", "403 Client Error"),
        ("namespace", "404 Client Error"),
        ("missing", "No such file"),
        ("unnamed", "is not set"),
    ],
)
def test_unreadable_limits_are_logged_and_nothing_is_refused(
    api, production, tmp_path, capsys, monkeypatch, wrong, message
):
    if wrong == "missing":
        (tmp_path / "namespace").unlink()
    elif wrong == "unnamed":
        monkeypatch.delenv("RAY_CLUSTER_NAME")
    else:
        (tmp_path / wrong).write_text("another")
    capacity_check.check(production(), "teacher")
    output = " ".join(capsys.readouterr().out.split())
    assert "cannot read what the cluster can grow to" in output
    assert message in output
    assert "with the current nodes, a stage needs 1 x (1 CPU), but the cluster has room for 0" in output
