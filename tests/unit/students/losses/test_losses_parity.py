"""Losses compared with those of sentence-transformers and PyTorch."""

import pytest
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder import losses as theirs
from torch.nn import functional

from students.losses import LOSSES
from students.losses.pairwise_losses import lambda_loss

LISTS = [("q1", [3.0, 0.0, 1.0, 2.0]), ("q2", [0.0, 2.0]), ("q3", [1.0, 0.0, 2.0])]


class FakeCrossEncoder:
    """A CrossEncoder with fixed scores; the real one needs a model."""

    __class__ = CrossEncoder
    num_labels = 1
    device = torch.device("cpu")

    def __init__(self, scores):
        self.scores = scores

    def preprocess(self, pairs, prompt=None, task=None):
        return {"pairs": pairs}

    def __call__(self, tokens):
        return {"scores": torch.tensor([[self.scores[query][int(document)]] for query, document in tokens["pairs"]])}


def both(loss, theirs_of, lists):
    """Return our loss and the other library's loss for the same lists, which have different lengths."""
    generator = torch.Generator().manual_seed(5)
    width = max(len(targets) for _, targets in lists)
    scores = torch.randn(len(lists), width, generator=generator)
    mask = torch.tensor([[column < len(targets) for column in range(width)] for _, targets in lists])
    targets = torch.tensor([[*targets, *[0.0] * (width - len(targets))] for _, targets in lists])
    model = FakeCrossEncoder({query: scores[row].tolist() for row, (query, _) in enumerate(lists)})
    inputs = [[query for query, _ in lists], [[str(column) for column in range(len(targets))] for _, targets in lists]]
    labels = [torch.tensor(targets) for _, targets in lists]
    return loss(scores, targets, mask, None).item(), theirs_of(model)(inputs, labels).item()


@pytest.mark.parametrize(
    ("name", "theirs_of"),
    [
        ("ranknet", lambda model: theirs.RankNetLoss(model, mini_batch_size=-1, reduction_log="natural")),
        ("listnet", lambda model: theirs.ListNetLoss(model, mini_batch_size=-1)),
        ("adr_mse", lambda model: theirs.ADRMSELoss(model, mini_batch_size=-1)),
        ("list_mle", lambda model: theirs.ListMLELoss(model, mini_batch_size=-1, respect_input_order=False)),
    ],
)
def test_losses_match_sentence_transformers(name, theirs_of):
    ours, other = both(LOSSES[name], theirs_of, LISTS)
    assert ours == pytest.approx(other, rel=1e-5)


def test_lambda_loss_matches_sentence_transformers():
    ours, other = both(
        lambda *args: lambda_loss(*args, best_grade=None),
        lambda model: theirs.LambdaLoss(model, mini_batch_size=-1),
        LISTS,
    )
    assert ours == pytest.approx(other, rel=1e-5)


def test_margin_mse_matches_sentence_transformers_for_one_pair():
    scores, targets = torch.tensor([[1.0, -0.5], [0.2, 0.9]]), torch.tensor([[3.0, 1.0], [2.0, 1.5]])
    loss = theirs.MarginMSELoss(FakeCrossEncoder({"a": scores[0].tolist(), "b": scores[1].tolist()}))
    other = loss([["a", "b"], ["0", "0"], ["1", "1"]], targets[:, 0] - targets[:, 1])
    assert LOSSES["margin_mse"](scores, targets, torch.ones(2, 2, dtype=torch.bool), None).item() == pytest.approx(
        other.item(), rel=1e-5
    )


def test_info_nce_matches_sentence_transformers_for_one_positive():
    scores, mask = torch.tensor([[1.0, -0.5, 2.0]]), torch.ones(1, 3, dtype=torch.bool)
    loss = theirs.MultipleNegativesRankingLoss(
        FakeCrossEncoder({"a": scores[0].tolist()}), scale=1.0, activation_fn=torch.nn.Identity()
    )
    other = loss([["a"], ["0"], ["1"], ["2"]], torch.ones(1))
    assert LOSSES["info_nce"](scores, torch.tensor([[1.0, 0.0, 0.0]]), mask, None).item() == pytest.approx(
        other.item(), rel=1e-5
    )


def test_listwise_kl_matches_torch_and_score_distillation_adds_margin_mse():
    torch.manual_seed(1)
    scores, targets, mask = torch.randn(3, 4), torch.randn(3, 4), torch.ones(3, 4, dtype=torch.bool)
    other = functional.kl_div(scores.log_softmax(1), targets.log_softmax(1), reduction="batchmean", log_target=True)
    ours = LOSSES["listwise_kl"](scores, targets, mask, None).item()
    assert ours == pytest.approx(other.item(), rel=1e-5)
    errors = ((scores - targets).unsqueeze(2) - (scores - targets).unsqueeze(1)) ** 2
    summed = ours + errors.sum().item() / (3 * 4 * 3)
    assert LOSSES["score_distillation"](scores, targets, mask, None).item() == pytest.approx(summed, rel=1e-5)
