"""exp, log, tanh, erf inside kernels, written so that loops over them vectorise, for float32 and float64 alike.

A call to the mathematics library handles one number at a time. These are polynomials and bit tricks without branches,
which LLVM computes on whole vectors. Each function is written once, on `Value`s: its Python code runs while a kernel
is being compiled and emits the instructions, for whichever float type (or vector of floats, inside another intrinsic,
through `exp.code(value)`) it is called with. NaN gives NaN and infinities give limits throughout.

Accuracy, in units in the last place (ulp) of the exact result, the worst of all floats (of 10^7 doubles):

                float32   float64
    exp            1.1       1.0
    log            0.9       0.9
    tanh           1.4       1.4
    erf            1.1       1.1
    erfcx          5         10

The polynomials are minimax fits made for this file: Lawson-weighted least squares in 50 digits, the lowest
coefficients rounded first and the others refitted to make up for it.
"""

import functools
import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_EXACT = ("contract", "nsz")  # never reassoc: it would undo the rounding tricks; never nnan or ninf: masks are -inf


class Value:
    """A number that a kernel will have when it runs; Python's operators write the instructions that compute it."""

    def __init__(self, builder, code):
        self.builder, self.code = builder, code
        self.type = code.type
        scalar = self.type.element if isinstance(self.type, ir.VectorType) else self.type
        self.is_float = not isinstance(scalar, ir.IntType)
        self.is_double = isinstance(scalar, ir.DoubleType)

    def constant(self, number):
        """A number in the type of this value."""
        if isinstance(self.type, ir.VectorType):
            return ir.Constant(self.type, [number] * self.type.count)
        return ir.Constant(self.type, number)

    def _code(self, other):
        return other.code if isinstance(other, Value) else self.constant(other)

    def _new(self, code):
        return Value(self.builder, code)

    def _binary(self, name, left, right):
        if self.is_float:
            return self._new(getattr(self.builder, "f" + name)(left, right, flags=_EXACT))
        return self._new(getattr(self.builder, name)(left, right))

    def __add__(self, other):
        return self._binary("add", self.code, self._code(other))

    def __sub__(self, other):
        return self._binary("sub", self.code, self._code(other))

    def __mul__(self, other):
        return self._binary("mul", self.code, self._code(other))

    def __truediv__(self, other):
        return self._binary("div", self.code, self._code(other))

    def __radd__(self, other):
        return self._binary("add", self._code(other), self.code)

    def __rsub__(self, other):
        return self._binary("sub", self._code(other), self.code)

    def __rmul__(self, other):
        return self._binary("mul", self._code(other), self.code)

    def __rtruediv__(self, other):
        return self._binary("div", self._code(other), self.code)

    def __neg__(self):
        return self._new(self.builder.fneg(self.code))

    def __lshift__(self, count):
        return self._new(self.builder.shl(self.code, self.constant(count)))

    def __rshift__(self, count):
        return self._new(self.builder.lshr(self.code, self.constant(count)))

    def __xor__(self, other):
        return self._new(self.builder.xor(self.code, self._code(other)))

    def __and__(self, other):
        return self._new(self.builder.and_(self.code, self._code(other)))

    def __lt__(self, other):
        return self._new(self.builder.fcmp_ordered("<", self.code, self._code(other), flags=_EXACT))

    def __gt__(self, other):
        return self._new(self.builder.fcmp_ordered(">", self.code, self._code(other), flags=_EXACT))

    def bits(self):
        """The same bits as an integer."""
        return self._new(self.builder.bitcast(self.code, self._like(ir.IntType(64 if self.is_double else 32))))

    def float_of_bits(self, like):
        """These bits as a float of the type of `like`."""
        return self._new(self.builder.bitcast(self.code, like.type))

    def to_float(self, like):
        """This integer as a float of the type of `like`."""
        return self._new(self.builder.sitofp(self.code, like.type))

    def _like(self, scalar):
        return ir.VectorType(scalar, self.type.count) if isinstance(self.type, ir.VectorType) else scalar

    def _llvm(self, name, *others):
        types_ = [self.type] * (1 + len(others))
        suffix = f"v{self.type.count}" if isinstance(self.type, ir.VectorType) else ""
        name = f"llvm.{name}.{suffix}f{64 if self.is_double else 32}"
        function = self.builder.module.globals.get(name) or ir.Function(
            self.builder.module, ir.FunctionType(self.type, types_), name=name
        )
        return self._new(self.builder.call(function, [self.code, *(other.code for other in others)]))

    def __abs__(self):
        return self._llvm("fabs")

    def with_sign_of(self, other):
        """The size of this value with the sign of the other."""
        return self._llvm("copysign", other)

    def at_least(self, bound):
        """The larger of this and a bound; NaN stays NaN."""
        return choose(self < bound, bound, self)

    def at_most(self, bound):
        """The smaller of this and a bound; NaN stays NaN."""
        return choose(self > bound, bound, self)

    def polynomial(self, coefficients):
        """sum_k c_k x^k by Horner's rule, one fused multiplication and addition a term."""
        *rest, last = coefficients[self.is_double]
        y = self._new(self.constant(last))
        for c in reversed(rest):
            y = y * self + c
        return y


