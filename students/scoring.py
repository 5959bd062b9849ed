"""Scoring pairs with a saved student: the one function behind evaluation, serving and the parity check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from ranking.blending import Blend
from ranking.errors import InputError, first_line
from ranking.storage.folder import Folder
from students import onnx_file, student_config
from students.bases import positions, read_model
from students.batches import bucket_of, chunks_by_bucket, chunks_by_length, pad, tokenize
from students.classifier import PairClassifier
from students.first_token import read_first_token_only
from students.precision import dtype_of
from students.settings import Precision

Engine = Literal["auto", "torch", "onnx", "openvino"]
CARD = student_config.NAME
CHUNK_TOKENS = {"cpu": 1024, "cuda": 32_768}
"""Tokens that go through the model at once: a processor is fastest where they stay in its cache."""


def forward_pairs(model: nn.Module, tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int) -> Tensor:
    """Score pairs of texts, each padded to its bucket. Returns [pairs], float32, in the order given."""
    rows = tokenize(tokenizer, pairs, max_length)
    lengths = [len(row["input_ids"]) for row in rows]
    return _forward(model, tokenizer, rows, chunks_by_bucket(lengths, CHUNK_TOKENS[_device(model).type], max_length))


def forward_rows(model: nn.Module, tokenizer: Any, rows: Sequence[dict[str, list[int]]], whole: bool = False) -> Tensor:
    """Score pairs, tokenised, in chunks of like length, each padded to its own longest.

    whole: all in one chunk. Returns what the model does, [pairs] or [pairs, scores], float32, in the order given.
    """
    lengths = [len(row["input_ids"]) for row in rows]
    chunks = (
        [list(range(len(rows)))] if whole and rows else chunks_by_length(lengths, CHUNK_TOKENS[_device(model).type])
    )
    return _forward(model, tokenizer, rows, [(None, chunk) for chunk in chunks])


def _forward(
    model: nn.Module,
    tokenizer: Any,
    rows: Sequence[dict[str, list[int]]],
    chunks: Sequence[tuple[int | None, list[int]]],
) -> Tensor:
    device = _device(model)
    order = [i for _, chunk in chunks for i in chunk]
    batches = (pad(tokenizer, [rows[i] for i in chunk], width) for width, chunk in chunks)
    if isinstance(model, onnx_file.OpenVinoStudent):
        scores = model.many(batches)
    else:
        scores = [model({key: value.to(device) for key, value in batch.items()}) for batch in batches]
    back = torch.empty(len(order), dtype=torch.long, device=device)
    back[torch.tensor(order, dtype=torch.long, device=device)] = torch.arange(len(order), device=device)
    return torch.cat(scores)[back] if scores else torch.zeros(0)


def _device(model: nn.Module) -> torch.device:
    return next((weights.device for weights in model.parameters()), torch.device("cpu"))


@dataclass(frozen=True)
class TokenizedPair:
    """A pair as the model reads it. width: tokens that it is padded to."""

    inputs: dict[str, list[int]]
    width: int

    @property
    def tokens(self) -> int:
        """Without padding."""
        return len(self.inputs["input_ids"])


class Scorer:
    """A saved student, ready to score on this machine. Higher is better; scores have no fixed range."""

    def __init__(
        self, folder: str | Path, precision: Precision | None = None, engine: Engine = "auto", called: str | None = None
    ) -> None:
        """Load a folder that `students.export.save` wrote.

        precision: None for the one it was saved to be used with. engine: `auto` takes what is fastest: OpenVINO on a processor, for a
        student that has a file for it; else torch. called: what the folder is named in messages.
        Raises InputError where the folder is none.
        """
        folder = Path(folder)
        self.card = student_config.read(Folder(folder), called)
        self.max_length: int = self.card["max_length"]
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = dtype_of(precision or self.card["precision"], device)
        path = folder / onnx_file.NAME
        if engine == "auto":
            engine = "openvino" if device == "cpu" and path.is_file() else "torch"
        self.model: nn.Module
        if engine == "openvino":
            self.model = onnx_file.OpenVinoStudent(path, self.dtype)
        elif engine == "onnx":
            self.model = onnx_file.OnnxStudent(path)
        else:
            self.model = _ready(_classifier(folder), device, self.dtype)
        self.parameters = _count(folder)

    @property
    def blend(self) -> Blend | None:
        """How the student is blended with the first stage; None where it is served alone."""
        saved = self.card.get("blend")
        return None if saved is None else Blend.model_validate(saved)

    @torch.inference_mode()
    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Score (query, document) pairs, in the order given. A pair's score does not depend on the others."""
        scores: list[float] = forward_pairs(self.model, self.tokenizer, pairs, self.max_length).tolist()
        return scores

    def tokenized(self, pairs: Sequence[tuple[str, str]]) -> list[TokenizedPair]:
        """Tokenise pairs, for `score_chunk`; one thread at a time, as tokenizers are."""
        rows = tokenize(self.tokenizer, pairs, self.max_length)
        return [TokenizedPair(row, bucket_of(len(row["input_ids"]), self.max_length)) for row in rows]

    @torch.inference_mode()
    def score_chunk(self, rows: Sequence[TokenizedPair]) -> list[float]:
        """Score pairs of one bucket at once, as `score` does; for those that put batches together themselves.

        As many threads as there are streams may call it.
        """
        (width,) = {row.width for row in rows}
        scores: list[float] = _forward(
            self.model, self.tokenizer, [row.inputs for row in rows], [(width, list(range(len(rows))))]
        ).tolist()
        return scores

    def cut(self, document: str, tokens: int) -> str:
        """A document's first tokens, as text."""
        coded = self.tokenizer(
            document, add_special_tokens=False, truncation=True, max_length=tokens, return_offsets_mapping=True
        )
        return document[: coded["offset_mapping"][-1][1]] if coded["input_ids"] else ""

    def is_cut(self, pair: tuple[str, str]) -> bool:
        """Whether a pair has more tokens than the model reads."""
        return len(self.tokenizer(*pair, truncation=False, verbose=False)["input_ids"]) > self.max_length

    @property
    def chunk_tokens(self) -> int:
        """Tokens, padding included, that are best scored at once here."""
        return CHUNK_TOKENS[_device(self.model).type]

    @property
    def streams(self) -> int:
        """Chunks that are best scored at the same time."""
        return self.model.streams if isinstance(self.model, onnx_file.OpenVinoStudent) else 1


