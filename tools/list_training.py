"""Train the list decoder on full prompts: scores, scaling, losses, checkpoints and the training loop."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import OPTForCausalLM

from ranking.errors import InputError
from students.precision import dtype_of
from tools.list_decoder.answer_layers import raw_scores
from tools.list_decoder.state_layout import AXES, StateDimensions
from tools.list_decoder.trainable_masks import trainable_masks
from tools.list_material import CALIBRATION_LISTS, VALIDATION_LISTS, Material

_PROMPTS_PER_STEP = 8
_LEARNING_RATE, _WARMUP_RATIO = 2e-4, 0.05
_SCALING_FACTOR = 50.0
"""Factor by which the learning rate of the scores' scale and shift is higher than that of other weights."""

_VECTOR_LOSS_WEIGHT = 32.0
"""Weight of the vectors' loss, 1 - cosine, relative to the squared error of the scores."""

_CHECKPOINT_EVERY, _VALIDATE_EVERY = 50, 200
"""Steps between checkpoints, and between validations."""


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
def calibrate(decoder: OPTForCausalLM, dims: StateDimensions, material: Material) -> tuple[float, float]:
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
