"""Check that a saved student still gives the same scores, for example after a library update.

A student is saved with the scores of a few fixed probe pairs. The check scores them again and compares.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from students import onnx_file, student_config
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


INT8_TOLERANCE = 0.2
"""Maximum difference of int8 scores from those recorded when the student was quantized, relative as in `difference`.

The layers that are not in int8 have another precision on other CPUs, bf16 or fp32, and a small change of an activation
can round it to another integer.
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
    differences: list[float] = []
    for engine in ENGINES if (folder / onnx_file.NAME).is_file() else ENGINES[:1]:
        scorer = Scorer(folder, "fp32", engine)
        probes = scorer.config.get("probes")
        if not probes:
            return None
        scores = scorer.score([(probe["query"], probe["document"]) for probe in probes])
        differences.append(_largest(scores, [float(probe["score"]) for probe in probes]))
    return _worst(differences)


def int8_difference(folder: Path) -> float | None:
    """Score the probes of a student's folder with int8 and compare with the scores when it was quantized.

    Returns:
        As `difference`. None if the student has no accepted int8 file, or this machine does not use it.
    """
    scorer = Scorer(folder, "auto")
    quantization = student_config.quantization_of(scorer.config, str(folder))
    if scorer.precision != "int8" or quantization is None:
        return None
    return _largest(scorer.score(PROBES), quantization.probe_scores)


def is_passed(folder: Path) -> tuple[float | None, bool]:
    """Return the difference of the scores in fp32, and whether these and the int8 scores pass the check."""
    value, int8 = difference(folder), int8_difference(folder)
    return value, value is not None and value <= TOLERANCE and (int8 is None or int8 <= INT8_TOLERANCE)


def _largest(scores: Sequence[float], saved: Sequence[float]) -> float:
    """Return the largest difference, relative to the highest absolute saved score if that is above 1."""
    highest = max(1.0, *map(abs, saved))
    return _worst([abs(score - before) / highest for score, before in zip(scores, saved, strict=True)])


def _worst(differences: Sequence[float]) -> float:
    """Return the largest value. NaN counts as the largest."""
    return max(differences, key=lambda value: math.inf if math.isnan(value) else value)
