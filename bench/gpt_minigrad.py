"""The GPT of ``bench.gpt`` in minigrad, as ``transformer.models`` has it."""

import numpy as np

import minigrad as mg
from bench import gpt
from transformer.decoding import Decoding
from transformer.models import LanguageModel, LanguageModelConfig

NAMES = (  # what a weight is called here, and in bench.gpt
    ("embedding.embeddings", "tokens.weight"), ("positions.position_embeddings", "positions.weight"),
    ("after_attention.normalization", "norm1"), ("after_feed_forward.normalization", "norm2"),
    ("normalization", "norm"), ("feed_forward.wide", "widen"), ("feed_forward.narrow", "narrow"),
    ("_kernel", ".kernel"), ("_bias", ".bias"))


def common(name):
    """The name that a weight has in ``bench.gpt``."""
    for ours, shared in NAMES:
        name = name.replace(ours, shared)
    return name


def build(size):
    """The model, and its parameters by their common names, with the common first values."""
    model = LanguageModel(LanguageModelConfig(
        vocab_size=size["vocabulary"], block_size=size["block"], layers=size["layers"], heads=size["heads"],
        width=size["width"], epsilon=gpt.EPSILON))
    named = {common(name): parameter for name, parameter in model.named_parameters().items()}
    with mg.no_grad():
        for name, parameter in named.items():
            parameter.assign(gpt.weights(name, parameter.shape))
    return model, named


def training_step(size, variant):
    """A function that does one step of training and returns the loss. Variant "bf16": matrix products of bfloat16."""
    model, named = build(size)
    optimizer = mg.optim.AdamW(
        [{"params": [p for name, p in named.items() if gpt.decays(name)], "weight_decay": gpt.DECAY},
         {"params": [p for name, p in named.items() if not gpt.decays(name)], "weight_decay": 0.0}],
        lr=gpt.LEARNING_RATE, betas=gpt.BETAS, eps=gpt.ADAM_EPSILON, global_clipnorm=gpt.CLIP)
    data, done = gpt.batches(size), 0

    def step():
        nonlocal done
        ids, targets = data[done % len(data)]
        done += 1
        optimizer.zero_grad()
        loss = mg.cross_entropy(model(ids, training=True), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return mg.matmul_precision("bfloat16")(step) if variant == "bf16" else step


def generation(size, tokens):
    """A function that writes so many tokens."""
    model, _ = build(size)

    def step():
        decoding = Decoding(model, batch=1, length=tokens)
        return gpt.greedy(lambda word: decoding.read(np.array([[word]]))[0], tokens)

    return step
