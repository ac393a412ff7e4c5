"""Kernels: arrays in, arrays out; no Tensor and no gradient rule comes here.

Each name exists twice with one signature: in plain NumPy (``reference``), and compiled (``gemm``, ``softmax``, ...).
``pick`` is the one place that chooses. Compiled modules, and Numba with them, are imported at the first call that wants
them.
"""

import functools
import sys
import types

import numpy as np

from minigrad import settings
from minigrad.kernels import making, reference

_MODULES = {
    "gemm": "matmul linear linear_gelu",
    "dense": "linears linear_grad",
    "attention": "attention attention_grad",
    "softmax": "softmax softmax_grad log_softmax log_softmax_grad",
    "norm": "layer_norm layer_norm_grad batch_norm batch_norm_grad scale_columns scaled_columns_sums sum_rows multiply_sum_rows",
    "loss": "cross_entropy",
    "activation": "gelu gelu_gate gelu_gate_grad silu silu_gate silu_gate_grad sigmoid sigmoid_grad where_positive",
    "embedding": "embedding_grad",
    "rotary": "rotary",
    "random": "dropout",
    "optimizers": "sgd adam rmsprop adagrad lion grad_norm scaled",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}
_FLOATS = np.dtype(np.float32), np.dtype(np.float64)


def pick(name, *arrays):
    """The function that computes kernel ``name`` on these arrays: compiled where they share float32 or float64."""
    dtype = arrays[0].dtype if arrays else _FLOATS[0]
    if settings.kernels() != "numba" or dtype not in _FLOATS or not making.numba_compiles():
        return getattr(reference, name)
    for a in arrays:
        if a is not None and a.dtype is not dtype and a.dtype != dtype:
            return getattr(reference, name)
    return _compiled(name)


@functools.cache
def _compiled(name):
    return getattr(making.module(_MODULE_OF[name]), name)


