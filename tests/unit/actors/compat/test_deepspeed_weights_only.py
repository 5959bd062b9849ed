"""DeepSpeed's own checkpoints load without arbitrary pickles, and a checkpoint with other objects is refused."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from actors.compat import deepspeed_universal_checkpoint
from actors.compat.deepspeed_weights_only import weights_only
from actors.training import checkpoints
from actors.training.deepspeed_engine import make_engine
from ranking.errors import InputError
from students.training_settings import TrainingSettings


def engine_of(zero_stage, precision):
    """Return an engine that trains a linear layer, and the layer."""
    layer = torch.nn.Linear(8, 1)
    training = TrainingSettings(zero_stage=zero_stage, precision=precision)
    return make_engine(layer, training, steps=2, device="cpu")


def trained(zero_stage, precision, folder):
    """Train an engine for one step and write a checkpoint."""
    engine = engine_of(zero_stage, precision)
    inputs = torch.ones(4, 8, dtype=torch.bfloat16 if precision == "bf16" else torch.float32)
    engine.backward(engine(inputs).square().mean())
    engine.step()
    engine.save_checkpoint(folder, tag=checkpoints.TAG)
    return engine


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_checkpoints_of_every_stage_load(process_group, tmp_path, zero_stage, precision):
    trained(zero_stage, precision, tmp_path)
    with weights_only():
        assert engine_of(zero_stage, precision).load_checkpoint(tmp_path, tag=checkpoints.TAG)[0] is not None
        assert checkpoints._full_weights(tmp_path, zero_stage, [["weight"], ["bias"]]).keys() == {"weight", "bias"}


def test_universal_checkpoint_is_converted_and_loaded(process_group, tmp_path):
    before = trained(1, "fp32", tmp_path / "shards").module.weight.detach().clone()
    with weights_only():
        deepspeed_universal_checkpoint.convert(tmp_path / "shards" / checkpoints.TAG, tmp_path / "u" / checkpoints.TAG)
        engine = engine_of(1, "fp32")
        deepspeed_universal_checkpoint.load(engine, tmp_path / "u", checkpoints.TAG)
    assert torch.equal(engine.module.weight, before)


@pytest.mark.parametrize("zero_stage", [0, 1, 2])
def test_object_in_a_checkpoint_is_not_executed(process_group, tmp_path, zero_stage):
    trained(zero_stage, "fp32", tmp_path)
    executed = tmp_path / "executed"
    (path,) = tmp_path.rglob("*_model_states.pt")
    torch.save({**torch.load(path, weights_only=True), "client": Payload(executed)}, path)
    refused = pytest.raises(InputError, match=r"^s3://b/c: this checkpoint is damaged or contains objects")
    with refused, checkpoints._safe_loading("s3://b/c"):
        checkpoints._full_weights(tmp_path, zero_stage, [["weight"], ["bias"]])
    with weights_only(), pytest.raises(pickle.UnpicklingError):
        engine_of(zero_stage, "fp32").load_checkpoint(tmp_path, tag=checkpoints.TAG)
    assert not executed.exists()


def test_environment_is_restored_after_the_block(monkeypatch):
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", raising=False)
    with weights_only():
        assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
