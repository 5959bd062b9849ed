"""Which arm a key is in: a hash, so that a key stays where it is, in every replica and after every restart."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Literal

Arm = Literal["champion", "challenger", "interleaved"]
Team = Literal["champion", "challenger"]


def place_of(key: str, experiment: str) -> float:
    """Where a key stands in an experiment: [0, 1), evenly, and anew for each experiment."""
    digest = hashlib.sha256(f"{experiment}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def hash_of(text: str) -> str:
    """What is kept of a key or a query whose text is not."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def team_draft(champion: Sequence[int], challenger: Sequence[int], seed: str) -> tuple[list[int], list[Team]]:
    """Draft two orders of the same documents into one (Radlinski et al., CIKM 2008, team-draft interleaving).

    In each round both teams, in an order drawn by chance, take the best document that is still there. seed: of the draws.
    Returns the order, and whose choice each document was.
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