class ClassifierScorer(Scorer):
    """A sequence classifier with one label that was saved elsewhere: any Hugging Face cross-encoder."""

    def __init__(
        self, model: str, max_length: int | None = None, precision: Precision = "auto", called: str | None = None
    ) -> None:
        """Load a folder or Hugging Face id. max_length: None for what its tokenizer and positions allow. called: in messages.

        Raises InputError where it cannot be read, has another number of labels or no pad token, or would score at random.
        """
        where = f"model {(called or model)!r}"
        config, tokenizer = read_model(model, None, where)
        if config.num_labels != 1:
            raise InputError(f"{where}: has {config.num_labels} labels; a cross-encoder with one is needed")
        if tokenizer.pad_token_id is None:
            raise InputError(f"{where}: its tokenizer has no pad token")
        most = min(held for held in (positions(config), tokenizer.model_max_length) if held is not None)
        if max_length is not None and max_length > most:
            raise InputError(f"{where}: max_length {max_length} is more than the {most} tokens that it can read")
        config.get_text_config().pad_token_id = tokenizer.pad_token_id
        try:
            loaded, info = AutoModelForSequenceClassification.from_pretrained(
                model, config=config, dtype=torch.float32, output_loading_info=True
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"{where}: its weights cannot be read ({first_line(error)})") from None
        if info["missing_keys"]:
            raise InputError(
                f"{where}: {min(info['missing_keys'])} is not in its weights, so its scores would be random; it is no cross-encoder"
            )
        self.card = {}
        self.max_length, self.tokenizer = max_length or most, tokenizer
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = dtype_of(precision, device)
        self.model = _ready(PairClassifier(loaded), device, self.dtype)
        self.parameters = sum(weights.numel() for weights in self.model.parameters())


def _classifier(folder: Path) -> PairClassifier:
    return PairClassifier(AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32))


def _ready(student: PairClassifier, device: str, dtype: torch.dtype) -> PairClassifier:
    student.lower(dtype)
    student = student.to(device).eval()
    read_first_token_only(student)
    return student


def _count(folder: Path) -> int:
    """How many weights a student's files hold."""
    found = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as weights:
            found += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return found
