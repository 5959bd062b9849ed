"""Measure training and scoring throughput of both students on one GPU.

    python -m benchmarks.student_gpu [--pairs 1024] [--tokens 256] [--steps 5] [--compile] [--out FILE.json]
    python -m benchmarks.student_gpu --device cpu --small          smoke test without a GPU

Needs only torch, transformers and pydantic. The students have base size and random weights: RRA-BERT is a ModernBERT
with 149M parameters, RRA-GPT a Qwen3 with 150M. Pair lengths are uniform between an eighth of --tokens and --tokens.
`padded` pads every pair to --tokens. `by length` batches pairs of similar length, as training and scoring do. Token
rates and work exclude padding, so padding lowers the share of the device's matmul rate:

    work of a pair = n (2 P + 4 L n h) FLOP, three times as much with the backward pass

n is the number of tokens, P the number of weights outside the embeddings, L the number of layers, h the hidden size.
Training uses AdamW on float32 weights with bf16 autocast and RankNet over lists of 16. Scoring uses bf16 weights.
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
from students.student_settings import RraBertSettings, RraGptSettings
from students.term_control import TermControlled
from students.training_settings import TrainingSettings

LIST_SIZE = 16
VOCABULARY = 50_368
CHUNK_TOKENS = {"cuda": 32_768, "cpu": 2_048}
Rows = list[dict[str, list[int]]]


def matmul_rate(device: str) -> float:
    """Return the device's bf16 matmul rate in FLOP/s, the best of 20 runs."""
    size = 8192 if device == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / min(measure_seconds(lambda: left @ right, device) for _ in range(20))


def measure_seconds(work: Callable[[], Any], device: str) -> float:
    """Return the seconds that a function takes, including its pending work on the device."""
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def random_students(small: bool) -> dict[str, tuple[Any, nn.Module, nn.Module]]:
    """Make both students with random weights.

    Args:
        small: Whether to use tiny models.

    Returns:
        {name: (settings, model with training-only modules, model for serving)}. The second contains the third.
    """
    torch.manual_seed(0)
    special_ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    sizes = (
        {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96} if small else {}
    )
    bert = ModernBertConfig(vocab_size=VOCABULARY, num_labels=1, cls_token_id=1, sep_token_id=2, **special_ids, **sizes)
    base: dict[str, Any] = {
        "hidden_size": 768,
        "num_hidden_layers": 16,
        "num_attention_heads": 12,
        "intermediate_size": 2048,
    }
    gpt = Qwen3Config(
        vocab_size=VOCABULARY, num_labels=1, head_dim=64, tie_word_embeddings=True, **special_ids, **{**base, **sizes}
    )
    gpt.num_key_value_heads = gpt.num_attention_heads
    encoder = PairClassifier(AutoModelForSequenceClassification.from_config(bert, trust_remote_code=False))
    settings = RraBertSettings(term_control={"form": "layer"})
    decoder = PairClassifier(AutoModelForSequenceClassification.from_config(gpt, trust_remote_code=False))
    output = AutoModelForCausalLM.from_config(gpt, trust_remote_code=False).get_output_embeddings()
    output.weight = decoder.base.get_input_embeddings().weight
    return {
        "RRA-BERT": (settings, TermControlled(encoder, settings.term_control), encoder),
        "RRA-GPT": (RraGptSettings(base="made"), RraGptWithAuxiliaryTasks(decoder, output), decoder),
    }


