"""Train a small scorer with and without clicks, on simulated queries with head and tail frequencies.

    python -m benchmarks.click_training [--seeds 5] [--blind-spot all|head]

Documents have features, and their true relevance depends on all of them. The teacher's scores are noisy and ignore one
feature, for all queries or for head queries only. Users click by the position-based model on rankings of two arms. The
scorers differ in their targets only, and are measured by nDCG@10 of true relevance on documents that they were not
trained on. Propensities, estimates and mixing are those of the product, with its default settings.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from ranking.clicks.click_counts import ClickCounts, Floats, counts_of
from ranking.clicks.click_mixing import ListClicks, click_weight, with_clicks
from ranking.clicks.click_relevance import debias
from ranking.clicks.click_settings import ClickSettings
from ranking.clicks.propensities import harvest_propensities
from ranking.evaluation.significance import compare
from ranking.records import LabelledCandidate
from students.losses import LOSSES
from students.objective import ndcg
from students.training_settings import ClickMixingSettings

QUERIES, HEAD = 400, 60
DOCUMENTS, FEATURES, DEPTH = 20, 6, 10
MAX_FREQUENCY = 20_000
PROPENSITIES = 1 / np.arange(1, DEPTH + 1) ** 0.9
TEACHER_NOISE = 1.0
HIDDEN, STEPS, LEARNING_RATE = 16, 150, 0.02
PERMUTATIONS = 10_000


@dataclass(frozen=True)
class World:
    """Queries with the features of their documents. The first `HEAD` queries are the head.

    Attributes:
        frequencies: Exposures of each query, [queries].
        features: Documents to train on, [queries, documents, features]. The last feature is 1 for head queries.
        unseen: Documents to measure on, of the same shape.
        ignored: Whether the teacher ignores the first feature, [queries].
    """

    frequencies: Floats
    features: Floats
    unseen: Floats
    ignored: Floats

    @classmethod
    def draw(cls, generator: np.random.Generator, blind_spot: str) -> World:
        """Draw the documents, and Zipf frequencies."""
        frequencies = np.maximum(1, MAX_FREQUENCY // np.arange(1, QUERIES + 1) ** 1.5)
        head = np.arange(QUERIES) < HEAD
        features = generator.normal(size=(2, QUERIES, DOCUMENTS, FEATURES))
        features[..., -1] = head[None, :, None]
        ignored = np.ones(QUERIES) if blind_spot == "all" else head.astype(np.float64)
        return cls(frequencies, features[0], features[1], ignored)

    def logits(self, features: Floats) -> Floats:
        """Return the true relevance as logits, [queries, documents].

        The first feature is relevant for the queries whose teacher ignores it, and the others for all queries.
        """
        weights = np.array([0.0, 0.8, -0.6, 0.5, -0.4, 0.0])
        return np.asarray(features @ weights + features[..., 0] * self.ignored[:, None])

    def teacher(self, generator: np.random.Generator) -> Floats:
        """Return the teacher's scores of the documents to train on, [queries, documents]."""
        scores = self.logits(self.features) - self.features[..., 0] * self.ignored[:, None]
        return np.asarray(scores + generator.normal(0, TEACHER_NOISE, scores.shape))


