"""DeepSpeed does not probe or compile ops after `skip_op_probing`."""

import deepspeed.ops
from deepspeed.comm.torch import build_shm_op
from deepspeed.ops.op_builder.all_ops import ALL_OPS

from actors.compat.deepspeed_op_probing import skip_op_probing


def test_shared_memory_op_is_neither_probed_nor_compiled(monkeypatch):
    probed = []
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    monkeypatch.setattr(
        deepspeed.ops, "_probe_compatible_ops", lambda: probed.append(1) or dict.fromkeys(ALL_OPS, False)
    )
    monkeypatch.delitem(vars(deepspeed.ops), "__compatible_ops__", raising=False)
    assert build_shm_op() is None
    assert probed == [1]  # without the workaround, the op's build starts by probing
    monkeypatch.delitem(vars(deepspeed.ops), "__compatible_ops__")
    skip_op_probing()
    assert build_shm_op() is None
    assert probed == [1]
