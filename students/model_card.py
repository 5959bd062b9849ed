"""The model card: README.md of a student's folder, with what it was made of and how it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from ranking.records import Provenance
from students.kinds import AnySettings
from students.settings import RraBertSettings, TrainingSettings

NAME = "README.md"

_LOAD = """    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder).eval()
    cut = dict(truncation="longest_first", max_length={max_length}, padding=True, return_tensors="pt")
    inputs = tokenizer([query] * len(documents), documents, **cut)
    scores = model(**inputs).logits[:, 0]

    import torch
    from sentence_transformers import CrossEncoder
    scores = CrossEncoder(folder).predict([(query, document) for document in documents], activation_fn=torch.nn.Identity())

    # where vLLM knows the architecture; then POST /rerank or /score; it puts a sigmoid on the scores
    vllm serve FOLDER --runner pooling
"""
_ONNX = """
model.onnx gives the same scores in onnxruntime, from the tokenizer's inputs.
"""


def model_card(
    student: AnySettings, training: TrainingSettings, provenance: Provenance, facts: Mapping[str, Any], onnx: bool
) -> str:
    """Write the card. facts: further lines of the table, by their names, in the order given. onnx: whether model.onnx is there."""
    front = {
        "library_name": "transformers",
        "pipeline_tag": "text-ranking",
        "base_model": student.base,
        "license": "other",
        "license_name": "see-base-model-and-teacher",
        "tags": ["re-ranker", "distillation", student.kind],
    }
    rows = {
        "kind": student.kind,
        "base": student.base,
        "teacher": provenance.teacher + (f", revision {provenance.revision}" if provenance.revision else ""),
        "teacher's fingerprint": provenance.fingerprint,
        "prompt": provenance.prompt or "none",
        **facts,
        "tokens of query and document": student.max_length,
        "settings": f"`{training.model_dump_json()}`",
    }
    if isinstance(student, RraBertSettings):
        rows["Term Control Layer"] = f"`{student.term_control.model_dump_json()}`, in training only"
    else:
        rows["side tasks"] = (
            f"label word {student.label_weight:g}, rationale {student.rationale_weight:g}, in training only"
        )
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    load = _LOAD.format(max_length=student.max_length)
    if onnx:
        load += _ONNX
    return f"""---
{yaml.safe_dump(front, sort_keys=False)}---

# {student.name}

A re-ranker, distilled from a slower ranker. It scores a query and a document together; higher is better, the scale is free.

| | |
|---|---|
{table}

Quality on the validation share of the labels is agreement with the teacher, not relevance. What was measured on judged
queries stands in the run's `evaluation/metrics.json`.

## Loading it

{load}
## Licence

Of the base model, of the teacher's terms for what is trained on its output, and of the texts it was trained on; none
of them is changed by distillation. Fill in `license` above once they are settled.
"""
