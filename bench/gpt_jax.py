"""The GPT of ``bench.gpt`` in JAX: functions of dictionaries of arrays, the whole training step compiled as one."""

import jax
import numpy as np
from jax import numpy as jnp

from bench import gpt


def layer_norm(x, gamma, beta):
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + gpt.EPSILON) * gamma + beta


def attention(q, k, v):
    """q, k, v (B, T, h, d) -> (B, T, h, d), every word looking back."""
    scores = jnp.einsum("bthd,bshd->bhts", q, k) / np.sqrt(np.float32(q.shape[-1]))
    weights = jax.nn.softmax(jnp.where(np.tri(q.shape[1], dtype=bool), scores, -np.inf))
    return jnp.einsum("bhts,bshd->bthd", weights, v)


def loss(p, ids, targets, layers, heads):
    """The mean cross-entropy of the model with weights ``p``, by their names in `gpt.shapes`."""
    dense = lambda x, name: x @ p[f"{name}.kernel"] + p[f"{name}.bias"]
    norm = lambda x, name: layer_norm(x, p[f"{name}.gamma"], p[f"{name}.beta"])
    B, T = ids.shape
    x = p["tokens.weight"][ids] + p["positions.weight"][:T]  # (B,T,E)
    for layer in range(layers):
        y = norm(x, f"blocks.{layer}.norm1")
        # (B,T,E) -> (B,T,h,d)
        q, k, v = (dense(y, f"blocks.{layer}.attention.{part}").reshape(B, T, heads, -1) for part in ("query", "key", "value"))
        x = x + dense(attention(q, k, v).reshape(B, T, -1), f"blocks.{layer}.attention.output")
        y = jax.nn.gelu(dense(norm(x, f"blocks.{layer}.norm2"), f"blocks.{layer}.widen"), approximate=True)
        x = x + dense(y, f"blocks.{layer}.narrow")
    logits = norm(x, "norm") @ p["tokens.weight"].T  # (B,T,V)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[..., None], -1).mean()


def clip(gradients):
    """All gradients together to a norm of at most `gpt.CLIP`."""
    norm = jnp.sqrt(sum(jnp.vdot(g, g) for g in gradients))
    scale = jnp.minimum(gpt.CLIP / (norm + 1e-6), 1)
    return [g * scale for g in gradients]


def adamw(parameters, means, squares, gradients, count, decays):
    """One update -> new parameters, means and squares; ``decays`` says for each whether weight decay applies."""
    first, second = gpt.BETAS
    new = [], [], []
    for p, m, v, g, decay in zip(parameters, means, squares, gradients, decays):
        m, v = first * m + (1 - first) * g, second * v + (1 - second) * g * g
        p = p * (1 - gpt.LEARNING_RATE * gpt.DECAY) if decay else p
        size = jnp.sqrt(v / (1 - second**count)) + gpt.ADAM_EPSILON
        for kept, value in zip(new, (p - gpt.LEARNING_RATE * m / (1 - first**count) / size, m, v)):
            kept.append(value)
    return new


def training_step(size, variant):
    """A function that does one step of training and returns the loss."""
    names = list(gpt.shapes(size))
    decays = [gpt.decays(name) for name in names]
    start = [jnp.asarray(gpt.weights(name, shape)) for name, shape in gpt.shapes(size).items()]
    state = start, *([jnp.zeros_like(p) for p in start] for _ in range(2))

    def whole(state, count, ids, targets):
        by_name = lambda parameters: loss(dict(zip(names, parameters)), ids, targets, size["layers"], size["heads"])
        value, gradients = jax.value_and_grad(by_name)(state[0])
        return value, adamw(*state, clip(gradients), count, decays)

    compiled, data, done = jax.jit(whole, donate_argnums=0), jnp.asarray(gpt.batches(size)), 0

    def step():
        nonlocal state, done
        ids, targets = data[done % len(data)]
        done += 1
        value, state = compiled(state, np.float32(done), ids, targets)
        return jax.block_until_ready((value, state))[0].item()

    return step


def generation(size, tokens):
    """A function that writes so many tokens, one after the other in one compiled loop."""
    p = {name: jnp.asarray(gpt.weights(name, shape)) for name, shape in gpt.shapes(size).items()}
    h, d = size["heads"], size["width"] // size["heads"]

    def read(p, known, word, place):
        """One more token.   known (layers,2,L,h,d), word () -> known, logits (V)"""
        dense = lambda x, name: x @ p[f"{name}.kernel"] + p[f"{name}.bias"]
        norm = lambda x, name: layer_norm(x, p[f"{name}.gamma"], p[f"{name}.beta"])
        x = p["tokens.weight"][word] + p["positions.weight"][place]  # (E)
        for layer in range(size["layers"]):
            y = norm(x, f"blocks.{layer}.norm1")
            q, k, v = (dense(y, f"blocks.{layer}.attention.{part}").reshape(h, d) for part in ("query", "key", "value"))
            known = known.at[layer, 0, place].set(k).at[layer, 1, place].set(v)
            scores = jnp.einsum("hd,shd->hs", q, known[layer, 0]) / np.sqrt(np.float32(d))
            taken = jax.nn.softmax(jnp.where(jnp.arange(tokens) <= place, scores, -np.inf))  # (h,L)
            y = jnp.einsum("hs,shd->hd", taken, known[layer, 1]).reshape(-1)  # (h,d) -> (E)
            x = x + dense(y, f"blocks.{layer}.attention.output")
            y = jax.nn.gelu(dense(norm(x, f"blocks.{layer}.norm2"), f"blocks.{layer}.widen"), approximate=True)
            x = x + dense(y, f"blocks.{layer}.narrow")
        return known, p["tokens.weight"] @ norm(x, "norm")

    def loop(p):
        def one(state, place):
            known, word, first, _ = state
            known, logits = read(p, known, word, place)
            return (known, jnp.argmax(logits), jnp.where(place == 0, logits, first), logits), jnp.argmax(logits)

        none = jnp.zeros(size["vocabulary"])
        state, ids = jax.lax.scan(one, (jnp.zeros((size["layers"], 2, tokens, h, d)), 1, none, none), jnp.arange(tokens))
        return state[2], ids, state[3]

    compiled = jax.jit(loop)

    def step():
        first, ids, last = jax.block_until_ready(compiled(p))
        return [first, [1, *ids.tolist()], last]

    return step
