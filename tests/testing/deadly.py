"""A logits processor for vLLM that kills its engine when a prompt holds certain words, as a bad kernel would."""

import os
import signal

from transformers import AutoTokenizer
from vllm.v1.sample.logits_processor import LogitsProcessor

DEADLY = "why does dough get bigger"


class Deadly(LogitsProcessor):
    def __init__(self, vllm_config, device, is_pin_memory):
        self.tokenizer = AutoTokenizer.from_pretrained(vllm_config.model_config.tokenizer)

    def is_argmax_invariant(self):
        return True

    def update_state(self, batch_update):
        for _, _, prompt, _ in batch_update.added if batch_update else ():
            if DEADLY in self.tokenizer.decode(prompt):
                os.kill(os.getpid(), signal.SIGKILL)

    def apply(self, logits):
        return logits
