"""What a cluster has room for, and the line that says what it lacks."""

import pytest

from actors.capacity import Demand, Nodes, lacking, nodes_of_file, room_for
from actors.placement import EnginePool, Placement, teacher_engines, training_worker
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


def test_a_cluster_file_tells_what_the_cluster_can_grow_to():
    text = """
max_workers: 3
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, node_config: {}}
  big: {resources: {CPU: 96, GPU: 8}, max_workers: 8, node_config: {}}
  unused: {resources: {CPU: 4}, node_config: {}}
"""
    assert nodes_of_file(text, "c.yaml") == [Nodes(1, {"CPU": 0}), Nodes(3, {"CPU": 96, "GPU": 8}), Nodes(0, {"CPU": 4})]
    for wrong in ("a: [", "max_workers: 3", "- 1", "available_node_types: {a: 3}"):
        with pytest.raises(InputError, match=r"^c.yaml: is no cluster file"):
            nodes_of_file(wrong, "c.yaml")


def test_placements_take_as_much_of_their_pool_as_gpus():
    compute = ComputeSettings(teacher_engines=4, least_teacher_engines=2, teacher_gpus=4, teacher_cpus=8, teacher_pool="teacher")
    assert teacher_engines(compute) == EnginePool(4, 2, Placement(8, 4, "teacher"))
    assert Placement(8, 4, "teacher").options == {"num_cpus": 8, "num_gpus": 4, "resources": {"teacher": 4}}
    assert training_worker(False, ComputeSettings(student_pool="student")).demand == {"CPU": 1, "student": 1}
    assert Placement(1).options == {"num_cpus": 1, "num_gpus": 0}
    assert teacher_engines(ComputeSettings(teacher_engines=3)).least == 3
    with pytest.raises(ValueError, match="least_teacher_engines 5 is more than teacher_engines 4"):
        ComputeSettings(teacher_engines=4, least_teacher_engines=5)
