"""RRA-BERT: the encoder student of RRADistill (Choi et al., EMNLP 2024 Industry), a cross-encoder.

Known from the paper: query and document form one sequence, separated by [SEP]. Token Selection and a Term Control Layer
(`students.term_control`) are used in training and removed at inference.
"""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from ranking.errors import InputError
from students.classifier import PairClassifier
from students.settings import RraBertSettings


def build(settings: RraBertSettings, path: str) -> PairClassifier:
    """Build the student from its base, with float32 weights. A base without a head of one label gets a new head.

    Args:
        settings: Settings of the student.
        path: Folder or Hugging Face ID of the encoder.

    Raises:
        InputError: If the sizes of the encoder's weights differ from its configuration.
    """
    config = AutoConfig.from_pretrained(path, num_labels=1)
    model, info = AutoModelForSequenceClassification.from_pretrained(
        path, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
    )
    wrong = sorted(name for name, *_ in info["mismatched_keys"] if name.startswith(f"{model.base_model_prefix}."))
    if wrong:
        raise InputError(
            f"base {settings.base!r}: the size of {wrong[0]} differs from its configuration; "
            "use the config.json that belongs to these weights"
        )
    return PairClassifier(model)
