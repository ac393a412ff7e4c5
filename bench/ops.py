"""Single operations of a transformer, forward and backward, beside PyTorch, torch.compile and JAX.

One entry of ``OPS`` per operation: its sizes, its arrays, and the call in each library. All libraries get the same numbers,
and what they return, with the gradients, must agree before anything is timed.
"""

import argparse
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bench import gpt, harness, peak, report

PEERS = ("torch", "torch-compile", "jax")
MODES = {"both": "forward and backward", "forward": "forward"}
AGREE = 1e-4  # of float32 results that were added up in another order
RANDOM = 0.05  # of the norms of results that are drawn


@dataclass(frozen=True)
class Op:
    """One operation. The calls take their library (for PyTorch ``torch.nn.functional``), the arrays and the constants."""

    sizes: tuple  # each the arguments of ``inputs``
    inputs: Callable  # size -> arrays that get a gradient, constants
    minigrad: Callable
    torch: Callable
    jax: Callable | None
    flops: Callable | None = None  # size -> what one product costs and how many there are, forward and with backward
    bytes: Callable | None = None  # size -> of the forward and of both, where not every input is read
    random: bool = False


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape, dtype=np.float32)


def integers(high, *shape):
    return np.random.default_rng(high).integers(0, high, shape)


def rows(R, C):
    """One array (R, C)."""
    return [normal(R, C)], []


def gates(R, C):
    """Two arrays (R, C), the second of which is the gate of the first."""
    return [normal(R, C), normal(R, C, seed=1)], []


def scaled(R, C):
    """Rows (R, C) with a weight and a bias (C) each."""
    return [normal(R, C), normal(C, seed=1), normal(C, seed=2)], []


def heads(B, h, T, d):
    """Query, key and value (B, h, T, d)."""
    return [normal(B, h, T, d, seed=seed) for seed in range(3)], []


def padded_heads(B, h, T, d):
    """The same with a mask (B, 1, 1, T) that hides up to half of the keys."""
    lengths = T - np.arange(B) * T // (2 * B)
    return heads(B, h, T, d)[0], [np.arange(T) < lengths[:, None, None, None]]


def jax_attention(jax, q, k, v, allowed):
    scores = jax.numpy.einsum("bhtd,bhsd->bhts", q, k) / np.sqrt(np.float32(q.shape[-1]))
    return jax.numpy.einsum("bhts,bhsd->bhtd", jax.nn.softmax(jax.numpy.where(allowed, scores, -np.inf)), v)


def jax_layer_norm(jax, x, w, b):
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(jax.numpy.square(centred).mean(-1, keepdims=True) + 1e-5) * w + b


def known(R, C):
    """The same with the mean and variance (C) that were found before."""
    return scaled(R, C)[0], [normal(C, seed=3), np.abs(normal(C, seed=4)) + np.float32(0.5)]


def jax_batch_norm(jax, x, w, b, *known):
    mean, var = known or (x.mean(0), x.var(0))
    return (x - mean) * jax.lax.rsqrt(var + 1e-5) * w + b


def jax_cross_entropy(jax, x, targets):
    return -jax.numpy.take_along_axis(jax.nn.log_softmax(x), targets[:, None], 1).mean()


