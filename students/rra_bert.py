"""RRA-BERT: the encoder student of RRADistill (Choi et al., EMNLP 2024 Industry), a cross-encoder.

Known from the paper: query and document in one sequence, divided by [SEP]; Token Selection and a Term Control Layer
(`students.term_control`) in training, left out at inference.
"""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from ranking.errors import InputError
from students.classifier import PairClassifier
from students.settings import RraBertSettings


def build(settings: RraBertSettings, path: str) -> PairClassifier:
    """Make the student from its base. path: folder or Hugging Face id of the encoder; one without a head of one label gets a new one.

    Weights in float32. Raises InputError where the encoder's weights are not of the sizes that its configuration says.
    """
    config = AutoConfig.from_pretrained(path, num_labels=1)
    model, info = AutoModelForSequenceClassification.from_pretrained(
        path, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, output_loading_info=True
    )
    wrong = sorted(name for name, *_ in info["mismatched_keys"] if name.startswith(f"{model.base_model_prefix}."))
    if wrong:
        raise InputError(f"base {settings.base!r}: {wrong[0]} is not of the size that its configuration says")
    return PairClassifier(model)