def simulated_clicks(generator: np.random.Generator, world: World, teacher: Floats) -> ClickCounts:
    """Simulate the clicks on two arms, whose rankings have the teacher's order with different noise."""
    attractive = 0.5 / (1 + np.exp(1 - world.logits(world.features)))
    cells: dict[tuple[int, int], list[int]] = {}
    for query, frequency in enumerate(world.frequencies.astype(int).tolist()):
        for shown in (frequency // 2, frequency - frequency // 2):
            order = np.argsort(-(teacher[query] + generator.normal(0, 1.0, DOCUMENTS)))[:DEPTH]
            clicks = generator.binomial(shown, PROPENSITIES * attractive[query][order])
            for position in range(DEPTH if shown else 0):
                cell = cells.setdefault((query * DOCUMENTS + int(order[position]), position), [0, 0])
                cell[0] += shown
                cell[1] += int(clicks[position])
    return counts_of((pair, position, cell[0], cell[1]) for (pair, position), cell in cells.items())


Targets = Callable[[World, ClickCounts, Floats], Floats]


def teacher_only(world: World, counts: ClickCounts, teacher: Floats) -> Floats:
    """Return the teacher's scores."""
    return teacher


def mixed(world: World, counts: ClickCounts, teacher: Floats) -> Floats:
    """Mix debiased clicks with a weight that rises with the query's exposures, as `training.clicks` does."""
    estimated = harvest_propensities(counts, DEPTH).values
    return _mixed(world, counts, teacher, estimated, ClickSettings().min_examined, ClickMixingSettings().k)


def without_debiasing(world: World, counts: ClickCounts, teacher: Floats) -> Floats:
    """Mix click rates instead of debiased clicks."""
    return _mixed(world, counts, teacher, np.ones(DEPTH), ClickSettings().min_examined, ClickMixingSettings().k)


def same_weight(world: World, counts: ClickCounts, teacher: Floats) -> Floats:
    """Mix debiased clicks with the same weight for all queries, and without a minimum of evidence."""
    return _mixed(world, counts, teacher, harvest_propensities(counts, DEPTH).values, 0.0, 0.0)


ARMS: dict[str, Targets] = {
    "teacher": teacher_only,
    "teacher and clicks": mixed,
    "clicks without debiasing": without_debiasing,
    "clicks with the same weight": same_weight,
}


def _mixed(
    world: World, counts: ClickCounts, teacher: Floats, propensities: Floats, min_examined: float, k: float
) -> Floats:
    """Mix the clicks into the teacher's scores, [queries, documents]."""
    found = debias(counts, propensities, ClickSettings().max_weight)
    targets = np.empty_like(teacher)
    for query in range(QUERIES):
        pairs = range(query * DOCUMENTS, min((query + 1) * DOCUMENTS, counts.pair_count))
        known = [pair for pair in pairs if found.examined[pair] > 0 and found.examined[pair] >= min_examined]
        relevance = {str(pair % DOCUMENTS): float(found.relevance[pair]) for pair in known}
        weight = click_weight(ClickMixingSettings().weight, int(world.frequencies[query]), k)
        candidates = [_candidate(str(n), float(target)) for n, target in enumerate(teacher[query])]
        targets[query] = [c.target for c in with_clicks(candidates, ListClicks(weight, relevance), "scores")]
    return targets


def _candidate(doc_id: str, target: float) -> LabelledCandidate:
    return LabelledCandidate(
        doc_id=doc_id, title="", text="", pre_rank=1, prompt_position=1, tier="listed", position=1, target=target
    )


def trained_ndcg(world: World, targets: Floats, seed: int) -> Floats:
    """Train a scorer with RankNet on all lists, and return its nDCG@10 of each query's unseen documents, [queries]."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(FEATURES, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 1))
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE)
    features, unseen, wanted = (
        torch.tensor(values, dtype=torch.float32) for values in (world.features, world.unseen, targets)
    )
    mask = torch.ones(QUERIES, DOCUMENTS, dtype=torch.bool)
    for _ in range(STEPS):
        optimizer.zero_grad()
        LOSSES["ranknet"](model(features).squeeze(-1), wanted, mask, None).backward()
        optimizer.step()
    relevance = 3 / (1 + np.exp(-world.logits(world.unseen)))
    with torch.no_grad():
        scores = model(unseen).squeeze(-1)
    return ndcg(scores, torch.tensor(relevance, dtype=torch.float32), mask).numpy().astype(np.float64)


def measured(blind_spot: str, seeds: int) -> dict[str, Floats]:
    """Return each arm's nDCG@10 of every query, averaged over the seeds, {arm: [queries]}."""
    world = World.draw(np.random.default_rng(7), blind_spot)
    values: dict[str, list[Floats]] = {arm: [] for arm in ARMS}
    for seed in range(seeds):
        generator = np.random.default_rng(seed)
        teacher = world.teacher(generator)
        counts = simulated_clicks(generator, world, teacher)
        for arm, targets in ARMS.items():
            values[arm].append(trained_ndcg(world, targets(world, counts, teacher), seed))
    return {arm: np.mean(runs, axis=0) for arm, runs in values.items()}


def table_of(values: dict[str, Floats]) -> Table:
    """Return the table: mean nDCG@10 of head and tail, and paired tests against the first arm."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("targets", "queries", "nDCG@10", "difference", "95% interval", "p"):
        table.add_column(title, justify="left" if title in ("targets", "queries") else "right")
    baseline = next(iter(values))
    for part, chosen in (("head", range(HEAD)), ("tail", range(HEAD, QUERIES))):
        by_arm = {arm: {str(query): float(of_queries[query]) for query in chosen} for arm, of_queries in values.items()}
        for arm, system in by_arm.items():
            mean = f"{np.mean(list(system.values())):.3f}"
            if arm == baseline:
                table.add_row(arm, part, mean, "", "", "")
                continue
            difference = compare(system, by_arm[baseline], PERMUTATIONS, 13)
            low, high = difference.interval
            interval = f"{low:+.3f} to {high:+.3f}"
            table.add_row(arm, part, mean, f"{difference.delta:+.3f}", interval, f"{difference.p:.4f}")
    return table


def main() -> None:
    """Run the simulation and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="Number of simulations and trainings.")
    parser.add_argument(
        "--blind-spot", choices=("all", "head"), default="all", help="Queries whose teacher ignores a feature."
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    Console(width=110).print(table_of(measured(options.blind_spot, options.seeds)))


if __name__ == "__main__":
    main()