ROWS = ((3072, 64), (6144, 256))
NORMS = ((768, 128), (1024, 384))
COLUMNS = ((64, 128), (1024, 384))
WIDE = ((768, 512), (1024, 1536))
HEADS = ((12, 4, 64, 32), (8, 6, 256, 64), (1, 12, 1024, 64))
OPS = {
    "softmax": Op(ROWS, rows, lambda mg, x: mg.softmax(x), lambda F, x: F.softmax(x, -1), lambda jax, x: jax.nn.softmax(x)),
    "log-softmax": Op(ROWS, rows, lambda mg, x: mg.log_softmax(x), lambda F, x: F.log_softmax(x, -1),
                      lambda jax, x: jax.nn.log_softmax(x)),
    "layer norm": Op(NORMS, scaled, lambda mg, x, w, b: mg.layer_norm(x, w, b),
                     lambda F, x, w, b: F.layer_norm(x, w.shape, w, b), jax_layer_norm),
    "RMS norm": Op(NORMS, lambda R, C: ([normal(R, C), normal(C, seed=1)], []), lambda mg, x, w: mg.rms_norm(x, w),
                   lambda F, x, w: F.rms_norm(x, w.shape, w, 1e-5),
                   lambda jax, x, w: x * jax.lax.rsqrt(jax.numpy.square(x).mean(-1, keepdims=True) + 1e-5) * w),
    "batch norm": Op(COLUMNS, scaled, lambda mg, x, w, b: mg.batch_norm(x, None, None, w, b),
                     lambda F, x, w, b: F.batch_norm(x, None, None, w, b, True), jax_batch_norm),
    "batch norm inference": Op(COLUMNS, known, lambda mg, x, w, b, mean, var: mg.batch_norm(x, mean, var, w, b),
                               lambda F, x, w, b, mean, var: F.batch_norm(x, mean, var, w, b), jax_batch_norm,
                               bytes=lambda R, C: (8 * R * C, 20 * R * C)),
    "GELU erf": Op(WIDE, rows, lambda mg, x: mg.gelu(x), lambda F, x: F.gelu(x), lambda jax, x: jax.nn.gelu(x, approximate=False)),
    "GELU tanh": Op(WIDE, rows, lambda mg, x: mg.gelu(x, approximate="tanh"), lambda F, x: F.gelu(x, approximate="tanh"),
                    lambda jax, x: jax.nn.gelu(x, approximate=True)),
    "relu": Op(WIDE, rows, lambda mg, x: mg.relu(x), lambda F, x: F.relu(x), lambda jax, x: jax.nn.relu(x)),
    "leaky relu": Op(WIDE, rows, lambda mg, x: mg.leaky_relu(x), lambda F, x: F.leaky_relu(x), lambda jax, x: jax.nn.leaky_relu(x)),
    "sigmoid": Op(WIDE, rows, lambda mg, x: mg.sigmoid(x), lambda F, x: F.sigmoid(x), lambda jax, x: jax.nn.sigmoid(x)),
    "tanh": Op(WIDE, rows, lambda mg, x: mg.tanh(x), lambda F, x: F.tanh(x), lambda jax, x: jax.numpy.tanh(x)),
    "SiLU": Op(WIDE, rows, lambda mg, x: mg.silu(x), lambda F, x: F.silu(x), lambda jax, x: jax.nn.silu(x)),
    "SwiGLU": Op(WIDE, gates, lambda mg, x, gate: mg.swiglu(x, gate), lambda F, x, gate: x * F.silu(gate),
                 lambda jax, x, gate: x * jax.nn.silu(gate)),
    "GEGLU": Op(WIDE, gates, lambda mg, x, gate: mg.geglu(x, gate), lambda F, x, gate: x * F.gelu(gate),
                lambda jax, x, gate: x * jax.nn.gelu(gate, approximate=False)),
    "cross-entropy": Op(((768, 65), (256, 50257)), lambda N, V: ([normal(N, V)], [integers(V, N)]),
                        lambda mg, x, targets: mg.cross_entropy(x, targets), lambda F, x, targets: F.cross_entropy(x, targets),
                        jax_cross_entropy),
    "embedding": Op(((65, 128, 768), (50257, 768, 256)), lambda V, E, N: ([normal(V, E)], [integers(V, N)]),
                    lambda mg, w, ids: mg.embedding(ids, w), lambda F, w, ids: F.embedding(ids, w), lambda jax, w, ids: w[ids],
                    bytes=lambda V, E, N: (8 * N * E, 12 * N * E + 4 * V * E)),
    "dropout": Op(WIDE, lambda R, C: ([np.ones((R, C), np.float32)], []), lambda mg, x: mg.dropout(x, 0.1),
                  lambda F, x: F.dropout(x, 0.1),
                  lambda jax, x: jax.numpy.where(jax.random.bernoulli(jax.random.key(0), 0.9, x.shape), x / np.float32(0.9), 0),
                  bytes=lambda R, C: (8 * R * C, 16 * R * C), random=True),
    "causal attention": Op(HEADS, heads, lambda mg, q, k, v: mg.scaled_dot_product_attention(q, k, v, is_causal=True),
                           lambda F, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
                           lambda jax, q, k, v: jax_attention(jax, q, k, v, np.tri(q.shape[2], dtype=bool)),
                           flops=lambda B, h, T, d: B * h * T * (T + 1) * d),  # two flops, half of the square
    "padded attention": Op(HEADS[:2], padded_heads, lambda mg, q, k, v, mask: mg.scaled_dot_product_attention(q, k, v, mask),
                           lambda F, q, k, v, mask: F.scaled_dot_product_attention(q, k, v, mask), jax_attention,
                           flops=lambda B, h, T, d: 2 * B * h * T * T * d),
}


@dataclass(frozen=True)
class Update:
    """What is done to all parameters of a model after backward: clipping, the step of an optimiser, or both."""

    bytes: int  # a parameter, that have to move
    optimizer: str = ""  # its name in minigrad and in PyTorch
    options: dict = field(default_factory=dict)
    fused: bool = True  # whether PyTorch has it as one kernel on a CPU
    clips: bool = False