def random_rows(pairs: int, tokens: int, auxiliary_tasks: bool) -> Rows:
    """Make pairs of random tokens. The query has a fifth of a pair's tokens.

    Args:
        pairs: Number of pairs.
        tokens: Maximum number of tokens per pair.
        auxiliary_tasks: Whether the last twelfth of the tokens are the label word and the rationale.
    """
    generator = random.Random(0)
    rows = []
    for _ in range(pairs):
        n = generator.randint(tokens // 8, tokens)
        ids = [generator.randrange(10, VOCABULARY) for _ in range(n)]
        query = n // 5
        row = {"input_ids": ids, "attention_mask": [1] * n, SEGMENTS: [1] * query + [2] * (n - query)}
        if auxiliary_tasks:
            targets = max(2, n // 12)
            row[TASKS] = [0] * (n - targets) + [LABEL] + [RATIONALE] * (targets - 1)
        else:
            row[KEYS] = [i % 997 for i in ids]
        rows.append(row)
    return rows


def score_rows(model: nn.Module, tokenizer: Any, rows: Rows, width: int | None, device: str) -> torch.Tensor:
    """Score pairs in chunks of similar length.

    Args:
        model: The student.
        tokenizer: Tokenizer that pads.
        rows: Tokenized pairs.
        width: Number of tokens to pad every pair to; None pads each chunk to its longest pair.
        device: `cuda` or `cpu`.

    Returns:
        Outputs of the model, in the order of the rows.
    """
    scores, order = [], []
    for chunk in chunks_by_length([width or len(row["input_ids"]) for row in rows], CHUNK_TOKENS[device]):
        batch = pad(tokenizer, [rows[i] for i in chunk])
        padding = (width - batch["input_ids"].shape[1]) if width else 0
        scores.append(model({name: functional.pad(value, (0, padding)).to(device) for name, value in batch.items()}))
        order += chunk
    return torch.cat(scores)[torch.tensor(order).argsort().to(device)]


def work_of(model: nn.Module, rows: Rows) -> float:
    """Return the FLOP of one forward pass over the pairs, without padding."""
    base = model.base  # type: ignore[attr-defined]
    weights = sum(w.numel() for w in base.parameters()) - base.get_input_embeddings().weight.numel()
    layers, hidden = base.config.num_hidden_layers, base.config.hidden_size
    return float(sum(n * (2 * weights + 4 * layers * n * hidden) for n in (len(row["input_ids"]) for row in rows)))


def training_step(
    model: nn.Module, settings: Any, tokenizer: Any, rows: Rows, width: int | None, device: str
) -> Callable[[], None]:
    """Make a function that runs one optimizer step over lists of 16 pairs."""
    lists = list_batch([("q", [("d", float(-n)) for n in range(LIST_SIZE)])] * (len(rows) // LIST_SIZE))
    objective = Objective(settings, TrainingSettings(), "tiers")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def step() -> None:
        model.train()
        with torch.autocast(device, torch.bfloat16):
            flat = score_rows(model, tokenizer, rows, width, device)
        objective(flat.float(), lists).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def scoring_step(model: nn.Module, tokenizer: Any, rows: Rows, width: int | None, device: str) -> Callable[[], None]:
    """Make a function that scores all pairs once."""

    def step() -> None:
        with torch.inference_mode():
            score_rows(model.eval(), tokenizer, rows, width, device)

    return step


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure training and scoring of both students, padded and by length.

    Args:
        arguments: Command-line arguments.
    """
    device, results = arguments.device, []
    rate = matmul_rate(device)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"[PAD]": 0}, unk_token="[PAD]")), pad_token="[PAD]"
    )
    for name, (settings, trained, served) in random_students(arguments.small).items():
        rows = random_rows(arguments.pairs, arguments.tokens, auxiliary_tasks=isinstance(settings, RraGptSettings))
        scoring_rows = [{key: value for key, value in row.items() if key not in (TASKS, KEYS)} for row in rows]
        for task, width in itertools.product(("train", "score"), (arguments.tokens, None)):
            trained.to(device, torch.float32 if task == "train" else torch.bfloat16)  # contains the served student
            model = trained if task == "train" else served
            model = torch.compile(model, dynamic=True) if arguments.compile else model
            if task == "train":
                step = training_step(model, settings, tokenizer, rows, width, device)
            else:
                step = scoring_step(model, tokenizer, scoring_rows, width, device)
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            step()
            step()
            seconds = min(measure_seconds(step, device) for _ in range(arguments.steps))
            results.append(
                {
                    "student": name,
                    "parameters": sum(weights.numel() for weights in served.parameters()),
                    "what": task,
                    "batches": "padded" if width else "by length",
                    "pairs_per_second": arguments.pairs / seconds,
                    "tokens_per_second": sum(len(row["input_ids"]) for row in rows) / seconds,
                    "share_of_matmul_rate": work_of(served, rows) * (3 if task == "train" else 1) / seconds / rate,
                    "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None,
                }
            )
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "processor",
        "bf16_matmul_flops": rate,
        "results": results,
    }


def main() -> None:
    """Measure the students and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--pairs", type=int, default=1024, help=f"pairs per step, a multiple of {LIST_SIZE}")
    parser.add_argument("--tokens", type=int, default=256, help="maximum tokens per pair")
    parser.add_argument("--steps", type=int, default=5, help="timed steps; the fastest counts")
    parser.add_argument("--compile", action="store_true", help="compile the students with torch.compile")
    parser.add_argument("--small", action="store_true", help="use tiny students")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU found; use --device cpu --small for a smoke test")
    if arguments.pairs % LIST_SIZE:
        parser.error(f"--pairs must be a multiple of {LIST_SIZE}, not {arguments.pairs}")
    measured = measure(arguments)
    if arguments.out:
        settings = vars(arguments) | {"out": str(arguments.out)}
        arguments.out.write_text(json.dumps({"settings": settings, **measured}, indent=2))
    print(
        f"bf16 matmul {measured['bf16_matmul_flops'] / 1e12:,.3f} TFLOP/s, {measured['device']}, "
        f"torch.compile {arguments.compile}"
    )
    print(f"{'student':10}{'weights':>9}  {'task':6}{'batches':11}{'pairs/s':>10}{'tokens/s':>12}{'of matmul':>11}")
    for row in measured["results"]:
        rates = (
            f"{row['pairs_per_second']:>10,.0f}{row['tokens_per_second']:>12,.0f}{row['share_of_matmul_rate']:>11.1%}"
        )
        print(f"{row['student']:10}{row['parameters'] / 1e6:>8.0f}M  {row['what']:6}{row['batches']:11}{rates}")


if __name__ == "__main__":
    main()
