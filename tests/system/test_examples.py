"""The scripts in examples/ run with the commands in their docstrings."""

import sys

import pytest

from tests.testing.facts import FACTS, QUESTIONS, ROOT
from tests.testing.programs import run_program
from tools.untrained_student import untrained_student

pytestmark = pytest.mark.timeout(400)


def test_score_pairs_prints_documents_best_first(tmp_path, cluster):
    untrained_student(tmp_path / "model", 1)
    texts = [text for _, text in FACTS[:3]]
    call = [sys.executable, "examples/score_pairs.py", str(tmp_path / "model"), QUESTIONS[0][1], *texts]
    done = run_program(call, {**cluster, "PYTHONPATH": str(ROOT)}, 120)
    assert done.returncode == 0, done.stderr
    scores = [float(line[:8]) for line in done.stdout.splitlines()]
    assert scores == sorted(scores, reverse=True)
    assert {line[10:] for line in done.stdout.splitlines()} == set(texts)


def test_compare_runs_prints_the_difference(tmp_path, cluster):
    (tmp_path / "qrels.txt").write_text("q1 0 a 1\nq2 0 b 1\n")
    (tmp_path / "one.trec").write_text("q1 Q0 b 1 2 x\nq1 Q0 a 2 1 x\nq2 Q0 b 1 1 x\n")
    (tmp_path / "two.trec").write_text("q1 Q0 a 1 2 x\nq2 Q0 b 1 1 x\n")
    files = [str(tmp_path / name) for name in ("qrels.txt", "one.trec", "two.trec")]
    call = [sys.executable, "examples/compare_runs.py", *files]
    done = run_program(call, {**cluster, "PYTHONPATH": str(ROOT)}, 120)
    assert done.returncode == 0, done.stderr
    assert "nDCG@10: 0.815 (baseline), 1.000 (system), 2 queries" in done.stdout
    assert "difference +0.185" in done.stdout


def test_label_queries_prints_a_ranking_for_ten_queries(tmp_path, cluster):
    call = [sys.executable, "examples/label_queries.py", "minilm-list", "--storage", str(tmp_path)]
    done = run_program(call, {**cluster, "PYTHONPATH": str(ROOT)}, 380)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = [line for line in done.stdout.splitlines() if line.startswith("    ")]
    assert 10 <= len(listed) <= 30
