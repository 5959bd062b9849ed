"""RRA-BERT: the encoder student of RRADistill (Choi et al., EMNLP 2024 Industry), a cross-encoder.

Known from the paper: query and document form one sequence, separated by [SEP]. Token Selection finds the document
tokens that also occur in the query, and a Term Control Layer (`students.term_control`) uses them in training. Both are
removed at inference.
"""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from ranking.errors import InputError
from students.classifier import PairClassifier
from students.layer_dropping import check_layers, drop_layers
from students.student_settings import RraBertSettings


def build(settings: RraBertSettings, path: str) -> PairClassifier:
    """Build the student from its base, with float32 weights.

    A base that has no classification head with one label gets a new head. With `settings.layers`, only some of its
    layers are kept.

    Args:
        settings: Settings of the student.
        path: Folder or Hugging Face ID of the encoder.

    Raises:
        InputError: If the size of an encoder weight differs from the configuration, or layers cannot be dropped.
    """
    config = AutoConfig.from_pretrained(path, num_labels=1, revision=settings.revision, trust_remote_code=False)
    model, info = AutoModelForSequenceClassification.from_pretrained(
        path,
        config=config,
        revision=settings.revision,
        trust_remote_code=False,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    wrong = sorted(name for name, *_ in info["mismatched_keys"] if name.startswith(f"{model.base_model_prefix}."))
    if wrong:
        raise InputError(
            f"base {settings.base!r}: the size of {wrong[0]} differs from its configuration; "
            "use the config.json that belongs to these weights"
        )
    if settings.layers is not None:
        check_layers(model, settings.layers, f"base {settings.base!r}")
        model = drop_layers(model, settings.layers)
    return PairClassifier(model)
