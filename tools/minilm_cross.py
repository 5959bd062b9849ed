"""minilm-cross: `minilm` made a plain cross-encoder, from its own scores as a bi-encoder mixed with BM25's.

    python -m tools.minilm_cross FOLDER [--lists 26000] [--passages 40000]

No label is needed: queries are made of passages of free texts (`tools.texts`), candidates are BM25's, and each pair's
target is the cosine of its two vectors and a part of BM25 (`tools.cross_material`); lists with a text of the pydoc collection are
left out. The classifier begins with weights that give nearly the cosine (`tools.cosine_classifier`), and learns the target by
squared error. The model is FOLDER/model, whose weights are those of models/minilm-cross. What was made is kept: called again, it
goes on from its last checkpoint.
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
from students.precision import dtype_of
from students.scoring import CHUNK_TOKENS, ClassifierScorer, forward_pairs
from students.settings import RraBertSettings
from tools import texts
from tools.cosine_classifier import cosine_classifier, fit_logits
from tools.cross_material import TrainingList, bi_encoder, lists_of

SCALE, MIDDLE = 8.0, 0.4
"""A pair's logit is learned to be 8 (target - 0.4): a sigmoid tells good from bad."""

_SETTINGS = RraBertSettings(name="minilm-cross", base="minilm", max_length=192)
_LISTS_PER_STEP = 32
_RATE, _WARM = 6e-5, 0.05
_MEASURED = 2000
"""Queries and texts that are looked at for the first weights, each."""

_EACH = 50
"""Steps between checkpoints."""


