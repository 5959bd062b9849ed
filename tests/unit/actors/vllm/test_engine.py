"""How the end of an engine is told from a model that cannot be loaded."""

import pytest

from actors.vllm.engine import killed_from_outside

SAID = "Engine core initialization failed. See root cause above. Failed core proc(s): "


@pytest.mark.parametrize(
    ("error", "killed"),
    [
        (RuntimeError(SAID + "{'EngineCore_DP0': -9}"), True),
        (RuntimeError(SAID + "{'EngineCore_DP0': 1, 'EngineCore_DP1': -15}"), True),
        (RuntimeError(SAID + "{'EngineCore_DP0': 1}"), False),
        (RuntimeError(SAID + "{}"), False),
        (ValueError("max_model_len: -9 is no length"), False),
    ],
)
def test_an_engine_that_a_signal_ended_while_it_started_is_no_wrong_model(error, killed):
    assert killed_from_outside(error) is killed
