"""Choose the torch dtype for a precision setting and the hardware."""

from __future__ import annotations

import torch

from students.student_settings import Precision


def dtype_of(precision: Precision, device: str) -> torch.dtype:
    """Return the torch dtype of a precision setting.

    `auto` is bf16 on GPUs and on CPUs with AVX512-BF16 or AMX. On other CPUs it is fp32, because they emulate bf16,
    which takes about ten times as long.

    Args:
        precision: The setting.
        device: `cpu` or `cuda`.
    """
    if precision == "auto":
        precision = "bf16" if device != "cpu" or _has_native_bf16() else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _has_native_bf16() -> bool:
    """Return whether the CPU multiplies bf16 natively."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_tile"))
