"""Set up DeepSpeed for one student."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from actors.compat.deepspeed_op_probing import skip_op_probing
from students.precision import dtype_of
from students.training_settings import TrainingSettings


def make_engine(model: nn.Module, training: TrainingSettings, steps: int, device: str) -> Any:
    """Wrap a model in a DeepSpeed engine with AdamW and a linear learning rate schedule.

    Args:
        model: The student, wrapped for training.
        training: Training settings.
        steps: Optimizer steps of the whole training run, for the learning rate schedule.
        device: `cpu` or `cuda`.
    """
    # Imported here, because the driver imports this package too, and DeepSpeed logs to the console on import.
    import deepspeed

    if device == "cpu":
        skip_op_probing()
    trainable = [weights for weights in model.parameters() if weights.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=training.learning_rate, weight_decay=training.weight_decay)
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
    schedule = learning_rate_schedule(training, steps)
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=optimizer, config=config, lr_scheduler=lambda wrapped: LambdaLR(wrapped, schedule)
    )
    return engine


def learning_rate_schedule(training: TrainingSettings, steps: int) -> Callable[[int], float]:
    """Return the schedule as a function that maps a step to a fraction of the peak learning rate.

    The fraction rises linearly during the warm-up and then falls linearly to 0.
    """
    warmup_steps = max(1, round(steps * training.warmup_ratio))

    def rate(step: int) -> float:
        return min((step + 1) / warmup_steps, max(0.0, (steps - step) / max(1, steps - warmup_steps)))

    return rate
