"""The job that every library does: a small GPT, its weights, its data and its optimiser's numbers.

Decoder-only, pre-norm, learned positions, separate projections for query, key and value with biases, tanh-form GELU,
layer norm with epsilon 1e-5, head tied to the token embedding, no dropout; cross-entropy, gradients clipped to norm 1,
AdamW with weight decay on everything but biases and norms.
"""

import zlib

import numpy as np

SIZES = {
    "XS": {"layers": 2, "heads": 2, "width": 16, "block": 8, "batch": 3, "vocabulary": 11},  # for a try
    "S": {"layers": 4, "heads": 4, "width": 128, "block": 64, "batch": 12, "vocabulary": 65},
    "M": {"layers": 6, "heads": 6, "width": 384, "block": 256, "batch": 4, "vocabulary": 65},
    "L": {"layers": 12, "heads": 12, "width": 768, "block": 256, "batch": 1, "vocabulary": 50257},
}
EPSILON, CLIP, LEARNING_RATE, BETAS, ADAM_EPSILON, DECAY = 1e-5, 1.0, 1e-3, (0.9, 0.99), 1e-8, 0.1


def batches(size, count=4):
    """Inputs and targets of ``count`` steps, the same for every library.   (count,2,B,T) int64"""
    rng = np.random.default_rng(0)
    return rng.integers(0, size["vocabulary"], (count, 2, size["batch"], size["block"]))


def weights(name, shape):
    """First values of the weight called ``name``: drawn from its name, so that the order of drawing is nobody's matter.

    Biases are not zero, so that a forgotten one changes the loss.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    values = 0.02 * rng.standard_normal(shape, dtype=np.float32)
    return values + np.float32(1) if name.endswith("gamma") else values


def decays(name):
    """Whether weight decay applies: to matrices, not to biases and norms."""
    return name.rpartition(".")[2] not in ("bias", "gamma", "beta")


def shapes(size):
    """The shape of every weight by its name: matrices stand as (in, out)."""
    E, found = size["width"], {}

    def dense(name, inside, outside):
        found[f"{name}.kernel"], found[f"{name}.bias"] = (inside, outside), (outside,)

    def norm(name):
        found[f"{name}.gamma"] = found[f"{name}.beta"] = (E,)

    found["tokens.weight"], found["positions.weight"] = (size["vocabulary"], E), (size["block"], E)
    for layer in range(size["layers"]):
        norm(f"blocks.{layer}.norm1")
        for part in ("query", "key", "value", "output"):
            dense(f"blocks.{layer}.attention.{part}", E, E)
        norm(f"blocks.{layer}.norm2")
        dense(f"blocks.{layer}.widen", E, 4 * E)
        dense(f"blocks.{layer}.narrow", 4 * E, E)
    norm("norm")
    return found


def flops(size):
    """Those of the matrix products of one training step, forward and backward, where causal attention does half of its square."""
    tokens = size["batch"] * size["block"]
    matrices = sum(shape[0] * shape[1] for name, shape in shapes(size).items() if len(shape) == 2 and not name.startswith("positions"))
    return 6 * tokens * matrices + 6 * tokens * (size["block"] + 1) * size["width"] * size["layers"]


def greedy(read, count):
    """Write ``count`` tokens behind token 1, each the likeliest: ``read`` takes one token and gives the logits (V,) of the next.

    -> first logits, ids, last logits, by which libraries are compared: ids that part are followed by other ones, and say nothing more.
    """
    ids, first = [1], None
    for _ in range(count):
        logits = read(ids[-1])
        first = logits if first is None else first
        ids.append(int(logits.argmax()))
    return [first, ids, logits]
