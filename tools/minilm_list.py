"""Train minilm-list: `minilm` as a decoder that reads a query and up to 20 documents and writes `[3] > [1] > [7]`.

    python -m tools.minilm_list FOLDER [--lists 5600] [--passages 40000]

Training needs no labels. Queries are made from passages of free texts (`tools.texts`), candidates come from BM25
(`tools.cross_material`), and a document's target is the cosine of its vector and the query's vector, of texts truncated
as in the prompt. The decoder starts with weights that rank by approximately this cosine (`tools.list_decoder`). It is
trained on full prompts, with squared error of the scores and a cosine loss on both vectors. Passages that overlap with
the pydoc collection are dropped, and validation passages do not overlap with training passages (`tools.list_material`).
The result is FOLDER/model, the weights of models/minilm-list. The same command resumes an interrupted run from its last
checkpoint.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, BertModel, OPTForCausalLM, PreTrainedTokenizerFast

from ranking.errors import InputError
from ranking.model_paths import model_path
from students.precision import dtype_of
from tools.list_answers import describe_answers
from tools.list_decoder import decoder_config, list_decoder
from tools.list_decoder.answering import fit_scores, raw_scores
from tools.list_decoder.learned import trainable_masks
from tools.list_decoder.places import AXES, StateDimensions
from tools.list_material import CALIBRATION_LISTS, VALIDATION_LISTS, Material, load_material
from tools.list_prompts import POSITIONS, tokenizer_of

THRESHOLD = -1.0
"""Minimum score of a listed document. It corresponds to a cosine of 0.275."""

_PROMPTS_PER_STEP = 8
_LEARNING_RATE, _WARMUP_RATIO = 2e-4, 0.05
_SCALING_FACTOR = 50.0
"""Factor by which the learning rate of the scores' scale and shift is higher than that of other weights."""

_VECTOR_LOSS_WEIGHT = 32.0
"""Weight of the vectors' loss, 1 - cosine, relative to the squared error of the scores."""

_CHECKPOINT_EVERY, _VALIDATE_EVERY = 50, 200
"""Steps between checkpoints, and between validations."""

_INITIAL_LISTS, _INITIAL_TEXTS = 8, 2000
"""Number of lists, and number of queries and of texts, that determine the initial weights. Takes the last ones."""

_ANSWERED_LISTS = 60
"""Number of validation lists for which the trained model generates answers, in two orders each."""


