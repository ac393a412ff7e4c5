"""Every kernel in plain NumPy: the meaning of the fast kernels, the oracle of their tests, and the fall-back.

Arrays in, arrays out. Results are new, C-contiguous and of the input's float type; inputs are never written to
(the steps of optimisers excepted). Rows are the last axis. Shape letters: B batch, T queries, S keys, h heads, dq and dv widths of a
head, E features, N rows, V vocabulary; "..." any leading axes.
"""

import contextlib
import functools
import math

import numpy as np

# ---- matrix products


def matmul(a, b, precision=None):
    """Matrix product over the last two axes, leading axes broadcast.   (..., M, K), (..., K, N) -> (..., M, N)

    With the precision "bfloat16" of a and b rounded to that, their products added up in float32; so for all products.
    """
    if precision == "bfloat16":
        a, b = bfloat16(a), bfloat16(b)
    return np.ascontiguousarray(np.matmul(a, b))


def linear(x, w, b=None, plus=None, precision=None):
    """`x w + b + plus` for every row of x.   (..., K), (K, N), (N,), (..., N) -> (..., N)"""
    y = matmul(x, w, precision)
    y = y if b is None else y + b
    return y if plus is None else np.ascontiguousarray(y + plus)


def linear_gelu(x, w, b, approximate, precision=None):
    """`gelu(x w + b)` for every row of x, and gelu's derivative there.   (..., K), (K, N), (N,) -> (..., N), (..., N)"""
    return gelu(linear(x, w, b, None, precision), approximate)


def linears(x, ws, bs, precision=None):
    """`x w + b` for each of several w and b.   (..., K), (K, N) each, (N,) or None each -> (..., N) each"""
    return [linear(x, w, b, None, precision) for w, b in zip(ws, bs)]


def linear_grad(gs, x, ws, wanted, times=None, precision=None):
    """Gradients of `linears`: of x, of the first w and b, of the second ..., None where it is not `wanted` or g is None.

    (..., N) or None each, (..., K), (K, N) each -> [(..., K), (K, N), (N,), ...]

        dx = (g_1 w_1^T + g_2 w_2^T + ...) * times        dw_i = x^T g_i        db_i = sum of the rows of g_i

    With `times` (..., K), what x itself is a function of has its derivative there.
    """
    rows, gradients = x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), [None]
    for g, w, want_w, want_b in zip(gs, ws, wanted[1::2], wanted[2::2]):
        if g is not None and wanted[0]:
            through = matmul(g, w.T, precision).reshape(x.shape)  # (..., N)(N, K) -> (..., K)
            gradients[0] = through if gradients[0] is None else gradients[0] + through
        g_rows = None if g is None else g.reshape(len(rows), g.shape[-1])
        gradients.append(matmul(rows.T, g_rows, precision) if g is not None and want_w else None)  # (K, R)(R, N) -> (K, N)
        gradients.append(sum_rows(g_rows) if g is not None and want_b else None)
    if times is not None and gradients[0] is not None:
        gradients[0] = gradients[0] * times
    return gradients


def bfloat16(x):
    """float32 numbers rounded to 8 bits of precision, ties to even; what is below 2**-126 becomes 0.   (...) -> (...)

    >>> bfloat16(np.float32([1 + 2**-8, 1 + 3 * 2**-8, 3.4e38, 1e-40]))
    array([1.      , 1.015625,      inf, 0.      ], dtype=float32)
    """
    x = np.asarray(x, np.float32, order="C")  # in the machine's order of bytes, like the bits
    bits = x.view(np.uint32)
    rounded = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)
    rounded = np.where(np.abs(x) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), x), rounded)
    return np.where(np.isnan(x), x, rounded)


# ---- attention


def attention(q, k, v, causal, scale, mask=None, bias=None, rate=0.0, seed=0, offset=0):
    """Scaled dot-product attention of every head, and the log-sum-exp of every query's scores.

    (B, h, T, dq), (B, r, S, dq), (B, r, S, dv) -> out (B, h, T, dv), lse (B, h, T)

        out = dropout(softmax(scale q k' + bias)) v            lse = log sum_s exp(scale q k' + bias)

    With `causal`, query t sees the keys s <= t, and with a boolean `mask`, those where it is True; `mask` and `bias`
    broadcast to (B, h, T, S). A query that sees nothing gets zeros, and what it does not see, NaN or not, changes
    nothing. The h / r query heads of a group share a head of k and v. `dropout` chooses weights as the function of that
    name does for a (B, h, T, S) array. `out` is a view of a contiguous (B, T, h, dv) array, so that merging the heads
    costs nothing.
    """
    scores = _scores(q, k, causal, scale, mask, bias)
    lse = np.where((scores == -np.inf).all(axis=-1), scores.dtype.type(-np.inf), _log_sum_exp(scores))
    # exp(scores - lse) instead of softmax would not add up to 1 where lse is large
    weights = softmax(scores, np.ones((), bool))
    weights = dropout(weights, rate, seed, offset) if rate else weights
    out = _heads_last(q, v.shape[-1])
    out[...] = _weighted(weights, _repeated(v, q))  # (B,h,T,S) (B,h,S,dv) -> (B,h,T,dv)
    return out, lse


