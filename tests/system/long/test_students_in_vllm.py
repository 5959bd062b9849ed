"""vLLM's score API gives saved students the same scores, after the sigmoid that vLLM applies to a single label."""

import json
import math
import os
import sys

import pytest
import torch

from ranking.model_paths import model_path
from students import export, kinds
from students.scoring import Scorer
from students.student_settings import RraBertSettings, RraGptSettings
from tests.testing.programs import run_program
from tools.tiny_models import tiny_generator

PAIRS = [
    ("merge sorted lists", "Merge several sorted inputs."),
    ("pause", "time.sleep " * 4),
    ("wait", "Wait [3] > [1]."),
]
SCORE = """
import json, os, sys
from vllm import LLM
if __name__ == "__main__":
    model = LLM(sys.argv[1], runner="pooling", dtype="float32", max_model_len=128, enforce_eager=True)
    pairs = json.loads(sys.argv[2])
    scores = [model.score(query, document, use_tqdm=False)[0].outputs.score for query, document in pairs]
    print("SCORES", json.dumps(scores), flush=True)
    model.llm_engine.engine_core.shutdown()
    os._exit(0)  # vLLM's threads sometimes abort a process at its normal end
"""


@pytest.mark.parametrize("kind", ["rra_bert", "rra_gpt"])
def test_vllm_scores_of_a_saved_student_equal_ours(kind, tmp_path):
    if kind == "rra_bert":
        settings = RraBertSettings(base="minilm", max_length=128)
        base = model_path("minilm")
    else:
        base = str(tiny_generator(tmp_path / "base"))
        settings = RraGptSettings(base=base, max_length=128)
    torch.manual_seed(1)
    student = kinds.build(settings, base).eval()
    head = student.classifier.score if kind == "rra_gpt" else student.classifier.classifier
    torch.nn.init.normal_(head.weight, std=0.5)
    export.save(student, kinds.tokenizer_of(settings, base), settings, tmp_path / "model", PAIRS)
    expected = [1 / (1 + math.exp(-score)) for score in Scorer(tmp_path / "model", "fp32").score(PAIRS)]
    (tmp_path / "ask.py").write_text(SCORE)
    command = [sys.executable, str(tmp_path / "ask.py"), str(tmp_path / "model"), json.dumps(PAIRS)]
    done = run_program(
        command, {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}, 400
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = [line for line in done.stdout.splitlines() if "SCORES" in line]
    assert json.loads(line.split("SCORES ")[1]) == pytest.approx(expected, abs=2e-3)
    assert max(expected) - min(expected) > 0.02
