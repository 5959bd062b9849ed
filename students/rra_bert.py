"""RRA-BERT: the encoder student of RRADistill (Choi et al., EMNLP 2024 Industry), a cross-encoder.

Known from the paper: query and document in one sequence, divided by [SEP]; Token Selection and a Term Control Layer
(`students.term_control`) in training, left out at inference. The `interaction` head is this project's own.
"""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from students.heads import ClsHead, Head, InteractionHead
from students.settings import RraBertSettings


def build(settings: RraBertSettings, path: str) -> Head:
    """Make the student from its base. path: folder or Hugging Face id of the encoder. Weights in float32."""
    if settings.head == "cls":
        config = AutoConfig.from_pretrained(path, num_labels=1)
        return ClsHead(AutoModelForSequenceClassification.from_pretrained(path, config=config, dtype=torch.float32))
    return InteractionHead(
        AutoModel.from_pretrained(path, dtype=torch.float32), settings.cross_bias if settings.reading == "parted" else None
    )
