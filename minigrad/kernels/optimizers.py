"""The steps of optimisers for all parameters of a model in one launch, and the norm of all gradients.

The arrays are cut into chunks of a fixed size, which threads share, whichever arrays they belong to. One kernel walks over
the chunks and calls a formula, which knows its own chunk and nothing of the walk. Asking hundreds of arrays for their addresses
would take longer than the update of a small model, so the walk gets the array objects and looks the addresses up itself.
"""

import functools
import math

import numpy as np
from numpy import ndarray

from minigrad.kernels import Lasting
from minigrad.kernels.compile import doubles, floats, helper, integers, kernel, run
from minigrad.kernels.memory import empty_like
from minigrad.kernels.pool import DATA, invoke
from minigrad.kernels.simd import at, constant, copysign, maximum, pointer, row, share, sqrt

_CHUNK = 1 << 14  # elements


def sgd(params, grads, velocity, lr, momentum, rest, nesterov, decay, grad_scale=1.0):
    """See `reference.sgd`: one step, in place on params and velocity (lists of C-contiguous arrays)."""
    formula = _sgd(int(velocity is not None), int(nesterov))
    _update(formula, [params, grads, velocity], decay, grad_scale, lr, momentum, rest)


def adam(params, grads, m, v, top, lr, beta1, beta2, eps, step, decay, decoupled, grad_scale=1.0):
    """See `reference.adam`: one step, in place on params, m, v and top (lists of C-contiguous arrays)."""
    pull, shrink = (0.0, lr) if decoupled else (1.0, 0.0)
    factor, inverse = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    rates = factor, inverse, eps, beta1, 1 - beta1, beta2, 1 - beta2, pull, shrink
    _update(_adam(int(top is not None)), [params, grads, m, v, top], decay, grad_scale, *rates)


def rmsprop(params, grads, v, mean, velocity, lr, alpha, eps, momentum, decay, grad_scale=1.0):
    """See `reference.rmsprop`: one step, in place on params, v, mean and velocity (lists of C-contiguous arrays)."""
    formula = _rmsprop(int(mean is not None), int(velocity is not None))
    _update(formula, [params, grads, v, mean, velocity], decay, grad_scale, lr, alpha, 1 - alpha, eps, momentum)


def adagrad(params, grads, total, lr, eps, decay, grad_scale=1.0):
    """See `reference.adagrad`: one step, in place on params and total (lists of C-contiguous arrays)."""
    _update(_adagrad, [params, grads, total], decay, grad_scale, lr, eps)


def lion(params, grads, m, lr, beta1, beta2, decay, grad_scale=1.0):
    """See `reference.lion`: one step, in place on params and m (lists of C-contiguous arrays)."""
    _update(_lion, [params, grads, m], decay, grad_scale, lr, beta1, 1 - beta1, beta2, 1 - beta2)


def grad_norm(grads):
    """See `reference.grad_norm`.   list of (...) -> float"""
    if not grads:
        return 0.0
    grads = [np.asarray(g, order="C") for g in grads]
    sizes, objects = _look(grads)
    chunks, work = _chunks(tuple(sizes), grads[0].itemsize)
    sums = np.empty(len(chunks))
    _run(_sum_squares, [grads], [objects], chunks, work, sums=sums)
    return math.sqrt(sums.sum())


def scaled(arrays, factor):
    """See `reference.scaled`.   list of (...) -> list of (...)"""
    results = [empty_like(a) for a in arrays]
    _update(_scaled, [results, arrays], [0.0] * len(arrays), factor)
    return results


