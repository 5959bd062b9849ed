"""Quantize a saved student to int8, and keep the result only if it ranks the validation queries as well as before."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from ranking.quantization_result import MIN_QUERIES, Quantization, QuantizationError, judge
from ranking.records import content
from ranking.storage.folder import Folder
from students import int8_file, model_card, onnx_file, parity, student_config
from students.batches import chunks_by_bucket, inputs_of, pad, tokenize
from students.forward_passes import CHUNK_TOKENS
from students.objective import ndcg
from students.passage_splitting import score_documents, split_documents
from students.precision import dtype_of, has_native_int8
from students.scoring import Scorer

T = TypeVar("T")

CALIBRATION_PAIRS, SENSITIVITY_PAIRS = 256, 48
"""Maximum numbers of pairs to measure the ranges of the activations and the sensitivity of the layers on."""


@dataclass(frozen=True)
class JudgedList:
    """A validation query, its documents (title, text), and their targets in the same order."""

    query_id: str
    query: str
    documents: list[tuple[str, str]]
    targets: list[float]

    @property
    def has_preference(self) -> bool:
        """Whether a document has a higher target than another."""
        return len(set(self.targets)) > 1


def quantize(folder: Path, lists: Sequence[JudgedList]) -> Quantization:
    """Write model.int8.onnx, and compare its nDCG@10 on the validation queries with that of the student's precision.

    Adds the result to the student config and the model card. A rejected file is not added to the folder.

    Args:
        folder: Local folder of the student.
        lists: Validation lists. They are also the calibration data.

    Raises:
        QuantizationError: If the student has no model.onnx, there are too few validation queries, no layer can be
            quantized, or this machine has no int8 instructions. Scores and files stay unchanged.
    """
    with tempfile.TemporaryDirectory() as local:
        path, result = trial(folder, lists, Path(local))
        if result.accepted:
            shutil.copyfile(path, folder / onnx_file.INT8_NAME)
    student_config.write_quantization(Folder(folder), result)
    _add_to_card(folder, result)
    return result


def trial(folder: Path, lists: Sequence[JudgedList], target: Path) -> tuple[Path, Quantization]:
    """Quantize a student and measure it, without a change to the student.

    Args:
        folder: Local folder of the student.
        lists: Validation lists.
        target: Folder for the int8 file.

    Returns:
        Path of the int8 file, and the result.

    Raises:
        QuantizationError: As `quantize`.
    """
    lists = [row for row in lists if row.has_preference]
    _check(folder, len(lists))
    scorer, path = Scorer(folder), target / onnx_file.INT8_NAME
    pairs = calibration_pairs(scorer, lists)
    sample = _every(pairs, SENSITIVITY_PAIRS)
    matmuls = int8_file.write(folder / onnx_file.NAME, path, _batches(scorer, pairs), _batches(scorer, sample))
    int8 = copy.copy(scorer)
    int8.model = onnx_file.OpenVinoStudent(path, dtype_of("auto", "cpu"))
    result = judge(ndcg_of(scorer, lists), ndcg_of(int8, lists), len(pairs), matmuls, scorer.precision)
    return path, result.model_copy(update={"probe_scores": int8.score(parity.PROBES)})


def ndcg_of(scorer: Scorer, lists: Sequence[JudgedList]) -> dict[str, float]:
    """Compute nDCG@10 of each list against its targets, {query_id: value}."""
    values = {}
    for row in lists:
        scores = torch.tensor([score_documents(scorer, row.query, row.documents).scores])
        targets = torch.tensor([row.targets])
        values[row.query_id] = float(ndcg(scores, targets, torch.ones_like(targets, dtype=torch.bool)))
    return values


def calibration_pairs(scorer: Scorer, lists: Sequence[JudgedList]) -> list[tuple[str, str]]:
    """Choose pairs from all lists, evenly spread. Long documents are split as for scoring."""
    documents = [(row.query, title, text) for row in lists for title, text in row.documents]
    pairs = []
    for query, title, text in _every(documents, CALIBRATION_PAIRS):
        if scorer.passages is None:
            pairs.append((query, content(title, text)))
        else:
            split = split_documents(scorer.tokenizer, [(content(title, ""), text)], scorer.passages)
            pairs.append((query, split.texts[0]))
    return pairs


def _check(folder: Path, queries: int) -> None:
    """Raise QuantizationError if the student cannot be quantized here."""
    if not (folder / onnx_file.NAME).is_file():
        raise QuantizationError(f"only students with {onnx_file.NAME} can be quantized")
    if queries < MIN_QUERIES:
        raise QuantizationError(
            f"{queries} validation queries with a preference are too few to compare nDCG@10; at least {MIN_QUERIES} "
            "are needed"
        )
    if not has_native_int8():
        raise QuantizationError("this CPU has no int8 instructions (VNNI or AMX)")


def _batches(scorer: Scorer, pairs: Sequence[tuple[str, str]]) -> list[int8_file.Batch]:
    """Tokenize and pad pairs as for scoring."""
    rows = tokenize(scorer.tokenizer, pairs, scorer.max_length)
    chunks = chunks_by_bucket([len(row["input_ids"]) for row in rows], CHUNK_TOKENS["cpu"], scorer.max_length)
    padded = (inputs_of(pad(scorer.tokenizer, [rows[i] for i in chunk], width)) for width, chunk in chunks)
    return [{name: values.numpy() for name, values in batch.items()} for batch in padded]


def _every(items: Sequence[T], count: int) -> list[T]:
    """Return up to `count` items, evenly spread."""
    return list(items[:: max(1, -(-len(items) // count))])


def _add_to_card(folder: Path, result: Quantization) -> None:
    """Add the result to the model card, if there is one."""
    card = folder / model_card.NAME
    if card.is_file():
        card.write_text(model_card.with_quantization(card.read_text(encoding="utf-8"), result), encoding="utf-8")
