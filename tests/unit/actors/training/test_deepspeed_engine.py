"""The DeepSpeed engine of a training run."""

import pytest
import torch

from actors.training.deepspeed_engine import make_engine
from students.training_settings import TrainingSettings


def weight_change(max_grad_norm, zero_stage):
    """Return the largest change of a linear layer's weights after one step."""
    torch.manual_seed(1)
    layer = torch.nn.Linear(8, 1)
    before = layer.weight.detach().clone()
    training = TrainingSettings(
        max_grad_norm=max_grad_norm,
        zero_stage=zero_stage,
        precision="fp32",
        weight_decay=0,
        warmup_ratio=0,
        learning_rate=0.01,
    )
    engine = make_engine(layer, training, steps=2, device="cpu")
    engine.backward(engine(torch.ones(4, 8)).square().mean())
    engine.step()
    return float((layer.weight.detach() - before).abs().max())


@pytest.mark.parametrize("zero_stage", [0, 1, 2])
def test_gradients_are_clipped_to_max_grad_norm(process_group, zero_stage):
    # AdamW divides a gradient by its own size plus epsilon: only gradients far below epsilon give smaller steps.
    assert weight_change(1.0, zero_stage) == pytest.approx(0.01, rel=1e-3)
    assert weight_change(1e-12, zero_stage) < 1e-4 * 0.01
