"""Train minilm-cross: the bi-encoder `minilm` as a cross-encoder, from its own scores mixed with BM25 scores.

    python -m tools.minilm_cross FOLDER [--lists 26000] [--passages 40000]

Training needs no labels. Queries are made from passages of free texts (`tools.texts`), candidates come from BM25, and a
pair's target is its cosine plus a share of its BM25 score (`tools.cross_material`). Lists with a text of the pydoc
collection are dropped. The classifier starts with weights that approximate the cosine (`tools.cosine_classifier`), and
is trained with squared error. The result is FOLDER/model, the weights of models/minilm-cross. The same command resumes
an interrupted run from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import BertModel

from ranking.collections.pydoc.passages import read_passages
from ranking.errors import InputError
from ranking.model_paths import model_path
from ranking.storage.folder import Folder
from students import kinds
from students.batches import chunks_by_length, pad, tokenize
from students.classifier import PairClassifier
from students.forward_passes import CHUNK_TOKENS, forward_pairs
from students.precision import dtype_of
from students.scoring import ClassifierScorer
from students.student_settings import RraBertSettings
from tools import texts
from tools.cosine_classifier import cosine_classifier, fit_logits
from tools.cross_material import TrainingList, bi_encoder, lists_of
from tools.model_manifests import write_manifest

SCALE, MIDDLE = 8.0, 0.4
"""Training target of a pair's logit: 8 * (target - 0.4). A sigmoid of it uses most of the range 0 to 1."""

_SETTINGS = RraBertSettings(name="minilm-cross", base="minilm", max_length=192)
_LISTS_PER_STEP = 32
_LEARNING_RATE, _WARMUP_RATIO = 6e-5, 0.05
_INITIAL_TEXTS = 2000
"""Number of queries, and number of texts, used to determine the initial weights."""

_CHECKPOINT_EVERY = 50
"""Steps between checkpoints."""


