"""The tables of the families: GPT-2, BERT, T5, BART, Marian, LLaMA, Mistral and Qwen2, in Hugging Face's words and in ours.

What stands in ``fixed`` is what makes the family: where the normalization stands, how places are told. What a word of a config does to the
numbers stands in ``config``, where our models can follow it, and in ``accepted``, with the values at which it does nothing, where they
cannot: another value is refused. Words in neither change no number that a model computes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from transformer.layers import SinusoidalPositions
from transformer.pretrained.files import Weights
from transformer.pretrained.translation import (
    ELSEWHERE,
    JOINED,
    ONE_ROW,
    SAME,
    SHARED,
    THREE,
    TURNED,
    TWO_MORE,
    Both,
    Family,
    Key,
    Rule,
    Words,
    attention,
    dense,
    norm,
    one_of,
    output,
    rms,
    within,
)

# The functions inside of a feed-forward part, by their names, and the gates that are made of them.
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}
GATES = {"silu": "swiglu", "swish": "swiglu", "gelu": "geglu", "gelu_pytorch_tanh": "geglu_tanh", "gelu_new": "geglu_tanh"}
T5_PARTS = {  # its feed_forward_proj; "gated-gelu" was always computed with tanh
    "relu": "relu", "gelu": "gelu", "gelu_new": "gelu_tanh", "silu": "silu",
    "gated-gelu": "geglu_tanh", "gated-gelu_new": "geglu_tanh", "gated-silu": "swiglu",
}  # fmt: skip


def _ids(ids: Any, _: Words) -> tuple[int, ...]:
    """Ids that a file writes as one number, a list or null."""
    found = () if ids is None else tuple(ids) if isinstance(ids, list) else (ids,)
    if not all(type(number) is int for number in found):
        raise ValueError(f"{ids!r:.60} is no id and no list of ids")
    return found


SEVERAL = Both(  # one id, several or none
    _ids,
    lambda ids, _: list(ids) if len(ids) > 1 else next(iter(ids), None),
)


def as_many_as(theirs: str, ours: str) -> Both:
    """A number that is 0 in ours where it is that of another word, and of another field of ours."""
    return Both(lambda number, words: 0 if number == words[theirs] else number, lambda number, config: number or getattr(config, ours))


AS_MANY_HEADS = as_many_as("num_attention_heads", "heads")
NARROW_HEADS = Both(  # 0: the width over the heads
    lambda number, words: 0 if number * words["num_attention_heads"] == words["hidden_size"] else number,
    lambda _, config: config.key_dim,
)
BY_THE_ROOT = Both(  # whether embeddings are multiplied by the root of the width
    lambda scaled, words: math.sqrt(words["d_model"]) if scaled else 1.0,
    lambda scale, config: (math.sqrt(config.width) if scale is None and "sinus" in config.positions else scale or 1.0) != 1,
)
TRUE_OR_NOT = one_of({True: True, False: False})
LIKE_THE_REST = Both(  # None: as mlp_bias
    lambda biased, words: None if TRUE_OR_NOT.read(biased, words) is words.get("mlp_bias", False) else biased,
    lambda biased, config: config.use_bias if biased is None else biased,
)
TWO_EMBEDDINGS = (  # of both sides of an encoder-decoder
    Rule("shared.weight", "encoder.embedding.embeddings decoder.embedding.embeddings", SHARED),
    Rule("encoder.embed_tokens.weight", "encoder.embedding.embeddings"),
    Rule("decoder.embed_tokens.weight", "decoder.embedding.embeddings"),
)
LOGITS_OF_TWO = (  # what its decoder ends with, a matrix of its own or that of its embedding
    Rule("lm_head.weight", "decoder.head.kernel", TURNED),
    Rule("lm_head.weight", "decoder.embedding.embeddings"),
)


# -------------------------------------------------------------------------------------------------------------------- GPT-2

GPT2 = Family(
    name="gpt2",
    model="LanguageModel",
    architectures=("GPT2LMHeadModel",),
    fixed={"norm": "pre", "positions": "learned", "normalization": "layer", "use_bias": True},
    config={
        "vocab_size": Key("vocab_size"),
        "n_positions": Key("block_size"),
        "n_embd": Key("width"),
        "n_layer": Key("layers"),
        "n_head": Key("heads"),
        "n_inner": Key("feed_forward", 0),
        "activation_function": Key("activation", "gelu_new", one_of(ACTIVATIONS)),
        "layer_norm_epsilon": Key("epsilon", 1e-5),
        "resid_pdrop": Key("dropout", 0.1),
        "scale_attn_weights": Key("scaled", True, TRUE_OR_NOT),
        "tie_word_embeddings": Key("tied", True, TRUE_OR_NOT),
        "eos_token_id": Key("end_ids", 50256, SEVERAL, null=True),
    },
    accepted={"scale_attn_by_inverse_layer_idx": (False,), "add_cross_attention": (False,)},
    written={"embd_pdrop": lambda config: config.dropout, "attn_pdrop": lambda _: 0.0},
    prefix="transformer.",
    bare=("lm_head.",),
    tensors=(
        Rule("wte.weight", "embedding.embeddings"),
        Rule("wpe.weight", "positions.position_embeddings"),
        *within("h.{i}.", "blocks.{i}.",
            *norm("ln_1", "after_attention.normalization"),
            *(Rule(f"attn.c_attn.{what}", " ".join(f"attention.{name}_{ours}" for name in ("query", "key", "value")), THREE)
              for what, ours in (("weight", "kernel"), ("bias", "bias"))),
            *output("attn.c_proj", "attention", JOINED),
            *norm("ln_2", "after_feed_forward.normalization"),
            *dense("mlp.c_fc", "feed_forward.wide", SAME),
            *dense("mlp.c_proj", "feed_forward.narrow", SAME),
        ),
        *norm("ln_f", "normalization"),
        Rule("lm_head.weight", "head.kernel", TURNED),
        Rule("lm_head.weight", "embedding.embeddings"),
    ),
    known=r"h\.\d+\.attn\.(bias|masked_bias)",  # causality, as a matrix of ones below the diagonal
)  # fmt: skip


# --------------------------------------------------------------------------------------------------------------------- BERT

BERT = Family(
    name="bert",
    model="Encoder",
    architectures=(
        "BertModel", "BertForMaskedLM", "BertForPreTraining", "BertForNextSentencePrediction", "BertForSequenceClassification",
        "BertForTokenClassification", "BertForQuestionAnswering", "BertForMultipleChoice",
    ),
    fixed={"norm": "post", "positions": "learned", "normalization": "layer", "use_bias": True, "embedding_norm": True},
    config={
        "vocab_size": Key("vocab_size"),
        "max_position_embeddings": Key("block_size"),
        "type_vocab_size": Key("segments", 2),
        "hidden_size": Key("width"),
        "num_hidden_layers": Key("layers"),
        "num_attention_heads": Key("heads"),
        "intermediate_size": Key("feed_forward"),
        "hidden_act": Key("activation", "gelu", one_of(ACTIVATIONS)),
        "layer_norm_eps": Key("epsilon", 1e-12),
        "hidden_dropout_prob": Key("dropout", 0.1),
        "pad_token_id": Key("pad_id", 0, null=True),
    },
    accepted={"position_embedding_type": ("absolute",), "is_decoder": (False,), "add_cross_attention": (False,)},
    written={"attention_probs_dropout_prob": lambda _: 0.0},
    prefix="bert.",
    bare=("",),  # a BertModel is the encoder itself
    tensors=(
        *within("embeddings.", "",
            Rule("word_embeddings.weight", "embedding.embeddings"),
            Rule("position_embeddings.weight", "positions.position_embeddings"),
            Rule("token_type_embeddings.weight", "segments.embeddings"),
            *norm("LayerNorm", "embedding_normalization"),
        ),
        *within("encoder.layer.{i}.", "blocks.{i}.",
            *attention("attention.", "attention", "self.query", "self.key", "self.value", "output.dense"),
            *norm("attention.output.LayerNorm", "after_attention.normalization"),
            *dense("intermediate.dense", "feed_forward.wide"),
            *dense("output.dense", "feed_forward.narrow"),
            *norm("output.LayerNorm", "after_feed_forward.normalization"),
        ),
    ),
    older={"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"},
    known=r"embeddings\.(position_ids|token_type_ids)",
    heads=r"(pooler|cls|classifier|qa_outputs)\..*",
    beside=("pooling", "normalize"),
)  # fmt: skip


# ----------------------------------------------------------------------------------------------------------------------- T5

def _t5_words(words: Words, weights: Weights) -> Words:
    """Whether the logits are scaled was first told by whether the head is tied; and files tell that it is not by having one."""
    words.setdefault("scale_decoder_outputs", words.get("tie_word_embeddings", True) is not False)
    if words["scale_decoder_outputs"] is False and {"shared.weight", "lm_head.weight"} <= set(weights):
        words["tie_word_embeddings"] = bool(np.array_equal(weights["shared.weight"], weights["lm_head.weight"]))
    return words


T5_NAMES = "q", "k", "v", "o"


def _t5_stack(side: str, *more: Rule) -> tuple[Rule, ...]:
    """The rules of its encoder or decoder: in each block attention, in a decoder's a second one, and the feed-forward part."""
    first, part = ("self_attention", 2) if more else ("attention", 1)
    return within(f"{side}.", f"{side}.",
        *within("block.{i}.layer.", "blocks.{i}.",
            *attention("0.SelfAttention.", first, *T5_NAMES),
            *rms("0.layer_norm", f"after_{first}.normalization"),
            *more,
            *dense(f"{part}.DenseReluDense.wi", "feed_forward.wide"),
            *dense(f"{part}.DenseReluDense.wi_0", "feed_forward.gate"),
            *dense(f"{part}.DenseReluDense.wi_1", "feed_forward.up"),
            *dense(f"{part}.DenseReluDense.wo", "feed_forward.narrow"),
            *dense(f"{part}.DenseReluDense.wo", "feed_forward.down"),
            *rms(f"{part}.layer_norm", "after_feed_forward.normalization"),
        ),
        Rule("block.0.layer.0.SelfAttention.relative_attention_bias.weight", "relative.embeddings"),
        *rms("final_layer_norm", "normalization"),
    )  # fmt: skip


