"""Write the model card (README.md) of a student: its base, teacher and settings, and how to load it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from ranking.calibration.calibrated_scores import Calibration
from ranking.quantization_result import Quantization
from ranking.records import Provenance
from students.kinds import AnySettings
from students.student_settings import RraBertSettings
from students.training_settings import TrainingSettings

NAME = "README.md"
"""The model card's file name."""

_LOAD = """    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    options = dict(truncation="longest_first", max_length={max_length}, padding=True, return_tensors="pt")
    inputs = tokenizer([query] * len(documents), documents, **options)
    scores = model(**inputs).logits[:, 0]

    import torch
    from sentence_transformers import CrossEncoder
    pairs = [(query, document) for document in documents]
    scores = CrossEncoder(folder).predict(pairs, activation_fn=torch.nn.Identity())

    # If vLLM supports the architecture: POST /rerank or /score. vLLM applies a sigmoid to the scores.
    vllm serve FOLDER --runner pooling
"""
_ONNX = """
`model.onnx` gives the same scores in onnxruntime, from the same tokenizer inputs.
"""


_NO_RANGE = "Higher is better; scores have no fixed\nrange."
_LICENSE = "## License\n"


def model_card(
    student: AnySettings, training: TrainingSettings, provenance: Provenance, facts: Mapping[str, Any], onnx: bool
) -> str:
    """Return the text of a student's model card.

    Args:
        student: Settings of the student.
        training: Training settings.
        provenance: Origin of the labels: teacher, revision and prompt.
        facts: Additional rows of the card's table, {name: value}, in order.
        onnx: Whether the student's folder contains model.onnx.
    """
    front = {
        "library_name": "transformers",
        "pipeline_tag": "text-ranking",
        "base_model": student.base,
        "license": "other",
        "license_name": "see-base-model-and-teacher",
        "tags": ["re-ranker", "distillation", student.kind],
    }
    scale = {"score_scale": training.score_scale_for(student.base)}
    rows = {
        "kind": student.kind,
        "base": student.base + (f", revision {student.revision}" if student.revision else ""),
        "teacher": provenance.teacher + (f", revision {provenance.revision}" if provenance.revision else ""),
        "teacher's fingerprint": provenance.fingerprint,
        "prompt": provenance.prompt or "none",
        **facts,
        "maximum tokens of query and document": student.max_length,
        "settings": f"`{training.model_copy(update=scale).model_dump_json()}`",
    }
    if isinstance(student, RraBertSettings):
        if student.layers is not None:
            rows["layers kept from the base"] = student.layers
        if student.distillation is not None:
            rows["distilled from the student"] = f"`{student.distillation.model_dump_json()}`"
        rows["Term Control Layer"] = f"`{student.term_control.model_dump_json()}`, in training only"
    else:
        rows["auxiliary tasks"] = (
            f"label word {student.label_weight:g}, rationale {student.rationale_weight:g}, in training only"
        )
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    load = _LOAD.format(max_length=student.max_length)
    if onnx:
        load += _ONNX
    return f"""---
{yaml.safe_dump(front, sort_keys=False)}---

# {student.name}

A re-ranker, distilled from a slower ranker. It scores a query-document pair. {_NO_RANGE}

| | |
|---|---|
{table}

nDCG@10 on validation lists measures agreement with their targets. Results on judged test queries are in the run's
`evaluation/metrics.json`.

## Usage

{load}
{_LICENSE}
The licenses of the base model and of the training texts apply, and the teacher's terms for models trained on its
output. Distillation changes none of them. Fill in `license` above once you know them.
"""


def with_calibration(card: str, calibration: Calibration) -> str:
    """Add a section on calibrated scores to a model card.

    Args:
        card: A text that `model_card` returned.
        calibration: The calibration that was folded into the student's head.
    """
    card = card.replace(_NO_RANGE, "The sigmoid\nof a score is a probability of relevance.")
    return card.replace(_LICENSE, f"{_calibration_section(calibration)}\n{_LICENSE}", 1)


def with_quantization(card: str, quantization: Quantization) -> str:
    """Add a section on the int8 model to a model card.

    Args:
        card: A text that `model_card` returned.
        quantization: Result of the quantization.
    """
    if quantization.accepted:
        outcome = "`model.int8.onnx` was accepted. It gives slightly different scores than the other files."
    else:
        outcome = "The int8 model was rejected, and is not part of this folder."
    section = f"""## Quantization

{outcome}
{quantization.int8_matmuls} of {quantization.matmuls} matrix products are in int8.
Calibrated on {quantization.calibration_pairs:,} validation pairs:
{quantization.numbers}.
"""
    return card.replace(_LICENSE, f"{section}\n{_LICENSE}", 1)


def _calibration_section(calibration: Calibration) -> str:
    """Return the model card's section on calibrated scores."""
    rows = "\n".join(
        f"| {row.threshold:g} | {'' if row.precision is None else f'{row.precision:.3f}'} | {row.recall:.3f} "
        f"| {row.kept:.3f} |"
        for row in calibration.thresholds
    )
    return f"""## Calibrated scores

The sigmoid of a score is the probability that the document is relevant, by {calibration.relevance}.
Platt scaling, fitted on {calibration.pairs:,} documents of {calibration.queries:,} validation queries,
{calibration.relevant:,} of them relevant, is part of the head: raw scores were multiplied by {calibration.slope:.4g},
and {calibration.offset:.4g} was added.

| | before | calibrated |
|---|---:|---:|
| expected calibration error, bins of equal mass | {calibration.ece_before:.3f} | {calibration.ece:.3f} |
| Brier score | {calibration.brier_before:.3f} | {calibration.brier:.3f} |

If only documents with at least this probability are kept:

| threshold | precision | recall | share of documents kept |
|---:|---:|---:|---:|
{rows}

The numbers of the calibrated scores come from cross-validation over the validation queries. On candidate lists with
another share of relevant documents than these queries have, the probabilities can be too high or too low.
"""
