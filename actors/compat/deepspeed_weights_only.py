"""Load DeepSpeed checkpoints without unpickling arbitrary objects.

Problem: DeepSpeed passes `weights_only=False` to `torch.load` everywhere, so whoever can write a checkpoint to storage
can run code on the machines that load it. Within `weights_only`, torch accepts tensors, plain containers and the
classes that DeepSpeed writes, and raises `pickle.UnpicklingError` for everything else.

Version: checked with deepspeed==0.19.8 and torch==2.13.0, for ZeRO stages 0 to 3 in fp32 and bf16.

Private API: the classes in `_classes`, which DeepSpeed pickles next to the optimizer state. The variable
TORCH_FORCE_WEIGHTS_ONLY_LOAD, which overrides the argument of `torch.load`, is documented by torch.

Remove when: DeepSpeed loads checkpoints with `weights_only=True`. https://github.com/deepspeedai/DeepSpeed
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

_FORCE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


@contextlib.contextmanager
def weights_only() -> Iterator[None]:
    """Make every `torch.load` in the `with` block refuse objects other than those of a DeepSpeed checkpoint."""
    import torch

    previous = os.environ.get(_FORCE)
    os.environ[_FORCE] = "1"
    try:
        with torch.serialization.safe_globals(_classes()):
            yield
    finally:
        if previous is None:
            del os.environ[_FORCE]
        else:
            os.environ[_FORCE] = previous


def _classes() -> list[Any]:
    """Return the classes of objects in DeepSpeed's optimizer states."""
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [LossScaler, ZeroStageEnum, fragment_address]
