"""Score (query, document) pairs with a saved student or another cross-encoder.

Evaluation, serving and the parity check all score with this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import safe_open
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from ranking.blending import Blend
from ranking.errors import InputError, first_line
from ranking.languages import ENGLISH
from ranking.storage.folder import Folder
from students import onnx_file, student_config
from students.batches import bucket_of, tokenize
from students.classifier import PairClassifier
from students.clipping import clip
from students.first_token import read_first_token_only
from students.forward_passes import CHUNK_TOKENS, device_of, forward_chunks, forward_pairs
from students.input_limits import max_positions
from students.int8_choice import use_int8, without_int8
from students.model_check import checked_model
from students.precision import dtype_of
from students.student_settings import Precision, ScoringPrecision

Engine = Literal["auto", "torch", "onnx", "openvino"]

CONFIG_FILE = student_config.NAME


@dataclass(frozen=True)
class TokenizedPair:
    """A tokenized (query, document) pair.

    Attributes:
        inputs: Model inputs by name, without padding.
        width: Number of tokens that the pair is padded to.
    """

    inputs: dict[str, list[int]]
    width: int

    @property
    def tokens(self) -> int:
        """Number of tokens without padding."""
        return len(self.inputs["input_ids"])


class Scorer:
    """A saved student that scores pairs on this machine. A higher score is better; scores have no fixed range."""

    _int8_bytes: int | None = None

    pair_tokenizer: Callable[[Sequence[tuple[str, str]]], list[dict[str, list[int]]]] | None = None
    """Replaces `students.batches.tokenize` in `tokenized`, such as a cache. Must return the same rows."""

    def __init__(
        self,
        folder: str | Path,
        precision: ScoringPrecision | None = None,
        engine: Engine = "auto",
        display_name: str | None = None,
    ) -> None:
        """Load a folder that `students.export.save` wrote.

        Args:
            folder: Folder of the student.
            precision: Precision of the base; None for the precision in the student config. `int8` uses
                model.int8.onnx, and its other layers have the precision `auto`.
            engine: `auto` is OpenVINO on a CPU if the folder contains model.onnx, else torch.
            display_name: Name of the folder in error messages; None for its path.

        Raises:
            InputError: If the folder contains no student, or one that this version cannot load, or no accepted int8
                file if `precision` is int8.
        """
        folder = Path(folder)
        self.config = student_config.read(Folder(folder), display_name)
        self.max_length: int = self.config["max_length"]
        self.passages = student_config.passages_of(self.config, display_name or str(folder))
        self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        precision = precision or self.config["precision"]
        int8 = engine != "torch" and use_int8(precision, folder, self.config, device, display_name or str(folder))
        self.dtype = dtype_of(without_int8(precision), device)
        self.precision = "int8" if int8 else _name_of(self.dtype)
        path = folder / (onnx_file.INT8_NAME if int8 else onnx_file.NAME)
        if engine == "auto":
            engine = "openvino" if device == "cpu" and path.is_file() else "torch"
        self.model: nn.Module
        if engine == "openvino":
            self.model = onnx_file.OpenVinoStudent(path, self.dtype)
        elif engine == "onnx":
            self.model = onnx_file.OnnxStudent(path)
        else:
            self.model = _for_inference(_classifier(folder), device, self.dtype)
        self.parameters = _parameters_in(folder)
        self._int8_bytes = path.stat().st_size if int8 else None

    @property
    def weight_bytes(self) -> int:
        """Size of the weights in the precision used for scoring. In int8, the size of the file."""
        return self._int8_bytes or self.parameters * self.dtype.itemsize

    @property
    def language(self) -> str:
        """Language of the collection that the student was trained on."""
        return str(self.config.get("language", ENGLISH))

    @property
    def blend(self) -> Blend | None:
        """How to blend the student's scores with the first stage's. None if the student ranks alone."""
        saved = self.config.get("blend")
        return None if saved is None else Blend.model_validate(saved)

    @property
    def is_calibrated(self) -> bool:
        """Whether the sigmoid of a score is a probability of relevance (`students.calibrated_head`)."""
        return "calibration" in self.config

    @torch.inference_mode()
    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Return the scores of (query, document) pairs, in order. A pair's score does not depend on the other pairs."""
        scores: list[float] = forward_pairs(self.model, self.tokenizer, pairs, self.max_length).tolist()
        return scores

    def tokenized(self, pairs: Sequence[tuple[str, str]]) -> list[TokenizedPair]:
        """Tokenize pairs for `score_chunk`. Not thread-safe, because tokenizers are not."""
        if self.pair_tokenizer is not None:
            rows = self.pair_tokenizer(pairs)
        else:
            rows = tokenize(self.tokenizer, pairs, self.max_length)
        return [TokenizedPair(row, bucket_of(len(row["input_ids"]), self.max_length)) for row in rows]

    @torch.inference_mode()
    def score_chunk(self, rows: Sequence[TokenizedPair]) -> list[float]:
        """Score pairs of equal `width` in a single forward pass, for callers that build their own batches.

        The scores are the same as those of `score`. Up to `streams` threads can call this method at the same time.
        """
        (width,) = {row.width for row in rows}
        scores: list[float] = forward_chunks(
            self.model, self.tokenizer, [row.inputs for row in rows], [(width, list(range(len(rows))))]
        ).tolist()
        return scores

    def cut(self, document: str, tokens: int) -> str:
        """Truncate a document to its first `tokens` tokens and return its text."""
        (document,) = clip(self.tokenizer, [document], tokens)
        encoded = self.tokenizer(
            document, add_special_tokens=False, truncation=True, max_length=tokens, return_offsets_mapping=True
        )
        return document[: encoded["offset_mapping"][-1][1]] if encoded["input_ids"] else ""

    def is_cut(self, pair: tuple[str, str]) -> bool:
        """Return whether a pair has more than `max_length` tokens, so it is truncated for scoring."""
        clipped = clip(self.tokenizer, pair, self.max_length)
        if any(len(text) < len(whole) for text, whole in zip(clipped, pair, strict=True)):
            return True  # only a text with more tokens than the limit is clipped
        return len(self.tokenizer(*pair, truncation=False, verbose=False)["input_ids"]) > self.max_length

    @property
    def chunk_tokens(self) -> int:
        """Recommended tokens per chunk on this device, padding included."""
        return CHUNK_TOKENS[device_of(self.model).type]

    @property
    def streams(self) -> int:
        """Recommended number of chunks to score at the same time."""
        return self.model.streams if isinstance(self.model, onnx_file.OpenVinoStudent) else 1


