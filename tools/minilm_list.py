"""minilm-list: `minilm` made a decoder that reads a query with up to 20 documents and writes their order, `[3] > [1] > [7]`.

    python -m tools.minilm_list FOLDER [--lists 5600] [--passages 40000]

No label is needed: queries are made of passages of free texts (`tools.texts`), candidates are BM25's (`tools.cross_material`), and what a
document is worth is the cosine of its vector and the query's, both of as much as the decoder reads. The decoder begins with weights
that list by nearly that (`tools.list_decoder`); it learns the score of each document by squared error, and both vectors, in the
prompts that it will read. Passages like those of the pydoc collection are left out, and what is held out is like nothing that is
learned from (`tools.list_material`). The model is FOLDER/model, whose weights are those of models/minilm-list. What was made is
kept: called again, it goes on from its last checkpoint.
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
from tools.list_answers import answers_told
from tools.list_decoder import configuration, list_decoder
from tools.list_decoder.answering import fit_scores, raw_scores
from tools.list_decoder.learned import learned
from tools.list_decoder.places import AXES, StateDimensions
from tools.list_material import FITTED, HELD_OUT, Material, material_of
from tools.list_prompts import POSITIONS, tokenizer_of

THRESHOLD = -1.0
"""Documents of a lower score are not listed: of a cosine below 0.275."""

_PROMPTS_PER_STEP = 8
_RATE, _WARM = 2e-4, 0.05
_FASTER = 50.0
"""How many times faster the scale and the shift of scores are learned."""

_VECTORS = 32.0
"""Weight of the vectors' loss, 1 - cosine, beside the squared error of a score."""

_EACH, _LOOKED = 50, 200
"""Steps between checkpoints, and between looks at the lists that are held out."""

_MEASURED_LISTS, _MEASURED_TEXTS = 8, 2000
"""The last lists, queries and texts, which are looked at for the first weights."""

_ASKED = 60
"""Lists that are asked for in the end, each in two orders."""


