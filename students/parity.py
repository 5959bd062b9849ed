"""Probe pairs whose scores are saved with a model, so that whoever loads it can tell that it still scores as it did."""

from __future__ import annotations

import json
import math
from pathlib import Path

from students import onnx_file
from students.scoring import CARD, Engine, Scorer

PROBES = [
    (
        "how do plants make food",
        "Leaves turn sunlight, water and carbon dioxide into sugar; this is called photosynthesis.",
    ),
    ("how do plants make food", "The stock exchange closes at half past five."),
    (
        "merge sorted lists",
        "heapq.merge(*iterables) merges several sorted inputs into a single sorted output, one item at a time.",
    ),
    ("강아지 이름 추천", "강아지 이름을 지을 때는 부르기 쉬운 두 글자 이름이 좋습니다."),
    ("error 0x80070005", ""),
]
"""They belong to no collection, so no user's text travels with a model."""

ENGINES: tuple[Engine, ...] = ("torch", "onnx", "openvino")

TOLERANCE = 1e-3
"""In fp32: more than processors and versions of one library differ by, less than what moves a ranking."""


def write_probes(folder: Path) -> None:
    """Score the probes in fp32 and write them into the card of a saved student."""
    scores = Scorer(folder, "fp32", "torch").score(PROBES)
    card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    card["probes"] = [
        {"query": query, "document": document, "score": score}
        for (query, document), score in zip(PROBES, scores, strict=True)
    ]
    (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False), encoding="utf-8")


def difference(folder: Path) -> float | None:
    """The largest difference, in fp32, from the probes' scores in the card, as a share of the highest where that is above 1.

    None where the card has none. Of every engine that the folder has a file for.
    """
    found = []
    for engine in ENGINES if (folder / onnx_file.NAME).is_file() else ENGINES[:1]:
        scorer = Scorer(folder, "fp32", engine)
        probes = scorer.card.get("probes")
        if not probes:
            return None
        scores = scorer.score([(probe["query"], probe["document"]) for probe in probes])
        known = [float(probe["score"]) for probe in probes]
        highest = max(1.0, *map(abs, known))
        found += [abs(score - before) / highest for score, before in zip(scores, known, strict=True)]
    return max(found, key=lambda held: math.inf if math.isnan(held) else held)
