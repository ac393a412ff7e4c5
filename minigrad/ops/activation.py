"""The functions between the layers of a network: names, parameters, defaults and slopes at corners are PyTorch's."""

import numpy as np

from .. import kernels
from ..core import values
from .broadcasting import elementwise, of_one_shape
from .elementwise import abs, add, divide, exp, multiply, negative, sigmoid, square, subtract, tanh, where
from .logic import greater, less, less_equal, logical_and
from .neural import check_approximate, gelu
from .samples import ErrorSample, Sample, binary, normal, unary

__all__ = [
    "celu", "elu", "geglu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish", "relu", "relu6",
    "selu", "silu", "softplus", "softshrink", "softsign", "swiglu", "tanhshrink", "threshold",
]  # fmt: skip


def _samples(away_from=(), **parameters):
    """Samples between -4 and 4, away from the corners; the last one with ``parameters``."""

    def samples(rng):
        yield from unary(-4.0, 4.0, away_from)(rng)
        if parameters:
            yield next(unary(-4.0, 4.0, away_from)(rng))._replace(kwargs=parameters, note="parameters")

    return samples


# ----------------------------------------------------------------------------------- one side a line, the other flat or bent


@elementwise(reference=lambda x: np.where(x > 0, x, 0), samples=unary(away_from=(0,)), kinks="relu'(0) = 0")
def relu(x, /):
    """max(x, 0).   (...) -> (...)

    >>> import numpy as np
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    if x.nbytes < 1 << 16:  # NumPy is done before a kernel has begun
        return np.maximum(x, 0)
    return kernels.where_positive(x, x, 0)


@relu.vjp
def _(g, _, x):
    return (where_positive(g, values(x), 0),)


@elementwise(reference=lambda g, x, slope: np.where(x > 0, g, slope * g), linear=(0,), method=False, samples=lambda rng: [
    sample._replace(args=(*sample.args, slope)) for slope in (0, 0.3) for sample in binary()(rng)
])  # fmt: skip
def where_positive(g, x, /, slope):
    """g where x > 0, else slope g: how relu and leaky_relu pass a gradient on.   (...), (...) -> (...)

    >>> import numpy as np
    >>> where_positive(np.array([5.0, 6.0]), np.array([-1.0, 2.0]), 0.5)
    array([2.5, 6. ])
    """
    return kernels.where_positive(*of_one_shape(g, x), slope)


@where_positive.vjp
def _(d, _, _g, x, slope, wanted):
    return where_positive(d, values(x), slope) if wanted[0] else None, multiply(d, 0.0) if wanted[1] else None


@elementwise(floating=True, reference=lambda x, negative_slope=0.01: np.maximum(x, 0) + negative_slope * np.minimum(x, 0),
             samples=_samples((0,), negative_slope=0.3), kinks="leaky_relu'(0) = negative_slope")  # fmt: skip
def leaky_relu(x, /, negative_slope=0.01):
    """x where x > 0, else negative_slope x.   (...) -> (...)

    >>> import numpy as np
    >>> leaky_relu(np.array([-1.0, 2.0]))
    array([-0.01,  2.  ])
    """
    return kernels.where_positive(x, x, negative_slope)


@leaky_relu.vjp
def _(g, _, x, negative_slope):
    return (where_positive(g, values(x), negative_slope),)


def _not_above_0(x):
    return where(greater(x, 0), 0.0, x)


@elementwise(floating=True, reference=lambda x, alpha=1.0: np.where(x > 0, x, alpha * (np.exp(x) - 1)),
             samples=_samples((0,), alpha=1.5), kinks="elu'(0) = alpha")  # fmt: skip
def elu(x, /, alpha=1.0):
    """x where x > 0, else alpha (exp(x) - 1).   (...) -> (...)   (Clevert, Unterthiner and Hochreiter 2016)

    >>> import numpy as np
    >>> elu(np.array([-1.0, 2.0])).round(4)
    array([-0.6321,  2.    ])
    """
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


@elu.vjp
def _(g, _, x, alpha):
    return (where(greater(x, 0), g, multiply(multiply(g, alpha), exp(_not_above_0(x)))),)


# alpha and scale keep mean 0 and variance 1 from layer to layer
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


@elementwise(floating=True, reference=lambda x: _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * (np.exp(x) - 1)),
             samples=_samples((0,)), kinks="selu'(0) = 1.7581, the slope from below")  # fmt: skip
def selu(x, /):
    """1.0507 elu(x, alpha=1.6733), which normalizes itself.   (...) -> (...)   (Klambauer et al. 2017)

    >>> import numpy as np
    >>> selu(np.array([-1.0, 2.0])).round(4)
    array([-1.1113,  2.1014])
    """
    return _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0)))


@selu.vjp
def _(g, _, x):
    return (multiply(g, where(greater(x, 0), _SELU_SCALE, multiply(exp(_not_above_0(x)), _SELU_SCALE * _SELU_ALPHA))),)


@elementwise(floating=True, reference=lambda x, alpha=1.0: np.where(x > 0, x, alpha * (np.exp(x / alpha) - 1)),
             samples=_samples((0,), alpha=1.5))  # fmt: skip
def celu(x, /, alpha=1.0):
    """x where x > 0, else alpha (exp(x / alpha) - 1): an elu without a corner.   (...) -> (...)   (Barron 2017)

    >>> import numpy as np
    >>> celu(np.array([-1.0, 2.0]), alpha=2.0).round(4)
    array([-0.7869,  2.    ])
    """
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha))


@celu.vjp
def _(g, _, x, alpha):
    return (multiply(g, exp(divide(_not_above_0(x), alpha))),)


@elementwise(floating=True, reference=lambda x, threshold, value: np.where(x > threshold, x, value), samples=lambda rng: [
    sample._replace(args=(*sample.args, 0.5, -1.0)) for sample in unary(away_from=(0.5,))(rng)
], kinks="threshold'(threshold) = 0")  # fmt: skip
def threshold(x, /, threshold, value):
    """x where x > threshold, else value.   (...) -> (...)

    >>> import numpy as np
    >>> threshold(np.array([0.1, 0.7]), 0.5, -1.0)
    array([-1. ,  0.7])
    """
    return np.where(x > threshold, x, value)


@threshold.vjp
def _(g, _, x, threshold, value):
    return (where(greater(x, threshold), g, 0.0),)


# -------------------------------------------------------------------------------------------- smooth, by the sigmoid


@elementwise(floating=True, reference=lambda x, beta=1.0, threshold=np.inf: np.where(
    beta * x > threshold, x, np.log(1 + np.exp(beta * x)) / beta), samples=_samples(beta=2.0, threshold=0.1))  # fmt: skip
def softplus(x, /, beta=1.0, threshold=np.inf):
    """log(1 + exp(beta x)) / beta, without overflow, and x itself where beta x > threshold.   (...) -> (...)

    PyTorch needs the threshold, 20 there, against overflow; here it is only for those who want the same digits.

    >>> import numpy as np
    >>> softplus(np.array([-1000.0, 0.0, 1000.0])).round(4)
    array([0.000e+00, 6.931e-01, 1.000e+03])
    """
    return np.where(x > threshold / beta, x, (np.maximum(x * beta, 0) + np.log1p(np.exp(-np.abs(x * beta)))) / beta)


@softplus.vjp
def _(g, _, x, beta, threshold):
    slope = sigmoid(multiply(x, beta))
    return (multiply(g, slope if threshold == np.inf else where(greater(x, threshold / beta), 1.0, slope)),)


@elementwise(floating=True, reference=lambda x: -np.log(1 + np.exp(-x)), samples=_samples())
def logsigmoid(x, /):
    """log(sigmoid(x)), without overflow.   (...) -> (...)

    >>> import numpy as np
    >>> logsigmoid(np.array([-1000.0, 0.0])).round(4)
    array([-1.000e+03, -6.931e-01])
    """
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


@logsigmoid.vjp
def _(g, _, x):
    return (multiply(g, sigmoid(negative(x))),)


@elementwise(floating=True, saves=True, reference=lambda x: x / (1 + np.exp(-x)), samples=_samples())
def silu(x, /):
    """x sigmoid(x), also called swish.   (...) -> (...)   (Elfwing, Uchibe and Doya 2018)

    >>> import numpy as np
    >>> silu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.2689,  0.    ,  0.7311])
    """
    return kernels.silu(x)


@silu.vjp
def _(g, _, x, saved):
    return (multiply(g, saved),)


@silu.composite
def _(x):
    return multiply(x, sigmoid(x))


@elementwise(floating=True, reference=lambda value, gate: value * gate / (1 + np.exp(-gate)), samples=binary())
def swiglu(value, gate, /):
    """value silu(gate): a gated linear unit with the gate of `silu`, in one pass.   (...), (...) -> (...)   (Shazeer 2020)

    >>> import numpy as np
    >>> swiglu(np.array([2.0, 2.0]), np.array([0.0, 1.0])).round(4)
    array([0.    , 1.4621])
    """
    return kernels.silu_gate(*of_one_shape(value, gate))


@swiglu.vjp
def _(g, _, value, gate):
    return kernels.silu_gate_grad(g, *of_one_shape(value, gate))


@swiglu.composite
def _(value, gate):
    return multiply(value, silu(_in_dtype_of(value, gate)))


@elementwise(floating=True, reference=lambda value, gate, approximate="none": value * gelu.op.reference(gate, approximate),
             samples=lambda rng: [
    *binary()(rng), Sample((normal(rng, 3, 4), normal(rng, 4), "tanh"), note="tanh"),
], errors=lambda: [ErrorSample((np.ones(2), np.ones(2), "sigmoid"), {}, ValueError, "geglu.*none.*tanh.*sigmoid")])  # fmt: skip
def geglu(value, gate, /, approximate="none"):
    """value gelu(gate): a gated linear unit with the gate of `gelu`, in one pass.   (...), (...) -> (...)   (Shazeer 2020)

    ``approximate`` is that of `gelu`.

    >>> import numpy as np
    >>> geglu(np.array([2.0, 2.0]), np.array([0.0, 1.0])).round(4)
    array([0.    , 1.6827])
    """
    check_approximate("geglu", approximate)
    return kernels.gelu_gate(*of_one_shape(value, gate), approximate)


@geglu.vjp
def _(g, _, value, gate, approximate):
    return kernels.gelu_gate_grad(g, *of_one_shape(value, gate), approximate)


@geglu.composite
def _(value, gate, approximate):
    return multiply(value, gelu(_in_dtype_of(value, gate), approximate))


def _in_dtype_of(value, gate):
    """The gate; a number alone, which would be rounded to float32, as an array."""
    return gate if hasattr(gate, "dtype") else np.asarray(gate, value.dtype)


@elementwise(floating=True, reference=lambda x: x * np.tanh(np.log(1 + np.exp(x))), samples=_samples())
def mish(x, /):
    """x tanh(softplus(x)).   (...) -> (...)   (Misra 2019)

    >>> import numpy as np
    >>> mish(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.3034,  0.    ,  0.8651])
    """
    return x * np.tanh(softplus(x))


@mish.vjp
def _(g, _, x):
    t = tanh(softplus(x))
    return (multiply(g, add(t, multiply(multiply(x, sigmoid(x)), subtract(1.0, square(t))))),)


@elementwise(floating=True, reference=lambda x: x / (1 + np.abs(x)), samples=_samples())
def softsign(x, /):
    """x / (1 + |x|).   (...) -> (...)

    >>> import numpy as np
    >>> softsign(np.array([-1.0, 0.0, 3.0]))
    array([-0.5 ,  0.  ,  0.75])
    """
    return x / (1 + np.abs(x))


@softsign.vjp
def _(g, _, x):
    size = add(1.0, abs(x))
    return (divide(divide(g, size), size),)


@elementwise(floating=True, reference=lambda x: x - np.tanh(x), samples=_samples())
def tanhshrink(x, /):
    """x - tanh(x).   (...) -> (...)

    >>> import numpy as np
    >>> tanhshrink(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.2384,  0.    ,  0.2384])
    """
    return x - np.tanh(x)


@tanhshrink.vjp
def _(g, _, x):
    return (multiply(g, square(tanh(x))),)


# ------------------------------------------------------------------------------------ in straight pieces: cheap stand-ins


def _between(low, x, high):
    return logical_and(greater(x, low), less(x, high))


@elementwise(floating=True, reference=lambda x, min_val=-1.0, max_val=1.0: np.maximum(min_val, np.minimum(x, max_val)),
             samples=_samples((-1, 1, 2), min_val=-1.0, max_val=2.0), kinks="0 at both ends, where clip has 1")  # fmt: skip
def hardtanh(x, /, min_val=-1.0, max_val=1.0):
    """x, but not below min_val and not above max_val.   (...) -> (...)

    >>> import numpy as np
    >>> hardtanh(np.array([-3.0, 0.5, 3.0]))
    array([-1. ,  0.5,  1. ])
    """
    return np.clip(x, min_val, max_val)


@hardtanh.vjp
def _(g, _, x, min_val, max_val):
    return (where(_between(min_val, x, max_val), g, 0.0),)


@elementwise(floating=True, reference=lambda x: np.maximum(0, np.minimum(x, 6)), samples=unary(-2.0, 8.0, (0, 6)),
             kinks="relu6'(0) = relu6'(6) = 0")  # fmt: skip
def relu6(x, /):
    """x, but not below 0 and not above 6.   (...) -> (...)

    >>> import numpy as np
    >>> relu6(np.array([-3.0, 0.5, 7.0]))
    array([0. , 0.5, 6. ])
    """
    return np.clip(x, 0, 6)


@relu6.vjp
def _(g, _, x):
    return (where(_between(0, x, 6), g, 0.0),)


@elementwise(floating=True, reference=lambda x: np.maximum(0, np.minimum(x + 3, 6)) / 6, samples=_samples((-3, 3)),
             kinks="hardsigmoid'(-3) = hardsigmoid'(3) = 0")  # fmt: skip
def hardsigmoid(x, /):
    """relu6(x + 3) / 6: a sigmoid of three straight pieces.   (...) -> (...)

    >>> import numpy as np
    >>> hardsigmoid(np.array([-4.0, 0.0, 1.5]))
    array([0.  , 0.5 , 0.75])
    """
    return np.clip(x + 3, 0, 6) / 6


@hardsigmoid.vjp
def _(g, _, x):
    return (where(_between(-3, x, 3), divide(g, 6.0), 0.0),)


@elementwise(floating=True, reference=lambda x: x * np.maximum(0, np.minimum(x + 3, 6)) / 6, samples=_samples((-3, 3)),
             kinks="hardswish'(-3) = 0, hardswish'(3) = 1")  # fmt: skip
def hardswish(x, /):
    """x hardsigmoid(x).   (...) -> (...)   (Howard et al. 2019)

    >>> import numpy as np
    >>> hardswish(np.array([-1.5, 0.0, 1.5, 4.0]))
    array([-0.375,  0.   ,  1.125,  4.   ])
    """
    return x * np.clip(x + 3, 0, 6) / 6


@hardswish.vjp
def _(g, _, x):
    bent = multiply(g, divide(add(multiply(x, 2.0), 3.0), 6.0))
    return (where(_between(-3, x, 3), bent, where(less(x, 0), 0.0, g)),)


@elementwise(floating=True, reference=lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
             samples=_samples((-1, -0.5, 0.5, 1), lambd=1.0), kinks="softshrink'(lambd) = softshrink'(-lambd) = 0")  # fmt: skip
def softshrink(x, /, lambd=0.5):
    """x moved by lambd towards 0, and 0 where |x| <= lambd.   (...) -> (...)

    >>> import numpy as np
    >>> softshrink(np.array([-2.0, 0.3, 2.0]))
    array([-1.5,  0. ,  1.5])
    """
    return x - np.clip(x, -lambd, lambd)


@softshrink.vjp
def _(g, _, x, lambd):
    return (where(less_equal(abs(x), lambd), 0.0, g),)


@elementwise(floating=True, reference=lambda x, lambd=0.5: x * (np.abs(x) > lambd),
             samples=_samples((-1, -0.5, 0.5, 1), lambd=1.0), kinks="hardshrink'(lambd) = hardshrink'(-lambd) = 0")  # fmt: skip
def hardshrink(x, /, lambd=0.5):
    """x, but 0 where |x| <= lambd.   (...) -> (...)

    >>> import numpy as np
    >>> hardshrink(np.array([-2.0, 0.3, 2.0]))
    array([-2.,  0.,  2.])
    """
    return np.where(np.abs(x) <= lambd, 0, x)


@hardshrink.vjp
def _(g, _, x, lambd):
    return (where(less_equal(abs(x), lambd), 0.0, g),)