def make(folder: Path, count: int, passages: int, seed: int = 13) -> Path:
    """Train the model and return its folder, FOLDER/model.

    Args:
        folder: Folder for the lists, the checkpoint and the model.
        count: Number of training lists.
        passages: Maximum number of passages.
        seed: Random seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    path = model_path("minilm")
    tokenizer, words, tokens = tokenizer_of(path)
    material = load_material(folder, count, passages, seed, tokenizer, tokens)
    decoder, dims, axes = initial_decoder(path, tokenizer.pad_token_id, words, material)
    scaling = _calibrate(decoder, dims, material)
    print(f"before training: {validate(decoder, dims, material, scaling)}", flush=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scaling = train(decoder.to(device), dims, axes.to(device), material, scaling, folder / "checkpoint.pt", seed)
    decoder = decoder.to(torch.bfloat16).float().cpu()  # round to the precision of the saved model
    fit_scores(decoder, dims, tokens.begin, *scaling, THRESHOLD)
    print(f"after training: {validate(decoder, dims, material, scaling)}", flush=True)
    save(decoder, tokenizer, folder / "model")
    saved = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()
    print(f"generated: {describe_answers(saved, tokenizer, material, THRESHOLD, _ANSWERED_LISTS)}", flush=True)
    return folder / "model"


def initial_decoder(
    path: str, padding: int, words: Sequence[int], material: Material
) -> tuple[OPTForCausalLM, StateDimensions, Tensor]:
    """Rewrite the encoder as a decoder, see `tools.list_decoder`."""
    encoder = BertModel.from_pretrained(path, add_pooling_layer=False, dtype=torch.float32).eval()
    writer = material.writer
    prompts = []
    for number in range(len(material.lists))[-_INITIAL_LISTS:]:
        answer = writer.answer(material.targets(number).argsort(descending=True)[:6].tolist())
        prompts.append(torch.cat([material.prompt(number), torch.tensor(answer)]))
    vectors = torch.cat([material.queries[-_INITIAL_TEXTS:], material.documents[-_INITIAL_TEXTS:]]).float()
    config = decoder_config(encoder, len(words), POSITIONS, writer.tokens, padding)
    return list_decoder(encoder, config, words, writer.tokens, prompts, vectors)


def raw_scores_of(
    decoder: OPTForCausalLM, dims: StateDimensions, prompt: Tensor, document: int
) -> tuple[Tensor, Tensor]:
    """Compute the raw scores of a prompt's documents.

    Args:
        decoder: The decoder.
        dims: Layout of its state.
        prompt: Token ids, [tokens].
        document: Id of the token [DOC].

    Returns:
        Raw scores, [documents], and the query and document vectors they are computed from, [documents, 2, AXES].
    """
    body = decoder.model.decoder
    offset = body.embed_positions.offset
    states = (body.embed_tokens(prompt) + body.embed_positions.weight[offset : offset + len(prompt)])[None]
    means: list[Tensor] = []
    hook = body.layers[-2].self_attn_layer_norm.register_forward_hook(lambda _, __, output: means.append(output))
    try:
        for layer in body.layers[:-1]:
            states = layer(states)
    finally:
        hook.remove()
    closing = prompt == document
    return raw_scores(states[0, closing].float(), dims), means[0][0, closing][:, dims.means].float().reshape(
        -1, 2, AXES
    )


@torch.inference_mode()
def _calibrate(decoder: OPTForCausalLM, dims: StateDimensions, material: Material) -> tuple[float, float]:
    """Fit scale and shift of the raw scores to the targets, by least squares over the calibration lists."""
    numbers = range(VALIDATION_LISTS, VALIDATION_LISTS + CALIBRATION_LISTS)
    raw = torch.cat(
        [
            raw_scores_of(decoder, dims, material.prompt(number), material.writer.tokens.document)[0]
            for number in numbers
        ]
    )
    targets = torch.cat([material.targets(number) for number in numbers])
    scale = float(torch.cov(torch.stack([raw, targets]))[0, 1] / raw.var())
    return scale, float(targets.mean() - scale * raw.mean())


@torch.inference_mode()
def validate(decoder: OPTForCausalLM, dims: StateDimensions, material: Material, scaling: tuple[float, float]) -> str:
    """Describe the scores of the validation lists: squared error, and share of pairs in the order of the targets."""
    device = next(decoder.parameters()).device
    error, agreeing, pairs = 0.0, 0, 0
    for number in range(VALIDATION_LISTS):
        raw, _ = raw_scores_of(decoder, dims, material.prompt(number).to(device), material.writer.tokens.document)
        scores, targets = scaling[0] * raw.cpu() + scaling[1], material.targets(number)
        error += float((scores - targets).square().mean()) / VALIDATION_LISTS
        agreeing += int(((scores[:, None] - scores) * (targets[:, None] - targets) > 0).sum())
        pairs += len(scores) * (len(scores) - 1)
    return f"squared error {error:.3f}, {agreeing / pairs:.3f} of the pairs in the targets' order"


@dataclass(frozen=True)
class TrainingState:
    """State of a training run.

    Attributes:
        decoder: The decoder.
        optimizer: The optimizer.
        scaling: Scale and shift of the scores, [2]. Trained.
        axes: Axes of the vectors, [AXES, dimensions]. Constant.
    """

    decoder: OPTForCausalLM
    optimizer: torch.optim.Optimizer
    scaling: Tensor
    axes: Tensor

    def save(self, checkpoint: Path, step: int, steps: int) -> None:
        """Write a checkpoint atomically, after `step` of `steps` steps."""
        partial = checkpoint.with_suffix(".partial")
        parts = {"decoder": self.decoder.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(
            {**parts, "scaling": self.scaling.detach(), "axes": self.axes, "step": step, "steps": steps}, partial
        )
        partial.replace(checkpoint)

    def resume(self, checkpoint: Path, steps: int) -> int:
        """Load the checkpoint, if it exists, and return the number of finished steps.

        Raises:
            InputError: The checkpoint is from a run with another number of steps.
        """
        if not checkpoint.exists():
            return 0
        stored = torch.load(checkpoint, map_location=self.axes.device)
        if stored["steps"] != steps:
            raise InputError(
                f"{checkpoint} is from a run of {stored['steps']:,} steps, not {steps:,}; "
                "use another folder or the same number of lists"
            )
        self.decoder.load_state_dict(stored["decoder"])
        self.optimizer.load_state_dict(stored["optimizer"])
        self.scaling.data.copy_(stored["scaling"])
        self.axes.copy_(stored["axes"])
        return int(stored["step"])


def train(
    decoder: OPTForCausalLM,
    dims: StateDimensions,
    axes: Tensor,
    material: Material,
    scaling: tuple[float, float],
    checkpoint: Path,
    seed: int,
) -> tuple[float, float]:
    """Train for one epoch over the training lists. Resumes from the checkpoint if it exists.

    Args:
        decoder: The decoder, changed in place.
        dims: Layout of its state.
        axes: Axes of the vectors, [AXES, dimensions].
        material: The lists.
        scaling: Initial scale and shift of the scores.
        checkpoint: File of the checkpoint.
        seed: Random seed.

    Returns:
        Trained scale and shift of the scores.
    """
    weights = trainable_weights(decoder, dims)
    scores_scaling = torch.tensor(scaling, device=axes.device, requires_grad=True)
    optimizer = torch.optim.AdamW(
        [{"params": weights, "times": 1.0}, {"params": [scores_scaling], "times": _SCALING_FACTOR}],
        lr=_LEARNING_RATE,
        weight_decay=0.0,
    )
    state = TrainingState(decoder, optimizer, scores_scaling, axes)
    order = random.Random(seed).sample(
        range(VALIDATION_LISTS, len(material.lists)), len(material.lists) - VALIDATION_LISTS
    )
    steps = [order[start : start + _PROMPTS_PER_STEP] for start in range(0, len(order), _PROMPTS_PER_STEP)]
    first = state.resume(checkpoint, len(steps))
    started, seen = time.monotonic(), 0
    for step in range(first, len(steps)):
        for group in optimizer.param_groups:
            group["lr"] = (
                group["times"]
                * _LEARNING_RATE
                * min(
                    (step + 1) / (_WARMUP_RATIO * len(steps)),
                    (len(steps) - step) / ((1 - _WARMUP_RATIO) * len(steps)),
                    1.0,
                )
            )
        errors = torch.zeros(2)
        for number in steps[step]:
            shuffled = random.Random(f"{seed} {number}").sample(
                range(len(material.lists[number])), len(material.lists[number])
            )
            error, vector_loss, tokens = _losses(state, dims, material, number, shuffled)
            torch.autograd.backward((error + _VECTOR_LOSS_WEIGHT * vector_loss) / len(steps[step]))
            errors += torch.stack([error, vector_loss]).detach().cpu() / len(steps[step])
            seen += tokens
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 0:
            elapsed = time.monotonic() - started
            left = (len(steps) - step - 1) * elapsed / (step - first + 1) / 60
            losses = f"squared error {errors[0]:.3f}, vector loss {errors[1]:.3f}"
            speed = f"{seen / elapsed:,.0f} tokens/s, {left:.0f} minutes left"
            print(f"{step + 1}/{len(steps)} steps, {losses}, {speed}", flush=True)
        if (step + 1) % _CHECKPOINT_EVERY == 0 or step + 1 == len(steps):
            state.save(checkpoint, step + 1, len(steps))
        if (step + 1) % _VALIDATE_EVERY == 0:
            print(f"validation: {validate(decoder, dims, material, _pair(scores_scaling))}", flush=True)
    return _pair(scores_scaling)


def _losses(
    state: TrainingState, dims: StateDimensions, material: Material, number: int, order: Sequence[int]
) -> tuple[Tensor, Tensor, int]:
    """Compute the losses of one list.

    Args:
        state: State of the run.
        dims: Layout of the decoder's state.
        material: The lists.
        number: Index of the list.
        order: Order of its documents in the prompt.

    Returns:
        Squared error of the scores, 1 - cosine of the vectors, and number of tokens in the prompt.
    """
    device = state.axes.device
    dtype = dtype_of("auto", device.type)
    prompt = material.prompt(number, order).to(device)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        raw, means = raw_scores_of(state.decoder, dims, prompt, material.writer.tokens.document)
    error = (state.scaling[0] * raw + state.scaling[1] - material.targets(number)[order].to(device)).square().mean()
    vectors = material.vectors(number)[order].to(device) @ state.axes.T
    return error, 1 - torch.nn.functional.cosine_similarity(means, vectors, dim=-1).mean(), len(prompt)


def trainable_weights(decoder: OPTForCausalLM, dims: StateDimensions) -> list[Tensor]:
    """Return the weights to train, and mask their gradients to keep constructed values fixed."""
    masks = trainable_masks(decoder, dims)
    weights = []
    for name, weight in decoder.named_parameters():
        weight.requires_grad_(name in masks)
        if name in masks:
            weight.register_hook(lambda gradient, mask=masks[name]: gradient * mask)
            weights.append(weight)
    return weights


def _pair(scaling: Tensor) -> tuple[float, float]:
    """Return scale and shift as numbers."""
    scale, shift = scaling.detach().tolist()
    return scale, shift


def save(decoder: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the model with bf16 weights. Its config.json says float32, as answers depend on small differences."""
    decoder.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder for the lists, the checkpoint and the model")
    parser.add_argument(
        "--lists",
        type=int,
        default=5_600,
        help="number of training lists, of up to 20 documents each (default: %(default)s)",
    )
    parser.add_argument(
        "--passages",
        type=int,
        default=40_000,
        help="number of passages to make queries and candidates from, a fifth for validation (default: %(default)s)",
    )
    arguments = parser.parse_args()
    if arguments.lists < CALIBRATION_LISTS or arguments.passages < 5 * VALIDATION_LISTS:
        parser.error(
            f"--lists {arguments.lists} --passages {arguments.passages}: "
            f"at least --lists {CALIBRATION_LISTS} --passages {5 * VALIDATION_LISTS} is required"
        )
    try:
        print(make(arguments.folder, arguments.lists, arguments.passages))
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