def attention_grad(
    g, q, k, v, out, lse, causal, scale, mask=None, bias=None, rate=0.0, seed=0, offset=0, bias_wanted=True
):  # fmt: skip
    """Gradients of `attention` with respect to q, k, v and bias, given that of its output, g (B, h, T, dv).

        p = exp(scale q k' + bias - lse)      ds = p (dropout(g v') - sum(g out))
        dq = scale ds k        dk = scale ds' q        dv = dropout(p)' g        dbias = ds

    The first three are views of contiguous (B, T or S, heads, width) arrays; that of the bias, if there is one and its
    gradient is wanted, has the shape of the bias: sums over the axes along which it was broadcast.
    """
    p = np.exp(_scores(q, k, causal, scale, mask, bias) - np.where(lse == -np.inf, np.inf, lse)[..., None])  # (B,h,T,S)
    with np.errstate(invalid="ignore"):
        dp = np.matmul(g, _repeated(v, q).swapaxes(-1, -2))  # (B,h,T,dv) (B,h,dv,S) -> (B,h,T,S)
        dp = dropout(dp, rate, seed, offset) if rate else dp
        ds = np.where(p == 0, p, p * (dp - (g * out).sum(axis=-1, keepdims=True)))
    kept = dropout(p, rate, seed, offset) if rate else p
    dq, dk, dv = _heads_last(q, q.shape[-1]), _heads_last(k, k.shape[-1]), _heads_last(v, v.shape[-1])
    dq[...] = _weighted(ds * scale, _repeated(k, q))  # (B,h,T,S) (B,h,S,dq) -> (B,h,T,dq)
    dk[...] = _shared(_weighted((ds * scale).swapaxes(-1, -2), q), k)  # (B,h,S,T) (B,h,T,dq) -> (B,r,S,dq)
    dv[...] = _shared(_weighted(kept.swapaxes(-1, -2), g), v)  # (B,h,S,T) (B,h,T,dv) -> (B,r,S,dv)
    if bias is None or not bias_wanted:
        return dq, dk, dv, None
    along = (1,) * (4 - bias.ndim) + bias.shape
    broadcast = tuple([axis for axis, n in enumerate(along) if n == 1])
    return dq, dk, dv, ds.sum(axis=broadcast, keepdims=True).reshape(bias.shape)


def _scores(q, k, causal, scale, mask, bias):
    """scale q k' + bias, with -inf where a query may not look.   -> (B, h, T, S)"""
    with np.errstate(invalid="ignore"):
        scores = np.matmul(q, _repeated(k, q).swapaxes(-1, -2)) * scale  # (B,h,T,dq) (B,h,dq,S) -> (B,h,T,S)
        if bias is not None:
            scores += bias
    if mask is not None:
        scores[~np.broadcast_to(mask, scores.shape)] = -np.inf
    if causal:
        scores[..., ~np.tri(*scores.shape[-2:], dtype=bool)] = -np.inf
    return scores


def _weighted(weights, x):
    """weights x, where a weight of 0 takes nothing, not even of what is not finite.   (..., T, S) (..., S, d) -> (..., T, d)"""
    finite = np.isfinite(x)
    if finite.all():
        return np.matmul(weights, x)
    with np.errstate(invalid="ignore"):
        out = np.matmul(weights, np.where(finite, x, 0))
        for s in np.flatnonzero(~finite.all(axis=(*range(x.ndim - 2), -1))):
            weight, row = weights[..., s, None], np.where(finite, 0, x)[..., s, None, :]  # (..., T, 1), (..., 1, d)
            out += np.where((weight == 0) | np.isfinite(row), 0, weight * row)
    return out