class _Door(types.ModuleType):
    """Keeps its functions: importing the submodule ``softmax`` must not put it in the place of the function."""

    def __setattr__(self, name, value):
        if not (name in _MODULE_OF and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Door


class Lasting(tuple):
    """Arrays that change from step to step, but are not replaced: a kernel looks at them once, and keeps here what it has found."""

    found = None


# ---- the kernels: meaning and formulas are in ``reference``


def matmul(a, b, precision=None):
    """(..., M, K) @ (..., K, N) -> (..., M, N); in that of `settings.matmul_precision` where no precision is given."""
    return pick("matmul", a, b)(a, b, _precision(precision, a, b))


def linear(x, w, b=None, plus=None, precision=None):
    """x (..., K) @ w (K, N) + b (N,) + plus (..., N) -> (..., N)."""
    return pick("linear", x, w, b, plus)(x, w, b, plus, _precision(precision, x, w))


def linear_gelu(x, w, b, approximate, precision=None):
    """y = gelu(x (..., K) @ w (K, N) + b (N,)) -> y (..., N), gelu's derivative (..., N)."""
    return pick("linear_gelu", x, w, b)(x, w, b, approximate, _precision(precision, x, w))


def linears(x, ws, bs, precision=None):
    """x (..., K) @ w (K, N) + b (N,) or None, for each of several w and b -> a list of (..., N)."""
    return pick("linears", x, *ws, *bs)(x, ws, bs, _precision(precision, x, ws[0]))


def linear_grad(gs, x, ws, wanted, times=None, precision=None):
    """Gradients of linears: of x, in all ``times`` (..., K), of w_1, b_1, w_2, ...; None where not ``wanted``; g = None brings nothing."""
    return pick("linear_grad", x, *gs, *ws, times)(gs, x, ws, wanted, times, _precision(precision, x, ws[0]))


def _precision(given, a, b):
    """In which precision a and b are multiplied: None is their own. Only float32, in any order of bytes, is ever rounded."""
    name = given or settings.matmul_precision()
    return name if name != "float32" and a.dtype.char == b.dtype.char == "f" else None


def attention(q, k, v, causal, scale, mask=None, bias=None, rate=0.0, seed=0, offset=0):
    """q (B,h,T,dq), k (B,r,S,dq), v (B,r,S,dv) -> out (B,h,T,dv), a view of a contiguous (B,T,h,dv); lse (B,h,T)."""
    return pick("attention", q, k, v, bias)(q, k, v, causal, scale, mask, bias, rate, seed, offset)


def attention_grad(g, q, k, v, out, lse, causal, scale, mask=None, bias=None, rate=0.0, seed=0, offset=0, bias_wanted=True):
    """Gradients of attention -> dq (B,h,T,dq), dk (B,r,S,dq), dv (B,r,S,dv), dbias as bias or None."""
    grad = pick("attention_grad", g, q, k, v, out, lse, bias)
    return grad(g, q, k, v, out, lse, causal, scale, mask, bias, rate, seed, offset, bias_wanted)


def softmax(x, where=None):
    """Softmax along the last axis; entries where ``where`` is False get 0.   (..., N) -> (..., N)."""
    return pick("softmax", x)(x, where)


def softmax_grad(g, y):
    """y (g - sum(g y)).   (..., N) -> (..., N)."""
    return pick("softmax_grad", g, y)(g, y)


def log_softmax(x):
    """x - log sum exp(x) along the last axis.   (..., N) -> (..., N)."""
    return pick("log_softmax", x)(x)


def log_softmax_grad(g, y):
    """g - exp(y) sum(g).   (..., N) -> (..., N)."""
    return pick("log_softmax_grad", g, y)(g, y)


def layer_norm(x, gamma, beta, eps, centred=True):
    """x (..., E), gamma (E,) or None, beta (E,) or None -> y (..., E), mean less the row's first (...), rstd (...).

    Without ``centred`` it is RMS normalization.
    """
    return pick("layer_norm", x, gamma, beta)(x, gamma, beta, eps, centred)


def layer_norm_grad(g, x, gamma, mean, rstd, centred=True, into=None):
    """Gradients of layer_norm -> dx (..., E), added to ``into`` where that can be done in place, dgamma (E,), dbeta (E,)."""
    return pick("layer_norm_grad", g, x, gamma, mean, rstd, into)(g, x, gamma, mean, rstd, centred, into)


def batch_norm(x, gamma, beta, eps):
    """x (..., F), gamma (F,) or None, beta (F,) or None -> y (..., F), mean less the first row (F,), rstd (F,), var (F,)."""
    return pick("batch_norm", x, gamma, beta)(x, gamma, beta, eps)


def batch_norm_grad(g, x, gamma, mean, rstd):
    """Gradients of batch_norm -> dx (..., F), dgamma (F,), dbeta (F,)."""
    return pick("batch_norm_grad", g, x, gamma, mean, rstd)(g, x, gamma, mean, rstd)


def scale_columns(x, mean, scale, beta):
    """(x - mean) scale + beta.   (..., F), (F,), (F,), (F,) or None -> (..., F)."""
    return pick("scale_columns", x, mean, scale, beta)(x, mean, scale, beta)


def scaled_columns_sums(g, x, mean):
    """Sums of g (x - mean), and of g.   (..., F), (..., F), (F,) -> (F,), (F,)."""
    return pick("scaled_columns_sums", g, x, mean)(g, x, mean)


def sum_rows(g):
    """Column sums.   (..., N) -> (N,)."""
    return pick("sum_rows", g)(g)


def multiply_sum_rows(x, y):
    """x * y, and its column sums.   (..., N), (..., N) -> (..., N), (N,)."""
    return pick("multiply_sum_rows", x, y)(x, y)


def cross_entropy(logits, targets, weight=None, smoothing=0.0, g=None):
    """logits (N, V), targets int64 (N,), below 0 for none, weight (V,) or None, g (N,), (1,) or None -> losses (N,), lse (N,), d.

    d (N, V) is the gradient of sum(g losses) with respect to the logits, None without g.
    """
    return pick("cross_entropy", logits, weight, g)(logits, targets, weight, smoothing, g)


def gelu(x, approximate):
    """``approximate`` is "none" or "tanh" -> y (...), its derivative (...)."""
    return pick("gelu", x)(x, approximate)


def gelu_gate(value, gate, approximate):
    """value gelu(gate).   (...), (...) -> (...)."""
    return pick("gelu_gate", value, gate)(value, gate, approximate)


def gelu_gate_grad(g, value, gate, approximate):
    """Gradients of gelu_gate with respect to value and gate.   (...), (...), (...) -> (...), (...)."""
    return pick("gelu_gate_grad", g, value, gate)(g, value, gate, approximate)


def silu(x):
    """x times its sigmoid -> y (...), its derivative (...)."""
    return pick("silu", x)(x)


def silu_gate(value, gate):
    """value silu(gate).   (...), (...) -> (...)."""
    return pick("silu_gate", value, gate)(value, gate)


def silu_gate_grad(g, value, gate):
    """Gradients of silu_gate with respect to value and gate.   (...), (...), (...) -> (...), (...)."""
    return pick("silu_gate_grad", g, value, gate)(g, value, gate)


def sigmoid(x):
    """1 / (1 + exp(-x)).   (...) -> (...)."""
    return pick("sigmoid", x)(x)


def sigmoid_grad(g, y):
    """Gradient of the sigmoid y: g y (1 - y).   (...), (...) -> (...)."""
    return pick("sigmoid_grad", g, y)(g, y)


def where_positive(g, x, slope):
    """g where x > 0, else slope g.   (...), (...) -> (...)."""
    return pick("where_positive", g, x)(g, x, slope)


def rotary(x, cos, sin):
    """[x1 cos - x2 sin, x2 cos + x1 sin] of x = [x1, x2].   (..., T, d), (..., T, d/2) twice -> (..., T, d)."""
    return pick("rotary", x, cos, sin)(x, cos, sin)


def embedding_grad(g, ids, V, into=None):
    """Rows of g (..., E) added up per id of ids int64 (...) -> (V, E); or added to ``into`` (V, E), where that can be done in place."""
    return pick("embedding_grad", g, into)(g, ids, V, into)


def dropout(x, rate, seed, offset):
    """Each element kept with probability 1 - rate and divided by it; the same choice for the same seed and offset."""
    return pick("dropout", x)(x, rate, seed, offset)


def sgd(params, grads, velocity, lr, momentum, rest, nesterov, decay, grad_scale=1.0):
    """One step of gradient descent in place on params and velocity, lists of arrays; velocity None: without momentum."""
    update = pick("sgd", *params, *grads)
    update(params, grads, velocity, lr, momentum, rest, nesterov, decay, grad_scale)


def adam(params, grads, m, v, top, lr, beta1, beta2, eps, step, decay, decoupled, grad_scale=1.0):
    """One step of Adam, or with ``decoupled`` AdamW, in place on params, m, v and top, lists of arrays; top None: without amsgrad."""
    update = pick("adam", *params, *grads)
    update(params, grads, m, v, top, lr, beta1, beta2, eps, step, decay, decoupled, grad_scale)


def rmsprop(params, grads, v, mean, velocity, lr, alpha, eps, momentum, decay, grad_scale=1.0):
    """One step of RMSprop in place on params, v, mean and velocity, lists of arrays; mean None: not centred; velocity None: no momentum."""
    update = pick("rmsprop", *params, *grads)
    update(params, grads, v, mean, velocity, lr, alpha, eps, momentum, decay, grad_scale)


def adagrad(params, grads, total, lr, eps, decay, grad_scale=1.0):
    """One step of Adagrad in place on params and total, lists of arrays."""
    pick("adagrad", *params, *grads)(params, grads, total, lr, eps, decay, grad_scale)


def lion(params, grads, m, lr, beta1, beta2, decay, grad_scale=1.0):
    """One step of Lion in place on params and m, lists of arrays."""
    pick("lion", *params, *grads)(params, grads, m, lr, beta1, beta2, decay, grad_scale)


def grad_norm(grads):
    """The 2-norm of all arrays together, as a float."""
    return pick("grad_norm", *grads)(grads)


def scaled(arrays, factor):
    """All arrays times a factor, as a list of new arrays."""
    return pick("scaled", *arrays)(arrays, factor)


def decode_program():
    """An empty program for the steps that lead to the next token; see `reference.DecodeProgram`."""
    if settings.kernels() != "numba" or not making.numba_compiles():
        return reference.DecodeProgram()
    return making.module("decode").DecodeProgram()
