"""What a cluster has room for, and the line that says what it lacks."""

import pytest

from actors.cluster.capacity import Demand, Nodes, lacking, room_for
from actors.cluster.limits import gpu_gb_of, nodes_of_file
from actors.cluster.placement import EnginePool, Placement, teacher_engines, training_worker
from actors.settings import ComputeSettings
from ranking.errors import InputError

BIG = Nodes(2, {"CPU": 96, "GPU": 8, "teacher": 8})
SMALL = Nodes(4, {"CPU": 8, "GPU": 1, "student": 1})
ENGINE = {"CPU": 8, "GPU": 4, "teacher": 4}


@pytest.mark.parametrize(
    ("shape", "nodes", "room"),
    [
        (ENGINE, [BIG, SMALL], 4),
        ({"GPU": 1}, [BIG, SMALL], 20),
        ({"GPU": 3}, [BIG], 4),  # three and three of eight, on each of two nodes
        ({"CPU": 0.25}, [SMALL], 128),
        ({"GPU": 16}, [BIG], 0),
        ({"CPU": 1, "GPU": 0}, [Nodes(1, {"CPU": 2})], 2),
        ({"CPU": 1}, [], 0),
    ],
)
def test_room_is_counted_node_by_node(shape, nodes, room):
    assert room_for(shape, nodes) == room


def test_what_is_lacking_is_said_in_a_line_with_the_setting():
    demand = Demand("the teacher", 4, {"CPU": 8, "GPU": 8, "teacher": 8}, "compute.teacher_gpus")
    assert lacking([demand], [BIG, SMALL], grows=True) == (
        "the teacher wants 4 x (8 CPU, 8 GPU, 8 teacher) and the cluster can grow to 2; see compute.teacher_gpus"
    )
    alone = Demand("training", 1, {"CPU": 1, "GPU": 1}, "training.gpu")
    assert lacking([alone], [Nodes(1, {"CPU": 4})], grows=False) == (
        "training wants 1 x (1 CPU, 1 GPU) and the cluster has room for 0 (no node has more than 0 GPU); see training.gpu"
    )
    assert lacking([alone], [BIG], grows=False) is None


def test_gpus_that_are_too_small_are_no_room_and_no_engine_may_come_onto_them():
    wanted = Demand("the teacher", 4, {"CPU": 8, "GPU": 4}, "compute.teacher_gpus, teacher_gpu_gb", gpu_gb=80)
    large, small, unknown = (Nodes(1, {"CPU": 96, "GPU": 8}, gpu_gb) for gpu_gb in (80, 48, None))
    assert lacking([wanted], [large, unknown], grows=True) is None
    assert lacking([wanted], [large, small], grows=True) == (
        "the teacher wants 4 x (8 CPU, 4 GPU with 80 GB) and the cluster can grow to 2 (there are GPUs with 48 GB); "
        "see compute.teacher_gpus, teacher_gpu_gb"
    )
    assert lacking([wanted], [large, unknown, small], grows=True) == (
        "the teacher wants (8 CPU, 4 GPU with 80 GB) and could come onto a node whose GPUs have 48 GB: let the nodes that are large enough "
        "offer a resource of their own, and name it; see compute.teacher_gpus, teacher_gpu_gb"
    )
    pooled = Demand("the teacher", 1, {"GPU": 4, "teacher": 4}, "compute.teacher_pool", gpu_gb=80)
    assert lacking([pooled], [Nodes(1, {"GPU": 8, "teacher": 8}, 80), small], grows=True) is None


@pytest.mark.parametrize(
    ("labels", "resources", "gpu_gb"),
    [
        ({"gpu-gb": "40"}, {"accelerator_type:A100": 1.0}, 40),
        ({"gpu-gb": "80", "ray.io/accelerator-type": "L4"}, {}, 80),
        ({"ray.io/accelerator-type": "L4"}, {"GPU": 1.0}, 24),
        ({}, {"GPU": 8.0, "accelerator_type:H100": 1.0}, 80),
        ({}, {"GPU": 8.0, "accelerator_type:A100": 1.0}, None),  # of 40 or of 80
        ({}, {"CPU": 2.0}, None),
    ],
)
def test_a_gpus_memory_is_told_by_a_label_or_by_the_card(labels, resources, gpu_gb):
    assert gpu_gb_of(labels, resources) == gpu_gb


def test_a_label_that_is_no_number_is_named():
    with pytest.raises(InputError, match=r"^label 'gpu-gb' of a node: a number of GB is needed, not '80G'"):
        gpu_gb_of({"gpu-gb": "80G"}, {})


def test_a_cluster_file_tells_what_the_cluster_can_grow_to():
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
        with pytest.raises(InputError, match=r"^c.yaml: is no cluster file"):
            nodes_of_file(wrong, "c.yaml")


def test_placements_take_as_much_of_their_pool_as_gpus():
    compute = ComputeSettings(
        teacher_engines=4, min_teacher_engines=2, teacher_gpus=4, teacher_cpus=8, teacher_pool="teacher"
    )
    assert teacher_engines(compute) == EnginePool(4, 2, Placement(8, 4, "teacher"))
    assert Placement(8, 4, "teacher").options == {"num_cpus": 8, "num_gpus": 4, "resources": {"teacher": 4}}
    assert training_worker(False, ComputeSettings(student_pool="student")).demand == {"CPU": 1, "student": 1}
    assert Placement(1).options == {"num_cpus": 1, "num_gpus": 0}
    assert teacher_engines(ComputeSettings(teacher_engines=3)).least == 3
    with pytest.raises(ValueError, match="min_teacher_engines 5 is more than teacher_engines 4"):
        ComputeSettings(teacher_engines=4, min_teacher_engines=5)


def test_what_a_stage_takes_beside_its_engines_needs_room_at_the_same_time():
    wanted = Demand("the teacher", 8, {"CPU": 8, "GPU": 1}, "compute.teacher_cpus", beside=1.5)
    assert lacking([wanted], [Nodes(1, {"CPU": 64, "GPU": 8})], grows=False) == (
        "the teacher wants 8 x (8 CPU, 1 GPU) and 1.5 CPU beside them, and the cluster has 64 CPU in all; see compute.teacher_cpus"
    )
    assert lacking([wanted], [Nodes(1, {"CPU": 64, "GPU": 8}), Nodes(1, {"CPU": 2})], grows=False) is None
