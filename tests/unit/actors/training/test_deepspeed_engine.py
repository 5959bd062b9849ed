"""DeepSpeed as a student's training sets it up."""

import pytest
import torch

from actors.training.deepspeed_engine import make_engine
from students.settings import TrainingSettings


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """One process that trains; DeepSpeed knows its groups for as long as it lives."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"DS_ACCELERATOR": "cpu", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}.items():
            patched.setenv(name, value)
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{tmp_path_factory.mktemp('alone')}/store", rank=0, world_size=1
        )
        yield
        torch.distributed.destroy_process_group()


def moved(clip, zero_stage):
    """How far one step moves the weights of a line."""
    torch.manual_seed(1)
    line = torch.nn.Linear(8, 1)
    before = line.weight.detach().clone()
    training = TrainingSettings(
        max_grad_norm=clip, zero_stage=zero_stage, precision="fp32", weight_decay=0, warmup_ratio=0, learning_rate=0.01
    )
    engine = make_engine(line, training, steps=2, device="cpu")
    engine.backward(engine(torch.ones(4, 8)).square().mean())
    engine.step()
    return float((line.weight.detach() - before).abs().max())


@pytest.mark.parametrize("zero_stage", [0, 1, 2])
def test_gradients_are_clipped_to_the_norm_that_is_set(alone, zero_stage):
    # AdamW divides a gradient by its own size, and by a little more: only one far below that little more moves less
    assert moved(1.0, zero_stage) == pytest.approx(0.01, rel=1e-3)
    assert moved(1e-12, zero_stage) < 1e-4 * 0.01
