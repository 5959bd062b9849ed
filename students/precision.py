"""Which precision the hardware computes natively."""

from __future__ import annotations

import torch

from students.settings import Precision


def dtype_of(precision: Precision, device: str) -> torch.dtype:
    """Resolve a precision of the run file for a device type, `cpu` or `cuda`.

    `auto` is bf16 on a GPU and on processors with AVX512-BF16 or AMX, and fp32 elsewhere: a processor
    without them emulates bf16 and takes about ten times as long.
    """
    if precision == "auto":
        precision = "bf16" if device != "cpu" or _multiplies_bf16() else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _multiplies_bf16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
