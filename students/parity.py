"""Probe pairs whose scores are saved with a student, to check after loading that it still gives the same scores."""

from __future__ import annotations

import json
import math
from pathlib import Path

from students import onnx_file
from students.scoring import CONFIG_FILE, Engine, Scorer

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
"""The probes are not part of any collection, so no user's text is saved with a model."""

ENGINES: tuple[Engine, ...] = ("torch", "onnx", "openvino")

TOLERANCE = 1e-3
"""Maximum difference in fp32. CPUs and library versions differ by less; a changed ranking needs more."""


def write_probes(folder: Path) -> None:
    """Score the probes in fp32 and add them to the student config of a saved student."""
    scores = Scorer(folder, "fp32", "torch").score(PROBES)
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    config["probes"] = [
        {"query": query, "document": document, "score": score}
        for (query, document), score in zip(PROBES, scores, strict=True)
    ]
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")


def difference(folder: Path) -> float | None:
    """Compare the probes' scores in fp32 with the saved ones, for every engine that the folder has a file for.

    Returns:
        The largest difference, relative to the highest saved score if that is above 1; NaN if a score is NaN. None if
        the student config has no probes.
    """
    differences = []
    for engine in ENGINES if (folder / onnx_file.NAME).is_file() else ENGINES[:1]:
        scorer = Scorer(folder, "fp32", engine)
        probes = scorer.config.get("probes")
        if not probes:
            return None
        scores = scorer.score([(probe["query"], probe["document"]) for probe in probes])
        saved = [float(probe["score"]) for probe in probes]
        highest = max(1.0, *map(abs, saved))
        differences += [abs(score - before) / highest for score, before in zip(scores, saved, strict=True)]
    return max(differences, key=lambda value: math.inf if math.isnan(value) else value)
