"""cluster.yaml through the autoscaler's own preparation, validation and scheduling, as `ray up` and its head do it."""

import copy

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.event_logger import AutoscalerEventLogger
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import GangResourceRequest

from actors.cluster.capacity import lacking
from actors.cluster.limits import nodes_of_file
from actors.cluster.placement import rationale_engines, teacher_engines, training_worker
from ranking.runs.progress import Progress
from ranking.settings import load_settings
from ray_jobs.common.capacity_check import demands_of
from ray_jobs.common.run import Run, RunSettings
from tests.testing.facts import ROOT

PRODUCTION = load_settings(RunSettings, ROOT / "configs" / "production.yaml", [])
ENGINE = teacher_engines(PRODUCTION.compute).placement.demand
WORKER = training_worker(PRODUCTION.training.gpu, PRODUCTION.compute).demand


def cluster():
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def launched(demands, failed=(), together=False):
    """What would be started for demands {resource: amount}, by node type, where the launch of some types failed just now."""
    config = AutoscalingConfig(cluster(), skip_content_hash=True)
    needed = [ResourceRequestUtil.make(demand) for demand in demands]
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=config.get_node_type_configs(),
        max_num_nodes=cluster()["max_workers"] + 1,
        resource_requests=[] if together else ResourceRequestUtil.group_by_count(needed),
        gang_resource_requests=[GangResourceRequest(requests=needed)] if together else [],
        recoverable_resource_availabilities=dict.fromkeys(failed, 0.0),
    )
    reply = ResourceDemandScheduler(AutoscalerEventLogger(logger=None)).schedule(request)
    assert not reply.infeasible_gang_resource_requests
    return {one.instance_type: one.count for one in reply.to_launch if one.instance_type != "head"}, len(
        reply.infeasible_resource_requests
    )


def test_the_autoscaler_takes_the_file_and_would_not_take_any():
    prepared = prepare_config(copy.deepcopy(cluster()))
    validate_config(prepared)
    assert prepared["head_node_type"] == "head"
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config({**cluster(), "max_workers": -1}))


def test_nothing_runs_where_nothing_is_asked_for_and_no_work_on_the_head():
    assert launched([]) == ({}, 0)
    assert launched([{"CPU": 1}] * 20)[0] == {"cpu": 2}
    types = cluster()["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0, "GPU": 0}
    assert all(one["min_workers"] == 0 for name, one in types.items() if name != "head")


def test_work_on_a_processor_starts_no_gpu_and_falls_back_to_machines_on_demand():
    assert launched([{"CPU": 4}] * 4, failed=["cpu"])[0] == {"cpu_on_demand": 1}


@pytest.mark.parametrize(
    ("failed", "type_"),
    [
        ([], "student_l4"),
        (["student_l4"], "student_a10g"),
        (["student_l4", "student_a10g"], "student_on_demand"),
    ],
)
def test_students_go_on_the_cheapest_spot_machines_that_can_be_had(failed, type_):
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
def test_the_teacher_goes_on_spot_in_order_of_price_then_on_demand(failed, type_):
    assert launched([ENGINE] * 2, failed) == ({type_: 1}, 0)


def test_all_that_configs_production_asks_for_fits_the_file(tmp_path):
    run = Run(PRODUCTION.model_copy(update={"storage": str(tmp_path)}), Progress())
    nodes = nodes_of_file((ROOT / "cluster.yaml").read_text(), "cluster.yaml")
    wanted = demands_of(run, ["teacher", "rationales", "training"])
    assert [one.who for one in wanted] == ["a stage", "the teacher", "the writer of rationales", "training"]
    assert lacking(wanted, nodes, grows=True) is None
    for pool in (teacher_engines(PRODUCTION.compute), rationale_engines(PRODUCTION.compute)):
        found, left = launched([pool.placement.demand] * pool.engines)
        assert left == 0
        assert set(found) == {"teacher_a100"}
    assert launched([WORKER] * PRODUCTION.training.workers, together=True) == ({"student_l4": 4}, 0)


def test_more_than_the_cluster_may_hold_is_not_started():
    found, left = launched([{"GPU": 16, "teacher": 16}])
    assert (found, left) == ({}, 1)


def test_nobody_gets_in_but_by_ssh_and_with_a_token():
    held = cluster()
    starts = " ".join(held["head_start_ray_commands"] + held["worker_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in starts
    assert "0.0.0.0" not in starts
    assert [line.count("RAY_AUTH_MODE=token ray start") for line in starts.split("ray stop")[1:]] == [1, 1]
    assert any(path.endswith("/.ray/auth_token") for path in held["file_mounts"])
    assert "IpPermissions" not in held["provider"]["security_group"]  # Ray's own are SSH and the cluster itself
    for type_ in held["available_node_types"].values():
        assert type_["node_config"]["IamInstanceProfile"] == {"Name": "rradistill"}
        assert type_["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