def make(folder: Path, count: int, most: int, seed: int = 13) -> Path:
    """Write the model's folder, below the one given; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    pool, lists = _made_lists(folder / "lists.json", count, most, seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings, path = _SETTINGS, model_path("minilm")
    tokenizer = kinds.tokenizer_of(settings, path)
    student = begun(tokenizer, path, pool, lists).to(device)
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # targets are exact, and attention without it is faster
    student.base.get_input_embeddings().requires_grad_(False)
    learn(kinds.in_training(student, settings, path), tokenizer, pool, lists, folder / "checkpoint.pt", seed)
    probes = [(held.query, pool[held.passages[0]]) for held in lists[:64]]
    worst = save(student.cpu(), tokenizer, probes, folder / "model")
    print(f"in bf16 the scores of {len(probes)} pairs differ by {worst:.3f} at most", flush=True)
    return folder / "model"


def begun(tokenizer: Any, path: str, pool: Sequence[str], lists: Sequence[TrainingList]) -> PairClassifier:
    """The encoder written as a classifier, with logits as near to the targets' as they are without training."""
    encoder = BertModel.from_pretrained(path, add_pooling_layer=False, dtype=torch.float32)
    some = [held.query for held in lists[:_MEASURED]] + list(pool[:_MEASURED])
    inputs = tokenizer(
        some[:: max(1, len(some) // 256)],
        padding=True,
        truncation=True,
        max_length=_SETTINGS.max_length,
        return_tensors="pt",
    )
    classifier = cosine_classifier(encoder, dict(inputs), torch.from_numpy(bi_encoder()(some)))
    read = [(held.query, pool[passage], target) for held in lists[:50] for passage, target in _pairs(held)]
    with torch.inference_mode():
        logits = forward_pairs(
            PairClassifier(classifier), tokenizer, [(query, text) for query, text, _ in read], _SETTINGS.max_length
        )
    fit_logits(classifier, logits, SCALE * (torch.tensor([target for _, _, target in read]) - MIDDLE))
    return PairClassifier(classifier)


def save(student: Any, tokenizer: Any, probes: Sequence[tuple[str, str]], folder: Path) -> float:
    """Write a sequence classifier of one label, weights in bf16; returns by how much the scores of pairs differ at most.

    Its configuration says float32, so that libraries compute in it: scores in bf16 have steps of a 64th, and so ties.
    """
    with torch.inference_mode():
        expected = forward_pairs(student.eval(), tokenizer, probes, _SETTINGS.max_length)
    tokenizer.model_max_length = _SETTINGS.max_length
    classifier = student.classifier.to(torch.bfloat16)
    classifier.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n", encoding="utf-8")
    return float(
        (expected - torch.tensor(ClassifierScorer(str(folder), _SETTINGS.max_length, "fp32").score(probes))).abs().max()
    )


def learn(
    student: Any, tokenizer: Any, pool: Sequence[str], lists: Sequence[TrainingList], checkpoint: Path, seed: int
) -> None:
    """One pass over all lists. Goes on from the checkpoint where there is one."""
    device = next(student.parameters()).device
    weights = [held for held in student.parameters() if held.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=_RATE, weight_decay=0.01)
    order = random.Random(seed).sample(range(len(lists)), len(lists))
    steps = [order[start : start + _LISTS_PER_STEP] for start in range(0, len(order), _LISTS_PER_STEP)]
    first = _resumed(checkpoint, student, optimizer)
    dtype = dtype_of("auto", device.type)
    student.train()
    began, pairs = time.monotonic(), 0
    for number in range(first, len(steps)):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(
                (number + 1) / (_WARM * len(steps)), (len(steps) - number) / ((1 - _WARM) * len(steps)), 1.0
            )
        read = [(lists[i].query, pool[passage], target) for i in steps[number] for passage, target in _pairs(lists[i])]
        error = 0.0
        for batch, targets in _chunks(tokenizer, read, device):
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                scores = student(batch)
            cost = (scores.float() - SCALE * (targets - MIDDLE)).square().sum() / len(read)
            cost.backward()
            error += float(cost.detach())
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        pairs += len(read)
        if number % 10 == 0:
            rate = pairs / (time.monotonic() - began)
            left = (len(steps) - number - 1) * len(read) / rate / 60
            print(
                f"{number + 1}/{len(steps)} steps, error {error:.3f}, {rate:.0f} pairs/s, {left:.0f} minutes left",
                flush=True,
            )
        if (number + 1) % _EACH == 0 or number + 1 == len(steps):
            _save(checkpoint, student, optimizer, number + 1)


def _pairs(held: TrainingList) -> Iterator[tuple[int, float]]:
    return zip(held.passages, held.targets, strict=True)


def _chunks(
    tokenizer: Any, read: Sequence[tuple[str, str, float]], device: torch.device
) -> Iterator[tuple[dict[str, torch.Tensor], torch.Tensor]]:
    """Pairs of like length together, as many as a processor's cache holds."""
    rows = tokenize(tokenizer, [(query, text) for query, text, _ in read], _SETTINGS.max_length)
    for chunk in chunks_by_length([len(row["input_ids"]) for row in rows], CHUNK_TOKENS[device.type]):
        batch = {name: held.to(device) for name, held in pad(tokenizer, [rows[i] for i in chunk]).items()}
        yield batch, torch.tensor([read[i][2] for i in chunk], device=device)


def _made_lists(path: Path, count: int, most: int, seed: int) -> tuple[list[str], list[TrainingList]]:
    """The texts and lists, made once; without lists in which a passage is, in part, one of the pydoc collection's."""
    if not path.exists():
        pool, lists = lists_of(texts.passages_of(most, seed), count, bi_encoder(), seed)
        Folder(path.parent).write_text(
            path.name, json.dumps({"texts": pool, "lists": [asdict(held) for held in lists]})
        )
    held = json.loads(path.read_text(encoding="utf-8"))
    taken = texts.sharing(held["texts"], (document.text for document in read_passages()))
    lists = [TrainingList(**one) for one in held["lists"] if taken.isdisjoint(one["passages"])]
    print(
        f"{len(held['lists']) - len(lists):,} lists left out, as they hold one of {len(taken)} texts of the pydoc collection",
        flush=True,
    )
    print(
        f"{len(lists):,} lists, {sum(len(one.passages) for one in lists):,} pairs over {len(held['texts']):,} texts",
        flush=True,
    )
    return held["texts"], lists


def _resumed(checkpoint: Path, student: Any, optimizer: Any) -> int:
    """Load the last checkpoint, if there is one; returns the step to go on with."""
    if not checkpoint.exists():
        return 0
    held = torch.load(checkpoint, map_location=next(student.parameters()).device)
    try:
        student.load_state_dict(held["student"])
    except RuntimeError:
        raise InputError(f"{checkpoint} is of a model of another form; take it away, or name another folder") from None
    optimizer.load_state_dict(held["optimizer"])
    return int(held["step"])


def _save(checkpoint: Path, student: Any, optimizer: Any, step: int) -> None:
    """Whole or not at all."""
    partial = checkpoint.with_suffix(".partial")
    torch.save({"student": student.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, partial)
    partial.replace(checkpoint)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for the lists, the checkpoint and the model")
    parser.add_argument("--lists", type=int, default=26_000, help="of up to eight pairs each")
    parser.add_argument("--passages", type=int, default=40_000, help="to make queries of, and candidates")
    given = parser.parse_args()
    try:
        print(make(given.folder, given.lists, given.passages))
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