def choose(condition, yes, no):
    """`yes` where the condition holds, else `no`; one of them may be a number."""
    like = yes if isinstance(yes, Value) else no
    return like._new(like.builder.select(condition.code, like._code(yes), like._code(no)))


def vectorised(function=None, *, results=1):
    """Make a function of a Value, that returns one or a tuple of `results`, one that kernels call with a number."""
    if function is None:
        return functools.partial(vectorised, results=results)

    def generate(context, builder, signature, values):
        y = function(Value(builder, values[0]))
        if results == 1:
            return y.code
        return context.make_tuple(builder, signature.return_type, [part.code for part in y])

    @intrinsic
    def call(typing_context, x):
        if x in (types.float32, types.float64):
            return (x if results == 1 else types.UniTuple(x, results))(x), generate
        return None

    call.__doc__ = function.__doc__
    call.code = function
    return call


# ---- the functions: pairs are (float32, float64)

_LN2_HIGH = 0.693359375, 0.693145751953125  # few enough bits that n times it is exact
_LN2_LOW = -2.12194440e-4, 1.42860682030941723212e-6
_EXP = (
    (0.49999994, 0.166665211, 0.041668281, 0.00836868212, 0.00138194684),
    (
        0.5000000000000011, 0.16666666666666438, 0.04166666666652681, 0.008333333333479225, 0.0013888888944426046,
        0.00019841269537933386, 2.480149232118176e-05, 2.755755931125341e-06, 2.763051624270614e-07,
        2.5008444259156967e-08,
    ),
)  # fmt: skip


@vectorised
def exp(x):
    """e^x; 0 below 2^-125 (float64: 2^-1021), because CPUs are slow with subnormal numbers; inf on overflow.

    With n = round(x / ln 2) and r = x - n ln 2:  e^x = 2^n e^r,  e^r = 1 + r + r^2 p(r),  |r| < 0.35.
    """
    mantissa, bias = _layout(x)
    shifted, y = _reduced(x.at_most(710.0 if x.is_double else 89.0))
    half = ((shifted.bits() + (bias - 1)) << mantissa).float_of_bits(x)  # 2^(n-1): 2^n may be too large for an exponent
    return choose(x < math.log(2) * (2 - bias), 0.0, y * half * 2.0)


@vectorised
def decay(x):
    """e^x as `exp`, for x that are not above 0, or hardly: no bound above is looked at, and 2^n is one number."""
    mantissa, bias = _layout(x)
    shifted, y = _reduced(x)
    power = ((shifted.bits() + bias) << mantissa).float_of_bits(x)
    return choose(x < math.log(2) * (2 - bias), 0.0, y * power)


def _layout(x):
    """Bits of the mantissa, and what is added to an exponent."""
    return (52, 1023) if x.is_double else (23, 127)


def _reduced(x):
    """A number with n = round(x / ln 2) in its lowest bits, and e^(x - n ln 2)."""
    mantissa, _ = _layout(x)
    # Adding 1.5 2^mantissa rounds to an integer and leaves it in the lowest bits of the sum.
    magic = 1.5 * 2.0**mantissa
    shifted = x * (1 / math.log(2)) + magic
    n = shifted - magic
    r = (x - n * _LN2_HIGH[x.is_double]) - n * _LN2_LOW[x.is_double]
    return shifted, r * r * r.polynomial(_EXP) + r + 1.0


_LOG = (
    (0.666666627, 0.400009722, 0.284987986, 0.242785975),
    (
        0.6666666666666735, 0.3999999999940913, 0.28571428743806804, 0.22222198408891572, 0.18183573778034934,
        0.15313786835136406, 0.14798794313861316,
    ),
)  # fmt: skip


