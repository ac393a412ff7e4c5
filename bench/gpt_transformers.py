"""The GPT of ``bench.gpt`` in Hugging Face's transformers: its GPT-2, with the cache that it has."""

import inspect
import os

import numpy as np
import torch
from transformers import DynamicCache, GPT2Config, GPT2LMHeadModel

from bench import gpt

NAMES = (  # what a weight is called here, and in bench.gpt
    ("transformer.", ""), ("wte", "tokens"), ("wpe", "positions"), ("h.", "blocks."), ("ln_f", "norm"), ("ln_", "norm"),
    ("attn.c_proj", "attention.output"), ("mlp.c_fc", "widen"), ("mlp.c_proj", "narrow"))
ENDS = {"weight": "gamma", "bias": "beta"}


def values(name, shape):
    """The common first values of the weight with this name: three matrices are one, (E, 3 E), and matrices stand as (in, out)."""
    for theirs, shared in NAMES:
        name = name.replace(theirs, shared)
    path, _, end = name.rpartition(".")
    if path.endswith("attn.c_attn"):
        path, three = path.replace("attn.c_attn", "attention"), (*shape[:-1], shape[-1] // 3)
        end = "kernel" if end == "weight" else end
        return np.concatenate([gpt.weights(f"{path}.{part}.{end}", three) for part in ("query", "key", "value")], axis=-1)
    if "norm" in path.rpartition(".")[2]:
        end = ENDS[end]
    elif end == "weight" and path not in ("tokens", "positions"):
        end = "kernel"
    return gpt.weights(f"{path}.{end}", shape)


def build(size):
    """The model with the common first values."""
    model = GPT2LMHeadModel(GPT2Config(
        vocab_size=size["vocabulary"], n_positions=size["block"], n_embd=size["width"], n_layer=size["layers"], n_head=size["heads"],
        layer_norm_epsilon=gpt.EPSILON, activation_function="gelu_new", bos_token_id=0, eos_token_id=0))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(values(name, tuple(parameter.shape))))
    return model.eval()


def reader(model):
    """A function that reads one token after the other and gives the logits of the next."""
    name = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"  # the word of older versions
    known = {name: DynamicCache(config=model.config), "use_cache": True}
    return lambda word: model(torch.tensor([[word]]), **known).logits[0, -1]


def generation(size, tokens):
    """A function that writes so many tokens."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = build(size)

    @torch.inference_mode()
    def step():
        return gpt.greedy(reader(model), tokens)

    return step
