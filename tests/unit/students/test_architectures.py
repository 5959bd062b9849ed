"""RRA-BERT on several encoder architectures: it trains in every form, and saved models give the same scores."""

from functools import partial

import openvino
import pytest
import torch

from students import export, kinds
from students.bases import check_base
from students.batches import list_batch
from students.forward_passes import forward_pairs, forward_rows
from students.kinds import TrainingReader, unwrap, wrap_for_training
from students.objective import Objective
from students.onnx_file import split_head
from students.scoring import Scorer
from students.student_settings import RraBertSettings
from students.training_settings import TrainingSettings
from tools.tiny_models import tiny_deberta, tiny_modern_bert, tiny_xlm_roberta

BASES = {
    "xlm-roberta": tiny_xlm_roberta,
    "deberta-v3": tiny_deberta,
    "modernbert": tiny_modern_bert,
    "modernbert, mean": partial(tiny_modern_bert, pooling="mean"),
}
LISTS = [
    ("merge sorted lists", [("merge two sorted lists into one", 1.0), ("join parts of a path", 0.0)]),
    ("pause a program", [("how to pause a program for some seconds " * 3, 2.0), ("찾는 문서", 1.0), ("", 0.0)]),
]
PAIRS = [(query, document) for query, documents in LISTS for document, _ in documents]


@pytest.fixture(scope="module", params=BASES)
def base(request, tmp_path_factory):
    return str(BASES[request.param](tmp_path_factory.mktemp("base")))


@pytest.mark.parametrize("form", ["none", "layer", "gated"])
def test_student_trains_and_gives_the_same_scores_after_saving(form, base, tmp_path):
    settings = RraBertSettings(base=base, term_control={"form": form}, max_length=48)
    check_base(base, settings)
    tokenizer = kinds.tokenizer_of(settings, base)
    torch.manual_seed(0)
    trained = wrap_for_training(kinds.build(settings, base), settings, base)
    batch = list_batch(LISTS)
    batch.rows = TrainingReader(settings, tokenizer).rows(batch.pairs, [])
    with torch.no_grad():  # targets: the reverse of its order before training
        batch.targets = -batch.spread(
            forward_rows(trained.eval(), tokenizer, batch.rows).reshape(len(batch.rows), -1)[:, 0]
        )
    objective = Objective(settings, TrainingSettings(), "tiers")

    def compute_loss():
        return objective(forward_rows(trained, tokenizer, batch.rows), batch)

    with torch.no_grad():
        before = compute_loss()
    optimizer = torch.optim.AdamW(trained.train().parameters(), lr=1e-2)
    for _ in range(8):
        optimizer.zero_grad()
        compute_loss().backward()
        optimizer.step()
    trained.eval()  # dropout can raise the last loss above the first
    with torch.no_grad():
        assert compute_loss() < before
    model = unwrap(trained).eval()
    export.save(model, tokenizer, settings, tmp_path / "model", PAIRS)
    with torch.inference_mode():
        expected = forward_pairs(model, tokenizer, PAIRS, settings.max_length).tolist()
    assert Scorer(tmp_path / "model", "fp32").score(PAIRS) == pytest.approx(expected, abs=1e-4)
    assert (tmp_path / "model" / "model.onnx").is_file()
    if form == "none":
        check_bf16_scores(tmp_path / "model", expected)


def check_bf16_scores(folder, expected):
    """Check that the head computes in float32 in each scoring engine, so that scores are not rounded to bf16."""
    base, head = split_head(openvino.Core().read_model(str(folder / "model.onnx")))
    assert "MatMul" in {node.get_type_name() for node in head.get_ordered_ops()}
    assert len(head.get_ordered_ops()) < len(base.get_ordered_ops()) / 3
    for engine in ("torch", "openvino"):
        scores = torch.tensor(Scorer(folder, "bf16", engine).score(PAIRS))
        assert scores.tolist() == pytest.approx(expected, abs=0.1)
        assert (scores != scores.bfloat16().float()).float().mean() > 0.5


def test_dropout_zero_gives_the_scores_of_evaluation_mode(base):
    settings = RraBertSettings(base=base, max_length=48)
    tokenizer = kinds.tokenizer_of(settings, base)
    model = kinds.build(settings, base)
    rows = TrainingReader(settings, tokenizer).rows(PAIRS, [])

    def training_scores():
        with torch.no_grad():
            return forward_rows(model.train(), tokenizer, rows)

    model.set_dropout(0.5)
    assert not torch.equal(training_scores(), training_scores())
    model.set_dropout(0.0)
    scores = training_scores()
    assert torch.equal(scores, training_scores())
    assert torch.allclose(scores, forward_rows(model.eval(), tokenizer, rows), atol=1e-5)
