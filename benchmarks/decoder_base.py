"""A decoder to start an RRA-GPT from where no pretrained one is at hand: `minilm`'s layers in OPT's blocks.

    python -m benchmarks.decoder_base FOLDER

OPT (Zhang et al., arXiv 2205.01068) with its layer norms behind the blocks has BERT's layout, so that all six layers load as they
are. What it lacks is the layer norm over the embeddings: each word's embedding is normalised by itself instead, in the middle of
the positions. It reads from left to right, as `minilm` never did, and has to be trained before it ranks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, OPTConfig, OPTForCausalLM

from ranking.model_paths import model_path

_OFFSET = 2  # of OPT's positions


def write(folder: Path) -> Path:
    """Write model and tokenizer, whose [SEP] ends a text; returns the folder."""
    source = model_path("minilm")
    encoder, tokenizer = AutoModel.from_pretrained(source, dtype=torch.float32), AutoTokenizer.from_pretrained(source)
    tokenizer.eos_token = tokenizer.bos_token = tokenizer.sep_token
    held = encoder.config
    config = OPTConfig(
        vocab_size=held.vocab_size,
        hidden_size=held.hidden_size,
        word_embed_proj_dim=held.hidden_size,
        ffn_dim=held.intermediate_size,
        num_hidden_layers=held.num_hidden_layers,
        num_attention_heads=held.num_attention_heads,
        max_position_embeddings=held.max_position_embeddings,
        do_layer_norm_before=False,
        activation_function="gelu",
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.eos_token_id,
    )
    model = OPTForCausalLM(config)
    decoder = model.model.decoder
    with torch.no_grad():
        for ours, theirs in zip(decoder.layers, encoder.encoder.layer, strict=True):
            attention = theirs.attention
            for linear, other in (
                (ours.self_attn.q_proj, attention.self.query),
                (ours.self_attn.k_proj, attention.self.key),
                (ours.self_attn.v_proj, attention.self.value),
                (ours.self_attn.out_proj, attention.output.dense),
                (ours.self_attn_layer_norm, attention.output.LayerNorm),
                (ours.fc1, theirs.intermediate.dense),
                (ours.fc2, theirs.output.dense),
                (ours.final_layer_norm, theirs.output.LayerNorm),
            ):
                linear.load_state_dict(other.state_dict())
        _fold_embeddings(decoder, encoder.embeddings)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _fold_embeddings(decoder: torch.nn.Module, embeddings: torch.nn.Module) -> None:
    """Words and positions whose sum is near what the encoder's layer norm makes of theirs."""
    norm, places = (
        embeddings.LayerNorm,
        embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0],
    )
    middle = places.mean(dim=0)
    whole = embeddings.word_embeddings.weight + middle
    deviation = whole.var(dim=1, unbiased=False, keepdim=True).add(norm.eps).sqrt()
    decoder.embed_tokens.weight.copy_(functional.layer_norm(whole, whole.shape[1:], norm.weight, norm.bias, norm.eps))
    decoder.embed_positions.weight.zero_()
    scaled = (places - middle) * norm.weight / deviation.mean()
    decoder.embed_positions.weight[_OFFSET : _OFFSET + len(places)] = scaled


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(write(parser.parse_args().folder))
