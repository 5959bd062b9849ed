"""Make a base decoder for RRA-GPT without a pretrained one: the layers of `minilm` in OPT blocks.

    python -m benchmarks.decoder_base FOLDER

OPT (Zhang et al., arXiv 2205.01068) with post-block layer norms has the layout of BERT, so all six layers load
unchanged. OPT has no layer norm over the embeddings. Instead, each word embedding is normalised once, at the mean
position embedding. The decoder has causal attention, which `minilm` was not trained with, and must be trained before it
can rank.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, OPTConfig, OPTForCausalLM

from ranking.model_paths import model_path

_POSITION_OFFSET = 2  # OPT reserves the first two position embeddings


def write(folder: Path) -> Path:
    """Write the decoder and its tokenizer, which uses [SEP] as end of text.

    Returns:
        The folder.
    """
    source = model_path("minilm")
    encoder = AutoModel.from_pretrained(source, trust_remote_code=False, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    tokenizer.eos_token = tokenizer.bos_token = tokenizer.sep_token
    source_config = encoder.config
    config = OPTConfig(
        vocab_size=source_config.vocab_size,
        hidden_size=source_config.hidden_size,
        word_embed_proj_dim=source_config.hidden_size,
        ffn_dim=source_config.intermediate_size,
        num_hidden_layers=source_config.num_hidden_layers,
        num_attention_heads=source_config.num_attention_heads,
        max_position_embeddings=source_config.max_position_embeddings,
        do_layer_norm_before=False,
        activation_function="gelu",
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.eos_token_id,
    )
    model = OPTForCausalLM(config)
    decoder = model.model.decoder
    with torch.no_grad():
        for target, layer in zip(decoder.layers, encoder.encoder.layer, strict=True):
            attention = layer.attention
            for module, source_module in (
                (target.self_attn.q_proj, attention.self.query),
                (target.self_attn.k_proj, attention.self.key),
                (target.self_attn.v_proj, attention.self.value),
                (target.self_attn.out_proj, attention.output.dense),
                (target.self_attn_layer_norm, attention.output.LayerNorm),
                (target.fc1, layer.intermediate.dense),
                (target.fc2, layer.output.dense),
                (target.final_layer_norm, layer.output.LayerNorm),
            ):
                module.load_state_dict(source_module.state_dict())
        _fold_embeddings(decoder, encoder.embeddings)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _fold_embeddings(decoder: torch.nn.Module, embeddings: torch.nn.Module) -> None:
    """Set word and position embeddings whose sum approximates the layer-normalised embeddings of the encoder."""
    norm = embeddings.LayerNorm
    positions = embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]
    mean_position = positions.mean(dim=0)
    words = embeddings.word_embeddings.weight + mean_position
    deviation = words.var(dim=1, unbiased=False, keepdim=True).add(norm.eps).sqrt()
    decoder.embed_tokens.weight.copy_(functional.layer_norm(words, words.shape[1:], norm.weight, norm.bias, norm.eps))
    decoder.embed_positions.weight.zero_()
    scaled = (positions - mean_position) * norm.weight / deviation.mean()
    decoder.embed_positions.weight[_POSITION_OFFSET : _POSITION_OFFSET + len(positions)] = scaled


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print(write(parser.parse_args().folder))