class ClassifierScorer(Scorer):
    """Any Hugging Face cross-encoder: a sequence classifier with one label that this project did not train."""

    def __init__(
        self,
        model: str,
        max_length: int | None = None,
        precision: Precision = "auto",
        display_name: str | None = None,
        revision: str | None = None,
    ) -> None:
        """Load a cross-encoder.

        Args:
            model: Folder or Hugging Face ID.
            max_length: Maximum tokens per pair; None for the limit of the model's tokenizer and positions.
            precision: Precision of the base.
            display_name: Name of the model in error messages; None for `model`.
            revision: Revision of the model on the Hugging Face Hub.

        Raises:
            InputError: If the model cannot be read, does not have exactly one label, has no pad token, or has no
                trained head.
        """
        where = f"model {(display_name or model)!r}"
        config, tokenizer = checked_model(model, revision, where, "score")
        if tokenizer.pad_token_id is None:
            raise InputError(f"{where}: its tokenizer has no pad token; set one and save it")
        limits = (max_positions(config), tokenizer.model_max_length)
        limit = min(tokens for tokens in limits if tokens is not None)
        if max_length is not None and max_length > limit:
            raise InputError(f"{where}: max_length {max_length} exceeds the model's limit of {limit} tokens")
        config.get_text_config().pad_token_id = tokenizer.pad_token_id
        try:
            loaded, info = AutoModelForSequenceClassification.from_pretrained(
                model,
                config=config,
                revision=revision,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"{where}: its weights cannot be read ({first_line(error)})") from None
        if info["missing_keys"]:
            raise InputError(
                f"{where}: its weights lack {min(info['missing_keys'])}, so its scores would be random; "
                "choose a trained cross-encoder"
            )
        self.config = {}
        self.passages = None
        self.max_length, self.tokenizer = max_length or limit, tokenizer
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.dtype = dtype_of(precision, device)
        self.precision = _name_of(self.dtype)
        self.model = _for_inference(PairClassifier(loaded), device, self.dtype)
        self.parameters = sum(weights.numel() for weights in self.model.parameters())


def _name_of(dtype: torch.dtype) -> str:
    """Return the name of a dtype as in settings."""
    return "bf16" if dtype == torch.bfloat16 else "fp32"


def _classifier(folder: Path) -> PairClassifier:
    return PairClassifier(
        AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False, dtype=torch.float32)
    )


def _for_inference(student: PairClassifier, device: str, dtype: torch.dtype) -> PairClassifier:
    """Prepare a student for scoring: cast its base, move it to the device and switch it to evaluation mode."""
    student.cast_base(dtype)
    student = student.to(device).eval()
    read_first_token_only(student)
    return student


def _parameters_in(folder: Path) -> int:
    """Count the parameters in a folder's safetensors files."""
    count = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as weights:
            count += sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    return count