ADAMW = {"lr": gpt.LEARNING_RATE, "betas": gpt.BETAS, "eps": gpt.ADAM_EPSILON, "weight_decay": gpt.DECAY}
UPDATES = {
    "AdamW": Update(28, "AdamW", ADAMW),
    "clipping": Update(12, clips=True),
    "clipping and AdamW": Update(32, "AdamW", ADAMW, clips=True),
    "SGD": Update(12, "SGD", {"lr": 1e-4}),
    "SGD momentum": Update(20, "SGD", {"lr": 1e-4, "momentum": 0.9}),
    "SGD Nesterov": Update(20, "SGD", {"lr": 1e-4, "momentum": 0.9, "nesterov": True}),
    "RMSprop": Update(20, "RMSprop", {"lr": 1e-4}, fused=False),
    "Adagrad": Update(20, "Adagrad", {"lr": 1e-4}),
}
MODELS = ("S", "M")  # whose parameters they are


def cases():
    """Every row by its name: what ``build`` needs, and the least work."""
    for name, op in OPS.items():
        for size in op.sizes:
            for mode in MODES:
                case = {"op": name, "size": size, "mode": mode}
                yield f"{name} {'x'.join(map(str, size))}{', forward' * (mode == 'forward')}", case | {"work": work(op, size, mode)}
    for name, update in UPDATES.items():
        for model in MODELS:
            numbers = sum(int(np.prod(shape)) for shape in gpt.shapes(gpt.SIZES[model]).values())
            yield f"{name} {numbers / 1e6:.2g}M", {"update": name, "model": model, "work": ("bytes", update.bytes * numbers)}


def work(op, size, mode):
    """What must be done at least: the products, or every array read and written once in each direction."""
    both = mode == "both"
    if op.flops:
        return "flops", op.flops(*size) * (7 if both else 2)  # backward makes the scores again, and four gradients
    if op.bytes:
        return "bytes", op.bytes(*size)[both]
    arrays, constants = op.inputs(*size)
    read, written = sum(a.nbytes for a in arrays), 0 if constants else arrays[0].nbytes  # a loss is one number
    return "bytes", read + written + both * (written + 2 * read)


def without(case):
    """The libraries that have no such row: optimisers are not compiled by PyTorch, and in JAX there is AdamW alone."""
    if "update" not in case:
        return ()
    return ("torch-compile",) if UPDATES[case["update"]].optimizer in ("", "AdamW") else ("torch-compile", "jax")


def build(library, case):
    """The step of one library: what it returns is the result and the gradients, or the updated arrays."""
    if library == "machine":
        return peak.step(*case["work"])
    name, _, variant = library.partition("-")
    if "update" in case:
        shapes = gpt.shapes(gpt.SIZES[case["model"]])
        parameters = [gpt.weights(name, shape) for name, shape in shapes.items()]
        gradients = [normal(*shape, seed=i) for i, shape in enumerate(shapes.values())]
        update = {"minigrad": update_minigrad, "torch": update_torch, "jax": update_jax}[name]
        return update(UPDATES[case["update"]], parameters, gradients)
    op = OPS[case["op"]]
    arrays, constants = op.inputs(*case["size"])
    return {"minigrad": op_minigrad, "torch": op_torch, "jax": op_jax}[name](op, arrays, constants, case["mode"] == "both", variant)


def op_minigrad(op, arrays, constants, backward, variant):
    import minigrad as mg

    leaves = [mg.tensor(a, requires_grad=backward) for a in arrays]
    g = [mg.tensor(a) for a in cotangent(op.minigrad(mg, *arrays, *constants))]

    def step():
        for leaf in leaves:
            leaf.grad = None
        out = op.minigrad(mg, *leaves, *constants)
        if backward:
            out.backward(*g)
        return [out, *(leaf.grad for leaf in leaves if backward)]

    return step


def op_torch(op, arrays, constants, backward, variant):
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    leaves = [torch.tensor(a, requires_grad=backward) for a in arrays]
    constants = [torch.tensor(a) for a in constants]
    call = lambda *tensors: op.torch(F, *tensors)
    g = [torch.from_numpy(a) for a in cotangent(call(*leaves, *constants).detach().numpy())]
    if variant == "compile":
        torch._dynamo.reset()  # else the ninth op of this process would silently not be compiled
        call = torch.compile(call)

    def step():
        for leaf in leaves:
            leaf.grad = None
        with contextlib.nullcontext() if backward else torch.no_grad():
            out = call(*leaves, *constants)
        if backward:
            out.backward(*g)
        return [out, *(leaf.grad for leaf in leaves if backward)]

    return step


