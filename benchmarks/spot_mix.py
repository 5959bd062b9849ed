"""How long labelling takes where nodes are taken away: a simulation of engines on spot and on-demand nodes, for docs/scale.md.

    python -m benchmarks.spot_mix [--lists 100000000] [--lists-per-second 1.7] [--hours-between-losses 8]

No cluster and no engine runs. Nodes of eight GPUs are lost at random moments (exponential), a new one comes after a while and its
engines load; what an engine has under way when it goes is done again, and so is what it had not yet written. Rates
and prices are assumptions that are given on the command line; what is measured here is what losses cost at them.
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
    """Assumptions. rate: lists a second of one GPU. between, wait, start: seconds between losses of a spot node, until another comes,
    and until its engines are ready. redone: seconds of a node's work that a loss throws away. spot, full: prices of a GPU hour."""

    rate: float
    between: float
    wait: float
    start: float
    redone: float
    spot: float
    full: float


@dataclass(frozen=True)
class Found:
    """hours: from begin to end. paid: GPU hours. lost: nodes taken away. redone: share of the work that was done twice."""

    hours: float
    paid: float
    cost: float
    lost: int
    redone: float


def simulate(lists: int, spot_nodes: int, full_nodes: int, cloud: Cloud, seed: int) -> Found:
    """Run the lists over some nodes of each kind."""
    draw = random.Random(seed)
    rate = cloud.rate * GPUS
    left, now, lost, redone = float(lists), 0.0, 0, 0.0
    working, paid_spot = 0, 0.0
    alive = spot_nodes
    events: list[tuple[float, int, str]] = [(float("inf"), -1, "never")]
    for node in range(spot_nodes + full_nodes):
        heapq.heappush(events, (cloud.start, node, "ready"))
    while left > 0:
        at, node, what = heapq.heappop(events)
        done = working * rate * (at - now)
        if done >= left:
            now += left / (working * rate)
            paid_spot += alive * (left / (working * rate))
            break
        paid_spot += alive * (at - now)
        left, now = left - done, at
        if what == "ready":
            working += 1
            if node < spot_nodes:
                heapq.heappush(events, (now + draw.expovariate(1 / cloud.between), node, "lost"))
        elif what == "lost":
            working, alive, lost = working - 1, alive - 1, lost + 1
            again = min(rate * cloud.redone, lists - left)
            left, redone = left + again, redone + again
            heapq.heappush(events, (now + draw.expovariate(1 / cloud.wait), node, "comes"))
        else:
            alive += 1
            heapq.heappush(events, (now + cloud.start, node, "ready"))
    hours = [GPUS * paid_spot / HOUR, GPUS * full_nodes * now / HOUR]
    return Found(now / HOUR, sum(hours), hours[0] * cloud.spot + hours[1] * cloud.full, lost, redone / lists)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lists", type=int, default=100_000_000)
    parser.add_argument("--lists-per-second", type=float, default=1.7, help="of one GPU")
    parser.add_argument("--hours-between-losses", type=float, default=8, help="of one spot node")
    parser.add_argument("--minutes-until-another", type=float, default=10)
    parser.add_argument("--minutes-to-load", type=float, default=8)
    parser.add_argument(
        "--seconds-redone", type=float, default=60, help="20 s of unwritten answers, and what is under way"
    )
    parser.add_argument(
        "--prices", type=float, nargs=2, default=(2.5, 6.0), metavar=("SPOT", "FULL"), help="of a GPU hour"
    )
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    cloud = Cloud(
        given.lists_per_second,
        given.hours_between_losses * HOUR,
        given.minutes_until_another * 60,
        given.minutes_to_load * 60,
        given.seconds_redone,
        *given.prices,
    )
    table = Table("spot nodes", "on demand", "hours", "GPU hours", "cost", "nodes lost", "done twice")
    for spot, full in ((0, 8), (8, 0), (6, 2), (12, 0), (4, 4)):
        runs = [simulate(given.lists, spot, full, cloud, seed) for seed in range(given.seeds)]

        def mean(name: str, runs: list[Found] = runs) -> float:
            return float(sum(getattr(run, name) for run in runs) / len(runs))

        values = (
            f"{mean('hours'):,.0f}",
            f"{mean('paid'):,.0f}",
            f"{mean('cost'):,.0f}",
            f"{mean('lost'):,.0f}",
            f"{mean('redone'):.2%}",
        )
        table.add_row(str(spot), str(full), *values)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
