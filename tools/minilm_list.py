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
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, BertModel, OPTForCausalLM, PreTrainedTokenizerFast

from ranking.errors import InputError
from ranking.model_paths import model_path
from tools.list_answers import describe_answers
from tools.list_decoder import decoder_config, list_decoder
from tools.list_decoder.answer_layers import fit_scores
from tools.list_decoder.state_layout import StateDimensions
from tools.list_material import CALIBRATION_LISTS, VALIDATION_LISTS, Material, load_material
from tools.list_prompts import DOCUMENT_TOKENS, POSITIONS, tokenizer_of
from tools.list_training import calibrate, train, validate
from tools.model_manifests import write_manifest

THRESHOLD = -1.0
"""Minimum score of a listed document. It corresponds to a cosine of 0.275."""

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
    scaling = calibrate(decoder, dims, material)
    print(f"before training: {validate(decoder, dims, material, scaling)}", flush=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scaling = train(decoder.to(device), dims, axes.to(device), material, scaling, folder / "checkpoint.pt", seed)
    decoder = decoder.to(torch.bfloat16).float().cpu()  # round to the precision of the saved model
    fit_scores(decoder, dims, tokens.begin, *scaling, THRESHOLD)
    print(f"after training: {validate(decoder, dims, material, scaling)}", flush=True)
    save(decoder, tokenizer, folder / "model")
    saved = AutoModelForCausalLM.from_pretrained(folder / "model", trust_remote_code=False, dtype=torch.float32).eval()
    print(f"generated: {describe_answers(saved, tokenizer, material, THRESHOLD, _ANSWERED_LISTS)}", flush=True)
    return folder / "model"


def initial_decoder(
    path: str, padding: int, words: Sequence[int], material: Material
) -> tuple[OPTForCausalLM, StateDimensions, Tensor]:
    """Rewrite the encoder as a decoder, see `tools.list_decoder`."""
    encoder = BertModel.from_pretrained(
        path, trust_remote_code=False, add_pooling_layer=False, dtype=torch.float32
    ).eval()
    writer = material.writer
    prompts = []
    for number in range(len(material.lists))[-_INITIAL_LISTS:]:
        answer = writer.answer(material.targets(number).argsort(descending=True)[:6].tolist())
        prompts.append(torch.cat([material.prompt(number), torch.tensor(answer)]))
    vectors = torch.cat([material.queries[-_INITIAL_TEXTS:], material.documents[-_INITIAL_TEXTS:]]).float()
    config = decoder_config(encoder, len(words), POSITIONS, writer.tokens, padding)
    return list_decoder(encoder, config, words, writer.tokens, prompts, vectors)


def save(decoder: OPTForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the model with bf16 weights. It is computed in float32, because answers depend on small differences."""
    decoder.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n", encoding="utf-8")
    write_manifest(
        folder, dtype="float32", max_tokens=POSITIONS, max_document_tokens=DOCUMENT_TOKENS, prompt="minilm_list"
    )


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
