"""RRA-BERT on the encoders that are in use: learns in every form, saves, and scores the same from the file."""

from functools import partial

import openvino
import pytest
import torch

from students import export, kinds
from students.bases import check_base
from students.batches import list_batch
from students.kinds import TrainingReader, in_training, settled
from students.objective import Objective
from students.onnx_file import divided
from students.scoring import Scorer, forward_pairs, forward_rows
from students.settings import RraBertSettings, TrainingSettings
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
def test_it_learns_and_is_saved_as_it_scores(form, base, tmp_path):
    settings = RraBertSettings(base=base, term_control={"form": form}, max_length=48)
    check_base(base, settings)
    tokenizer = kinds.tokenizer_of(settings, base)
    torch.manual_seed(0)
    trained = in_training(kinds.build(settings, base), settings, base)
    batch = list_batch(LISTS)
    batch.rows = TrainingReader(settings, tokenizer).rows(batch.pairs, [])
    with torch.no_grad():  # to be learned: the reverse of the order that it begins with
        batch.targets = -batch.spread(
            forward_rows(trained.eval(), tokenizer, batch.rows).reshape(len(batch.rows), -1)[:, 0]
        )
    objective = Objective(settings, TrainingSettings(), "tiers")

    def loss_now():
        return objective(forward_rows(trained, tokenizer, batch.rows), batch)

    with torch.no_grad():
        before = loss_now()
    optimizer = torch.optim.AdamW(trained.train().parameters(), lr=1e-2)
    for _ in range(8):
        optimizer.zero_grad()
        loss_now().backward()
        optimizer.step()
    trained.eval()  # with dropout the last loss is above the first now and then
    with torch.no_grad():
        assert loss_now() < before
    model = settled(trained).eval()
    export.save(model, tokenizer, settings, tmp_path / "model", PAIRS)
    with torch.inference_mode():
        expected = forward_pairs(model, tokenizer, PAIRS, settings.max_length).tolist()
    assert Scorer(tmp_path / "model", "fp32").score(PAIRS) == pytest.approx(expected, abs=1e-4)
    assert (tmp_path / "model" / "model.onnx").is_file()
    if form == "none":
        in_bf16_its_scores_have_no_steps(tmp_path / "model", expected)


def in_bf16_its_scores_have_no_steps(folder, expected):
    """On whatever engine: the head is computed in float32, from one state of each pair on."""
    base, head = divided(openvino.Core().read_model(str(folder / "model.onnx")))
    assert "MatMul" in {node.get_type_name() for node in head.get_ordered_ops()}
    assert len(head.get_ordered_ops()) < len(base.get_ordered_ops()) / 3
    for engine in ("torch", "openvino"):
        scores = torch.tensor(Scorer(folder, "bf16", engine).score(PAIRS))
        assert scores.tolist() == pytest.approx(expected, abs=0.1)
        assert (scores != scores.bfloat16().float()).float().mean() > 0.5


def test_dropout_is_set_everywhere_and_without_it_training_scores_as_the_saved_model(base):
    settings = RraBertSettings(base=base, max_length=48)
    tokenizer = kinds.tokenizer_of(settings, base)
    model = kinds.build(settings, base)
    rows = TrainingReader(settings, tokenizer).rows(PAIRS, [])

    def drawn():
        with torch.no_grad():
            return forward_rows(model.train(), tokenizer, rows)

    model.set_dropout(0.5)
    assert not torch.equal(drawn(), drawn())
    model.set_dropout(0.0)
    scores = drawn()
    assert torch.equal(scores, drawn())
    assert torch.allclose(scores, forward_rows(model.eval(), tokenizer, rows), atol=1e-5)