def make(folder: Path, count: int, passages: int, seed: int = 13) -> Path:
    """Train the model and return its folder, FOLDER/model.

    Args:
        folder: Folder for the lists, the checkpoint and the model.
        count: Maximum number of lists.
        passages: Maximum number of passages.
        seed: Random seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    pool, lists = _load_lists(folder / "lists.json", count, passages, seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings, path = _SETTINGS, model_path("minilm")
    tokenizer = kinds.tokenizer_of(settings, path)
    student = initial_classifier(tokenizer, path, pool, lists).to(device)
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # no dropout: the targets have no noise, and attention is faster
    student.base.get_input_embeddings().requires_grad_(False)
    train(kinds.wrap_for_training(student, settings, path), tokenizer, pool, lists, folder / "checkpoint.pt", seed)
    probes = [(row.query, pool[row.passages[0]]) for row in lists[:64]]
    difference = save(student.cpu(), tokenizer, probes, folder / "model")
    print(f"maximum score difference in bf16 over {len(probes)} pairs: {difference:.3f}", flush=True)
    return folder / "model"


def initial_classifier(tokenizer: Any, path: str, pool: Sequence[str], lists: Sequence[TrainingList]) -> PairClassifier:
    """Rewrite the encoder as a classifier, with its logits fitted to the targets."""
    encoder = BertModel.from_pretrained(path, trust_remote_code=False, add_pooling_layer=False, dtype=torch.float32)
    some = [row.query for row in lists[:_INITIAL_TEXTS]] + list(pool[:_INITIAL_TEXTS])
    inputs = tokenizer(
        some[:: max(1, len(some) // 256)],
        padding=True,
        truncation=True,
        max_length=_SETTINGS.max_length,
        return_tensors="pt",
    )
    classifier = cosine_classifier(encoder, dict(inputs), torch.from_numpy(bi_encoder()(some)))
    pairs = [(row.query, pool[passage], target) for row in lists[:50] for passage, target in _pairs(row)]
    with torch.inference_mode():
        logits = forward_pairs(
            PairClassifier(classifier), tokenizer, [(query, text) for query, text, _ in pairs], _SETTINGS.max_length
        )
    fit_logits(classifier, logits, SCALE * (torch.tensor([target for _, _, target in pairs]) - MIDDLE))
    return PairClassifier(classifier)


def save(student: Any, tokenizer: Any, probes: Sequence[tuple[str, str]], folder: Path) -> float:
    """Write a sequence classifier with one label and bf16 weights.

    Its config.json says float32, to make libraries compute in float32: bf16 scores have steps of 1/64 and often tie.

    Returns:
        The maximum difference that bf16 weights cause in the scores of the probes.
    """
    with torch.inference_mode():
        expected = forward_pairs(student.eval(), tokenizer, probes, _SETTINGS.max_length)
    tokenizer.model_max_length = _SETTINGS.max_length
    classifier = student.classifier.to(torch.bfloat16)
    classifier.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n", encoding="utf-8")
    write_manifest(folder, dtype="auto", max_tokens=_SETTINGS.max_length, score_scale=SCALE)
    return float(
        (expected - torch.tensor(ClassifierScorer(str(folder), _SETTINGS.max_length, "fp32").score(probes))).abs().max()
    )


def train(
    student: Any, tokenizer: Any, pool: Sequence[str], lists: Sequence[TrainingList], checkpoint: Path, seed: int
) -> None:
    """Train for one epoch. Resumes from the checkpoint if it exists."""
    device = next(student.parameters()).device
    weights = [weight for weight in student.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=_LEARNING_RATE, weight_decay=0.01)
    order = random.Random(seed).sample(range(len(lists)), len(lists))
    steps = [order[start : start + _LISTS_PER_STEP] for start in range(0, len(order), _LISTS_PER_STEP)]
    first = _load_checkpoint(checkpoint, student, optimizer)
    dtype = dtype_of("auto", device.type)
    student.train()
    started, pairs = time.monotonic(), 0
    for number in range(first, len(steps)):
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * min(
                (number + 1) / (_WARMUP_RATIO * len(steps)),
                (len(steps) - number) / ((1 - _WARMUP_RATIO) * len(steps)),
                1.0,
            )
        batch = [(lists[i].query, pool[passage], target) for i in steps[number] for passage, target in _pairs(lists[i])]
        error = 0.0
        for inputs, targets in _microbatches(tokenizer, batch, device):
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                scores = student(inputs)
            loss = (scores.float() - SCALE * (targets - MIDDLE)).square().sum() / len(batch)
            loss.backward()
            error += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        pairs += len(batch)
        if number % 10 == 0:
            rate = pairs / (time.monotonic() - started)
            left = (len(steps) - number - 1) * len(batch) / rate / 60
            print(
                f"{number + 1}/{len(steps)} steps, error {error:.3f}, {rate:.0f} pairs/s, {left:.0f} minutes left",
                flush=True,
            )
        if (number + 1) % _CHECKPOINT_EVERY == 0 or number + 1 == len(steps):
            _save_checkpoint(checkpoint, student, optimizer, number + 1)


def _pairs(row: TrainingList) -> Iterator[tuple[int, float]]:
    """Yield the index and the target of each candidate."""
    return zip(row.passages, row.targets, strict=True)


def _microbatches(
    tokenizer: Any, pairs: Sequence[tuple[str, str, float]], device: torch.device
) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
    """Yield padded inputs and targets in microbatches of pairs of similar length, in a size that suits the device."""
    rows = tokenize(tokenizer, [(query, text) for query, text, _ in pairs], _SETTINGS.max_length)
    for chunk in chunks_by_length([len(row["input_ids"]) for row in rows], CHUNK_TOKENS[device.type]):
        batch = {name: tensor.to(device) for name, tensor in pad(tokenizer, [rows[i] for i in chunk]).items()}
        yield batch, torch.tensor([pairs[i][2] for i in chunk], device=device)


def _load_lists(path: Path, count: int, passages: int, seed: int) -> tuple[list[str], list[TrainingList]]:
    """Build the texts and lists, or load them if the file exists. Drops lists with a text that overlaps with pydoc."""
    if not path.exists():
        pool, lists = lists_of(texts.sample_passages(passages, seed), count, bi_encoder(), seed)
        Folder(path.parent).write_text(path.name, json.dumps({"texts": pool, "lists": [asdict(row) for row in lists]}))
    stored = json.loads(path.read_text(encoding="utf-8"))
    in_pydoc = texts.overlapping(stored["texts"], (document.text for document in read_passages()))
    lists = [TrainingList(**row) for row in stored["lists"] if in_pydoc.isdisjoint(row["passages"])]
    dropped = len(stored["lists"]) - len(lists)
    print(f"dropped {dropped:,} lists, which contain {len(in_pydoc):,} texts that overlap with pydoc", flush=True)
    pairs = sum(len(row.passages) for row in lists)
    print(f"{len(lists):,} lists, {pairs:,} pairs over {len(stored['texts']):,} texts", flush=True)
    return stored["texts"], lists


def _load_checkpoint(checkpoint: Path, student: Any, optimizer: Any) -> int:
    """Load the checkpoint, if it exists, and return the next step.

    Raises:
        InputError: The checkpoint is from a different model.
    """
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint, map_location=next(student.parameters()).device)
    try:
        student.load_state_dict(state["student"])
    except RuntimeError:
        raise InputError(f"{checkpoint} is from a different model; delete it or use another folder") from None
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def _save_checkpoint(checkpoint: Path, student: Any, optimizer: Any, step: int) -> None:
    """Write the checkpoint atomically."""
    partial = checkpoint.with_suffix(".partial")
    torch.save({"student": student.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, partial)
    partial.replace(checkpoint)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder for the lists, the checkpoint and the model")
    parser.add_argument(
        "--lists", type=int, default=26_000, help="number of lists, of up to eight pairs each (default: %(default)s)"
    )
    parser.add_argument(
        "--passages",
        type=int,
        default=40_000,
        help="number of passages to make queries and candidates from (default: %(default)s)",
    )
    arguments = parser.parse_args()
    try:
        print(make(arguments.folder, arguments.lists, arguments.passages))
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