def _update(formula, lists, decay, *rates):
    """Change the arrays of all lists but the second, the gradients, by a formula; what is None is left out."""
    lists = [arrays for arrays in lists if arrays is not None]
    if not lists[0]:
        return
    like, looks = lists[0][0], [_look(arrays) for arrays in lists]
    sizes = looks[0][0]
    if looks[1][0] != sizes:
        lists[1] = [np.asarray(g, order="C") for g in lists[1]]
        looks[1] = _look(lists[1])
    # a kernel that writes to memory looks twice at what it is given
    if any([found != sizes for found, _ in looks]) or len(sizes) != len(lists[0]):
        shown = [[(np.shape(a), getattr(a, "dtype", None), getattr(a, "strides", None)) for a in arrays] for arrays in lists]
        raise ValueError(
            "optimizers: parameters, gradients and states are lists of arrays of equal shapes and one dtype, and all but gradients "
            f"C-contiguous, because they change in place. Received: {shown}."
        )
    chunks, work = _chunks(tuple(sizes), like.itemsize)
    objects = [objects for _, objects in looks]
    _run(formula, lists, objects, chunks, len(lists) * work, np.array(decay, like.dtype), np.array(rates, like.dtype))


def _look(arrays):
    """How many bytes each array has, left out what is none or does not lie in one piece, and where the array objects are."""
    found = getattr(arrays, "found", None)
    if found is None:
        sizes = [a.nbytes for a in arrays if type(a) is ndarray and a.flags.c_contiguous]
        found = sizes, np.fromiter(map(id, arrays), np.int64, len(arrays))
        if type(arrays) is Lasting:
            arrays.found = found
    return found


def _run(formula, lists, objects, chunks, work, decay=None, rates=None, sums=None):
    """Call a formula for all chunks of the arrays in lists of equal lengths."""
    like, places = lists[0][0], np.concatenate(objects)
    run(
        _walk, len(chunks), work, like, formula.address(like.dtype), places, DATA, len(lists), len(lists[0]), chunks, len(chunks),
        decay, rates, sums,
    )  # fmt: skip


