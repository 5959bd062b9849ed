"""A local Ray cluster with the real autoscaler. Ray's fake multi-node provider starts and stops raylets as nodes."""

import contextlib
import os
import subprocess
import sys
import uuid
from pathlib import Path

import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import (
    FAKE_HEAD_NODE_ID,
    FAKE_HEAD_NODE_TYPE,
    FakeMultiNodeProvider,
)

from tools.local_cluster.processes import MARK, kill, processes_with_mark, wait_until
from tools.ports import free_ports

_RAY = Path(sys.executable).parent / "ray"
_START_SECONDS = 120
_STORE_BYTES = 100 * 2**20


def cluster_file(types, address, idle_minutes, max_workers=8):
    """Return the content of a cluster file.

    Args:
        types: Node types by name, each with "resources", "max_workers" and optional other fields.
        address: Address of the head's GCS.
        idle_minutes: Minutes after which an idle node stops.
        max_workers: Maximum number of worker nodes.
    """
    head = {"resources": {"CPU": 0}, "node_config": {}, "min_workers": 0, "max_workers": 0}
    workers = {
        name: {
            "min_workers": 0,
            "node_config": {},
            **node_type,
            "resources": {**node_type["resources"], "object_store_memory": _STORE_BYTES},
        }
        for name, node_type in types.items()
    }
    return {
        "cluster_name": "local",
        "max_workers": max_workers,
        "idle_timeout_minutes": idle_minutes,
        "upscaling_speed": 1.0,
        # "external" with the class name, because the wheel lacks the defaults of the provider's own type
        "provider": {
            "type": "external",
            "module": f"{FakeMultiNodeProvider.__module__}.{FakeMultiNodeProvider.__name__}",
            "launch_multiple": True,
            "head_node_id": FAKE_HEAD_NODE_ID,
            "gcs_address": address,
        },
        "auth": {},
        "docker": {},
        "available_node_types": {FAKE_HEAD_NODE_TYPE: head, **workers},
        "head_node_type": FAKE_HEAD_NODE_TYPE,
        "file_mounts": {},
        "cluster_synced_files": [],
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }


@contextlib.contextmanager
def growing_cluster(folder, types, idle_minutes=0.2):
    """Start a cluster of only a head node, and kill all its processes at the end.

    Args:
        folder: Folder for the cluster file and the log.
        types: Node types by name. See `cluster_file`.
        idle_minutes: Minutes after which an idle node stops.

    Yields:
        Environment variables for jobs on the cluster, and CLUSTER_FILE.
    """
    mark = uuid.uuid4().hex
    names = ("port", "dashboard-agent-listen-port", "ray-client-server-port", "metrics-export-port")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    address = f"127.0.0.1:{ports['port']}"
    file = folder / "cluster.yaml"
    file.write_text(yaml.safe_dump(cluster_file(types, address, idle_minutes)))
    environment = {**os.environ, MARK: mark, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    head_variables = {
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
        "RAY_NODE_TYPE_NAME": FAKE_HEAD_NODE_TYPE,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }
    port_options = [f"--{name}={port}" for name, port in ports.items()]
    node_options = [
        "--node-ip-address=127.0.0.1",
        "--num-cpus=0",
        f"--object-store-memory={_STORE_BYTES}",
        "--include-dashboard=false",
    ]
    start = [
        str(_RAY),
        "start",
        "--head",
        "--block",
        "--disable-usage-stats",
        f"--autoscaling-config={file}",
        *port_options,
        *node_options,
    ]
    log = folder / "head.log"
    with log.open("w") as stream:
        head = subprocess.Popen(start, env={**environment, **head_variables}, stdout=stream, stderr=subprocess.STDOUT)
    try:
        started = wait_until(
            lambda: "Ray runtime started" in log.read_text() or head.poll() is not None, _START_SECONDS
        )
        assert started, log.read_text()
        assert head.poll() is None, log.read_text()
        yield {**environment, "RAY_ADDRESS": address, "CLUSTER_FILE": str(file)}
    finally:
        for process in processes_with_mark(mark):
            kill(process)
        head.wait()
