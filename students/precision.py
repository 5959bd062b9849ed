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
        precision = "bf16" if device != "cpu" or has_native_bf16() else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def has_native_int8() -> bool:
    """Return whether the CPU multiplies int8 natively.

    Other x86 CPUs add pairs of products in 16 bits, which can overflow and change the scores.
    """
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def has_native_bf16() -> bool:
    """Return whether the CPU multiplies bf16 natively."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_tile"))
