"""vLLM engine: a startup killed by a signal is distinguished from a model that cannot be loaded."""

import pytest

from actors.vllm.engine import killed_by_signal

STARTUP_ERROR = "Engine core initialization failed. See root cause above. Failed core proc(s): "


@pytest.mark.parametrize(
    ("error", "killed"),
    [
        (RuntimeError(STARTUP_ERROR + "{'EngineCore_DP0': -9}"), True),
        (RuntimeError(STARTUP_ERROR + "{'EngineCore_DP0': 1, 'EngineCore_DP1': -15}"), True),
        (RuntimeError(STARTUP_ERROR + "{'EngineCore_DP0': 1}"), False),
        (RuntimeError(STARTUP_ERROR + "{}"), False),
        (ValueError("max_model_len: -9 is invalid"), False),
    ],
)
def test_negative_exit_codes_mean_killed_by_signal(error, killed):
    assert killed_by_signal(error) is killed
