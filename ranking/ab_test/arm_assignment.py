"""Assign the experiment keys of callers to the arms of an A/B test, and interleave two rankings.

Keys are assigned by hash, so assignments are the same in all replicas and after restarts.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Literal

Arm = Literal["champion", "challenger", "interleaved"]
Team = Literal["champion", "challenger"]


def bucket_of(key: str, experiment: str) -> float:
    """Hash a key to a uniformly distributed value in [0, 1). Values for different experiments are independent."""
    digest = hashlib.sha256(f"{experiment}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def team_draft(champion: Sequence[int], challenger: Sequence[int], seed: str) -> tuple[list[int], list[Team]]:
    """Interleave two orders of the same documents by team-draft interleaving (Radlinski et al., CIKM 2008).

    The two models are the teams. In each round both teams, in random order, pick the best document of their own order
    that was not picked before.

    Args:
        champion: the champion's order, best first.
        challenger: the challenger's order, best first.
        seed: seed of the random choices.

    Returns:
        The interleaved order, and for each document in it the team that picked it.
    """
    draw = random.Random(seed)
    rankings: dict[Team, Sequence[int]] = {"champion": champion, "challenger": challenger}
    places: dict[Team, int] = {"champion": 0, "challenger": 0}
    taken: set[int] = set()
    order: list[int] = []
    teams: list[Team] = []
    while len(order) < len(champion):
        first: Team = "champion" if draw.random() < 0.5 else "challenger"
        second: Team = "challenger" if first == "champion" else "champion"
        for team in (first, second):
            if len(order) == len(champion):
                break
            while rankings[team][places[team]] in taken:
                places[team] += 1
            chosen = rankings[team][places[team]]
            taken.add(chosen)
            order.append(chosen)
            teams.append(team)
    return order, teams