def op_jax(op, arrays, constants, backward, variant):
    import jax

    constants = [jax.numpy.asarray(a) for a in constants]
    forward = lambda *arrays: op.jax(jax, *arrays, *constants)

    def both(arrays, g):
        out, back = jax.vjp(forward, *arrays)
        return [out, *back(*g)]

    arrays = [jax.numpy.asarray(a) for a in arrays]
    g = [jax.numpy.asarray(a) for a in cotangent(forward(*arrays))] or [jax.numpy.float32(1)]
    compiled = jax.jit(both if backward else lambda arrays, g: [forward(*arrays)])
    return lambda: jax.block_until_ready(compiled(arrays, g))


def cotangent(out):
    """The gradient of the result with which backward begins; nothing for a loss."""
    return [normal(*out.shape, seed=9)] if out.shape else []


def update_minigrad(update, parameters, gradients):
    import minigrad as mg

    parameters, gradients = [mg.Parameter(p) for p in parameters], [mg.tensor(g) for g in gradients]
    limit = {"global_clipnorm": gpt.CLIP} if update.clips else {}
    optimizer = update.optimizer and getattr(mg.optim, update.optimizer)(parameters, **update.options, **limit)

    def step():
        for p, g in zip(parameters, gradients):
            p.grad = g
        if not optimizer:
            mg.optim.clip_grad_norm_(parameters, gpt.CLIP)
            return [p.grad for p in parameters]
        optimizer.step()
        return parameters

    return step


def update_torch(update, parameters, gradients):
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    parameters = [torch.nn.Parameter(torch.from_numpy(p)) for p in parameters]
    gradients = [torch.from_numpy(g) for g in gradients]
    how = {"fused": True} if update.fused else {"foreach": True}
    optimizer = update.optimizer and getattr(torch.optim, update.optimizer)(parameters, **update.options, **how)

    def step():
        for p, g in zip(parameters, gradients):
            p.grad = g
        if update.clips:  # in place: from the second step on the norm is at the limit, and takes as long
            torch.nn.utils.clip_grad_norm_(parameters, gpt.CLIP)
        if not optimizer:
            return gradients
        optimizer.step()
        return parameters

    return step


def update_jax(update, parameters, gradients):
    import jax

    from bench import gpt_jax

    gradients = [jax.numpy.asarray(g) for g in gradients]
    state = [jax.numpy.asarray(p) for p in parameters], *([jax.numpy.zeros(p.shape) for p in parameters] for _ in range(2))
    clip = jax.jit(gpt_jax.clip)

    def updated(state, gradients, count):
        gradients = gpt_jax.clip(gradients) if update.clips else gradients
        return gpt_jax.adamw(*state, gradients, count, [True] * len(gradients))

    compiled, count = jax.jit(updated, donate_argnums=0), 0

    def step():
        nonlocal state, count
        if not update.optimizer:
            return jax.block_until_ready(clip(gradients))
        count += 1
        state = jax.block_until_ready(compiled(state, gradients, np.float32(count)))
        return state[0]

    return step


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m bench ops", description=__doc__)
    parser.add_argument("--rows", default="", help="only rows with this text in them, several with ; between (default: all)")
    parser.add_argument("--modes", default=",".join(MODES), help="both, forward (default: %(default)s)")
    parser.add_argument("--threads", default="2,1", help="how many, one after the other (default: %(default)s)")
    parser.add_argument("--peers", default=",".join(PEERS), help="(default: %(default)s)")
    report.add_options(parser, rounds=7, block=0.03, settle=0.05, patience=3)
    options = parser.parse_args(argv)

    libraries = ["minigrad", *report.available(filter(None, options.peers.split(","))), "machine"]
    page, results = report.Page("ops", options.out), []
    for threads in map(int, options.threads.split(",")):
        done = []
        with harness.Team("bench.ops", libraries, threads) as team:
            for name, case in cases():
                if not any(part in name for part in options.rows.split(";")) or case.get("mode", "both") not in options.modes.split(","):
                    continue
                report.progress(f"ops {name}, {threads} threads")
                asked = [library for library in libraries if library not in without(case)]
                measured = team.compare(case, asked, steps=1, **report.timing(options))
                drawn = "op" in case and OPS[case["op"]].random
                limits = dict.fromkeys(libraries, RANDOM if drawn else AGREE)
                done.append(report.result(name, threads, measured, case["work"], limits, drawn))
        report.dashboard(page, f"Operations, {threads} threads", done, libraries)
        results += done
    return report.close(page, results)