T5 = Family(
    name="t5",
    model="EncoderDecoder",
    architectures=("T5ForConditionalGeneration",),
    fixed={
        "norm": "pre", "positions": "relative", "normalization": "rms", "use_bias": False, "scaled": False, "shared_embedding": True,
    },
    config={
        "vocab_size": Key("source_vocab target_vocab"),
        "n_positions": Key("source_length target_length", 512),
        "d_model": Key("width"),
        "d_kv": Key("head_width"),
        "d_ff": Key("feed_forward"),
        "num_layers": Key("layers"),
        "num_decoder_layers": Key("decoder_layers", lambda words: words["num_layers"], as_many_as("num_layers", "layers")),
        "num_heads": Key("heads"),
        "relative_attention_num_buckets": Key("relative_buckets", 32),
        "relative_attention_max_distance": Key("relative_distance", 128),
        "feed_forward_proj": Key("activation", "relu", one_of(T5_PARTS)),
        "layer_norm_epsilon": Key("epsilon", 1e-6),
        "dropout_rate": Key("dropout", 0.1),
        "tie_word_embeddings": Key("tied", True, TRUE_OR_NOT),
        "scale_decoder_outputs": Key("head_scale", True, Both(
            lambda scaled, words: words["d_model"] ** -0.5 if scaled else 1.0, lambda scale, _: scale != 1)),
        "pad_token_id": Key("pad_id", 0, null=True),
        "decoder_start_token_id": Key("start_id", lambda words: words.get("pad_token_id", 0)),
        "eos_token_id": Key("end_ids", 1, SEVERAL, null=True),
    },
    accepted={"is_decoder": (False,), "is_encoder_decoder": (True,)},
    prepared=_t5_words,
    tensors=(
        *TWO_EMBEDDINGS,
        *_t5_stack("encoder"),
        *_t5_stack("decoder",
            *attention("1.EncDecAttention.", "cross_attention", *T5_NAMES),
            *rms("1.layer_norm", "after_cross_attention.normalization"),
        ),
        *LOGITS_OF_TWO,
    ),
    known=r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",  # of old files, and never used
)  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- BART and Marian

