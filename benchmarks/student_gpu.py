"""Both students on one GPU, with torch, transformers and pydantic alone: pairs and tokens a second, and the share of its matmul rate.

    python -m benchmarks.student_gpu [--pairs 1024] [--tokens 256] [--steps 5] [--compile] [--out FILE.json]
    python -m benchmarks.student_gpu --device cpu --small          that it runs at all, where there is no card

Base size, random weights: RRA-BERT on a ModernBERT of 149M, RRA-GPT on a Qwen3 of 150M parameters. Lengths are drawn between
an eighth of --tokens and all of it. `padded`: every pair to --tokens; `by length`: as we train and score, in chunks of like
length. Tokens count without padding, and so does the work, so the share falls with what padding wastes:

    work of a pair = n (2 P + 4 L n h), three times as much with the way back

n: its tokens, P: weights outside the embeddings, L: layers, h: hidden size. Training is AdamW on float32 weights under bf16
autocast with RankNet over lists of 16; scoring is with bf16 weights.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models
from torch import nn
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from students.batches import KEYS, SEGMENTS, TASKS, chunks_by_length, list_batch, pad
from students.classifier import PairClassifier
from students.objective import Objective
from students.rra_gpt import LABEL, RATIONALE, RraGptWithAuxiliaryTasks
from students.settings import RraBertSettings, RraGptSettings, TrainingSettings
from students.term_control import TermControlled

LIST = 16
VOCABULARY = 50_368
CHUNK_TOKENS = {"cuda": 32_768, "cpu": 2_048}
Rows = list[dict[str, list[int]]]


def matmul_rate(device: str) -> float:
    """The device's bf16 matmul rate, FLOP/s, the best of 20."""
    size = 8192 if device == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / min(timed(lambda: left @ right, device) for _ in range(20))


