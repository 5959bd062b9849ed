"""Precision settings on different hardware."""

import pytest
import torch

from students import precision
from students.precision import dtype_of


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_explicit_precision_is_used_on_any_device(device):
    assert dtype_of("fp32", device) == torch.float32
    assert dtype_of("bf16", device) == torch.bfloat16


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bf16_if_the_hardware_supports_it(native, expected, monkeypatch):
    monkeypatch.setattr(precision, "has_native_bf16", lambda: native)
    assert dtype_of("auto", "cpu") == expected
    assert dtype_of("auto", "cuda") == torch.bfloat16


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_tile": True}, True),
        ({"avx512_f": True, "amx_tile": False}, False),
        ({}, False),
    ],
)
def test_bf16_is_native_with_avx512_bf16_or_amx(capabilities, native, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert (dtype_of("auto", "cpu") == torch.bfloat16) == native


def test_torch_reports_the_capabilities_on_x86():
    capabilities = torch.cpu.get_capabilities()
    if capabilities["architecture"] in ("x86_64", "x86"):
        assert {"avx512_bf16", "amx_tile"} <= set(capabilities)
