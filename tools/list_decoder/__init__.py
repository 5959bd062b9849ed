"""Construct an OPT decoder that, before training, ranks by approximately the cosine of a BERT sentence encoder.

The prompt is `[CLS] query <1> document [DOC] <2> document [DOC] ... [ANSWER]`. The answer is `[3] > [1] > [7]`, where
each of `[3]`, ` > [1]` and ` > [7]` is one token. The decoder contains the encoder's layers, which read from left to
right. This package adds:

- Channels: state dimensions with the value +1.5 (on) or -1.5 (off). Six channels contain the code of the passage (the
  query or a document) that a token belongs to. The others mark query tokens, [DOC] tokens and answer tokens, and
  one is always on. The embeddings set them. In each layer, four hidden units per channel restore its value; no weight
  of the encoder writes it.
- In the first layer, one head copies the code of the last opening token, [CLS] or <k>, to all tokens after it.
- In the other encoder layers, the seven least important of each head's 32 dimensions compare codes. This restricts
  attention to the token's own passage.
- One extra layer computes scores. A [DOC] token averages the states of the query and those of its document, projected
  to their first principal axes, and the hidden units multiply the two means, as in `tools.cosine_classifier`. The
  product is the document's score. An answer token collects the identifiers listed so far.
- The last layer names the next document. An answer token attends to the [DOC] with the highest score that is not yet
  listed, and outputs its identifier. [CLS] competes as a document whose score is the threshold and whose identifier is
  the end of the list.

The main difference from the encoder is that a token sees only the tokens before it. Training repairs this.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import BertModel, OPTConfig, OPTForCausalLM

from tools.constructed_weights import principal_axes
from tools.list_decoder import answer_layers, encoder_layers
from tools.list_decoder.state_layout import AXES, ON, MarkerTokens, StateDimensions


def decoder_config(
    encoder: BertModel, vocabulary: int, positions: int, tokens: MarkerTokens, padding: int
) -> OPTConfig:
    """Return the configuration of a decoder that has two more layers than the encoder.

    Args:
        encoder: The sentence encoder.
        vocabulary: Number of tokens.
        positions: Number of positions.
        tokens: Marker tokens.
        padding: Id of the padding token.
    """
    source = encoder.config
    return OPTConfig(
        vocab_size=vocabulary,
        hidden_size=source.hidden_size,
        word_embed_proj_dim=source.hidden_size,
        ffn_dim=source.intermediate_size,
        num_hidden_layers=source.num_hidden_layers + 2,
        num_attention_heads=source.num_attention_heads,
        max_position_embeddings=positions,
        do_layer_norm_before=False,
        activation_function="gelu",
        dropout=0.0,
        attention_dropout=0.0,
        layerdrop=0.0,
        bos_token_id=tokens.begin,
        eos_token_id=tokens.end,
        pad_token_id=padding,
        dtype="float32",
        attn_implementation="sdpa",
    )


@torch.no_grad()
def list_decoder(
    encoder: BertModel,
    config: OPTConfig,
    words: Sequence[int],
    tokens: MarkerTokens,
    prompts: Sequence[Tensor],
    vectors: Tensor,
) -> tuple[OPTForCausalLM, StateDimensions, Tensor]:
    """Rewrite an encoder as a decoder that ranks documents.

    Args:
        encoder: The sentence encoder.
        config: Configuration of the decoder.
        words: The encoder's token id for each token of the decoder.
        tokens: Marker tokens.
        prompts: Some prompts followed by their answers, each [tokens], used to measure the inputs of the layer norms.
        vectors: The encoder's vectors of some texts, [texts, dimensions].

    Returns:
        The decoder, the layout of its state, and the principal axes of its query and document vectors,
        [axes, dimensions].
    """
    decoder = OPTForCausalLM(config).eval()
    body = decoder.model.decoder
    dims = StateDimensions.of(_energies(encoder, words, prompts).argsort().tolist())
    encoder_layers.write_embeddings(body, encoder, words, tokens, dims)
    offset = body.embed_positions.offset
    states = [
        (body.embed_tokens(prompt) + body.embed_positions.weight[offset : offset + len(prompt)])[None]
        for prompt in prompts
    ]
    *layers, scoring, naming = body.layers
    for number, (layer, source) in enumerate(zip(layers, encoder.encoder.layer, strict=True)):
        encoder_layers.load_layer(layer, source, dims)
        (encoder_layers.attend_to_passage if number else encoder_layers.attend_nearby)(layer.self_attn, dims)
        free = encoder_layers.restore_channels(layer, dims)
        if number == len(layers) - 1:
            encoder_layers.write_listed(layer, dims, free)
        states = encoder_layers.calibrate_norms(layer, dims, states, first=number == 0)
    axes = principal_axes(vectors, dims.unread, AXES)
    answer_layers.write_pooling(scoring, dims, *_prepare_norm(layers[-1].final_layer_norm, dims, axes))
    answer_layers.write_scoring(scoring, dims)
    answer_layers.write_selection(naming, dims)
    return decoder, dims, axes


def _energies(encoder: BertModel, words: Sequence[int], prompts: Sequence[Tensor]) -> Tensor:
    """Return the mean square of each state dimension over all hidden states of the encoder, [dimensions]."""
    encoder_ids = torch.tensor(words)
    states = [
        state
        for prompt in prompts
        for state in encoder(encoder_ids[prompt[:256]][None], output_hidden_states=True).hidden_states
    ]
    return torch.cat([state[0] for state in states]).square().mean(0)


def _prepare_norm(norm: torch.nn.LayerNorm, dims: StateDimensions, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Prepare the last norm before the scoring layer: scale up the channels, and equalise the `blank` dimensions.

    The `blank` dimensions, which contain the listed identifiers, get the same scale and no bias. Without a listed
    identifier they are then equal.

    Args:
        norm: The norm, changed in place.
        dims: Layout of the state.
        axes: Axes of the query and document vectors, [axes, dimensions].

    Returns:
        The axes adapted to the changed norm, [axes, dimensions], and the offset to add, [axes].
    """
    norm.weight[dims.channels] *= answer_layers.CHANNEL / ON
    norm.bias[dims.channels] *= answer_layers.CHANNEL / ON
    offset = axes[:, dims.blank] @ norm.bias[dims.blank]
    mean = norm.weight[dims.blank].mean()
    scaled = axes.clone()
    scaled[:, dims.blank] *= norm.weight[dims.blank] / mean
    norm.weight[dims.blank], norm.bias[dims.blank] = mean, 0.0
    return scaled, offset
