"""A logits processor for vLLM that kills its engine on prompts with a certain query, as a faulty GPU kernel would."""

import os
import signal

from transformers import AutoTokenizer
from vllm.v1.sample.logits_processor import LogitsProcessor

CRASHING_QUERY = "why does dough get bigger"


class CrashingProcessor(LogitsProcessor):
    """Kills the engine process when a prompt contains `CRASHING_QUERY`. Does not change logits."""

    def __init__(self, vllm_config, device, is_pin_memory):
        self.tokenizer = AutoTokenizer.from_pretrained(vllm_config.model_config.tokenizer)

    def is_argmax_invariant(self):
        """Return True, because logits do not change."""
        return True

    def update_state(self, batch_update):
        """Kill the engine if a new prompt contains the query."""
        for _, _, prompt, _ in batch_update.added if batch_update else ():
            if CRASHING_QUERY in self.tokenizer.decode(prompt):
                os.kill(os.getpid(), signal.SIGKILL)

    def apply(self, logits):
        """Return the logits unchanged."""
        return logits