def _repeated(x, q):
    """Every head of x as often as heads of q share it.   (B, r, S, width) -> (B, h, S, width)"""
    return x if x.shape[1] == q.shape[1] else np.repeat(x, q.shape[1] // x.shape[1], axis=1)


def _shared(x, like):
    """Sums over the heads that share one.   (B, h, S, width) -> (B, r, S, width)"""
    B, r, S, width = like.shape
    return x if x.shape[1] == r else x.reshape(B, r, -1, S, width).sum(axis=2)  # (B,h,..) -> (B,r,h/r,..) -> (B,r,..)


def _heads_last(like, width):
    """An empty (B, h, T, width) view of a contiguous (B, T, h, width) array."""
    batch, heads, length, _ = like.shape
    return np.empty((batch, length, heads, width), like.dtype).transpose(0, 2, 1, 3)  # (B,T,h,d) -> (B,h,T,d)


# ---- rows: softmax, normalization, loss


def softmax(x, where=None):
    """exp(x) / sum exp(x) along the last axis.   (..., N) -> (..., N)

    Entries where the boolean `where` (broadcast to x) is False count as -inf and get exactly 0; a row that has
    nothing left is all zeros. Without `where` a row of -inf is NaN, as its formula says.
    """
    x = np.asarray(x, order="C")
    if where is not None:
        x = np.where(np.broadcast_to(where, x.shape), x, -np.inf)
    top = x.max(axis=-1, keepdims=True, initial=-np.inf)
    if where is not None:
        top[top == -np.inf] = 0
    with np.errstate(invalid="ignore"):
        e = np.exp(x - top)
        total = e.sum(axis=-1, keepdims=True)
        if where is not None:
            total[total == 0] = 1
        return e / total


def softmax_grad(g, y):
    """Gradient of softmax from its output y: y (g - sum(g y)).   (..., N), (..., N) -> (..., N)"""
    g, y = np.asarray(g, order="C"), np.asarray(y, order="C")
    return y * (g - (g * y).sum(axis=-1, keepdims=True))


def log_softmax(x):
    """x - log sum exp(x) along the last axis.   (..., N) -> (..., N)"""
    x = np.asarray(x, order="C")
    with np.errstate(invalid="ignore"):
        return x - _log_sum_exp(x)[..., None]


def log_softmax_grad(g, y):
    """Gradient of log_softmax from its output y: g - exp(y) sum(g).   (..., N), (..., N) -> (..., N)"""
    g, y = np.asarray(g, order="C"), np.asarray(y, order="C")
    return g - np.exp(y) * g.sum(axis=-1, keepdims=True)


def _log_sum_exp(x):
    """log sum exp(x) along the last axis, without overflow; -inf for a row of nothing, or of -inf.   (..., N) -> (...)"""
    top = x.max(axis=-1, keepdims=True, initial=-np.inf)
    top = np.where(top == -np.inf, 0, top).astype(x.dtype)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log(np.exp(x - top).sum(axis=-1)) + top[..., 0]


def layer_norm(x, gamma, beta, eps, centred=True):
    """Every row shifted to mean 0, divided by its standard deviation, times gamma, plus beta.

    (..., E), gamma (E,) or None, beta (E,) or None -> y (..., E), mean (...), rstd (...)

        rstd = 1 / sqrt(var + eps)        y = (x - mean) rstd gamma + beta

    The mean is given less the first element of the row: far from 0 the mean itself would be known to too few digits, while
    differences of neighbours are exact. Without `centred` nothing is subtracted, which is RMS normalization:
    rstd = 1 / sqrt(mean(x^2) + eps), and the mean that is given is 0.
    """
    x = np.asarray(x, order="C")
    count = max(x.shape[-1], 1)
    mean = np.zeros((*x.shape[:-1], 1), x.dtype)
    shifted = _from_first(x, centred)
    if centred:
        mean = shifted.sum(axis=-1, keepdims=True) / count
        shifted = shifted - mean
    with np.errstate(divide="ignore", invalid="ignore"):
        rstd = 1 / np.sqrt(np.square(shifted).sum(axis=-1, keepdims=True) / count + eps)
        y = shifted * rstd
    if gamma is not None:
        y = y * gamma
    if beta is not None:
        y = y + beta
    return y, mean[..., 0], rstd[..., 0]


def layer_norm_grad(g, x, gamma, mean, rstd, centred=True, into=None):
    """Gradients of layer_norm with respect to x, gamma and beta.

    g, x (..., E), gamma (E,) or None, mean and rstd (...) of `layer_norm` -> dx (..., E), dgamma (E,), dbeta (E,)

        n = (x - mean) rstd        dn = g gamma
        dx = rstd (dn - mean(dn) - n mean(dn n))        dgamma = sum g n        dbeta = sum g

    without mean(dn) where the forward was not `centred`. dx is a new array, or added to `into` (..., E).
    """
    g, x = np.asarray(g, order="C"), np.asarray(x, order="C")
    count = max(x.shape[-1], 1)
    rstd = rstd[..., None]
    n = (_from_first(x, centred) - mean[..., None]) * rstd
    dn = g if gamma is None else g * gamma
    dx = dn - n * ((dn * n).sum(axis=-1, keepdims=True) / count)
    if centred:
        dx = dx - dn.sum(axis=-1, keepdims=True) / count
    dx = rstd * dx
    if into is not None:
        into += dx
        dx = into
    return dx, sum_rows(g * n), sum_rows(g)


def _from_first(x, centred):
    """Every row less its first element, or as it is."""
    with np.errstate(invalid="ignore"):
        return x - x[..., :1] if centred else x


def batch_norm(x, gamma, beta, eps):
    """Every column shifted to mean 0, divided by its standard deviation, times gamma, plus beta.

    (..., F), gamma (F,) or None, beta (F,) or None -> y (..., F), mean (F,), rstd (F,), var (F,)

    As `layer_norm`, with the mean less the first row. Statistics are added up in float64.
    """
    x = np.asarray(x, order="C")
    rows = x.reshape(-1, x.shape[-1]) if x.size else np.zeros((0, x.shape[-1]), x.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        shifted = (rows - rows[:1]).astype(np.promote_types(x.dtype, np.float64))
        mean = shifted.sum(axis=0) / max(len(rows), 1)
        var = np.square(shifted - mean).sum(axis=0) / max(len(rows), 1)
        mean, rstd = mean.astype(x.dtype), (1 / np.sqrt(var + eps)).astype(x.dtype)
        y = (rows - rows[:1] - mean) * (rstd if gamma is None else rstd * gamma)
    with np.errstate(over="ignore"):  # half precision
        return (y if beta is None else y + beta).reshape(x.shape), mean, rstd, var.astype(x.dtype)


def batch_norm_grad(g, x, gamma, mean, rstd):
    """Gradients of batch_norm with respect to x, gamma and beta.

    g, x (..., F), gamma (F,) or None, mean and rstd (F,) of `batch_norm` -> dx (..., F), dgamma (F,), dbeta (F,)

        n = (x - mean) rstd        dx = gamma rstd (g - mean(g) - n mean(g n))        dgamma = sum g n        dbeta = sum g

    where means and sums are over the rows.
    """
    g, x = np.asarray(g, order="C"), np.asarray(x, order="C")
    rows = x.reshape(-1, x.shape[-1]) if x.size else np.zeros((0, x.shape[-1]), x.dtype)
    n = (rows - rows[:1] - mean) * rstd
    g = g.reshape(rows.shape)
    dgamma, dbeta, count = sum_rows(g * n), sum_rows(g), x.dtype.type(max(len(rows), 1))
    dx = (rstd if gamma is None else rstd * gamma) * (g - dbeta / count - n * (dgamma / count))
    return dx.reshape(x.shape), dgamma, dbeta


def scale_columns(x, mean, scale, beta):
    """(x - mean) scale + beta for every row of x.   (..., F), (F,), (F,), (F,) or None -> (..., F)"""
    y = (np.asarray(x, order="C") - mean) * scale
    return y if beta is None else y + beta


def scaled_columns_sums(g, x, mean):
    """Sums over the rows that the gradients of scale and beta in `scale_columns` are.   (..., F), (..., F), (F,) -> (F,), (F,)

        sum g (x - mean)        sum g
    """
    return sum_rows(g * (np.asarray(x, order="C") - mean)), sum_rows(g)


def sum_rows(g):
    """Sum over everything but the last axis, as for the gradient of a bias.   (..., N) -> (N,)"""
    wide = np.promote_types(g.dtype, np.float64)
    return g.sum(axis=tuple(range(g.ndim - 1)), dtype=wide).astype(g.dtype)


def multiply_sum_rows(x, y):
    """x * y, and its sums over all axes but the last.   (..., N), (..., N) -> (..., N), (N,)"""
    z = np.ascontiguousarray(x * y)
    return z, sum_rows(z)


def cross_entropy(logits, targets, weight=None, smoothing=0.0, g=None):
    """Minus the log-probability of each row's target, the log-sum-exp of each row, and the gradient of the losses weighed by g.

    (N, V), integers (N,), weight (V,) or None, g (N,), (1,) for all, or None -> losses (N,), lse (N,), d (N, V) or None

        loss_i = (1 - s) w_target (lse_i - logits_i,target) + s/V sum_j w_j (lse_i - logits_ij)
        d_ij = g_i (((1 - s) w_target + s/V sum_k w_k) exp(logits_ij - lse_i) - (1 - s) w_target [j = target_i] - s/V w_j)

    with s for `smoothing` and, without `weight`, w_j = 1. A row whose target is below 0 counts as nothing: its loss is 0, and
    its gradient.
    """
    logits = np.asarray(logits, order="C")
    lse = _log_sum_exp(logits)
    counts, rows = targets >= 0, np.arange(len(targets))
    own = lse - logits[rows, targets]
    losses = own if weight is None else weight[targets] * own
    if smoothing:
        each = lse[:, None] - logits  # (N, V)
        spread = (each if weight is None else weight * each).mean(axis=1)
        losses = (1 - smoothing) * losses + smoothing * spread
    d = None if g is None else _cross_entropy_grad(g, logits, targets, lse, weight, smoothing)
    return np.where(counts, losses, logits.dtype.type(0)), lse, d


def _cross_entropy_grad(g, logits, targets, lse, weight, smoothing):
    g = np.where(targets >= 0, g, g.dtype.type(0))
    own = (g if weight is None else g * weight[targets]) * g.dtype.type(1 - smoothing)
    d = np.exp(logits - lse[:, None])
    if smoothing:
        w = np.ones(logits.shape[1], logits.dtype) if weight is None else weight
        each = g * g.dtype.type(smoothing / logits.shape[1])
        d *= (own + each * w.sum())[:, None]
        d -= each[:, None] * w
    else:
        d *= own[:, None]
    d[np.arange(len(targets)), targets] -= own
    return d


# ---- elementwise


def gelu(x, approximate):
    """Gaussian error linear unit, and its derivative, which is all the backward pass needs.   (...) -> (...), (...)

        none:  y = x/2 (1 + erf(x / sqrt 2))
        tanh:  y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))

    Beyond |x| = 40 both forms are 0 or x to the last bit, so the factor is evaluated there: inf gives no NaN.
    """
    x = np.asarray(x, order="C")
    near = np.clip(x, -40, 40)
    if approximate == "tanh":
        root, cubic = math.sqrt(2 / math.pi), 0.044715
        square = near * near
        t = np.tanh(root * near * (1 + cubic * square))
        factor = (1 + t) / 2
        slope = (1 - t * t) / 2 * root * (1 + 3 * cubic * square)
    else:
        factor = (1 + erf(near * math.sqrt(0.5))) / 2
        slope = np.exp(near * near / -2) / math.sqrt(2 * math.pi)
    return np.asarray(np.maximum(x, -40) * factor), np.asarray(factor + near * slope)


def silu(x):
    """x times its sigmoid, and the derivative of that.   (...) -> (...), (...)

        y = x s        y' = s + x s (1 - s)        s = 1 / (1 + exp(-x))

    Beyond |x| = 800 s is 0 or 1, so it is evaluated there: infinities give no NaN.
    """
    x = np.asarray(x, order="C")
    near = np.clip(x, -800, 800)
    e = np.exp(-np.abs(near))
    larger, smaller = 1 / (1 + e), e / (1 + e)
    s = np.where(x < 0, smaller, larger)
    return np.asarray(np.maximum(x, -800) * s), np.asarray(s + near * (smaller * larger))


def gelu_gate(value, gate, approximate):
    """value gelu(gate), element by element.   (...), (...) -> (...)"""
    return np.asarray(value * gelu(gate, approximate)[0], order="C")


def gelu_gate_grad(g, value, gate, approximate):
    """Gradients of gelu_gate: g gelu(gate), g value gelu'(gate).   (...), (...), (...) -> (...), (...)"""
    return _through_gate(g, value, gelu(gate, approximate))


def silu_gate(value, gate):
    """value silu(gate), element by element.   (...), (...) -> (...)"""
    return np.asarray(value * silu(gate)[0], order="C")


def silu_gate_grad(g, value, gate):
    """Gradients of silu_gate: g silu(gate), g value silu'(gate).   (...), (...), (...) -> (...), (...)"""
    return _through_gate(g, value, silu(gate))


def _through_gate(g, value, opened_and_slope):
    opened, slope = opened_and_slope
    return np.asarray(g * opened, order="C"), np.asarray(g * value * slope, order="C")


def sigmoid(x):
    """1 / (1 + exp(-x)), without overflow.   (...) -> (...)"""
    with np.errstate(over="ignore"):  # 1 / (1 + inf) is the 0 that is meant
        return np.asarray(1 / (1 + np.exp(-x)), order="C")


def sigmoid_grad(g, y):
    """Gradient of the sigmoid, from its result y: g y (1 - y).   (...), (...) -> (...)"""
    return np.asarray(g * (y * (1 - y)), order="C")


def where_positive(g, x, slope):
    """g where x is above 0 or NaN, elsewhere slope g, or just 0 if the slope is 0, whatever g.   (...), (...) -> (...)

    relu, with x as g and the slope 0, its leaky form, and the gradients of both.
    """
    return np.asarray(np.where(x <= 0, slope * g if slope else np.zeros_like(g), g), order="C")


def erf(x):
    """The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x, to 3e-16.   (...) -> (...)

    Taylor's series around the nearest multiple a of 1/1024, where `math.erf` gives the start: with |x| = a + d

        exp(-(a + d)^2) = exp(-a^2) sum_n f_n d^n        (n+1) f_n+1 = -2 a f_n - 2 f_n-1

    and erf(|x|) is erf(a) plus the integral of that sum, term by term. Computed in float64 whatever the input.

    >>> float(erf(np.array(0.5))) == math.erf(0.5)
    True
    """
    x = np.asarray(x)
    values, slopes = _erf_table()
    t = np.minimum(np.abs(x).astype(np.float64), 6)  # erf(6) is 1 to the last bit
    place = np.rint(np.where(np.isnan(t), 0, t) * 1024).astype(np.intp)
    a = place / 1024
    d = t - a
    before, term = 0.0, 1.0  # f_n-1 d^(n-1) and f_n d^n
    integral = 1.0
    for n in range(4):
        before, term = term, (-2 * a * d * term - 2 * d * d * before) / (n + 1)
        integral = integral + term / (n + 2)
    y = np.copysign(values[place] + slopes[place] * d * integral, x)
    return np.asarray(y.astype(x.dtype) if np.issubdtype(x.dtype, np.floating) else y)


@functools.cache
def _erf_table():
    """erf and its derivative at the multiples of 1/1024 up to 6."""
    a = [i / 1024 for i in range(6 * 1024 + 1)]
    return np.array([math.erf(v) for v in a]), np.array([2 / math.sqrt(math.pi) * math.exp(-v * v) for v in a])


def dropout(x, rate, seed, offset):
    """Each element kept with probability 1 - rate and divided by it, or else 0.   (...) -> (...)

    Element i (in C order) is kept if a 32-bit hash of (seed, offset + i) is at least rate 2^32: the same choice in
    every implementation, on any number of threads, and in the backward pass, which calls this again with g.
    """
    x = np.asarray(x, order="C")
    hashed = np.empty(x.size, np.uint32)
    for start, stop, low, keys in dropout_spans(x.size, seed, offset):
        hashed[start:stop] = hash_counter(low + np.arange(stop - start, dtype=np.uint32), *keys)
    kept = hashed.reshape(x.shape) >= dropout_threshold(rate)
    return np.where(kept, x * dropout_scale(rate), x.dtype.type(0))


def dropout_threshold(rate):
    """Hashes below this number drop their element."""
    return np.uint32(min(round(rate * 2**32), 2**32 - 1))


def dropout_scale(rate):
    """What a kept element is multiplied with: 1 / (1 - rate), and 0 where nothing is kept."""
    return 1 / (1 - rate) if rate < 1 else 0.0


def dropout_spans(size, seed, offset):
    """The counters offset ... offset + size - 1 in spans of one upper half, as (start, stop, low, (key, key)).

    The upper 32 bits of the counter and the seed make two keys (by the finaliser of SplitMix64), the lower 32 bits
    are hashed with them element by element.
    """
    start = 0
    while start < size:
        high, low = divmod(offset + start, 2**32)
        stop = min(size, start + 2**32 - low)
        mixed = _splitmix(_splitmix(seed % 2**64) + high)
        yield start, stop, np.uint32(low), (np.uint32(mixed >> 32), np.uint32(mixed % 2**32))
        start = stop


def _splitmix(z):
    """A bijection of 64-bit integers that spreads every bit over all (Steele, Lea and Flood, 2014)."""
    z = (z + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def hash_counter(counter, first, second):
    """A keyed bijection of uint32: xor-shifts and multiplications, a key before each of the first two rounds.

    The multipliers and shifts are those of "triple32" (C. Wellons, public domain), found by search for least bias.
    """
    x = counter ^ first
    x = (x ^ x >> 17) * 0xED5AD4BB + second
    x = (x ^ x >> 11) * 0xAC4C1B51
    x = (x ^ x >> 15) * 0x31848BAB
    return x ^ x >> 14


# ---- positions


def rotary(x, cos, sin):
    """The two halves of every row turned by angles, given as their cosines and sines.   (..., T, d), (..., T, d/2) twice -> (..., T, d)

        [x1 cos - x2 sin, x2 cos + x1 sin]        x = [x1, x2]

    Where the heads of x lie side by side, so they do in the result.
    """
    x1, x2 = np.split(x, 2, -1)  # (..., d) -> 2 (..., d/2)
    return np.concatenate([x1 * cos - x2 * sin, x2 * cos + x1 * sin], -1)  # 2 (..., d/2) -> (..., d)


# ---- embedding


def embedding_grad(g, ids, V, into=None):
    """Rows of g added up per id, in the order of the ids, in a new array or ``into``.   g (..., E), integers (...) -> (V, E)"""
    d = np.zeros((V, g.shape[-1]), g.dtype) if into is None else into
    np.add.at(d, ids.reshape(-1), g.reshape(ids.size, g.shape[-1]))
    return d


# ---- a step of decoding


class DecodeProgram:
    """Steps that `run` computes one after the other, for B rows: one token each of B texts.

    A method appends one step. Its results are written to the arrays that it is given, and what changes from run to run it reads from
    those: none of them may be replaced by another. Weights are contiguous, or transposes of what is.
    """

    def __init__(self):
        self._steps = []

    def run(self):
        """Compute all steps."""
        for step in self._steps:
            step()

    def together(self):
        """What is appended inside may be computed at once: steps of which none reads what another writes."""
        return contextlib.nullcontext()

    def embed(self, tokens, table, y, scale=1.0, places=None, positions=None, plus=None):
        """y = table[tokens] scale + positions[places] + plus; NaN for a token or place that there is not.

        tokens, places int64 (B,), table (V, E), positions (L, E) or None, plus (E,) or None -> y (B, E)
        """

        def step():
            y[...] = _rows_at(table, tokens) * y.dtype.type(scale)
            if positions is not None:
                y[...] += _rows_at(positions, places)
            if plus is not None:
                y[...] += plus

        self._steps.append(step)

    def norm(self, x, gamma, beta, y, eps=1e-5, centred=True):
        """y = gamma (x - mean) / sqrt(var + eps) + beta, as `layer_norm` has it.   (B, E), (E,) or None, (E,) or None -> y (B, E)"""

        def step():
            y[...] = layer_norm(x, gamma, beta, eps, centred)[0]

        self._steps.append(step)

    def linear(self, x, w, bias, y, norm=None, function=None, plus=None, gate=None):
        """y = f(norm(x) w + bias) + plus, or with gate = (w_gate, bias_gate): f(norm(x) w_gate + bias_gate) (norm(x) w + bias) + plus.

        x (B, K), w (K, N), bias (N,) or None, norm (gamma, beta, eps, centred) or None, plus (B, N) or None, which may be y -> y (B, N).
        f is None, "relu", "gelu", "gelu_tanh" or "silu".
        """
        f = {
            None: lambda x: x, "relu": lambda x: np.maximum(x, 0), "gelu": lambda x: gelu(x, "none")[0],
            "gelu_tanh": lambda x: gelu(x, "tanh")[0], "silu": lambda x: silu(x)[0],
        }[function]  # fmt: skip

        def step():
            rows = x if norm is None else layer_norm(x, *norm)[0]
            value = linear(rows, w, bias)
            value = f(value) if gate is None else f(linear(rows, *gate)) * value
            y[...] = value if plus is None else value + plus

        self._steps.append(step)

    def among(self, q, k, v, y, heads, key_heads, scale):
        """y = softmax(scale q k') v for every head, where the rows are the tokens of one text.

        q (T, h dq), k (T, r dq), v (T, r dv) -> y (T, h dv)
        """
        T = len(q)

        def step():
            split = [x.reshape(1, T, n, -1).transpose(0, 2, 1, 3) for x, n in ((q, heads), (k, key_heads), (v, key_heads))]
            out, _ = attention(*split, False, scale)
            y[...] = out[0].transpose(1, 0, 2).reshape(T, -1)  # (1, h, T, dv) -> (h, T, dv) -> (T, h, dv) -> (T, h dv)

        self._steps.append(step)

    def attend(
        self, q, keys, values, y, scale, k=None, v=None, length=None, start=None, turns=None, places=None, bias=None, mask=None
    ):  # fmt: skip
        """y = softmax(scale q keys' + bias) values, for every head of every text.

        q (B, h dq), keys (B, r, L, dq), values (B, r, L, dv) -> y (B, h dv); heads of q share those of the keys in groups of h / r

        With k (B, r dq) and v (B, r dv) these are put at the place n = length[0] of the keys and values first, and q sees the places
        from start[b], or 0, to n; n is outside of 0 .. L - 1: NaN. turns = (cos, sin), (positions, dq/2) each, turn q and k as `rotary`
        does, by the angles of places (B,). bias (h, L) is added by distance, bias[:, n - s] for the key at s. Without k q sees all
        keys, or those where mask (B, L) is True. Who sees nothing gets zeros. length, start and places are int64.
        """
        (B, r, L, dq), dv = keys.shape, values.shape[3]
        h = q.shape[1] // dq

        def step():
            n, question, seen = L - 1 if k is None else int(length[0]), q.reshape(B, h, 1, dq), np.ones((B, L), bool)
            if not 0 <= n < L:
                y[...] = np.nan
                return
            angles = None if turns is None else [_rows_at(a, places)[:, None, None] for a in turns]  # (B, 1, 1, dq/2)
            question = question if angles is None else rotary(question, *angles)
            if k is not None:
                key = k.reshape(B, r, 1, dq)
                there = slice(None) if angles is None else (0 <= places) & (places < len(turns[0]))
                keys[there, :, n] = (key if angles is None else rotary(key, *angles))[there, :, 0]
                values[there, :, n] = v.reshape(B, r, dv)[there]
                seen = np.arange(L) <= n if start is None else (np.arange(L) <= n) & (np.arange(L) >= start[:, None])
            if mask is not None:
                seen = mask
            seen = np.broadcast_to(seen, (B, L))[:, None, None]  # (B, 1, 1, L)
            more = None if bias is None else bias[:, np.clip(n - np.arange(L), 0, None)][None, :, None]  # (1, h, 1, L)
            out, _ = attention(question, keys, values, False, scale, seen, more)
            y[...] = out.reshape(B, h * dv)  # (B, h, 1, dv) -> (B, h dv)
            if angles is not None:
                y[~there] = np.nan

        self._steps.append(step)


def _rows_at(table, places):
    """The rows of a table at these places, NaN where there is none.   (V, E), int64 (B,) -> (B, E)"""
    there = (0 <= places) & (places < len(table))
    return np.where(there[:, None], table[np.where(there, places, 0)], table.dtype.type(np.nan))


# ---- optimiser


def sgd(params, grads, velocity, lr, momentum, rest, nesterov, decay, grad_scale=1.0):
    """One step of gradient descent, in place on params and velocity.

    Lists of arrays of equal shapes; `decay` holds one number per parameter; `rest` is 1 less the dampening, and 1 at a first step.

        g = grad_scale grad + decay p
        velocity None:  p = p - lr g
        else:           velocity = momentum velocity + rest g        p = p - lr velocity
        nesterov:       p = p - lr (g + momentum velocity)
    """
    for p, g, old, wd in zip(params, grads, velocity or params, decay):
        g = g * grad_scale + wd * p
        if velocity is not None:
            old *= momentum
            old += rest * g
            g = g + momentum * old if nesterov else old
        p -= lr * g


def adam(params, grads, m, v, top, lr, beta1, beta2, eps, step, decay, decoupled, grad_scale=1.0):
    """One step of Adam (Kingma and Ba, 2015), in place on params, m, v and, for amsgrad, top.

    Lists of arrays of equal shapes, top None without amsgrad; `decay` holds one number per parameter; `step` counts from 1.

        g = grad_scale grad + decay p                                            decoupled: without decay
        m = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2         amsgrad: top = max(top, v) takes the place of v
        p = p - lr / (1 - beta1^step) m / (sqrt(v / (1 - beta2^step)) + eps)     decoupled: less lr decay p

    Decoupled it is AdamW (Loshchilov and Hutter, 2019).
    """
    rate = lr / (1 - beta1**step)
    root = math.sqrt(1 - beta2**step)
    for p, g, mean, square, largest, wd in zip(params, grads, m, v, top or v, decay):
        g = g * grad_scale if decoupled else g * grad_scale + wd * p
        mean *= beta1
        mean += (1 - beta1) * g
        square *= beta2
        square += (1 - beta2) * g * g
        np.maximum(largest, square, out=largest)
        shrunk = lr * wd * p if decoupled else 0
        p -= shrunk + rate * mean / (np.sqrt(largest) / root + eps)


def rmsprop(params, grads, v, mean, velocity, lr, alpha, eps, momentum, decay, grad_scale=1.0):
    """One step of RMSprop (Tieleman and Hinton, 2012), in place on params, v, mean and velocity.

    Lists of arrays of equal shapes, mean and velocity can be None; `decay` holds one number per parameter.

        g = grad_scale grad + decay p        v = alpha v + (1 - alpha) g^2        move = g / (sqrt(v) + eps)
        with mean:      mean = alpha mean + (1 - alpha) g        v - mean^2, the variance, takes the place of v in the root
        with velocity:  velocity = momentum velocity + move, which takes the place of move
        p = p - lr move
    """
    for p, g, square, centre, old, wd in zip(params, grads, v, mean or params, velocity or params, decay):
        g = g * grad_scale + wd * p
        square *= alpha
        square += (1 - alpha) * g * g
        spread = square
        if mean is not None:
            centre *= alpha
            centre += (1 - alpha) * g
            spread = np.maximum(square - centre * centre, 0)  # rounding can take a variance of 0 below it
        move = g / (np.sqrt(spread) + eps)
        if velocity is not None:
            old *= momentum
            old += move
            move = old
        p -= lr * move


def adagrad(params, grads, total, lr, eps, decay, grad_scale=1.0):
    """One step of Adagrad (Duchi et al., 2011), in place on params and total.

    Lists of arrays of equal shapes; `decay` holds one number per parameter.

        g = grad_scale grad + decay p        total = total + g^2        p = p - lr g / (sqrt(total) + eps)
    """
    for p, g, squares, wd in zip(params, grads, total, decay):
        g = g * grad_scale + wd * p
        squares += g * g
        p -= lr * g / (np.sqrt(squares) + eps)


def lion(params, grads, m, lr, beta1, beta2, decay, grad_scale=1.0):
    """One step of Lion (Chen et al., 2023), in place on params and m.

    Lists of arrays of equal shapes; `decay` holds one number per parameter.

        g = grad_scale grad        p = p - lr decay p - lr sign(beta1 m + (1 - beta1) g)        m = beta2 m + (1 - beta2) g
    """
    for p, g, mean, wd in zip(params, grads, m, decay):
        g = g * grad_scale
        p -= lr * wd * p + lr * np.sign(beta1 * mean + (1 - beta1) * g)
        mean *= beta2
        mean += (1 - beta2) * g


def grad_norm(grads):
    """Square root of the sum of all squares of all arrays, accumulated in float64.   list of (...) -> float"""
    return math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in grads))


def scaled(arrays, factor):
    """All arrays times a factor, in their own dtypes.   list of (...) -> list of (...)

    An infinity times 0 is NaN, which is the right answer and no reason to warn.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        return [np.asarray(a * a.dtype.type(factor), order="C") for a in arrays]
