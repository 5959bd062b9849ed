"""Check that a saved student still gives the same scores, for example after a library update.

A student is saved with the scores of a few fixed probe pairs. The check scores them again and compares.
"""

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
"""The (query, document) probe pairs. They come from no collection, so no user's text is saved with a model."""

ENGINES: tuple[Engine, ...] = ("torch", "onnx", "openvino")

TOLERANCE = 1e-3
"""Maximum score difference in fp32.

Different CPUs and library versions cause smaller differences. A difference that changes a ranking is larger.
"""


def write_probes(folder: Path) -> None:
    """Score the probes in fp32 and add the probes and their scores to the student config in a student's folder."""
    scores = Scorer(folder, "fp32", "torch").score(PROBES)
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    config["probes"] = [
        {"query": query, "document": document, "score": score}
        for (query, document), score in zip(PROBES, scores, strict=True)
    ]
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")


def difference(folder: Path) -> float | None:
    """Score the probes of a student's folder in fp32 and compare with the saved scores.

    Scores with PyTorch and, if the folder contains model.onnx, also with onnxruntime and OpenVINO.

    Returns:
        The largest absolute difference, relative to the highest absolute score if that is above 1. NaN if a score is
        NaN. None if the student config has no probes.
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