@functools.lru_cache(maxsize=16)
def _chunks(sizes, itemsize):
    """Arrays of so many bytes cut into chunks: (which array, from where, how long) of each, and how many elements all have."""
    sizes = [size // itemsize for size in sizes]
    cut = [(k, start, min(_CHUNK, n - start)) for k, n in enumerate(sizes) for start in range(0, n, _CHUNK)]
    return np.array(cut, np.int64).reshape(-1, 3), sum(sizes)


@kernel
def _walk(
    t: int, nt: int, like: floats, formula: int, objects: integers, offset: int, lists: int, count: int, chunks: integers, n: int,
    decay: floats, rates: floats, sums: doubles,
):  # fmt: skip
    first, last = share(t, nt, n)
    for c in range(first, last):
        k, start, length = chunks[3 * c], chunks[3 * c + 1], chunks[3 * c + 2]
        invoke(formula, (
            length, at(decay, k), rates, at(sums, c),
            _part(objects, 0, lists, count, k, offset, start, like), _part(objects, 1, lists, count, k, offset, start, like),
            _part(objects, 2, lists, count, k, offset, start, like), _part(objects, 3, lists, count, k, offset, start, like),
            _part(objects, 4, lists, count, k, offset, start, like),
        ))  # fmt: skip


@helper
def _part(objects, which, lists, count, k, offset, start, like):
    """Where element `start` of array k of a list is; nowhere, if there are fewer lists."""
    if which >= lists:
        return pointer(0, like)
    data = pointer(objects[which * count + k] + offset, objects)[0]
    return at(pointer(data, like), start)


# ---- formulas, each for `n` elements of one parameter: its weight decay, the rates that all have in common, a place for a sum,
# and as many arrays as it declares


@functools.cache
def _sgd(momentum, nesterov):
    @kernel
    def sgd(n: int, decay: floats, rates: floats, sums: doubles, p: floats, g: floats, velocity: floats):
        p, g, velocity = row(p, 0, n), row(g, 0, n), row(velocity, 0, n)
        scale, lr, kept, rest, pull = rates[0], rates[1], rates[2], rates[3], decay[0]
        for i in range(n):
            gi = scale * g[i] + pull * p[i]
            if momentum:
                vi = kept * velocity[i] + rest * gi
                velocity[i] = vi
                gi = gi + kept * vi if nesterov else vi
            p[i] -= lr * gi

    return sgd


@functools.cache
def _adam(amsgrad):
    @kernel
    def adam(n: int, decay: floats, rates: floats, sums: doubles, p: floats, g: floats, m: floats, v: floats, top: floats):
        p, g, m, v, top = row(p, 0, n), row(g, 0, n), row(m, 0, n), row(v, 0, n), row(top, 0, n)
        scale, factor, inverse, eps, b1, r1, b2, r2 = rates[0], rates[1], rates[2], rates[3], rates[4], rates[5], rates[6], rates[7]
        pull, shrink = rates[8] * decay[0], rates[9] * decay[0]
        for i in range(n):
            gi = scale * g[i] + pull * p[i]
            mi = b1 * m[i] + r1 * gi  # a name of its own: what is stored would be read again, at twice the time
            vi = b2 * v[i] + r2 * gi * gi
            m[i] = mi
            v[i] = vi
            if amsgrad:
                vi = maximum(top[i], vi)
                top[i] = vi
            p[i] -= shrink * p[i] + factor * mi / (sqrt(vi) * inverse + eps)

    return adam


@functools.cache
def _rmsprop(centered, momentum):
    @kernel
    def rmsprop(n: int, decay: floats, rates: floats, sums: doubles, p: floats, g: floats, v: floats, mean: floats, velocity: floats):
        velocity = row(velocity if centered else mean, 0, n)  # the lists that there are stand close together
        p, g, v, mean = row(p, 0, n), row(g, 0, n), row(v, 0, n), row(mean, 0, n)
        scale, lr, alpha, rest, eps, kept, pull = rates[0], rates[1], rates[2], rates[3], rates[4], rates[5], decay[0]
        for i in range(n):
            gi = scale * g[i] + pull * p[i]
            vi = alpha * v[i] + rest * gi * gi
            v[i] = vi
            if centered:
                mi = alpha * mean[i] + rest * gi
                mean[i] = mi
                vi = maximum(vi - mi * mi, constant(0, mi))  # rounding can take a variance of 0 below it
            move = gi / (sqrt(vi) + eps)
            if momentum:
                move += kept * velocity[i]
                velocity[i] = move
            p[i] -= lr * move

    return rmsprop


@kernel
def _adagrad(n: int, decay: floats, rates: floats, sums: doubles, p: floats, g: floats, total: floats):
    p, g, total = row(p, 0, n), row(g, 0, n), row(total, 0, n)
    scale, lr, eps, pull = rates[0], rates[1], rates[2], decay[0]
    for i in range(n):
        gi = scale * g[i] + pull * p[i]
        squares = total[i] + gi * gi
        total[i] = squares
        p[i] -= lr * gi / (sqrt(squares) + eps)


@kernel
def _lion(n: int, decay: floats, rates: floats, sums: doubles, p: floats, g: floats, m: floats):
    p, g, m = row(p, 0, n), row(g, 0, n), row(m, 0, n)
    scale, lr, b1, r1, b2, r2 = rates[0], rates[1], rates[2], rates[3], rates[4], rates[5]
    shrink = lr * decay[0]
    for i in range(n):
        gi, mi = scale * g[i], m[i]
        ahead = b1 * mi + r1 * gi
        sign = ahead if ahead == 0 or ahead != ahead else copysign(constant(1, ahead), ahead)  # NaN and 0 have no sign
        m[i] = b2 * mi + r2 * gi
        p[i] -= shrink * p[i] + lr * sign


@kernel
def _sum_squares(n: int, decay: floats, rates: floats, sums: doubles, g: floats):
    g = row(g, 0, n)
    total = 0.0
    for i in range(n):
        total += np.float64(g[i]) * np.float64(g[i])
    sums[0] = total


@kernel
def _scaled(n: int, decay: floats, rates: floats, sums: doubles, result: floats, a: floats):
    result, a = row(result, 0, n), row(a, 0, n)
    factor = rates[0]
    for i in range(n):
        result[i] = factor * a[i]
