"""Whether a cluster has, or can grow to, what a run needs: said in a line at once, where Ray would wait for ever."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ranking.errors import InputError

LEFT_ON_THE_HEAD = "~/ray_bootstrap_config.yaml"
"""Where `ray up` leaves the cluster's file on its head."""

_KUBERAY = "RAY_USAGE_STATS_KUBERAY_IN_USE"
_NAMES = {"CPU": "CPU", "GPU": "GPU"}


@dataclass(frozen=True)
class Demand:
    """What a part of a run needs at least. who: in words. shape: resources that one of `count` takes on one node."""

    who: str
    count: int
    shape: Mapping[str, float]
    setting: str


@dataclass(frozen=True)
class Nodes:
    """So many nodes, or at most so many, with these resources each."""

    count: int
    resources: Mapping[str, float]


def room_for(shape: Mapping[str, float], nodes: Sequence[Nodes]) -> int:
    """How many of a shape fit on nodes that are otherwise empty."""
    return sum(one.count * min(int(one.resources.get(name, 0) // amount) for name, amount in shape.items() if amount) for one in nodes)


def lacking(demands: Sequence[Demand], nodes: Sequence[Nodes], grows: bool) -> str | None:
    """The first demand that nodes have no room for, in words; None where there is room. Each is looked at alone, as stages take turns."""
    for demand in demands:
        room = room_for(demand.shape, nodes)
        if room < demand.count:
            shape = ", ".join(f"{amount:g} {_NAMES.get(name, name)}" for name, amount in demand.shape.items() if amount)
            verb = "can grow to" if grows else "has room for"
            largest = _largest(demand.shape, nodes)
            return f"{demand.who} wants {demand.count} x ({shape}) and the cluster {verb} {room}{largest}; see {demand.setting}"
    return None


def _largest(shape: Mapping[str, float], nodes: Sequence[Nodes]) -> str:
    """What single resource no node has enough of."""
    for name, amount in shape.items():
        most = max((one.resources.get(name, 0) for one in nodes if one.count), default=0)
        if most < amount:
            return f" (no node has more than {most:g} {_NAMES.get(name, name)})"
    return ""


def nodes_of_file(text: str, where: str) -> list[Nodes]:
    """What a cluster file lets a cluster grow to, the head included. Raises InputError for a file that is none."""
    try:
        held = yaml.safe_load(text)
        types = held["available_node_types"]
        head, most = held.get("head_node_type"), int(held.get("max_workers", 0))
        return [
            Nodes(1 if name == head else min(most, int(one.get("max_workers", 0))), _resources(one.get("resources") or {}))
            for name, one in types.items()
        ]
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{where}: is no cluster file ({type(error).__name__}: {error})") from None


def _resources(given: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(amount) for name, amount in given.items()}


def nodes_now() -> list[Nodes]:
    """The nodes of the cluster that this driver is connected to."""
    import ray

    return [Nodes(1, node["Resources"]) for node in ray.nodes() if node["Alive"]]


def check_room(demands: Sequence[Demand], cluster_file: str | None) -> None:
    """Raise InputError where the cluster has no room for a demand and cannot grow to it.

    cluster_file: that says what it can grow to; None for the one that `ray up` left here. Where there is none, nodes that are there now
    are all there is, but on KubeRay, whose limits a job cannot read.
    """
    path = Path(cluster_file or LEFT_ON_THE_HEAD).expanduser()
    if cluster_file is not None and not path.is_file():
        raise InputError(f"setting 'compute.cluster_file': {cluster_file}: no such file")
    now = nodes_now()
    if path.is_file() and "RAY_ADDRESS" in os.environ:
        found = lacking(demands, nodes_of_file(path.read_text(encoding="utf-8"), str(path)), grows=True)
        if found and lacking(demands, now, grows=False):
            raise InputError(found)
    elif _KUBERAY not in os.environ:
        found = lacking(demands, now, grows=False)
        if found:
            raise InputError(found)
