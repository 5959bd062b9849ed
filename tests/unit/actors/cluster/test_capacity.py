"""Cluster capacity: room for workers, unmet demands, node limits and placements."""

import pytest

from actors.cluster.capacity import Demand, Nodes, room_for, unmet_demand
from actors.cluster.limits import gpu_gb_of, nodes_of_file
from actors.cluster.placement import EnginePool, Placement, teacher_engines, training_worker
from actors.compute_settings import ComputeSettings
from ranking.errors import InputError

BIG = Nodes(2, {"CPU": 96, "GPU": 8, "teacher": 8})
SMALL = Nodes(4, {"CPU": 8, "GPU": 1, "student": 1})
ENGINE = {"CPU": 8, "GPU": 4, "teacher": 4}


@pytest.mark.parametrize(
    ("shape", "nodes", "room"),
    [
        (ENGINE, [BIG, SMALL], 4),
        ({"GPU": 1}, [BIG, SMALL], 20),
        ({"GPU": 3}, [BIG], 4),  # two workers on each of two nodes with eight GPUs
        ({"CPU": 0.25}, [SMALL], 128),
        ({"GPU": 16}, [BIG], 0),
        ({"CPU": 1, "GPU": 0}, [Nodes(1, {"CPU": 2})], 2),
        ({"CPU": 1}, [], 0),
    ],
)
def test_room_for_counts_workers_per_node(shape, nodes, room):
    assert room_for(shape, nodes) == room


def test_unmet_demand_names_resources_and_setting():
    demand = Demand("the teacher", 4, {"CPU": 8, "GPU": 8, "teacher": 8}, "compute.teacher_gpus")
    assert unmet_demand([demand], [BIG, SMALL], grows=True) == (
        "the teacher needs 4 x (8 CPU, 8 GPU, 8 teacher), but the cluster can scale up to 2; see compute.teacher_gpus"
    )
    training = Demand("training", 1, {"CPU": 1, "GPU": 1}, "training.gpu")
    assert unmet_demand([training], [Nodes(1, {"CPU": 4})], grows=False) == (
        "training needs 1 x (1 CPU, 1 GPU), but the cluster has room for 0 (no node has more than 0 GPU); "
        "see training.gpu"
    )
    assert unmet_demand([training], [BIG], grows=False) is None


def test_gpus_with_too_little_memory_are_not_room_and_must_be_excluded():
    demand = Demand("the teacher", 4, {"CPU": 8, "GPU": 4}, "compute.teacher_gpus, teacher_gpu_gb", gpu_gb=80)
    large, small, unknown = (Nodes(1, {"CPU": 96, "GPU": 8}, gpu_gb) for gpu_gb in (80, 48, None))
    assert unmet_demand([demand], [large, unknown], grows=True) is None
    assert unmet_demand([demand], [large, small], grows=True) == (
        "the teacher needs 4 x (8 CPU, 4 GPU with 80 GB), but the cluster can scale up to 2 "
        "(there are GPUs with 48 GB); see compute.teacher_gpus, teacher_gpu_gb"
    )
    assert unmet_demand([demand], [large, unknown, small], grows=True) == (
        "the teacher needs (8 CPU, 4 GPU with 80 GB), but Ray could place it on a node whose GPUs have 48 GB; "
        "give the large enough nodes a custom resource and name it in the pool setting; "
        "see compute.teacher_gpus, teacher_gpu_gb"
    )
    pooled = Demand("the teacher", 1, {"GPU": 4, "teacher": 4}, "compute.teacher_pool", gpu_gb=80)
    assert unmet_demand([pooled], [Nodes(1, {"GPU": 8, "teacher": 8}, 80), small], grows=True) is None


@pytest.mark.parametrize(
    ("labels", "resources", "gpu_gb"),
    [
        ({"gpu-gb": "40"}, {"accelerator_type:A100": 1.0}, 40),
        ({"gpu-gb": "80", "ray.io/accelerator-type": "L4"}, {}, 80),
        ({"ray.io/accelerator-type": "L4"}, {"GPU": 1.0}, 24),
        ({}, {"GPU": 8.0, "accelerator_type:H100": 1.0}, 80),
        ({}, {"GPU": 8.0, "accelerator_type:A100": 1.0}, None),  # an A100 has 40 or 80 GB
        ({}, {"CPU": 2.0}, None),
    ],
)
def test_gpu_memory_comes_from_label_or_accelerator_type(labels, resources, gpu_gb):
    assert gpu_gb_of(labels, resources) == gpu_gb


def test_gpu_memory_label_must_be_a_number():
    with pytest.raises(InputError, match=r"^node label 'gpu-gb': must be a number of GB such as 80, not '80G'"):
        gpu_gb_of({"gpu-gb": "80G"}, {})


def test_cluster_file_lists_the_nodes_it_can_scale_up_to():
    text = """
max_workers: 3
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, node_config: {}}
  big: {resources: {CPU: 96, GPU: 8}, labels: {gpu-gb: "80"}, max_workers: 8, node_config: {}}
  any: {resources: {CPU: 4}, node_config: {}}
"""
    assert nodes_of_file(text, "c.yaml") == [
        Nodes(1, {"CPU": 0}),
        Nodes(3, {"CPU": 96, "GPU": 8}, 80),
        Nodes(3, {"CPU": 4}),
    ]
    for wrong in ("a: [", "max_workers: 3", "- 1", "available_node_types: {a: 3}"):
        with pytest.raises(InputError, match=r"^c.yaml: not a Ray cluster file"):
            nodes_of_file(wrong, "c.yaml")


def test_placement_takes_one_unit_of_its_pool_per_gpu():
    compute = ComputeSettings(
        teacher_engines=4, min_teacher_engines=2, teacher_gpus=4, teacher_cpus=8, teacher_pool="teacher"
    )
    assert teacher_engines(compute) == EnginePool(4, 2, Placement(8, 4, "teacher"))
    assert Placement(8, 4, "teacher").options == {"num_cpus": 8, "num_gpus": 4, "resources": {"teacher": 4}}
    assert training_worker(False, ComputeSettings(student_pool="student")).demand == {"CPU": 1, "student": 1}
    assert Placement(1).options == {"num_cpus": 1, "num_gpus": 0}
    assert teacher_engines(ComputeSettings(teacher_engines=3)).min_engines == 3
    with pytest.raises(ValueError, match="min_teacher_engines 5 is more than teacher_engines 4"):
        ComputeSettings(teacher_engines=4, min_teacher_engines=5)


def test_extra_cpus_need_room_in_addition_to_the_engines():
    demand = Demand("the teacher", 8, {"CPU": 8, "GPU": 1}, "compute.teacher_cpus", extra_cpus=1.5)
    assert unmet_demand([demand], [Nodes(1, {"CPU": 64, "GPU": 8})], grows=False) == (
        "the teacher needs 8 x (8 CPU, 1 GPU) and 1.5 CPU in addition, but the cluster has 64 CPU in total; "
        "see compute.teacher_cpus"
    )
    assert unmet_demand([demand], [Nodes(1, {"CPU": 64, "GPU": 8}), Nodes(1, {"CPU": 2})], grows=False) is None
