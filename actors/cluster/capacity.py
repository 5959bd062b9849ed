"""Whether a cluster has, or can grow to, what a run needs: said in a line at once, where Ray would wait for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Demand:
    """What a part of a run needs at least. who: in words. shape: resources that one of `count` takes on one node.

    gpu_gb: memory that each GPU has to have, in GB; None where any will do. settings: where that is set, for the line.
    beside: CPUs that the same stage takes at the same time, on whatever nodes.
    """

    who: str
    count: int
    shape: Mapping[str, float]
    settings: str
    gpu_gb: float | None = None
    beside: float = 0

    @property
    def told(self) -> str:
        """The shape in words: "8 CPU, 4 GPU with 80 GB, 4 teacher"."""
        memory = f" with {self.gpu_gb:g} GB" if self.gpu_gb is not None else ""
        return ", ".join(
            f"{amount:g} {name}{memory if name == 'GPU' else ''}" for name, amount in self.shape.items() if amount
        )


@dataclass(frozen=True)
class Nodes:
    """So many nodes, or at most so many, with these resources each. gpu_gb: memory of each GPU; None where it is not known."""

    count: int
    resources: Mapping[str, float]
    gpu_gb: float | None = None


def room_for(shape: Mapping[str, float], nodes: Sequence[Nodes]) -> int:
    """How many of a shape fit on nodes that are otherwise empty."""
    return sum(
        one.count * min(int(one.resources.get(name, 0) // amount) for name, amount in shape.items() if amount)
        for one in nodes
    )


def lacking(demands: Sequence[Demand], nodes: Sequence[Nodes], grows: bool) -> str | None:
    """The first demand that nodes do not meet, in words; None where they do. Each is looked at alone, as stages take turns.

    A node whose GPUs are known to be too small is no room; nor may an engine come onto one, as Ray looks at no GPU's memory.
    """
    for demand in demands:
        small = [one for one in nodes if _too_small(one, demand)]
        large = [one for one in nodes if one not in small]
        room = room_for(demand.shape, large)
        if room < demand.count:
            verb = "can grow to" if grows else "has room for"
            why = _largest(demand, nodes)
            return f"{demand.who} wants {demand.count} x ({demand.told}) and the cluster {verb} {room}{why}; see {demand.settings}"
        cpus = sum(one.count * one.resources.get("CPU", 0) for one in nodes)
        if demand.beside and cpus < demand.count * demand.shape.get("CPU", 0) + demand.beside:
            has = "can grow to" if grows else "has"
            return (
                f"{demand.who} wants {demand.count} x ({demand.told}) and {demand.beside:g} CPU beside them, and the cluster {has} "
                f"{cpus:g} CPU in all; see {demand.settings}"
            )
        if room_for(demand.shape, small):
            least = min(one.gpu_gb for one in small if one.gpu_gb is not None)
            return (
                f"{demand.who} wants ({demand.told}) and could come onto a node whose GPUs have {least:g} GB: let the nodes that are "
                f"large enough offer a resource of their own, and name it; see {demand.settings}"
            )
    return None


def _too_small(nodes: Nodes, demand: Demand) -> bool:
    return demand.gpu_gb is not None and nodes.gpu_gb is not None and nodes.gpu_gb < demand.gpu_gb


def _largest(demand: Demand, nodes: Sequence[Nodes]) -> str:
    """What single resource no node has enough of, or that its GPUs are too small."""
    for name, amount in demand.shape.items():
        most = max((one.resources.get(name, 0) for one in nodes if one.count), default=0)
        if most < amount:
            return f" (no node has more than {most:g} {name})"
    small = [
        one.gpu_gb
        for one in nodes
        if one.gpu_gb is not None and _too_small(one, demand) and room_for(demand.shape, [one])
    ]
    return f" (there are GPUs with {max(small):g} GB)" if small else ""