def make(folder: Path, count: int, most: int, seed: int = 13) -> Path:
    """Write the model's folder, below the one given; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    path = model_path("minilm")
    tokenizer, words, tokens = tokenizer_of(path)
    material = material_of(folder, count, most, seed, tokenizer, tokens)
    decoder, places, axes = begun(path, tokenizer.pad_token_id, words, material)
    scaling = _fitted(decoder, places, material)
    print(f"before training: {measured(decoder, places, material, scaling)}", flush=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scaling = learn(decoder.to(device), places, axes.to(device), material, scaling, folder / "checkpoint.pt", seed)
    decoder = decoder.to(torch.bfloat16).float().cpu()  # as the file will have it
    fit_scores(decoder, places, tokens.begin, *scaling, THRESHOLD)
    print(f"after training: {measured(decoder, places, material, scaling)}", flush=True)
    save(decoder, tokenizer, folder / "model")
    kept = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()
    print(f"by itself: {answers_told(kept, tokenizer, material, THRESHOLD, _ASKED)}", flush=True)
    return folder / "model"


def begun(
    path: str, padding: int, words: Sequence[int], material: Material
) -> tuple[OPTForCausalLM, StateDimensions, Tensor]:
    """The encoder written as a decoder: see `tools.list_decoder`."""
    encoder = BertModel.from_pretrained(path, add_pooling_layer=False, dtype=torch.float32).eval()
    writer = material.writer
    prompts = []
    for number in range(len(material.lists))[-_MEASURED_LISTS:]:
        answer = writer.answer(material.targets(number).argsort(descending=True)[:6].tolist())
        prompts.append(torch.cat([material.prompt(number), torch.tensor(answer)]))
    vectors = torch.cat([material.queries[-_MEASURED_TEXTS:], material.documents[-_MEASURED_TEXTS:]]).float()
    config = configuration(encoder, len(words), POSITIONS, writer.tokens, padding)
    return list_decoder(encoder, config, words, writer.tokens, prompts, vectors)


def scored(decoder: OPTForCausalLM, places: StateDimensions, prompt: Tensor, document: int) -> tuple[Tensor, Tensor]:
    """Raw scores of a prompt's documents, [documents], and the vectors that they are made of, [documents, 2, AXES].

    prompt: [tokens]. document: the token [DOC].
    """
    body = decoder.model.decoder
    offset = body.embed_positions.offset
    states = (body.embed_tokens(prompt) + body.embed_positions.weight[offset : offset + len(prompt)])[None]
    means: list[Tensor] = []
    hook = body.layers[-2].self_attn_layer_norm.register_forward_hook(lambda _, __, given: means.append(given))
    try:
        for layer in body.layers[:-1]:
            states = layer(states)
    finally:
        hook.remove()
    closing = prompt == document
    return raw_scores(states[0, closing].float(), places), means[0][0, closing][:, places.means].float().reshape(
        -1, 2, AXES
    )


@torch.inference_mode()
def _fitted(decoder: OPTForCausalLM, places: StateDimensions, material: Material) -> tuple[float, float]:
    """The scale and the shift that bring raw scores nearest to the targets, of some lists."""
    numbers = range(HELD_OUT, HELD_OUT + FITTED)
    raw = torch.cat(
        [scored(decoder, places, material.prompt(number), material.writer.tokens.document)[0] for number in numbers]
    )
    wanted = torch.cat([material.targets(number) for number in numbers])
    scale = float(torch.cov(torch.stack([raw, wanted]))[0, 1] / raw.var())
    return scale, float(wanted.mean() - scale * raw.mean())


@torch.inference_mode()
def measured(decoder: OPTForCausalLM, places: StateDimensions, material: Material, scaling: tuple[float, float]) -> str:
    """Of the lists that are held out: the squared error of a score, and the part of the pairs that are in the targets' order."""
    device = next(decoder.parameters()).device
    error, alike, pairs = 0.0, 0, 0
    for number in range(HELD_OUT):
        raw, _ = scored(decoder, places, material.prompt(number).to(device), material.writer.tokens.document)
        held, wanted = scaling[0] * raw.cpu() + scaling[1], material.targets(number)
        error += float((held - wanted).square().mean()) / HELD_OUT
        alike += int(((held[:, None] - held) * (wanted[:, None] - wanted) > 0).sum())
        pairs += len(held) * (len(held) - 1)
    return f"squared error {error:.3f}, {alike / pairs:.3f} of the pairs in the targets' order"


