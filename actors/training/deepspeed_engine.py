"""DeepSpeed, set up for one student."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from students.precision import dtype_of
from students.settings import TrainingSettings


def make_engine(model: nn.Module, training: TrainingSettings, steps: int, device: str) -> Any:
    """Wrap a model for training. steps: optimizer steps in all, for the learning rate. device: `cpu` or `cuda`."""
    import deepspeed  # not at the top: the driver imports this package too, and DeepSpeed prints as it looks for devices

    if device == "cpu":
        deepspeed.ops.__compatible_ops__ = {}  # else it compiles, for a minute, an op that only inference calls
    learning = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=training.learning_rate, weight_decay=training.weight_decay)
    zero: dict[str, Any] = {"stage": training.zero_stage}
    if training.offload:
        zero["offload_optimizer"] = {"device": "cpu"}
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_clipping": training.max_grad_norm,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": dtype_of(training.precision, device) == torch.bfloat16},
        "steps_per_print": 2**31,
    }
    schedule = rate_by_step(training, steps)
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=optimizer, config=config, lr_scheduler=lambda held: LambdaLR(held, schedule)
    )
    return engine


def rate_by_step(training: TrainingSettings, steps: int) -> Any:
    """The learning rate's share of its peak by the step: a linear rise, then a linear fall to nothing."""
    rise = max(1, round(steps * training.warmup_ratio))

    def rate(step: int) -> float:
        return min((step + 1) / rise, max(0.0, (steps - step) / max(1, steps - rise)))

    return rate
