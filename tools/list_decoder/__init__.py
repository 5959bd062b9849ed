"""The weights of an OPT decoder that lists documents by nearly the cosine of a BERT sentence encoder, before any training.

A prompt is `[CLS] query <1> document [DOC] <2> document [DOC] ... [ANSWER]`, and the answer `[3] > [1] > [7]`, of whose parts each is
one token. The encoder's layers stand in the decoder and read from left to right. Written into and behind them:

- Some of a state's dimensions, the channels, hold +1.5 or -1.5: six the code of what a token stands in, one whether that is the query,
  one whether it is a [DOC], one whether it is of the answer, one is always on. Embeddings set them; nothing of the encoder writes
  them, and in each layer four hidden units renew each.
- In the first layer one head copies the code from the last opening token, [CLS] or <k>, to all tokens behind it.
- In the encoder's other layers seven of each head's 32 dimensions, those that matter least, compare codes: a token attends within its
  passage.
- In one layer more a [DOC] takes the mean of the query's states and of its document's, in their first principal axes, and hidden units
  multiply them, as in `tools.cosine_classifier`: that is the document's score. A token of the answer takes what is listed so far.
- In the last layer a token of the answer attends to the [DOC] of the highest score that is not listed yet, and passes on its identifier.
  [CLS] takes part as a document whose score is the threshold and whose identifier is the end.

What differs most from the encoder: a token sees only what stands before it. Training mends that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import BertModel, OPTConfig, OPTForCausalLM

from tools.list_decoder import answering, reading
from tools.list_decoder.places import AXES, ON, MarkerTokens, StateDimensions
from tools.written import principal_axes


def configuration(encoder: BertModel, vocabulary: int, positions: int, tokens: MarkerTokens, padding: int) -> OPTConfig:
    """Of a decoder with two layers more than the encoder. vocabulary, positions: how many. padding: a token's number."""
    held = encoder.config
    return OPTConfig(
        vocab_size=vocabulary,
        hidden_size=held.hidden_size,
        word_embed_proj_dim=held.hidden_size,
        ffn_dim=held.intermediate_size,
        num_hidden_layers=held.num_hidden_layers + 2,
        num_attention_heads=held.num_attention_heads,
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
    """Write an encoder as a decoder that lists.

    words: of each token of the decoder, the encoder's. prompts: some, with answers, each [tokens], to measure layer norms with.
    vectors: what the encoder makes of texts, [texts, dimensions]. Returns also the axes in which means are held, [axes, dimensions].
    """
    decoder = OPTForCausalLM(config).eval()
    body = decoder.model.decoder
    places = StateDimensions.of(_energies(encoder, words, prompts).argsort().tolist())
    reading.embed(body, encoder, words, tokens, places)
    offset = body.embed_positions.offset
    states = [
        (body.embed_tokens(prompt) + body.embed_positions.weight[offset : offset + len(prompt)])[None]
        for prompt in prompts
    ]
    *layers, scoring, naming = body.layers
    for number, (layer, source) in enumerate(zip(layers, encoder.encoder.layer, strict=True)):
        reading.load(layer, source, places)
        (reading.see_passage if number else reading.see_near)(layer.self_attn, places)
        free = reading.renew(layer, places)
        if number == len(layers) - 1:
            reading.write_identifiers(layer, places, free)
        states = reading.through(layer, places, states, first=number == 0)
    axes = principal_axes(vectors, places.unread, AXES)
    answering.take_means(scoring, places, *_read_from(layers[-1].final_layer_norm, places, axes))
    answering.multiply(scoring, places)
    answering.name_the_next(naming, places)
    return decoder, places, axes


def _energies(encoder: BertModel, words: Sequence[int], prompts: Sequence[Tensor]) -> Tensor:
    """The mean square of each dimension over the encoder's states."""
    encoders = torch.tensor(words)
    states = [
        held
        for prompt in prompts
        for held in encoder(encoders[prompt[:256]][None], output_hidden_states=True).hidden_states
    ]
    return torch.cat([held[0] for held in states]).square().mean(0)


def _read_from(norm: torch.nn.LayerNorm, places: StateDimensions, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Make channels loud, and the places of what is listed alike, so that what is not listed is equal in all.

    Returns what the axes become by that, and an offset.
    """
    norm.weight[places.channels] *= answering.CHANNEL / ON
    norm.bias[places.channels] *= answering.CHANNEL / ON
    offset = axes[:, places.blank] @ norm.bias[places.blank]
    mean = norm.weight[places.blank].mean()
    scaled = axes.clone()
    scaled[:, places.blank] *= norm.weight[places.blank] / mean
    norm.weight[places.blank], norm.bias[places.blank] = mean, 0.0
    return scaled, offset
