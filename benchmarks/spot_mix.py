"""Simulate labelling time and cost on a mix of spot and on-demand nodes, for docs/scale.md.

    python -m benchmarks.spot_mix [--lists 100000000] [--lists-per-second 1.7] [--hours-between-losses 8]

Starts no cluster and no engine. Spot nodes with eight GPUs each are preempted after exponentially distributed times. A
replacement arrives after an exponentially distributed wait, and its engines load. A lost node's lists in flight and
unwritten labels are repeated. Rates and prices are assumptions from the command line; the result is the cost of node
losses under them.
"""

from __future__ import annotations

import argparse
import heapq
import random
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

GPUS = 8
HOUR = 3600.0


@dataclass(frozen=True)
class Cloud:
    """Assumptions about the cluster.

    Attributes:
        rate: Lists per second and GPU.
        seconds_between_losses: Mean time until a spot node is lost.
        wait_seconds: Mean time until a replacement arrives.
        load_seconds: Time until the engines of a new node are ready.
        redone_seconds: Seconds of a node's work that are repeated after a loss.
        spot_price: Price of a GPU hour on a spot node.
        on_demand_price: Price of a GPU hour on an on-demand node.
    """

    rate: float
    seconds_between_losses: float
    wait_seconds: float
    load_seconds: float
    redone_seconds: float
    spot_price: float
    on_demand_price: float


@dataclass(frozen=True)
class SimulatedRun:
    """Result of one simulation.

    Attributes:
        hours: Wall-clock hours.
        gpu_hours: Paid GPU hours.
        cost: Price of the GPU hours.
        losses: Number of lost nodes.
        redone: Fraction of the lists that were labelled twice.
    """

    hours: float
    gpu_hours: float
    cost: float
    losses: int
    redone: float


def simulate(lists: int, spot_nodes: int, on_demand_nodes: int, cloud: Cloud, seed: int) -> SimulatedRun:
    """Simulate labelling on a number of nodes of each kind.

    Args:
        lists: Number of lists to label.
        spot_nodes: Number of spot nodes.
        on_demand_nodes: Number of on-demand nodes, which are never lost.
        cloud: Assumptions about the cluster.
        seed: Seed of the losses and waiting times.
    """
    generator = random.Random(seed)
    rate = cloud.rate * GPUS
    left, now, losses, redone = float(lists), 0.0, 0, 0.0
    working, spot_seconds = 0, 0.0
    alive = spot_nodes
    events: list[tuple[float, int, str]] = [(float("inf"), -1, "never")]
    for node in range(spot_nodes + on_demand_nodes):
        heapq.heappush(events, (cloud.load_seconds, node, "ready"))
    while left > 0:
        at, node, event = heapq.heappop(events)
        done = working * rate * (at - now)
        if done >= left:
            now += left / (working * rate)
            spot_seconds += alive * (left / (working * rate))
            break
        spot_seconds += alive * (at - now)
        left, now = left - done, at
        if event == "ready":
            working += 1
            if node < spot_nodes:
                heapq.heappush(events, (now + generator.expovariate(1 / cloud.seconds_between_losses), node, "lost"))
        elif event == "lost":
            working, alive, losses = working - 1, alive - 1, losses + 1
            again = min(rate * cloud.redone_seconds, lists - left)
            left, redone = left + again, redone + again
            heapq.heappush(events, (now + generator.expovariate(1 / cloud.wait_seconds), node, "arrives"))
        else:
            alive += 1
            heapq.heappush(events, (now + cloud.load_seconds, node, "ready"))
    spot_hours, on_demand_hours = GPUS * spot_seconds / HOUR, GPUS * on_demand_nodes * now / HOUR
    cost = spot_hours * cloud.spot_price + on_demand_hours * cloud.on_demand_price
    return SimulatedRun(now / HOUR, spot_hours + on_demand_hours, cost, losses, redone / lists)


def main() -> None:
    """Simulate several mixes and print a table with the mean over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=100_000_000)
    parser.add_argument("--lists-per-second", type=float, default=1.7, help="lists per second and GPU")
    parser.add_argument("--hours-between-losses", type=float, default=8, help="mean, per spot node")
    parser.add_argument("--minutes-until-another", type=float, default=10, help="mean time until a replacement node")
    parser.add_argument("--minutes-to-load", type=float, default=8, help="time to load the engines of a node")
    parser.add_argument(
        "--seconds-redone",
        type=float,
        default=60,
        help="work repeated after a loss: about 20 s of unwritten answers, and the lists in flight",
    )
    parser.add_argument(
        "--prices", type=float, nargs=2, default=(2.5, 6.0), metavar=("SPOT", "ON-DEMAND"), help="per GPU hour"
    )
    parser.add_argument("--seeds", type=int, default=20)
    arguments = parser.parse_args()
    cloud = Cloud(
        arguments.lists_per_second,
        arguments.hours_between_losses * HOUR,
        arguments.minutes_until_another * 60,
        arguments.minutes_to_load * 60,
        arguments.seconds_redone,
        *arguments.prices,
    )
    table = Table("spot nodes", "on demand", "hours", "GPU hours", "cost", "nodes lost", "labelled twice")
    for spot_nodes, on_demand_nodes in ((0, 8), (8, 0), (6, 2), (12, 0), (4, 4)):
        runs = [simulate(arguments.lists, spot_nodes, on_demand_nodes, cloud, seed) for seed in range(arguments.seeds)]

        def mean(name: str, runs: list[SimulatedRun] = runs) -> float:
            return float(sum(getattr(run, name) for run in runs) / len(runs))

        values = (
            f"{mean('hours'):,.0f}",
            f"{mean('gpu_hours'):,.0f}",
            f"{mean('cost'):,.0f}",
            f"{mean('losses'):,.0f}",
            f"{mean('redone'):.2%}",
        )
        table.add_row(str(spot_nodes), str(on_demand_nodes), *values)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
