"""Skip DeepSpeed's search for ops that can be compiled on this machine.

Problem: on a CPU, the first use of `deepspeed.comm` probes all ops of DeepSpeed with the compiler, and then compiles
the shared-memory communication op, which only inference uses. This takes about a minute.

Version: checked with deepspeed==0.19.8.

Private API: the dict `deepspeed.ops.__compatible_ops__`, which `deepspeed.comm.torch.build_shm_op` reads.

Remove when: training on a CPU does not compile the shared-memory op, or DeepSpeed has a setting that disables it.
https://github.com/deepspeedai/DeepSpeed
"""

from __future__ import annotations


def skip_op_probing() -> None:
    """Mark all ops as incompatible with this machine. Call it before `deepspeed.initialize`, and only on a CPU."""
    import deepspeed

    deepspeed.ops.__compatible_ops__ = {}