@vectorised
def log(x):
    """The natural logarithm: -inf at 0, NaN below.

    With x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), and s = f / (2 + f):
    log x = e ln 2 + f - f^2/2 + s (f^2/2 + s^2 p(s^2)).
    """
    double = x.is_double
    mantissa, bias, tiny, up = (52, 1023, 2.0**-1022, 54) if double else (23, 127, 2.0**-126, 25)
    root_half = 0x3FE6A09E667F3BCD if double else 0x3F3504F3  # the bits of sqrt(1/2)
    subnormal = x < tiny
    i = choose(subnormal, x * 2.0**up, x).bits() + ((bias << mantissa) - root_half)
    f = ((i & (2**mantissa - 1)) + root_half).float_of_bits(x) - 1.0
    e = (i >> mantissa).to_float(x) - float(bias)
    e = choose(subnormal, e - float(up), e)
    s = f / (f + 2.0)
    z = s * s
    half = f * f * 0.5
    y = e * _LN2_HIGH[double] + (f - (half - (s * (half + z * z.polynomial(_LOG)) + e * _LN2_LOW[double])))
    y = choose(x < math.inf, y, x)
    return choose(x > 0.0, y, choose(abs(x) > 0.0, math.nan, -1.0 / abs(x)))  # at 0 -inf, at NaN NaN


_TANH = (
    (-0.333332807, 0.133314073, -0.05373675, 0.0206292719, -0.00569388457),
    (
        -0.3333333333333285, 0.13333333333261033, -0.05396825393071976, 0.021869487562551058, -0.008863220814969982,
        0.003591987593522664, -0.0014549504814065416, 0.0005862882512732803, -0.0002285056170894084,
        7.707632245946036e-05, -1.6038666042592994e-05,
    ),
)  # fmt: skip


@vectorised
def tanh(x):
    """The hyperbolic tangent: x + x^3 p(x^2) up to 0.625, 1 - 2 / (e^(2|x|) + 1) with the sign of x beyond."""
    t, s = abs(x), x * x
    near = x * s * s.polynomial(_TANH) + x
    far = 1.0 - 2.0 / (exp.code(t + t) + 1.0)
    return choose(t > 0.625, far, near).with_sign_of(x)


_ERF = (
    (0.128379166, -0.37612626, 0.112835795, -0.026853418, 0.00518737268, -0.000800037407, 7.81748749e-05),
    (
        0.12837916709551256, -0.3761263890318336, 0.11283791670937998, -0.026866170642157208, 0.005223977598481531,
        -0.000854832557043051, 0.00012055283024720972, -1.492451266096859e-05, 1.6444702943693537e-06,
        -1.618796258645154e-07, 1.3632622773490364e-08, -7.635028615278295e-10,
    ),
)  # fmt: skip
_ERFCX = (
    (
        0.179001153, -0.326233655, 0.24560383, -0.150113016, 0.0716645196, -0.0244172905, 0.00427260948,
        0.000791955215, -0.000575785816, -6.16306934e-05,
    ),
    (
        0.17900115118138996, -0.32623356004303716, 0.24560380171232937, -0.1501159365007857, 0.07166583719806922,
        -0.024392499318407153, 0.004269136330733402, 0.0007077464352320865, -0.0005970619239883373,
        4.5255327532667464e-05, 6.405638991648518e-05, -1.286064190780979e-05, -7.977437284565219e-06,
        2.120490172001609e-06, 1.2506169539505782e-06, -2.9500592954409754e-07, -2.3133790185543773e-07,
        3.0036647869660866e-08, 4.3147263962993475e-08, -3.475694552584651e-10, -6.316947782696198e-09,
        -4.332319694105687e-10, 4.3818205983569097e-10,
    ),
)  # fmt: skip


@vectorised
def erfcx(t):
    """e^(t^2) (1 - erf t) for 0 <= t <= 28 (in float32 10.5), where it falls slowly from 1 to 1 / (t sqrt pi).

    The scaled complement keeps the tail of the normal distribution accurate, where 1 - erf(t) would cancel.
    """
    return ((t - 3.0) / (t + 3.0)).polynomial(_ERFCX)


@vectorised
def erf(x):
    """The error function: x + x p(x^2) up to 1, 1 - e^(-x^2) erfcx(|x|) with the sign of x beyond."""
    s = x * x
    near = x * s.polynomial(_ERF) + x
    t = abs(x).at_most(6.0)  # erf(6) is 1 to the last bit
    far = 1.0 - exp.code(-(t * t)) * erfcx.code(t)
    return choose(t > 1.0, far, near).with_sign_of(x)