def _fairseq_stack(side: str, positions: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The rules of an encoder or decoder as both have them."""
    second = side == "decoder"
    first = "self_attention" if second else "attention"
    names = "q_proj", "k_proj", "v_proj", "out_proj"
    across = (
        *attention("encoder_attn.", "cross_attention", *names),
        *norm("encoder_attn_layer_norm", "after_cross_attention.normalization"),
    )
    return within(f"{side}.", f"{side}.",
        *positions,
        *within("layers.{i}.", "blocks.{i}.",
            *attention("self_attn.", first, *names),
            *norm("self_attn_layer_norm", f"after_{first}.normalization"),
            *(across if second else ()),
            *dense("fc1", "feed_forward.wide"),
            *dense("fc2", "feed_forward.narrow"),
            *norm("final_layer_norm", "after_feed_forward.normalization"),
        ),
    )  # fmt: skip


def _fairseq_tensors(*positions: Rule) -> tuple[Rule, ...]:
    return (
        *TWO_EMBEDDINGS,
        *_fairseq_stack("encoder", positions),
        *_fairseq_stack("decoder", positions),
        *LOGITS_OF_TWO,
        Rule("final_logits_bias", "decoder.head_bias", ONE_ROW),
        Rule("final_logits_bias", "decoder.head.bias", ONE_ROW),
    )


FAIRSEQ_WORDS = {
    "max_position_embeddings": Key("source_length target_length"),
    "d_model": Key("width"),
    "encoder_layers": Key("layers"),
    "decoder_layers": Key("decoder_layers", lambda words: words["encoder_layers"], as_many_as("encoder_layers", "layers")),
    "encoder_attention_heads": Key("heads"),
    "decoder_attention_heads": Key("heads"),
    "encoder_ffn_dim": Key("feed_forward"),
    "decoder_ffn_dim": Key("feed_forward"),
    "activation_function": Key("activation", "gelu", one_of(ACTIVATIONS)),
    "dropout": Key("dropout", 0.1),
    "scale_embedding": Key("embedding_scale", False, BY_THE_ROOT),
}  # fmt: skip
FAIRSEQ_FIXED = {"norm": "post", "normalization": "layer", "use_bias": True, "head_bias": True, "epsilon": 1e-5}
FAIRSEQ_WRITTEN = {
    **{name: lambda _: 0.0 for name in ("attention_dropout", "activation_dropout", "encoder_layerdrop", "decoder_layerdrop")},
    "forced_eos_token_id": lambda _: None,  # of a model cut off at its longest: the library would take the id of the first BART
}

BART = Family(
    name="bart",
    model="EncoderDecoder",
    architectures=("BartForConditionalGeneration",),
    fixed={**FAIRSEQ_FIXED, "positions": "learned", "embedding_norm": True},
    config={
        "vocab_size": Key("source_vocab target_vocab"),
        **FAIRSEQ_WORDS,
        "tie_word_embeddings": Key("tied shared_embedding", True, TRUE_OR_NOT),
        "pad_token_id": Key("pad_id", 1, null=True),
        "decoder_start_token_id": Key("start_id", 2, null=True),
        "eos_token_id": Key("end_ids", 2, SEVERAL, null=True),
    },
    accepted={
        "normalize_before": (False,), "add_final_layer_norm": (False,), "normalize_embedding": (True,),
        "static_position_embeddings": (False,), "extra_pos_embeddings": (2,), "is_decoder": (False,), "is_encoder_decoder": (True,),
    },
    written=FAIRSEQ_WRITTEN,
    prefix="model.",
    bare=("lm_head.", "final_logits_bias"),
    tensors=_fairseq_tensors(
        Rule("embed_positions.weight", "positions.position_embeddings", TWO_MORE),
        *norm("layernorm_embedding", "embedding_normalization"),
    ),
    optional=("final_logits_bias",),
    known=r"shared\.weight",  # where it is shared by nobody
)  # fmt: skip


def _marian_words(words: Words, _: Weights) -> Words:
    """One embedding for both sides is shared where it is tied to the head too: that is how the library reads it."""
    tied = words.get("tie_word_embeddings", True) and words.get("share_encoder_decoder_embeddings", True)
    words["share_encoder_decoder_embeddings"] = tied
    return words


def _waves(config: Any) -> np.ndarray:
    """The vectors of places as its files have them.   -> (L, E)"""
    return np.asarray(SinusoidalPositions(halves=True)(np.zeros((config.source_length, config.width))))


MARIAN = Family(
    name="marian",
    model="EncoderDecoder",
    architectures=("MarianMTModel",),
    fixed={**FAIRSEQ_FIXED, "positions": "sinusoidal_halves", "embedding_norm": False},
    config={
        "vocab_size": Key("source_vocab"),
        "decoder_vocab_size": Key("target_vocab", lambda words: words["vocab_size"]),
        **FAIRSEQ_WORDS,
        "share_encoder_decoder_embeddings": Key("shared_embedding", True, TRUE_OR_NOT),
        "tie_word_embeddings": Key("tied", True, TRUE_OR_NOT),
        "pad_token_id": Key("pad_id", 58100, null=True),
        "decoder_start_token_id": Key("start_id", 58100, null=True),
        "eos_token_id": Key("end_ids", 0, SEVERAL, null=True),
    },
    accepted={
        "normalize_before": (False,), "add_final_layer_norm": (False,), "normalize_embedding": (False,),
        "static_position_embeddings": (True,), "is_decoder": (False,), "is_encoder_decoder": (True,),
    },
    written=FAIRSEQ_WRITTEN,
    prepared=_marian_words,
    prefix="model.",
    bare=("lm_head.", "final_logits_bias"),
    tensors=_fairseq_tensors(),
    optional=("final_logits_bias",),
    known=r"shared\.weight",
    constant={r"(encoder|decoder)\.embed_positions\.weight": _waves},
)  # fmt: skip


# -------------------------------------------------------------------------------------------------------- LLaMA, Mistral, Qwen2

def _llama_words(words: Words, _: Weights) -> Words:
    """What is said of rotary positions, wherever a file says it, as words of their own."""
    if words.get("max_position_embeddings") is None:
        raise ValueError(
            "max_position_embeddings, the number of tokens of the longest text, is missing: add it, as "
            '"max_position_embeddings": 2048 for the first LLaMA'
        )
    older, newer = words.get("rope_scaling"), words.pop("rope_parameters", None)
    for name, said in (("rope_scaling", older), ("rope_parameters", newer)):
        if not isinstance(said, dict | None):
            raise ValueError(f"{name} is {said!r:.60}, and it is an object of words, or null")
    rotary = words["rope_scaling"] = dict(older or newer or {})  # where both stand, the older one counts, as in the library
    if any(isinstance(value, dict) for value in rotary.values()):
        raise ValueError(f"rotary positions differ between layers: {rotary!r:.80}")
    for name in ("rope_theta", "partial_rotary_factor"):
        if name in rotary:
            words[name] = rotary[name]
    rotary.setdefault("rope_type", rotary.get("type", "default"))
    learned = words.get("original_max_position_embeddings", words["max_position_embeddings"])
    rotary.setdefault("original_max_position_embeddings", learned)
    if set(words.pop("layer_types", None) or ()) - {"full_attention"}:
        words["layer_types"] = "others than full_attention"
    return words


def _mistral_words(words: Words, weights: Weights) -> Words:
    """A window that is as long as the longest text hides nothing."""
    window, words = words.pop("sliding_window", 4096), _llama_words(words, weights)
    if window is not None and window < words["max_position_embeddings"]:
        words["sliding_window"] = window
    return words


def _qwen2_words(words: Words, weights: Weights) -> Words:
    """A window only where the config turns it on."""
    if not words.pop("use_sliding_window", False):
        words["sliding_window"] = None
    return _mistral_words(words, weights)


STRETCHES = {  # kinds of rotary positions, and their numbers in the order of ours
    "default": (), "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}  # fmt: skip


def _stretch(rotary: Any, _: Words) -> tuple[float, ...]:
    """By how much rotary positions are stretched."""
    kind = rotary["rope_type"]
    if kind not in STRETCHES:
        raise ValueError(f"rope_type is {kind!r:.60}, which is none of those that models here know: {', '.join(STRETCHES)}; {ELSEWHERE}")
    lacks = [name for name in STRETCHES[kind] if name not in rotary]
    if lacks:
        raise ValueError(f"{lacks[0]} is missing, without which there is no {kind}")
    return tuple(rotary[name] for name in STRETCHES[kind])


def _stretch_words(stretch: tuple[float, ...]) -> Words:
    """The same in their words."""
    kind, names = next((kind, names) for kind, names in STRETCHES.items() if len(names) == len(stretch))
    return {"rope_type": kind, **dict(zip(names, stretch))}


STRETCH = Both(_stretch, lambda stretch, _: _stretch_words(stretch) if stretch else None)

LLAMA_WORDS = {
    "vocab_size": Key("vocab_size"),
    "max_position_embeddings": Key("block_size"),
    "hidden_size": Key("width"),
    "num_hidden_layers": Key("layers"),
    "num_attention_heads": Key("heads"),
    "num_key_value_heads": Key("key_value_heads", lambda words: words["num_attention_heads"], AS_MANY_HEADS),
    "head_dim": Key("head_width", lambda words: words["hidden_size"] // words["num_attention_heads"], NARROW_HEADS),
    "intermediate_size": Key("feed_forward"),
    "hidden_act": Key("activation", "silu", one_of(GATES)),
    "rms_norm_eps": Key("epsilon", 1e-6),
    "rope_theta": Key("rotary_base", 10_000.0),
    "rope_scaling": Key("rotary_stretch", {"rope_type": "default"}, STRETCH),
    "tie_word_embeddings": Key("tied", False, TRUE_OR_NOT),
    "eos_token_id": Key("end_ids", 2, SEVERAL, null=True),
}
LLAMA_FIXED = {"norm": "pre", "positions": "rotary", "normalization": "rms", "head_bias": False}
LLAMA_WRITTEN = {
    "attention_dropout": lambda _: 0.0,
    # where newer versions look
    "rope_parameters": lambda config: {"rope_theta": config.rotary_base, **_stretch_words(config.rotary_stretch)},
}
LLAMA_ACCEPTED = {
    "partial_rotary_factor": (1.0,), "layer_types": (None,), "sliding_window": (None,),
}  # fmt: skip

LLAMA = Family(
    name="llama",
    model="LanguageModel",
    architectures=("LlamaForCausalLM",),
    fixed=LLAMA_FIXED,
    config={
        **LLAMA_WORDS,
        "mlp_bias": Key("use_bias", False, TRUE_OR_NOT),
        "attention_bias": Key("attention_bias", False, LIKE_THE_REST),
    },
    accepted=LLAMA_ACCEPTED,
    written=LLAMA_WRITTEN,
    prepared=_llama_words,
    prefix="model.",
    bare=("lm_head.",),
    tensors=(
        Rule("embed_tokens.weight", "embedding.embeddings"),
        *within("layers.{i}.", "blocks.{i}.",
            *rms("input_layernorm", "after_attention.normalization"),
            *attention("self_attn.", "attention", "q_proj", "k_proj", "v_proj", "o_proj"),
            *rms("post_attention_layernorm", "after_feed_forward.normalization"),
            *dense("mlp.gate_proj", "feed_forward.gate"),
            *dense("mlp.up_proj", "feed_forward.up"),
            *dense("mlp.down_proj", "feed_forward.down"),
        ),
        *rms("norm", "normalization"),
        Rule("lm_head.weight", "head.kernel", TURNED),
        Rule("lm_head.weight", "embedding.embeddings"),
    ),
    known=r"(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq",  # the angles of rotary positions, computed from their base
)  # fmt: skip

MISTRAL = Family(
    name="mistral",
    model="LanguageModel",
    architectures=("MistralForCausalLM",),
    fixed={**LLAMA_FIXED, "use_bias": False},
    config={**LLAMA_WORDS, "num_key_value_heads": Key("key_value_heads", 8, AS_MANY_HEADS)},
    accepted=LLAMA_ACCEPTED,
    written={**LLAMA_WRITTEN, "sliding_window": lambda _: None},
    prepared=_mistral_words,
    prefix=LLAMA.prefix,
    bare=LLAMA.bare,
    tensors=LLAMA.tensors,
    known=LLAMA.known,
)

QWEN2 = Family(
    name="qwen2",
    model="LanguageModel",
    architectures=("Qwen2ForCausalLM",),
    fixed={**LLAMA_FIXED, "use_bias": False, "attention_bias": True, "attention_output_bias": False},
    config={**LLAMA_WORDS, "num_key_value_heads": Key("key_value_heads", 32, AS_MANY_HEADS), "eos_token_id": Key("end_ids", None, SEVERAL)},
    accepted=LLAMA_ACCEPTED,
    written={**LLAMA_WRITTEN, "use_sliding_window": lambda _: False},
    prepared=_qwen2_words,
    prefix=LLAMA.prefix,
    bare=LLAMA.bare,
    tensors=LLAMA.tensors,
    known=LLAMA.known,
)

FAMILIES = {family.name: family for family in (GPT2, BERT, T5, BART, MARIAN, LLAMA, MISTRAL, QWEN2)}
