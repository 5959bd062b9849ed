"""Check whether a cluster has, or can scale up to, the resources that a run needs.

Ray waits forever for resources that no node offers. This check reports them in one line before the run starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Demand:
    """The minimum resources that one part of a run needs.

    Attributes:
        consumer: Name of the part in messages, such as "the teacher".
        count: Number of workers.
        shape: Resources that each worker takes on one node, {resource: amount}.
        settings: Names of the settings that determine this demand, for messages.
        gpu_gb: Minimum memory of each GPU in GB. None accepts any GPU.
        extra_cpus: CPUs that the same stage uses at the same time, in addition to the workers, on any nodes.
    """

    consumer: str
    count: int
    shape: Mapping[str, float]
    settings: str
    gpu_gb: float | None = None
    extra_cpus: float = 0

    @property
    def shape_text(self) -> str:
        """The shape as text for messages, for example "8 CPU, 4 GPU with 80 GB, 4 teacher"."""
        memory = f" with {self.gpu_gb:g} GB" if self.gpu_gb is not None else ""
        return ", ".join(
            f"{amount:g} {name}{memory if name == 'GPU' else ''}" for name, amount in self.shape.items() if amount
        )


@dataclass(frozen=True)
class Nodes:
    """A group of identical nodes.

    Attributes:
        count: Number of nodes, or the maximum number for a node type that autoscales.
        resources: Resources of each node.
        gpu_gb: Memory of each GPU in GB. None if unknown.
    """

    count: int
    resources: Mapping[str, float]
    gpu_gb: float | None = None


def room_for(shape: Mapping[str, float], nodes: Sequence[Nodes]) -> int:
    """Return how many workers that need the resources `shape` fit on the nodes if nothing else runs there."""
    return sum(
        group.count * min(int(group.resources.get(name, 0) // amount) for name, amount in shape.items() if amount)
        for group in nodes
    )


def unmet_demand(demands: Sequence[Demand], nodes: Sequence[Nodes], grows: bool) -> str | None:
    """Describe the first demand that the nodes cannot meet.

    Checks each demand separately, because stages run one after another. Ignores nodes whose GPUs are known to have too
    little memory. If Ray could place a worker on one of them, returns a message too, because Ray does not check GPU
    memory.

    Args:
        demands: Demands to check.
        nodes: The cluster's current nodes or, with `grows`, the nodes that it has at its maximum size.
        grows: Whether the cluster can scale up to `nodes`.

    Returns:
        A one-line message, or None if all demands are met.
    """
    for demand in demands:
        small = [group for group in nodes if _too_small(group, demand)]
        large = [group for group in nodes if group not in small]
        room = room_for(demand.shape, large)
        if room < demand.count:
            verb = "can scale up to" if grows else "has room for"
            reason = _limiting_resource(demand, nodes)
            return (
                f"{demand.consumer} needs {demand.count} x ({demand.shape_text}), but the cluster {verb} {room}"
                f"{reason}; see {demand.settings}"
            )
        cpus = sum(group.count * group.resources.get("CPU", 0) for group in nodes)
        if demand.extra_cpus and cpus < demand.count * demand.shape.get("CPU", 0) + demand.extra_cpus:
            verb = "can scale up to" if grows else "has"
            return (
                f"{demand.consumer} needs {demand.count} x ({demand.shape_text}) and {demand.extra_cpus:g} CPU in "
                f"addition, but the cluster {verb} {cpus:g} CPU in total; see {demand.settings}"
            )
        if room_for(demand.shape, small):
            smallest = min(group.gpu_gb for group in small if group.gpu_gb is not None)
            return (
                f"{demand.consumer} needs ({demand.shape_text}), but Ray could place it on a node whose GPUs have "
                f"{smallest:g} GB; give the large enough nodes a custom resource and name it in the pool setting; "
                f"see {demand.settings}"
            )
    return None


def _too_small(nodes: Nodes, demand: Demand) -> bool:
    """Return whether the GPUs of these nodes are known to have less memory than the demand needs."""
    return demand.gpu_gb is not None and nodes.gpu_gb is not None and nodes.gpu_gb < demand.gpu_gb


def _limiting_resource(demand: Demand, nodes: Sequence[Nodes]) -> str:
    """Explain in parentheses why there is no room, or return an empty text.

    Names the resource that no single node has enough of, or the memory of the GPUs that are too small.
    """
    for name, amount in demand.shape.items():
        largest = max((group.resources.get(name, 0) for group in nodes if group.count), default=0)
        if largest < amount:
            return f" (no node has more than {largest:g} {name})"
    small = [
        group.gpu_gb
        for group in nodes
        if group.gpu_gb is not None and _too_small(group, demand) and room_for(demand.shape, [group])
    ]
    return f" (there are GPUs with {max(small):g} GB)" if small else ""
