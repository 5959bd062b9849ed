"""Untrained students, for tests and benchmarks that need a servable model but no meaningful ranking."""

from pathlib import Path

import torch

from ranking.model_paths import model_path
from ranking.storage.folder import Folder
from students import export, kinds
from students.student_settings import RraBertSettings

_PROBES = [
    ("why does dough get bigger", "Bread rises because yeast turns sugar into carbon dioxide."),
    ("instrument for finding direction", "A compass needle points to the magnetic north pole."),
]


def untrained_student(folder: Path, seed: int) -> Folder:
    """Save an RRA-BERT with the layers of `minilm` and a random head that spreads the scores, and return its folder.

    Args:
        folder: Folder to write.
        seed: Seed of the classifier head.
    """
    settings = RraBertSettings(base="minilm", max_length=64)
    torch.manual_seed(seed)
    model = kinds.build(settings, model_path("minilm")).eval()
    torch.nn.init.normal_(model.classifier.classifier.weight, std=1.0)
    export.save(model, kinds.tokenizer_of(settings, model_path("minilm")), settings, folder, _PROBES)
    return Folder(folder)
