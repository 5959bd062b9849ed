"""cluster.yaml, prepared, validated and scheduled by the autoscaler's own code, as `ray up` and the head node do."""

import copy

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.docker import docker_start_cmds
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.event_logger import AutoscalerEventLogger
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import GangResourceRequest

from actors.cluster.capacity import unmet_demand
from actors.cluster.limits import nodes_of_file
from actors.cluster.placement import rationale_engines, teacher_engines, training_worker
from ranking.run_file import load_settings
from ranking.runs.progress import Progress
from ray_jobs.common.capacity_check import demands_of
from ray_jobs.common.run import Run
from ray_jobs.common.run_settings import RunSettings
from tests.testing.facts import ROOT

PRODUCTION = load_settings(RunSettings, ROOT / "configs" / "production.yaml")
ENGINE = teacher_engines(PRODUCTION.compute).placement.demand
WORKER = training_worker(PRODUCTION.training.gpu, PRODUCTION.compute).demand


def cluster():
    """Return the content of cluster.yaml."""
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def launched(demands, failed=(), together=False):
    """Return the number of nodes of each type that the autoscaler starts, and the number of infeasible demands.

    Args:
        demands: Resources of each task or actor, {resource: amount}.
        failed: Node types that failed to launch recently.
        together: Whether the demands must be placed together, as a gang.
    """
    config = AutoscalingConfig(cluster(), skip_content_hash=True)
    requests = [ResourceRequestUtil.make(demand) for demand in demands]
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=config.get_node_type_configs(),
        max_num_nodes=cluster()["max_workers"] + 1,
        resource_requests=[] if together else ResourceRequestUtil.group_by_count(requests),
        gang_resource_requests=[GangResourceRequest(requests=requests)] if together else [],
        recoverable_resource_availabilities=dict.fromkeys(failed, 0.0),
    )
    reply = ResourceDemandScheduler(AutoscalerEventLogger(logger=None)).schedule(request)
    assert not reply.infeasible_gang_resource_requests
    started = {launch.instance_type: launch.count for launch in reply.to_launch if launch.instance_type != "head"}
    return started, len(reply.infeasible_resource_requests)


def test_autoscaler_accepts_the_file_and_rejects_an_invalid_one():
    prepared = prepare_config(copy.deepcopy(cluster()))
    validate_config(prepared)
    assert prepared["head_node_type"] == "head"
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config({**cluster(), "max_workers": -1}))


def test_no_nodes_run_without_demand_and_the_head_runs_no_work():
    assert launched([]) == ({}, 0)
    assert launched([{"CPU": 1}] * 20)[0] == {"cpu": 2}
    types = cluster()["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0, "GPU": 0}
    assert all(type_["min_workers"] == 0 for name, type_ in types.items() if name != "head")


def test_cpu_work_starts_no_gpu_node_and_falls_back_to_on_demand():
    assert launched([{"CPU": 4}] * 4, failed=["cpu"])[0] == {"cpu_on_demand": 1}


@pytest.mark.parametrize(
    ("failed", "type_"),
    [
        ([], "student_l4"),
        (["student_l4"], "student_a10g"),
        (["student_l4", "student_a10g"], "student_on_demand"),
    ],
)
def test_students_use_the_cheapest_available_spot_nodes(failed, type_):
    assert launched([WORKER] * 2, failed, together=True) == ({type_: 2}, 0)


@pytest.mark.parametrize(
    ("failed", "type_"),
    [
        ([], "teacher_a100"),
        (["teacher_a100"], "teacher_h100"),
        (["teacher_a100", "teacher_h100"], "teacher_a100_on_demand"),
        (["teacher_a100", "teacher_h100", "teacher_a100_on_demand"], "teacher_h100_on_demand"),
    ],
)
def test_teacher_uses_spot_nodes_by_price_then_on_demand(failed, type_):
    assert launched([ENGINE] * 2, failed) == ({type_: 1}, 0)


def test_production_config_fits_the_cluster_file(tmp_path):
    run = Run(PRODUCTION.model_copy(update={"storage": str(tmp_path)}), Progress())
    nodes = nodes_of_file((ROOT / "cluster.yaml").read_text(), "cluster.yaml")
    demands = demands_of(run, ["teacher", "rationales", "training"])
    assert [demand.consumer for demand in demands] == ["a stage", "the teacher", "the writer of rationales", "training"]
    assert unmet_demand(demands, nodes, grows=True) is None
    for pool in (teacher_engines(PRODUCTION.compute), rationale_engines(PRODUCTION.compute)):
        started, infeasible = launched([pool.placement.demand] * pool.engines)
        assert infeasible == 0
        assert set(started) == {"teacher_a100"}
    assert launched([WORKER] * PRODUCTION.training.workers, together=True) == ({"student_l4": 4}, 0)


def test_demand_above_the_cluster_limit_starts_nothing():
    assert launched([{"GPU": 16, "teacher": 16}]) == ({}, 1)


def test_access_requires_ssh_and_a_token():
    file = cluster()
    commands = " ".join(file["head_start_ray_commands"] + file["worker_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in commands
    assert "0.0.0.0" not in commands
    assert [part.count("RAY_AUTH_MODE=token ray start") for part in commands.split("ray stop")[1:]] == [1, 1]
    assert any(path.endswith("/.ray/auth_token") for path in file["file_mounts"])
    assert "security_group" not in file["provider"]  # Ray's own group allows SSH from everywhere
    assert all(type_["node_config"]["SecurityGroupIds"] for type_ in file["available_node_types"].values())


def test_only_the_head_has_the_profile_that_starts_machines():
    for name, type_ in cluster()["available_node_types"].items():
        profile = "rradistill-head" if name == "head" else "rradistill-worker"
        assert type_["node_config"]["IamInstanceProfile"] == {"Name": profile}


def test_instances_have_encrypted_disks_and_metadata_within_one_hop():
    for type_ in cluster()["available_node_types"].values():
        assert type_["node_config"]["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
        assert all(disk["Ebs"]["Encrypted"] is True for disk in type_["node_config"]["BlockDeviceMappings"])


def test_containers_reach_the_metadata_service_within_one_hop():
    docker = cluster()["docker"]
    names = (docker["container_name"], docker["run_options"], "rradistill", "/home/ray", "docker")
    command = docker_start_cmds("ubuntu", docker["image"], {}, *names)
    assert "--net=host" in command.split()