def timed(work: Callable[[], Any], device: str) -> float:
    """Seconds that some work takes, with what the device still had to do."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def made_students(small: bool) -> dict[str, tuple[Any, nn.Module, nn.Module]]:
    """{name: settings, the student in training, the student that is served}, at random."""
    torch.manual_seed(0)
    ends = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    sizes = (
        {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96} if small else {}
    )
    bert = ModernBertConfig(vocab_size=VOCABULARY, num_labels=1, cls_token_id=1, sep_token_id=2, **ends, **sizes)
    base: dict[str, Any] = {
        "hidden_size": 768,
        "num_hidden_layers": 16,
        "num_attention_heads": 12,
        "intermediate_size": 2048,
    }
    gpt = Qwen3Config(
        vocab_size=VOCABULARY, num_labels=1, head_dim=64, tie_word_embeddings=True, **ends, **{**base, **sizes}
    )
    gpt.num_key_value_heads = gpt.num_attention_heads
    encoder = PairClassifier(AutoModelForSequenceClassification.from_config(bert))
    settings = RraBertSettings(term_control={"form": "layer"})
    decoder = PairClassifier(AutoModelForSequenceClassification.from_config(gpt))
    output = AutoModelForCausalLM.from_config(gpt).get_output_embeddings()
    output.weight = decoder.base.get_input_embeddings().weight
    return {
        "RRA-BERT": (settings, TermControlled(encoder, settings.term_control), encoder),
        "RRA-GPT": (RraGptSettings(base="made"), RraGptWithAuxiliaryTasks(decoder, output), decoder),
    }


def made_rows(pairs: int, tokens: int, sides: bool) -> Rows:
    """Pairs of random tokens, a fifth of them the query's; with sides, the last twelfth stands for label word and rationale."""
    drawn = random.Random(0)
    rows = []
    for _ in range(pairs):
        n = drawn.randint(tokens // 8, tokens)
        ids = [drawn.randrange(10, VOCABULARY) for _ in range(n)]
        query = n // 5
        row = {"input_ids": ids, "attention_mask": [1] * n, SEGMENTS: [1] * query + [2] * (n - query)}
        told = max(2, n // 12)
        row |= (
            {TASKS: [0] * (n - told) + [LABEL] + [RATIONALE] * (told - 1)} if sides else {KEYS: [i % 997 for i in ids]}
        )
        rows.append(row)
    return rows


def scored(model: nn.Module, tokenizer: Any, rows: Rows, width: int | None, device: str) -> torch.Tensor:
    """Score pairs, all padded to `width` tokens, or in chunks of like length. Returns what the model does, in their order."""
    scores, order = [], []
    for chunk in chunks_by_length([width or len(row["input_ids"]) for row in rows], CHUNK_TOKENS[device]):
        batch = pad(tokenizer, [rows[i] for i in chunk])
        further = (width - batch["input_ids"].shape[1]) if width else 0
        scores.append(model({name: functional.pad(value, (0, further)).to(device) for name, value in batch.items()}))
        order += chunk
    return torch.cat(scores)[torch.tensor(order).argsort().to(device)]


def work_of(model: nn.Module, rows: Rows) -> float:
    """FLOP of one forward over the pairs, without padding."""
    base = model.base  # type: ignore[attr-defined]
    weights = sum(w.numel() for w in base.parameters()) - base.get_input_embeddings().weight.numel()
    layers, hidden = base.config.num_hidden_layers, base.config.hidden_size
    return float(sum(n * (2 * weights + 4 * layers * n * hidden) for n in (len(row["input_ids"]) for row in rows)))


def training_step(
    model: nn.Module, settings: Any, tokenizer: Any, rows: Rows, width: int | None, device: str
) -> Callable[[], None]:
    """One optimizer step over lists of 16 pairs."""
    lists = list_batch([("q", [("d", float(-n)) for n in range(LIST)])] * (len(rows) // LIST))
    objective = Objective(settings, TrainingSettings(), "tiers")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step() -> None:
        model.train()
        with torch.autocast(device, torch.bfloat16):
            flat = scored(model, tokenizer, rows, width, device)
        objective(flat.float(), lists).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def scoring_step(model: nn.Module, tokenizer: Any, rows: Rows, width: int | None, device: str) -> Callable[[], None]:
    """All pairs scored once."""

    def step() -> None:
        with torch.inference_mode():
            scored(model.eval(), tokenizer, rows, width, device)

    return step


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Measure every student, training and scoring, padded and by length."""
    device, results = given.device, []
    rate = matmul_rate(device)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"[PAD]": 0}, unk_token="[PAD]")), pad_token="[PAD]"
    )
    for name, (settings, in_training, served) in made_students(given.small).items():
        rows = made_rows(given.pairs, given.tokens, sides=isinstance(settings, RraGptSettings))
        plain = [{key: value for key, value in row.items() if key not in (TASKS, KEYS)} for row in rows]
        for what, width in itertools.product(("train", "score"), (given.tokens, None)):
            in_training.to(
                device, torch.float32 if what == "train" else torch.bfloat16
            )  # the served student is a part of it
            model = in_training if what == "train" else served
            model = torch.compile(model, dynamic=True) if given.compile else model
            if what == "train":
                step = training_step(model, settings, tokenizer, rows, width, device)
            else:
                step = scoring_step(model, tokenizer, plain, width, device)
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            step()
            step()
            seconds = min(timed(step, device) for _ in range(given.steps))
            results.append(
                {
                    "student": name,
                    "parameters": sum(weights.numel() for weights in served.parameters()),
                    "what": what,
                    "batches": "padded" if width else "by length",
                    "pairs_per_second": given.pairs / seconds,
                    "tokens_per_second": sum(len(row["input_ids"]) for row in rows) / seconds,
                    "share_of_matmul_rate": work_of(served, rows) * (3 if what == "train" else 1) / seconds / rate,
                    "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None,
                }
            )
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "processor",
        "bf16_matmul_flops": rate,
        "results": results,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--pairs", type=int, default=1024, help=f"pairs of a step, a multiple of {LIST}")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--steps", type=int, default=5, help="the fastest of so many counts")
    parser.add_argument("--compile", action="store_true", help="torch.compile the students")
    parser.add_argument("--small", action="store_true", help="tiny students")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU is here; --device cpu --small shows that it runs")
    if given.pairs % LIST:
        parser.error(f"--pairs must be a multiple of {LIST}, not {given.pairs}")
    measured = measure(given)
    if given.out:
        given.out.write_text(json.dumps({"settings": vars(given) | {"out": str(given.out)}, **measured}, indent=2))
    print(
        f"bf16 matmul {measured['bf16_matmul_flops'] / 1e12:,.3f} TFLOP/s, {measured['device']}, torch.compile {given.compile}"
    )
    print(f"{'student':10}{'weights':>9}  {'':6}{'':11}{'pairs/s':>10}{'tokens/s':>12}{'of matmul':>11}")
    for one in measured["results"]:
        rates = (
            f"{one['pairs_per_second']:>10,.0f}{one['tokens_per_second']:>12,.0f}{one['share_of_matmul_rate']:>11.1%}"
        )
        print(f"{one['student']:10}{one['parameters'] / 1e6:>8.0f}M  {one['what']:6}{one['batches']:11}{rates}")


if __name__ == "__main__":
    main()