@dataclass(frozen=True)
class Learning:
    """What changes in training. scaling: scale and shift of scores, [2]. axes: those of the vectors, [AXES, dimensions]; they stay."""

    decoder: OPTForCausalLM
    optimizer: torch.optim.Optimizer
    scaling: Tensor
    axes: Tensor

    def keep(self, checkpoint: Path, step: int, steps: int) -> None:
        """Write a checkpoint, whole or not at all. step: those that are done, of so many."""
        partial = checkpoint.with_suffix(".partial")
        parts = {"decoder": self.decoder.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(
            {**parts, "scaling": self.scaling.detach(), "axes": self.axes, "step": step, "steps": steps}, partial
        )
        partial.replace(checkpoint)

    def resume(self, checkpoint: Path, steps: int) -> int:
        """Load a checkpoint, if there is one; returns the steps that are done."""
        if not checkpoint.exists():
            return 0
        held = torch.load(checkpoint, map_location=self.axes.device)
        if held["steps"] != steps:
            raise InputError(
                f"{checkpoint} is of {held['steps']:,} steps, not {steps:,}: name another folder, or as many lists as then"
            )
        self.decoder.load_state_dict(held["decoder"])
        self.optimizer.load_state_dict(held["optimizer"])
        self.scaling.data.copy_(held["scaling"])
        self.axes.copy_(held["axes"])
        return int(held["step"])


def learn(
    decoder: OPTForCausalLM,
    places: StateDimensions,
    axes: Tensor,
    material: Material,
    scaling: tuple[float, float],
    checkpoint: Path,
    seed: int,
) -> tuple[float, float]:
    """One pass over all lists but those that are held out; goes on from the checkpoint where there is one.

    scaling: scale and shift of scores. Returns what they have become.
    """
    weights = learning(decoder, places)
    held = torch.tensor(scaling, device=axes.device, requires_grad=True)
    optimizer = torch.optim.AdamW(
        [{"params": weights, "times": 1.0}, {"params": [held], "times": _FASTER}], lr=_RATE, weight_decay=0.0
    )
    state = Learning(decoder, optimizer, held, axes)
    order = random.Random(seed).sample(range(HELD_OUT, len(material.lists)), len(material.lists) - HELD_OUT)
    steps = [order[start : start + _PROMPTS_PER_STEP] for start in range(0, len(order), _PROMPTS_PER_STEP)]
    first = state.resume(checkpoint, len(steps))
    began, seen = time.monotonic(), 0
    for step in range(first, len(steps)):
        for group in optimizer.param_groups:
            group["lr"] = (
                group["times"]
                * _RATE
                * min((step + 1) / (_WARM * len(steps)), (len(steps) - step) / ((1 - _WARM) * len(steps)), 1.0)
            )
        errors = torch.zeros(2)
        for number in steps[step]:
            shuffled = random.Random(f"{seed} {number}").sample(
                range(len(material.lists[number])), len(material.lists[number])
            )
            error, away, tokens = _losses(state, places, material, number, shuffled)
            torch.autograd.backward((error + _VECTORS * away) / len(steps[step]))
            errors += torch.stack([error, away]).detach().cpu() / len(steps[step])
            seen += tokens
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 0:
            passed = time.monotonic() - began
            left = (len(steps) - step - 1) * passed / (step - first + 1) / 60
            said = f"squared error {errors[0]:.3f}, vectors {errors[1]:.3f}, {seen / passed:,.0f} tokens/s, {left:.0f} minutes left"
            print(f"{step + 1}/{len(steps)} steps, {said}", flush=True)
        if (step + 1) % _EACH == 0 or step + 1 == len(steps):
            state.keep(checkpoint, step + 1, len(steps))
        if (step + 1) % _LOOKED == 0:
            print(f"held out: {measured(decoder, places, material, _pair(held))}", flush=True)
    return _pair(held)


def _losses(
    state: Learning, places: StateDimensions, material: Material, number: int, order: Sequence[int]
) -> tuple[Tensor, Tensor, int]:
    """Squared error of a list's scores, 1 - cosine of its vectors, and how many tokens were read. order: of the documents."""
    device = state.axes.device
    dtype = dtype_of("auto", device.type)
    prompt = material.prompt(number, order).to(device)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        raw, means = scored(state.decoder, places, prompt, material.writer.tokens.document)
    error = (state.scaling[0] * raw + state.scaling[1] - material.targets(number)[order].to(device)).square().mean()
    vectors = material.vectors(number)[order].to(device) @ state.axes.T
    return error, 1 - torch.nn.functional.cosine_similarity(means, vectors, dim=-1).mean(), len(prompt)


def learning(decoder: OPTForCausalLM, places: StateDimensions) -> list[Tensor]:
    """The weights that are learned; their gradients leave alone what was written."""
    masks = learned(decoder, places)
    weights = []
    for name, weight in decoder.named_parameters():
        weight.requires_grad_(name in masks)
        if name in masks:
            weight.register_hook(lambda gradient, mask=masks[name]: gradient * mask)
            weights.append(weight)
    return weights


def _pair(scaling: Tensor) -> tuple[float, float]:
    scale, shift = scaling.detach().tolist()
    return scale, shift


def save(decoder: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Weights in bf16; the configuration says float32, as the answer depends on small differences of scores."""
    decoder.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").strip(), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for the lists, the checkpoint and the model")
    parser.add_argument("--lists", type=int, default=5_600, help="to learn from, of up to 20 documents each")
    parser.add_argument(
        "--passages",
        type=int,
        default=40_000,
        help="to make queries of, and candidates; a fifth is for lists that are held out",
    )
    given = parser.parse_args()
    if given.lists < FITTED or given.passages < 5 * HELD_OUT:
        parser.error(
            f"--lists {given.lists} --passages {given.passages}: at least {FITTED} and {5 * HELD_OUT:,} are needed"
        )
    try:
        print(make(given.folder, given.lists, given.passages))
    except InputError as error:
        parser.exit(2, f"error: {error}\n")
